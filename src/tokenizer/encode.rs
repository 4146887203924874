//! Text to tokens: special tokens are found, and the text between them goes to the [kind](super::kind) of the vocabulary.

use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::special::Bytes;
use super::split::{Split, Wanted};
use super::unit::Unit;
use super::vocab::TokenType;
use super::{Tokenizer, bpe};
use crate::hash::Hash;

/// Score of tokens that were added to a SentencePiece model, as written by llama.cpp's converter and by ours.
const ADDED: f32 = -1000.0;

/// Options of [`Tokenizer::encode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeOptions {
    /// Puts the token that begins a text first.
    pub add_bos: bool,
    /// Puts the token that ends a text last. Encoders expect it; a text that the model is to continue must not have it.
    pub add_eos: bool,
    /// Encodes control tokens in the text, such as `<|endoftext|>`, as one token and not as letters. User-defined tokens always
    /// are one token.
    pub parse_special: bool,
    /// The text continues another one: SentencePiece puts no space before it, and keeps the spaces at its beginning.
    pub continues: bool,
}

/// Counts of an encoded text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoded {
    /// Number of tokens written.
    pub n_tokens: usize,
    /// Bytes of the text, after its normalization, that no token stands for: see [`Tokenizer::encode`].
    pub n_skipped: usize,
}

impl Tokenizer<'_, '_> {
    /// Length of `out` that is enough to encode any text of `n_bytes` with byte-level BPE, for constants. [`room`](Self::room)
    /// returns it for a given text and any kind of vocabulary.
    ///
    /// The length is one token for each byte, 1/15 more for the work on a piece as long as the text, and two.
    pub const fn encode_bound(n_bytes: usize) -> usize {
        bpe::len_of(n_bytes).saturating_add(2)
    }

    /// Length of `out` that is enough to encode this text. Takes time in proportion to it.
    pub fn room(&self, text: impl AsRef<[u8]>, options: EncodeOptions) -> usize {
        self.room_of(text.as_ref(), options)
    }

    /// Writes the tokens of `text` to `out`; returns their number.
    ///
    /// Any bytes are a text. With byte-level BPE the bytes of its tokens are the text again, unless some were left out; other
    /// kinds normalize it. `out` needs room for the result and the work on a part of it (for BPE a piece, about a word);
    /// [`room`](Self::room) is always enough. The worst case, a single piece of n bytes, takes time in proportion to n log n.
    ///
    /// Bytes and characters for which the vocabulary has neither a token nor an unknown token are left out, and their neighbors
    /// become adjacent, as in Hugging Face's `tokenizers` and llama.cpp; [`encode_counted`](Self::encode_counted) counts them.
    /// Published byte-level vocabularies lack bytes that never occur in UTF-8, and few others: BLOOMZ's lacks a vertical tab,
    /// Refact's a byte of unassigned characters.
    pub fn encode(&self, text: impl AsRef<[u8]>, options: EncodeOptions, out: &mut [u32]) -> Result<usize, TextError> {
        self.encode_counted(text, options, out).map(|encoded| encoded.n_tokens)
    }

    /// Encodes as [`encode`](Self::encode) does, and also counts the bytes that were left out.
    pub fn encode_counted(
        &self,
        text: impl AsRef<[u8]>,
        options: EncodeOptions,
        out: &mut [u32],
    ) -> Result<Encoded, TextError> {
        let text = text.as_ref();
        let mut encoding = Encoding { out, n: 0, n_skipped: 0, score: 0.0 };
        match self.encode_bytes(text, options, &mut encoding) {
            Ok(()) => Ok(Encoded { n_tokens: encoding.n, n_skipped: encoding.n_skipped }),
            Err(TextError::OutTooSmall { have, .. }) => {
                Err(TextError::OutTooSmall { enough: self.room_of(text, options), have })
            }
            Err(error) => Err(error),
        }
    }

    fn encode_bytes(&self, text: &[u8], options: EncodeOptions, out: &mut Encoding<'_>) -> Result<(), TextError> {
        if options.add_bos {
            out.push(self.vocab.bos.ok_or(TextError::NoBos)?)?;
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
            out.push(self.vocab.end().ok_or(TextError::NoEos)?)?;
        }
        Ok(())
    }

    fn room_of(&self, text: &[u8], options: EncodeOptions) -> usize {
        let room = self.vocab.kind.row().room;
        let parts = self.parts(text, options);
        let parts = parts.map(|(part, special)| room(self, &part).saturating_add(special.is_some().into()));
        parts.fold(2, usize::saturating_add)
    }

    /// Parts of a text between special tokens, each with the special token that follows it. Special tokens that are found in
    /// normalized text may still lie in a part.
    fn parts<'s>(&'s self, text: &'s [u8], options: EncodeOptions) -> impl Iterator<Item = (Part<'s>, Option<u32>)> {
        let EncodeOptions { parse_special, continues, .. } = options;
        let split = Split::new(self, text, Wanted { control: parse_special, normalized: false });
        split.map(move |(range, token)| {
            let begins = range.start > 0 || !continues;
            (Part { whole: text, range, begins, parse_special }, token)
        })
    }

    /// Length and id of the longest special token that `text` begins with and for which `is_wanted` is true.
    pub(super) fn special_at(&self, mut text: impl Bytes, is_wanted: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        if !self.special.may_begin(&mut text) {
            return None;
        }
        let is_wanted = |&(_, id): &(usize, u32)| !self.hidden.contains(&id) && is_wanted(id);
        self.tokens.special().matches(text).find(is_wanted)
    }

    /// Length and id of the longest user-defined token that is a piece of text and that `text` begins with.
    pub(super) fn piece_at(&self, text: impl Bytes) -> Option<(usize, u32)> {
        self.special_at(text, |id| self.is_piece(id))
    }

    /// Lengths and ids of all user-defined tokens that are pieces of text and that `text` begins with, the longest first.
    pub(super) fn pieces_at(&self, mut text: impl Bytes) -> impl Iterator<Item = (usize, u32)> {
        let found = self.special.may_begin(&mut text).then(|| self.tokens.special().matches(text));
        found.into_iter().flatten().filter(|&(_, id)| !self.hidden.contains(&id) && self.is_piece(id))
    }

    /// True if a token is user-defined and a piece of text among others. A token that was added to a SentencePiece model is
    /// not; the score that converters give it ([`ADDED`]) tells it apart.
    pub(super) fn is_piece(&self, id: u32) -> bool {
        self.vocab.kind.row().defines_pieces
            && self.vocab.type_of(id) == TokenType::UserDefined
            && self.vocab.score(id) != ADDED
    }

    /// Token of a single byte before any merge; for SentencePiece the token that stands for the byte where a character has
    /// none.
    pub(super) fn byte_token(&self, byte: u8) -> Option<u32> {
        self.bytes.get(byte.into())?.checked_sub(1)
    }

    /// Token that is text and spelled as all `parts` in a row.
    pub(super) fn find_text(&self, parts: &[&[u8]]) -> Option<u32> {
        self.tokens.find_plain(parts).filter(|&id| self.is_text(id))
    }

    /// Token that is text, has this hash, and whose spelling `is` accepts.
    pub(super) fn find_hashed(&self, hash: Hash, is: impl Fn(&[u8]) -> bool) -> Option<u32> {
        self.tokens.find_where(hash, is).filter(|&id| self.is_text(id))
    }

    /// Token of a single character.
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
