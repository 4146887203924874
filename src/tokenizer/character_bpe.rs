//! BPE over characters: what lies between white space is a word, each character of it a token, and neighbors merge.
//! White space is left out.
//!
//! Source: Hugging Face's `tokenizers` with the model `BPE` and no byte-level alphabet, as DNABERT-2 publishes it.

use super::encode::{Encoding, Part};
use super::error::EncodeError;
use super::normalizer::Unit;
use super::unicode::{Class, first_char, first_class};
use super::{Tokenizer, bpe};

/// See [`Row::encode`](super::kind::Row::encode).
pub(super) fn encode(
    tokenizer: &Tokenizer<'_, '_>,
    part: &Part<'_>,
    out: &mut Encoding<'_>,
) -> Result<(), EncodeError> {
    let (mut rest, mut n, mut after_unknown) = (part.text(), 0, false);
    while let Some((class, len)) = first_class(rest) {
        if class == Class::Space {
            end(tokenizer, out, &mut n)?;
            after_unknown = false;
        } else {
            let char = first_char(rest).map_or(char::REPLACEMENT_CHARACTER, |(char, _)| char);
            let known = tokenizer.find_char(Unit::Char(char));
            let was_unknown = core::mem::replace(&mut after_unknown, known.is_none());
            match known.or(tokenizer.vocab.unk) {
                None => out.n_skipped += len,
                Some(_) if known.is_none() && was_unknown && tokenizer.vocab.fuse_unk => {}
                Some(token) => {
                    if let Some(slot) = out.room(n + 1)?.get_mut(n) {
                        *slot = token;
                        n += 1;
                    }
                }
            }
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    end(tokenizer, out, &mut n)
}

/// Merges the word whose `n` characters were written.
fn end(tokenizer: &Tokenizer<'_, '_>, out: &mut Encoding<'_>, n: &mut usize) -> Result<(), EncodeError> {
    let slots = out.room(*n)?;
    out.n += bpe::merge(&tokenizer.merges, slots, core::mem::take(n));
    Ok(())
}

/// See [`Row::room`](super::kind::Row::room).
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    bpe::len_of(part.range.len())
}
