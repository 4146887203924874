//! Text to tokens: special tokens are found, and what lies between goes to the [kind](super::kind) of the vocabulary.

use core::ops::Range;

use super::error::EncodeError;
use super::hash::Hash;
use super::normalizer::Unit;
use super::special::Bytes;
use super::split::{Split, SplitStream, Wanted};
use super::vocab::TokenType;
use super::{Tokenizer, bpe};

/// The score of tokens that were added to a SentencePiece model: llama.cpp's converter writes it, and ours.
const ADDED: f32 = -1000.0;

/// What [`Tokenizer::encode`] makes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeOptions {
    /// The token that begins a text comes first.
    pub add_bos: bool,
    /// The token that ends a text comes last: what encoders want, and no text that is to go on.
    pub add_eos: bool,
    /// Control tokens in the text, such as `<|endoftext|>`, are one token and not their letters. User-defined tokens
    /// always are.
    pub parse_special: bool,
    /// The text goes on from another one: SentencePiece puts no space before it, and drops none that it begins with.
    pub continues: bool,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoded {
    /// Tokens.
    pub n_tokens: usize,
    /// Bytes of the text, after its normalization, that no token stands for: see [`Tokenizer::encode`].
    pub n_skipped: usize,
}

impl Tokenizer<'_, '_> {
    /// A length of `out` that is enough to encode any text of `n_bytes` with byte-level BPE, for constants;
    /// [`room`](Self::room) knows it for any kind, and for a text.
    ///
    /// The text, as if each byte stayed a token, 1/15 for the work on a piece that is as long, and two.
    pub const fn encode_bound(n_bytes: usize) -> usize {
        bpe::len_of(n_bytes).saturating_add(2)
    }

    /// A length of `out` that is enough to encode this text. Takes time in proportion to it.
    pub fn room(&self, text: impl AsRef<[u8]>, options: EncodeOptions) -> usize {
        self.room_of(text.as_ref(), options)
    }

    /// Writes the tokens of `text` to `out`; returns how many.
    ///
    /// Any bytes are a text. With byte-level BPE the bytes of its tokens are the text again, unless some were left out;
    /// other kinds normalize it. `out` needs room for the result and the work on a part of it (for BPE a piece, about a
    /// word); [`room`](Self::room) is always enough. Time: n log n for a single piece of n bytes, the worst case.
    ///
    /// Bytes and characters for which the vocabulary has neither a token nor one that stands for unknown text are left
    /// out, and what stood around them meets, as in Hugging Face's `tokenizers` and llama.cpp;
    /// [`encode_counted`](Self::encode_counted) says how many. Published byte-level vocabularies lack bytes that never
    /// occur in UTF-8, and few others: BLOOMZ's a vertical tab, Refact's one of unassigned characters.
    pub fn encode(
        &self,
        text: impl AsRef<[u8]>,
        options: EncodeOptions,
        out: &mut [u32],
    ) -> Result<usize, EncodeError> {
        self.encode_counted(text, options, out).map(|encoded| encoded.n_tokens)
    }

    /// [`encode`](Self::encode), which also says how much of the text was left out.
    pub fn encode_counted(
        &self,
        text: impl AsRef<[u8]>,
        options: EncodeOptions,
        out: &mut [u32],
    ) -> Result<Encoded, EncodeError> {
        let text = text.as_ref();
        let mut encoding = Encoding { out, n: 0, n_skipped: 0, score: 0.0 };
        match self.encode_bytes(text, options, &mut encoding) {
            Ok(()) => Ok(Encoded { n_tokens: encoding.n, n_skipped: encoding.n_skipped }),
            Err(EncodeError::OutTooSmall { have, .. }) => {
                Err(EncodeError::OutTooSmall { enough: self.room_of(text, options), have })
            }
            Err(error) => Err(error),
        }
    }

    fn encode_bytes(&self, text: &[u8], options: EncodeOptions, out: &mut Encoding<'_>) -> Result<(), EncodeError> {
        if options.add_bos {
            out.push(self.vocab.bos.ok_or(EncodeError::NoBos)?)?;
        }
        let encode = self.vocab.kind.row().encode;
        for (part, special) in self.parts(text, options) {
            if !part.range.is_empty() {
                encode(self, &part, out)?;
            }
            if let Some(token) = special {
                out.push(token)?;
            }
        }
        if options.add_eos {
            out.push(self.vocab.end().ok_or(EncodeError::NoEos)?)?;
        }
        Ok(())
    }

    fn room_of(&self, text: &[u8], options: EncodeOptions) -> usize {
        let room = self.vocab.kind.row().room;
        let parts = self.parts(text, options);
        let parts = parts.map(|(part, special)| room(self, &part).saturating_add(special.is_some().into()));
        parts.fold(2, usize::saturating_add)
    }

    /// The parts of a text without special tokens, each with the special token that follows it. Those that are found in
    /// normalized text are yet to be found.
    fn parts<'s>(&'s self, text: &'s [u8], options: EncodeOptions) -> impl Iterator<Item = (Part<'s>, Option<u32>)> {
        let EncodeOptions { parse_special, continues, .. } = options;
        let split = Split::new(self, text, Wanted { control: parse_special, normalized: false });
        split.map(move |(range, token)| {
            let begins = range.start > 0 || !continues;
            (Part { whole: text, range, begins, parse_special }, token)
        })
    }

    /// The longest special token that `text` begins with and that `is_wanted`: its length and id.
    pub(super) fn special_at(&self, mut text: impl Bytes, is_wanted: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        if !self.special.may_begin(&mut text) {
            return None;
        }
        let is_wanted = |&(_, id): &(usize, u32)| !self.hidden.contains(&id) && is_wanted(id);
        self.tokens.special().matches(text).find(is_wanted)
    }

    /// The longest user-defined token that is a piece of text and that `text` begins with.
    pub(super) fn piece_at(&self, text: impl Bytes) -> Option<(usize, u32)> {
        self.special_at(text, |id| self.is_piece(id))
    }

    /// All of them, the longest first.
    pub(super) fn pieces_at(&self, mut text: impl Bytes) -> impl Iterator<Item = (usize, u32)> {
        let found = self.special.may_begin(&mut text).then(|| self.tokens.special().matches(text));
        found.into_iter().flatten().filter(|&(_, id)| !self.hidden.contains(&id) && self.is_piece(id))
    }

    /// Whether a token is user-defined and a piece of text among others. One that was added to a SentencePiece model is not, and
    /// what converters give it for a score tells it apart.
    pub(super) fn is_piece(&self, id: u32) -> bool {
        self.vocab.kind.row().defines_pieces
            && self.vocab.type_of(id) == TokenType::UserDefined
            && self.vocab.score(id) != ADDED
    }

    /// The token that a byte is without merges; for SentencePiece the one that stands for it where characters have none.
    pub(super) fn byte_token(&self, byte: u8) -> Option<u32> {
        self.bytes.get(byte.into())?.checked_sub(1)
    }

    /// The token that is text and spelled as all `parts` in a row.
    pub(super) fn find_text(&self, parts: &[&[u8]]) -> Option<u32> {
        self.tokens.find_plain(parts).filter(|&id| self.is_text(id))
    }

    /// The token that is text, has this hash, and of whose spelling `is` says that it is the one.
    pub(super) fn find_hashed(&self, hash: Hash, is: impl Fn(&[u8]) -> bool) -> Option<u32> {
        self.tokens.find_where(hash, is).filter(|&id| self.is_text(id))
    }

    /// The token of a single character.
    pub(super) fn find_char(&self, unit: Unit) -> Option<u32> {
        match unit {
            Unit::Char(char) => self.find_text(&[char.encode_utf8(&mut [0; 4]).as_bytes()]),
            Unit::Byte(_) => None,
        }
    }

    fn is_text(&self, id: u32) -> bool {
        self.vocab.type_of(id) == TokenType::Normal && !self.hidden.contains(&id)
    }
}

/// A part of a text without special tokens.
pub(super) struct Part<'t> {
    whole: &'t [u8],
    /// Where it lies.
    pub range: Range<usize>,
    /// Whether a text begins with it: a special token comes before, or nothing, and the text goes on from none.
    pub begins: bool,
    /// Whether control tokens are looked for.
    parse_special: bool,
}

impl<'t> Part<'t> {
    /// Its bytes.
    pub fn text(&self) -> &'t [u8] {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }

    /// Cuts it at tokens that are found in normalized text, where that is the text itself.
    pub fn split<'s>(&self, tokenizer: &'s Tokenizer<'_, '_>) -> impl Iterator<Item = (&'s [u8], Option<u32>)>
    where
        't: 's,
    {
        let text = self.text();
        let split = Split::new(tokenizer, text, Wanted { control: self.parse_special, normalized: true });
        split.map(|(range, token)| (text.get(range).unwrap_or_default(), token))
    }

    /// The same in what its text is when normalized.
    pub fn split_stream<'s, I: Iterator<Item = Unit> + Clone>(
        &self,
        tokenizer: &'s Tokenizer<'_, '_>,
        normalized: I,
    ) -> SplitStream<'s, I> {
        SplitStream::new(tokenizer, normalized, self.parse_special)
    }
}

/// The tokens of a text so far.
pub(super) struct Encoding<'o> {
    /// Tokens, and behind them what is worked on.
    pub out: &'o mut [u32],
    /// How many tokens.
    pub n: usize,
    /// Bytes that were left out.
    pub n_skipped: usize,
    /// For unigram: the sum of the scores since a text began.
    pub score: f32,
}

impl Encoding<'_> {
    /// Writes a token.
    pub fn push(&mut self, token: u32) -> Result<(), EncodeError> {
        // There is a slot where there is room for one.
        if let [slot, ..] = self.slots(1)? {
            *slot = token;
            self.n += 1;
        }
        Ok(())
    }

    /// What is free, if that is `n` slots at least.
    pub fn slots(&mut self, n: usize) -> Result<&mut [u32], EncodeError> {
        let have = self.out.len();
        let free = self.out.get_mut(self.n..).unwrap_or_default();
        // What would be enough is found out when it is asked for.
        if n > free.len() { Err(EncodeError::OutTooSmall { enough: 0, have }) } else { Ok(free) }
    }

    /// What is free, if that is enough for a piece of `n` symbols that are to be merged.
    pub fn room(&mut self, n: usize) -> Result<&mut [u32], EncodeError> {
        if n > bpe::MAX {
            return Err(EncodeError::PieceTooLong { n_bytes: n });
        }
        self.slots(bpe::len_of(n))
    }
}
