//! Text to tokens and back: byte-level BPE, from the vocabulary in the model file, without a heap.
//!
//! A text takes this way, file by file:
//! 1. `special`: tokens such as `<|endoftext|>` are found in it.
//! 2. `pre`, with the tables of `unicode`: what lies between is cut into pieces, about one a word.
//! 3. `encode`: each byte of a piece is a token; `bpe`: neighbors merge, with the ranks in `merges`.
//!
//! Nothing is normalized: a GGUF file does not say that its model wants it.
//!
//! `vocab` is what the file holds, in the letters of `alphabet`; `tokens` and `merges` are the index over it, which
//! lies in the arena (`numbers`, `hash`). The way back is `detokenize`.

mod alphabet;
mod bpe;
mod detokenize;
mod encode;
mod error;
mod from_gguf;
mod hash;
mod merges;
mod min_tree;
mod numbers;
mod pre;
mod special;
mod tokens;
mod unicode;
mod vocab;

use nearfield_kernels::Arena;

pub use alphabet::TokenBytes;
pub use detokenize::Detokenizer;
pub use encode::EncodeOptions;
pub use error::{DetokenizeError, EncodeError, MergePart, TokenizerError, UnknownPreTokenizer};
pub use from_gguf::VocabError;
pub use pre::{Pieces, PreTokenizer};
pub use vocab::{StringArray, Strings, TokenType, Vocab};

use merges::MergeTable;
use numbers::Numbers;
use special::SpecialFilter;
use tokens::TokenTable;

/// Byte-level BPE over a borrowed vocabulary.
///
/// `'f` is the file, `'a` the arena.
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
/// let vocab = Vocab {
///     tokens: StringArray::split(5, &tokens).unwrap().0,
///     merges: StringArray::split(2, &merges).unwrap().0,
///     token_types: None,
///     pre: PreTokenizer::Gpt2,
///     bos: None,
///     eos: None,
///     add_bos: false,
/// };
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
    /// `id + 1` of the token of each byte, or 0: `[256]`.
    bytes: Numbers<'a>,
    /// Control and user-defined tokens.
    special: SpecialFilter<'a>,
    /// User-defined tokens alone are looked for if there are any.
    has_user_defined: bool,
}

impl<'f, 'a> Tokenizer<'f, 'a> {
    /// Bytes of arena for a vocabulary of this size; `None` if it is too large for any.
    ///
    /// 4.5 bytes a token, 10 a merge and 1 KiB (1024 tokens and 768 merges: 13 KiB); 8.5, 20 and 1.5 KiB from 65,536
    /// tokens or merges on.
    pub const fn index_bytes(n_tokens: usize, n_merges: usize) -> Option<usize> {
        if n_tokens == 0 || n_tokens > bpe::MAX || n_merges > bpe::MAX {
            return None;
        }
        let wide = is_wide(n_tokens, n_merges);
        let parts = [
            TokenTable::bytes_of(wide, n_tokens),
            MergeTable::bytes_of(wide, n_merges),
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

    /// Checks `vocab` and builds its index in [`index_bytes`](Self::index_bytes) of `arena`, in time in proportion to
    /// the file's.
    ///
    /// As strict as Hugging Face's `tokenizers`: both sides and the product of a merge must be tokens. Of tokens with
    /// the same text, and of merges of the same pair, the last counts.
    pub fn new(vocab: Vocab<'f>, arena: &mut Arena<'a>) -> Result<Self, TokenizerError> {
        let (n_tokens, n_merges) = (vocab.tokens.len(), vocab.merges.len());
        let small = u32::try_from(vocab.tokens.n_bytes()).is_ok();
        let need = Self::index_bytes(n_tokens, n_merges)
            .filter(|_| small)
            .ok_or(TokenizerError::Size { n_tokens, n_merges })?;
        vocab.check()?;
        let have = arena.free_bytes();
        let too_small = TokenizerError::ArenaTooSmall { need, have };
        if have < need {
            return Err(too_small);
        }
        let mut tokenizer = Self::take(vocab, arena).ok_or(too_small)?;
        tokenizer.tokens.fill().map_err(|index| TokenizerError::Collision { index, list: "tokens" })?;
        tokenizer.merges.fill(vocab.merges, &tokenizer.tokens)?;
        tokenizer.fill_bytes();
        tokenizer.fill_special()?;
        Ok(tokenizer)
    }

    /// The parts of the index, empty; `None` if the arena is too small.
    fn take(vocab: Vocab<'f>, arena: &mut Arena<'a>) -> Option<Self> {
        let wide = is_wide(vocab.tokens.len(), vocab.merges.len());
        Some(Self {
            vocab,
            tokens: TokenTable::take(arena, wide, vocab.tokens)?,
            merges: MergeTable::take(arena, wide, vocab.merges.len())?,
            bytes: Numbers::take(arena, wide, 256)?,
            special: SpecialFilter::take(arena)?,
            has_user_defined: false,
        })
    }

    fn fill_bytes(&mut self) {
        for byte in 0..=u8::MAX {
            if let Some(id) = self.tokens.find(&[alphabet::letter(byte).encode_utf8(&mut [0; 4]).as_bytes()]) {
                self.bytes.set(byte.into(), id + 1);
            }
        }
    }

    fn fill_special(&mut self) -> Result<(), TokenizerError> {
        for (id, token) in (0..).zip(self.vocab.tokens) {
            let ty = self.vocab.type_of(id);
            if !matches!(ty, TokenType::Control | TokenType::UserDefined) {
                continue;
            }
            if token.len() > special::MAX_LEN {
                let (n_bytes, max) = (token.len(), special::MAX_LEN);
                return Err(TokenizerError::SpecialTooLong { token: id, n_bytes, max });
            }
            self.has_user_defined |= ty == TokenType::UserDefined;
            self.special.insert(token);
        }
        Ok(())
    }

    /// How many tokens there are.
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The vocabulary in the file.
    pub fn vocab(&self) -> &Vocab<'f> {
        &self.vocab
    }

    /// What the model wants of a prompt: `add_bos` as the file says, and nothing else.
    pub fn options(&self) -> EncodeOptions {
        EncodeOptions { add_bos: self.vocab.add_bos && self.vocab.bos.is_some(), ..EncodeOptions::default() }
    }

    /// The token that the file spells so: for text in the alphabet of byte-level BPE (`Ġ` for a space), for special
    /// tokens as they are.
    pub fn find(&self, spelled: &str) -> Option<u32> {
        self.tokens.find(&[spelled.as_bytes()])
    }

    /// What a token is for.
    pub fn token_type(&self, token: u32) -> Result<TokenType, DetokenizeError> {
        self.text(token).map(|_| self.vocab.type_of(token))
    }

    /// The bytes that a token stands for, which need not be whole characters: see [`Detokenizer`].
    pub fn bytes(&self, token: u32) -> Result<TokenBytes<'f>, DetokenizeError> {
        let text = self.text(token)?;
        Ok(match self.vocab.type_of(token) {
            TokenType::Normal => TokenBytes::spelled(text),
            TokenType::Control | TokenType::UserDefined => TokenBytes::plain(text),
            TokenType::Unused => TokenBytes::plain(&[]),
        })
    }

    /// [`bytes`](Self::bytes), into `out`; returns how many.
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

/// Whether the index of such a vocabulary has numbers of four bytes. Ids and ranks are kept plus one.
const fn is_wide(n_tokens: usize, n_merges: usize) -> bool {
    Numbers::wide(if n_tokens > n_merges { n_tokens } else { n_merges })
}
