//! Byte-level BPE: each byte of a piece is a token, and neighbors merge, with the ranks in the file.
//!
//! Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and OpenAI's `encoder.py`.

use super::encode::{Encoding, Part};
use super::error::EncodeError;
use super::{Tokenizer, bpe};

/// See [`Row::encode`](super::kind::Row::encode).
pub(super) fn encode(
    tokenizer: &Tokenizer<'_, '_>,
    part: &Part<'_>,
    out: &mut Encoding<'_>,
) -> Result<(), EncodeError> {
    let mut at = part.range.start;
    for piece in tokenizer.vocab.pre.pieces(part.text()) {
        let slots = out.room(piece.len())?;
        let mut n = 0;
        let mut free = slots.iter_mut();
        for (i, &byte) in piece.iter().enumerate() {
            match tokenizer.byte_token(byte) {
                // There is a slot for each byte.
                Some(id) => {
                    n += free.next().map_or(0, |slot| {
                        *slot = id;
                        1
                    })
                }
                None if part.options.skip_unknown => {}
                None => return Err(EncodeError::NoTokenForByte { byte, at: at + i }),
            }
        }
        out.n += bpe::merge(&tokenizer.merges, slots, n);
        at += piece.len();
    }
    Ok(())
}

/// See [`Row::room`](super::kind::Row::room).
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    bpe::len_of(part.range.len())
}
