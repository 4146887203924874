//! Byte-level BPE of texts in Unicode's normalization form C.
//!
//! A text that is normalized as it stands goes the way of all byte-level BPE. Another is read through
//! [`Nfc`], cut and spelled without being stored.

use super::encode::{Encoding, Part};
use super::error::EncodeError;
use super::normalizer::Unit;
use super::pre::{Text, gpt2_piece};
use super::unicode::nfc::{Nfc, is_plain};
use super::unicode::{Class, class};
use super::{Tokenizer, bpe, byte_level};

/// See [`Row::encode`](super::kind::Row::encode).
pub(super) fn encode(
    tokenizer: &Tokenizer<'_, '_>,
    part: &Part<'_>,
    out: &mut Encoding<'_>,
) -> Result<(), EncodeError> {
    if is_plain(part.text()) {
        return byte_level::encode(tokenizer, part, out);
    }
    let mut text = Nfc::new(part.text());
    loop {
        let n_bytes = gpt2_piece(&text, Text::first_class);
        if n_bytes == 0 {
            return Ok(());
        }
        let slots = out.room(n_bytes)?;
        let (mut n, mut n_read) = (0, 0);
        while n_read < n_bytes
            && let Some(unit) = text.next()
        {
            n_read += unit.len();
            for &byte in unit.bytes(&mut [0; 4]) {
                match tokenizer.byte_token(byte) {
                    // There is a slot for each byte.
                    Some(id) => {
                        if let Some(slot) = slots.get_mut(n) {
                            *slot = id;
                            n += 1;
                        }
                    }
                    None if part.options.skip_unknown => {}
                    None => {
                        let at = part.range.end.saturating_sub(text.n_left());
                        return Err(EncodeError::NoTokenForByte { byte, at });
                    }
                }
            }
        }
        out.n += bpe::merge(&tokenizer.merges, slots, n);
    }
}

/// See [`Row::room`](super::kind::Row::room).
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    let text = part.text();
    bpe::len_of(if is_plain(text) { text.len() } else { Nfc::new(text).n_bytes() })
}

impl Text for Nfc<'_> {
    fn first_class(&self) -> Option<(Class, usize)> {
        let unit = self.clone().next()?;
        let class = match unit {
            Unit::Char(char) => class(char),
            Unit::Byte(_) => Class::Other,
        };
        Some((class, unit.len()))
    }

    fn after(&self, len: usize) -> Option<Self> {
        let (mut rest, mut n) = (self.clone(), 0);
        while n < len {
            n += rest.next()?.len();
        }
        Some(rest)
    }

    fn starts_with(&self, word: &[u8]) -> bool {
        let mut rest = self.clone();
        word.iter().all(|&byte| rest.next() == Some(Unit::Char(byte.into())))
    }
}
