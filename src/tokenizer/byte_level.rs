//! Byte-level BPE: each byte of a piece is a token, and neighbors merge in the order of the file's merges.
//!
//! Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and OpenAI's `encoder.py`. Bytes
//! without a token: `merge_word` in `bpe/model.rs` of Hugging Face's `tokenizers`.

use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::{Tokenizer, bpe};

/// Implements [`Row::encode`](super::kind::Row::encode): cuts the part into pieces and merges the bytes of each.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    for (text, special) in part.split(tokenizer) {
        for piece in tokenizer.vocab.pre.pieces(text) {
            let mut symbols = Symbols::new(out.room(piece.len())?);
            piece.iter().for_each(|&byte| symbols.push(tokenizer, byte));
            let (n, n_skipped) = symbols.merge(tokenizer);
            out.n += n;
            out.n_skipped += n_skipped;
        }
        special.map_or(Ok(()), |token| out.push(token))?;
    }
    Ok(())
}

/// Implements [`Row::room`](super::kind::Row::room): the room for the part as a single piece.
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    bpe::len_of(part.range.len())
}

/// Tokens of the bytes of a piece.
pub(super) struct Symbols<'s> {
    slots: &'s mut [u32],
    n: usize,
    n_skipped: usize,
    /// True if the last byte had no token.
    after_unknown: bool,
}

impl<'s> Symbols<'s> {
    /// Starts without symbols; `slots` has room for the piece.
    pub fn new(slots: &'s mut [u32]) -> Self {
        Self { slots, n: 0, n_skipped: 0, after_unknown: false }
    }

    /// Adds the token of a byte, or the unknown token if the byte has none and the model names one.
    pub fn push(&mut self, tokenizer: &Tokenizer<'_, '_>, byte: u8) {
        let known = tokenizer.byte_token(byte);
        let was_unknown = core::mem::replace(&mut self.after_unknown, known.is_none());
        match known.or(tokenizer.vocab.unk) {
            Some(_) if known.is_none() && was_unknown && tokenizer.vocab.fuse_unk => {}
            Some(id) => {
                // `slots` has one slot for each byte.
                if let Some(slot) = self.slots.get_mut(self.n) {
                    *slot = id;
                    self.n += 1;
                }
            }
            None => self.n_skipped += 1,
        }
    }

    /// Merges neighbors; returns the number of tokens, and of bytes that were left out.
    pub fn merge(self, tokenizer: &Tokenizer<'_, '_>) -> (usize, usize) {
        (bpe::merge(&tokenizer.merges, self.slots, self.n), self.n_skipped)
    }
}
