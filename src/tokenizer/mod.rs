//! Text to tokens and back, from the vocabulary in the model file, without a heap.
//!
//! Each kind of tokenizer is a row of the table in `kinds` and has a file of its own:
//!
//! | file | kind | further modules it uses |
//! |---|---|---|
//! | `byte_level` | BPE over bytes (GPT-2, BLOOM, ...) | `pre`, `merges` |
//! | `byte_level_nfc` | BPE over bytes of texts in NFC (MPT) | `pre`, `merges` |
//! | `character_bpe` | BPE over characters | `merges` |
//! | `sentencepiece_bpe` | BPE by scores | `normalizer`, `fallback` |
//! | `unigram` | the highest sum of scores | `normalizer`, `fallback` |
//! | `wordpiece` | the longest token first | `bert` |
//!
//! Steps of encoding:
//! 1. `encode`, `split`, `special`: special tokens such as `<|endoftext|>` are found in the text, by the rules of `added`. The
//!    text between them goes to the kind.
//! 2. The text is normalized as it was in training: `normalizer` with `charsmap` for SentencePiece, `bert` for WordPiece,
//!    `unicode::nfc` for byte-level BPE if the file or the name of its pre-tokenizer says so.
//! 3. The text is cut: by `pre` into pieces (about a word each), at white space and signs, or where no token can lie across.
//! 4. Tokens are found for each piece. All kinds of BPE merge neighbors in `bpe`, with `min_tree` for long pieces.
//!
//! `vocab` borrows the vocabulary from the file, read by `from_gguf`, with the `options` of its normalization and its `strings`.
//! A kind reads a part of a text and writes tokens (`encoding`). Texts are read as characters and stray bytes (`unit`). `tokens` (by id: `token_list`), `merges` and `filter` are the index over the vocabulary
//! (made of `numbers` and `hash`), which is built in the arena or was prepared and lies in flash (`index`). `unicode` has the
//! tables of characters. Tokens become text by `alphabet` (how tokens spell bytes) and `detokenize`.

mod added;
mod alphabet;
mod bert;
mod bpe;
mod byte_level;
mod byte_level_nfc;
mod character_bpe;
mod charsmap;
mod detokenize;
mod encode;
mod encoding;
mod error;
mod fallback;
mod filter;
mod from_gguf;
mod index;
mod kind;
mod kinds;
mod merges;
mod min_tree;
mod normalizer;
mod numbers;
mod options;
mod pre;
mod sentencepiece_bpe;
mod special;
mod split;
mod strings;
mod token_list;
mod tokens;
mod unicode;
mod unigram;
mod unit;
mod vocab;
mod wordpiece;

use nearfield_kernels::Arena;

pub use added::AddedTokens;
pub use alphabet::TokenBytes;
pub use byte_level_nfc::nfc;
pub use detokenize::Detokenizer;
pub use encode::{EncodeOptions, Encoded};
pub use error::{DetokenizeError, IndexError, MergePart, TextError, TokenizerError, UnknownPreTokenizer};
pub use from_gguf::VocabError;
pub use kind::Kind;
pub use options::{BertOptions, CharacterOptions, SpaceOptions};
pub use pre::{Pieces, PreTokenizer};
pub use strings::{StringArray, Strings};
pub use vocab::{TokenType, Vocab};

use crate::sections::Sections;
use filter::{Filter, FilterMut};
use index::Header;
use kind::Spelling;
use merges::{MergeTable, MergeTableMut};
pub(crate) use numbers::{Numbers, NumbersMut};
use special::{SpecialFilter, SpecialFilterMut};
use tokens::{TokenTable, TokenTableMut};

/// A tokenizer over a borrowed vocabulary.
///
/// `'f` is the lifetime of the file, `'a` that of the arena or of the prepared index.
///
/// ```
/// use nearfield::tokenizer::{EncodeOptions, PreTokenizer, StringArray, Tokenizer, Vocab};
/// use nearfield_kernels::{Arena, Line};
///
/// // As in a GGUF file: a length of 8 bytes before each string. Real vocabularies have a token for each byte.
/// let strings = |strings: &[&str]| -> Vec<u8> {
///     strings.iter().flat_map(|s| [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()).collect()
/// };
/// let tokens = strings(&["h", "i", "Ġ", "hi", "Ġhi"]);
/// let merges = strings(&["h i", "Ġ hi"]);
/// let (tokens, merges) = (StringArray::split(5, &tokens).unwrap().0, StringArray::split(2, &merges).unwrap().0);
/// let vocab = Vocab::byte_level(tokens, merges, PreTokenizer::Gpt2);
///
/// const BYTES: usize = Tokenizer::index_bytes(5, 2).unwrap();
/// let mut lines = [Line::ZERO; BYTES / Line::BYTES];
/// let tokenizer = Tokenizer::new(vocab, &mut Arena::new(&mut lines))?;
///
/// let mut out = [0; Tokenizer::encode_bound(5)];
/// let n = tokenizer.encode("hi hi", EncodeOptions::default(), &mut out)?;
/// assert_eq!(out[..n], [3, 4]);
/// assert!(tokenizer.bytes(4)?.eq(*b" hi"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer<'f, 'a> {
    vocab: Vocab<'f>,
    tokens: TokenTable<'f, 'a>,
    merges: MergeTable<'a>,
    /// Filter over the tokens of a vocabulary without merges, whose kinds search for tokens; empty for others.
    filter: Filter<'a>,
    /// `[256]`: for each byte `id + 1` of its token, or 0 if it has none.
    bytes: Numbers<'a>,
    /// Filter over the beginnings of control and user-defined tokens.
    special: SpecialFilter<'a>,
    /// True if the vocabulary has user-defined tokens. Only then are they looked for where control tokens are not.
    has_user_defined: bool,
    /// The lowest score of a normal token.
    least_score: f32,
    /// Ids of tokens that are never found in a text, as [`reading_as_text`](Self::reading_as_text) sets them.
    hidden: &'a [u32],
}

impl<'f, 'a> Tokenizer<'f, 'a> {
    /// Bytes of arena for the index of a vocabulary of this size; `None` if it is too large for any.
    ///
    /// 4.5 bytes a token, 10 a merge and 1 KiB (1024 tokens and 768 merges: 13 KiB); 8.5, 20 and 1.5 KiB from 65,536
    /// tokens or merges on. Without merges, 2 bytes a token more for a filter.
    pub const fn index_bytes(n_tokens: usize, n_merges: usize) -> Option<usize> {
        if n_tokens == 0 || n_tokens > bpe::MAX || n_merges > bpe::MAX {
            return None;
        }
        let wide = is_wide(n_tokens, n_merges);
        let parts = [
            TokenTable::bytes_of(wide, n_tokens),
            if n_merges == 0 { Filter::bytes_of(n_tokens) } else { MergeTable::bytes_of(wide, n_merges) },
            Numbers::bytes_of(wide, 256),
            SpecialFilter::bytes(),
        ];
        let (mut sum, mut i) = (0usize, 0);
        while i < parts.len() {
            let Some(part) = parts[i] else { return None };
            let Some(more) = sum.checked_add(part) else { return None };
            (sum, i) = (more, i + 1);
        }
        Some(sum)
    }

    /// Checks `vocab` and builds its index in [`index_bytes`](Self::index_bytes) of `arena`. Takes time in proportion to the
    /// vocabulary in the file.
    ///
    /// Both sides and the product of a merge must be tokens, as in Hugging Face's `tokenizers`. If several tokens have the same
    /// text, or several merges the same pair, the last one counts. Control and user-defined tokens are found in texts even if
    /// other tokens are spelled alike.
    pub fn new(vocab: Vocab<'f>, arena: &mut Arena<'a>) -> Result<Self, TokenizerError> {
        let (n_tokens, n_merges) = (vocab.tokens.len(), vocab.merges.len());
        let small = u32::try_from(vocab.tokens.n_bytes()).is_ok() && n_tokens <= fallback::MAX_TOKENS;
        let need = Self::index_bytes(n_tokens, n_merges)
            .filter(|_| small)
            .ok_or(TokenizerError::Size { n_tokens, n_merges })?;
        vocab.check()?;
        let have = arena.free_bytes();
        let too_small = TokenizerError::ArenaTooSmall { need, have };
        if have < need {
            return Err(too_small);
        }
        let parts = TakenParts::of(&vocab, arena).ok_or(too_small)?;
        let tokens = parts.tokens.fill(&vocab)?;
        let merges = parts.merges.fill(vocab.merges, &tokens)?;
        let filter = parts.filter.map_or(Filter::EMPTY, |filter| filter.fill(&vocab, vocab.kind.row().filter));
        let bytes = fill_bytes(parts.bytes, &tokens, &vocab);
        let special = parts.special.fill(tokens.special());
        let has_user_defined = (0..).zip(vocab.tokens).any(|(id, _)| vocab.type_of(id) == TokenType::UserDefined);
        let least_score = vocab.least_score();
        Ok(Self { vocab, tokens, merges, filter, bytes, special, has_user_defined, least_score, hidden: &[] })
    }

    /// Bytes of a [prepared](Self::prepared) index for a vocabulary of this size; `None` if it is too large for any.
    pub const fn prepared_bytes(n_tokens: usize, n_merges: usize) -> Option<usize> {
        match Self::index_bytes(n_tokens, n_merges) {
            Some(bytes) => bytes.checked_add(Header::BYTES),
            None => None,
        }
    }

    /// Bytes of the index for [`prepared`](Self::prepared), [`prepared_bytes`](Self::prepared_bytes) of them.
    ///
    /// The build script of a firmware writes these bytes, on a host of any byte order:
    ///
    /// ```
    /// use nearfield::tokenizer::{Tokenizer, Vocab};
    /// use nearfield::{Arena, Gguf, Line};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = std::fs::read("models/pocket.gguf")?;
    /// let vocab = Vocab::from_gguf(&Gguf::parse(&model)?)?;
    /// let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).ok_or("no tokens")?;
    /// let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    /// let index: Vec<u8> = Tokenizer::new(vocab, &mut Arena::new(&mut memory))?.index().collect();
    /// # let out = std::env::temp_dir().join("nearfield-doc-tokenizer.index");
    /// // let out = Path::new(&env::var_os("OUT_DIR").unwrap()).join("tokenizer.index");
    /// std::fs::write(&out, &index)?;
    /// # std::fs::remove_file(&out)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn index(&self) -> impl Iterator<Item = u8> {
        let header = Header {
            n_special: self.tokens.special().len(),
            n_key: self.special.n_key(),
            has_user_defined: self.has_user_defined,
        };
        let body = || {
            let search = self.merges.words().chain(self.filter.words());
            self.tokens.words().chain(search).chain(self.bytes.words()).chain(self.special.words())
        };
        header.words(&self.vocab, body()).into_iter().chain(body()).flat_map(u32::to_le_bytes)
    }

    /// A tokenizer over an [`index`](Self::index) that was made before, such as one in flash: nothing is copied, and no
    /// arena is needed (see [`MemoryPlan::without_tokenizer`](crate::MemoryPlan::without_tokenizer)).
    ///
    /// `index` has to lie at a multiple of four bytes, and the processor to be little-endian. Takes one pass over the index and
    /// samples of the vocabulary; the file is not searched. Whatever its bytes are, the result is an error or a tokenizer that
    /// stays within its bounds. Only a checksum and samples of the vocabulary guard against wrong tokens, so `index` should
    /// come from a build that made it from this very file.
    ///
    /// # Errors
    /// [`TokenizerError::Index`] says what is wrong with `index`, any other what is wrong with `vocab`.
    pub fn prepared(vocab: Vocab<'f>, index: &'a [u8]) -> Result<Self, TokenizerError> {
        let (n_tokens, n_merges) = (vocab.tokens.len(), vocab.merges.len());
        let need = Self::prepared_bytes(n_tokens, n_merges).ok_or(TokenizerError::Size { n_tokens, n_merges })?;
        vocab.check()?;
        let (header, parts) = Header::read(&vocab, index, need)?;
        Self::read(vocab, header, parts).ok_or(TokenizerError::Index(IndexError::Damaged))
    }

    /// Reads the parts of a prepared index; `None` if they name tokens or merges that do not exist.
    fn read(vocab: Vocab<'f>, header: Header, mut parts: Sections<'a>) -> Option<Self> {
        let (n_tokens, n_merges) = (vocab.tokens.len(), vocab.merges.len());
        let wide = is_wide(n_tokens, n_merges);
        let tokens = TokenTable::read(&mut parts, wide, vocab.tokens, header.n_special)?;
        let merges = MergeTable::read(&mut parts, wide, n_merges, n_tokens)?;
        let filter = if n_merges == 0 { Filter::read(&mut parts, n_tokens)? } else { Filter::EMPTY };
        let bytes = Numbers::read(&mut parts, wide, 256).filter(|bytes| bytes.all_up_to(n_tokens))?;
        let special = SpecialFilter::read(&mut parts, header.n_key)?;
        let (has_user_defined, least_score) = (header.has_user_defined, vocab.least_score());
        Some(Self { vocab, tokens, merges, filter, bytes, special, has_user_defined, least_score, hidden: &[] })
    }

    /// A view of this tokenizer that never finds `tokens` in a text, whatever their types and the options say: their spelling
    /// is encoded as ordinary text. So words of a user are not taken for the marks of a chat, such as `<|im_end|>`.
    /// [`find`](Self::find) and [`bytes`](Self::bytes) still know the tokens.
    ///
    /// Byte-level BPE still produces a token that is the product of merges; the marks of a chat never are.
    pub fn reading_as_text<'b>(&'b self, tokens: &'b [u32]) -> Tokenizer<'f, 'b> {
        Tokenizer { hidden: tokens, ..*self }
    }

    /// Number of tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The vocabulary in the file.
    pub fn vocab(&self) -> &Vocab<'f> {
        &self.vocab
    }

    /// Options of a whole text: `add_bos` and `add_eos` as the file says, all others off.
    pub fn options(&self) -> EncodeOptions {
        let (add_bos, add_eos) = (self.vocab.add_bos, self.vocab.add_eos);
        EncodeOptions {
            add_bos: add_bos && self.vocab.bos.is_some(),
            add_eos: add_eos && self.vocab.end().is_some(),
            ..EncodeOptions::default()
        }
    }

    /// Options of a text that the model is to continue: [`options`](Self::options) without the token that ends a text.
    pub fn prompt_options(&self) -> EncodeOptions {
        EncodeOptions { add_eos: false, ..self.options() }
    }

    /// True if the vocabulary puts a space before each text.
    fn has_space_before(&self) -> bool {
        match self.vocab.kind.row().spelling {
            Spelling::Spaces => self.vocab.kind == Kind::WORDPIECE || self.vocab.spaces.add_prefix,
            Spelling::Bytes | Spelling::Plain => false,
        }
    }

    /// Id of the token with this spelling in the file. Text is spelled in the alphabet of byte-level BPE (`Ġ` for a space) or
    /// with `▁` for a space, special tokens as they are.
    pub fn find(&self, spelled: &str) -> Option<u32> {
        self.tokens.find(&[spelled.as_bytes()])
    }

    /// Type of a token.
    ///
    /// # Errors
    ///
    /// [`DetokenizeError::NoSuchToken`] if the vocabulary has no such id.
    pub fn token_type(&self, token: u32) -> Result<TokenType, DetokenizeError> {
        self.text(token).map(|_| self.vocab.type_of(token))
    }

    /// Bytes that a token stands for. They need not be whole characters; [`Detokenizer`] joins them.
    pub fn bytes(&self, token: u32) -> Result<TokenBytes<'f>, DetokenizeError> {
        let text = self.text(token)?;
        Ok(match (self.vocab.kind.row().spelling, self.vocab.type_of(token)) {
            (_, TokenType::Unused) => TokenBytes::plain(&[]),
            (Spelling::Bytes, TokenType::Normal | TokenType::Byte) => TokenBytes::spelled(text),
            (Spelling::Spaces, TokenType::Normal | TokenType::UserDefined) => TokenBytes::with_spaces(text),
            (_, TokenType::Byte) => {
                let byte: Option<&'static [u8]> = alphabet::byte_of_token(text).map(alphabet::byte_slice);
                TokenBytes::plain(byte.unwrap_or(text))
            }
            (_, TokenType::Normal | TokenType::Control | TokenType::UserDefined) => TokenBytes::plain(text),
        })
    }

    /// Writes [`bytes`](Self::bytes) to `out`; returns their number.
    pub fn token_bytes(&self, token: u32, out: &mut [u8]) -> Result<usize, DetokenizeError> {
        let need = self.bytes(token)?.count();
        let have = out.len();
        let out = out.get_mut(..need).ok_or(DetokenizeError::OutTooSmall { need, have })?;
        out.iter_mut().zip(self.bytes(token)?).for_each(|(out, byte)| *out = byte);
        Ok(need)
    }

    fn text(&self, token: u32) -> Result<&'f [u8], DetokenizeError> {
        self.tokens.get(token).ok_or(DetokenizeError::NoSuchToken { token, n_tokens: self.n_tokens() })
    }
}

/// Parts of an index in the arena, not yet filled.
struct TakenParts<'a> {
    tokens: TokenTableMut<'a>,
    merges: MergeTableMut<'a>,
    filter: Option<FilterMut<'a>>,
    bytes: NumbersMut<'a>,
    special: SpecialFilterMut<'a>,
}

impl<'a> TakenParts<'a> {
    /// Takes the parts from `arena`; `None` if it is too small.
    fn of(vocab: &Vocab<'_>, arena: &mut Arena<'a>) -> Option<Self> {
        let wide = is_wide(vocab.tokens.len(), vocab.merges.len());
        Some(Self {
            tokens: TokenTableMut::take(arena, wide, vocab.tokens.len())?,
            merges: MergeTableMut::take(arena, wide, vocab.merges.len())?,
            filter: match vocab.merges.len() {
                0 => Some(FilterMut::take(arena, vocab.tokens.len())?),
                _ => None,
            },
            bytes: NumbersMut::take(arena, wide, 256)?,
            special: SpecialFilterMut::take(arena)?,
        })
    }
}

fn fill_bytes<'a>(mut bytes: NumbersMut<'a>, tokens: &TokenTable<'_, '_>, vocab: &Vocab<'_>) -> Numbers<'a> {
    for byte in 0..=u8::MAX {
        let id = match vocab.kind.row().spelling {
            Spelling::Bytes => tokens.find(&[alphabet::letter(byte).encode_utf8(&mut [0; 4]).as_bytes()]),
            Spelling::Spaces => {
                tokens.find(&[&alphabet::byte_token(byte)]).filter(|&id| vocab.type_of(id) == TokenType::Byte)
            }
            Spelling::Plain => None,
        };
        if let Some(id) = id {
            bytes.set(byte.into(), id + 1);
        }
    }
    bytes.finish()
}

/// True if the index of a vocabulary of this size has numbers of four bytes. Ids and ranks are kept plus one.
const fn is_wide(n_tokens: usize, n_merges: usize) -> bool {
    Numbers::wide(if n_tokens > n_merges { n_tokens } else { n_merges })
}
