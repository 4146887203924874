//! Byte-level BPE of texts in Unicode's normalization form C.
//!
//! A text that is already normalized is encoded as by `byte_level`. Any other text is read through [`Nfc`]: it is cut and
//! spelled without being stored.

use super::byte_level::Symbols;
use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::pre::{Text, gpt2_piece};
use super::split::First;
use super::unicode::nfc::{Nfc, is_plain};
use super::unicode::{Class, class};
use super::unit::Unit;
use super::{Tokenizer, bpe, byte_level};

/// Implements [`Row::encode`](super::kind::Row::encode): normalizes the part, cuts it into pieces and merges the bytes of each.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    if is_plain(part.text()) {
        return byte_level::encode(tokenizer, part, out);
    }
    for (mut text, special) in part.split_stream(tokenizer, Nfc::new(part.text())) {
        loop {
            let n_bytes = gpt2_piece(&text, Text::first_class);
            if n_bytes == 0 {
                break;
            }
            let mut symbols = Symbols::new(out.room(n_bytes)?);
            let mut n_read = 0;
            while n_read < n_bytes
                && let Some(unit) = text.next()
            {
                n_read += unit.len();
                unit.bytes(&mut [0; 4]).iter().for_each(|&byte| symbols.push(tokenizer, byte));
            }
            let (n, n_skipped) = symbols.merge(tokenizer);
            out.n += n;
            out.n_skipped += n_skipped;
        }
        special.map_or(Ok(()), |token| out.push(token))?;
    }
    Ok(())
}

/// Implements [`Row::room`](super::kind::Row::room): the room for the normalized part as a single piece.
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    let text = part.text();
    bpe::len_of(if is_plain(text) { text.len() } else { Nfc::new(text).n_bytes() })
}

/// Characters of a text in normalization form C, in which tokens that are found in normalized texts are spelled.
pub fn nfc(text: &str) -> impl Iterator<Item = char> {
    Nfc::new(text.as_bytes()).map(|unit| match unit {
        Unit::Char(char) => char,
        Unit::Byte(_) => char::REPLACEMENT_CHARACTER,
    })
}

impl Text for First<Nfc<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_nfc_has_whole_characters() {
        assert!(nfc("cafe\u{301} \u{1100}\u{1161}").eq("café 가".chars()));
    }
}
