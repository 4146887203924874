//! Spelling of bytes in vocabularies. Byte-level ones have one printable character for each byte, so that a token is readable
//! text; SentencePiece has `▁` for a space and tokens such as `<0x0A>` for bytes.
//!
//! Bytes that are printable in Latin-1 stand for themselves; the 68 others are, in order, U+0100 to U+0143, so a space
//! is `Ġ` and a line feed `Ċ`. Source: `bytes_to_unicode` in OpenAI's GPT-2 `encoder.py`.

use super::kind::Spelling;
use super::unicode::first_char;

/// Character that spells `byte`.
pub(super) const fn letter(byte: u8) -> char {
    let code = match byte {
        0x00..=0x20 => 0x100 + byte as u32,
        0x7f..=0xa0 => 0x121 + (byte - 0x7f) as u32,
        0xad => 0x143,
        _ => byte as u32,
    };
    match char::from_u32(code) {
        Some(letter) => letter,
        None => unreachable!(),
    }
}

/// Byte that `letter` spells; `None` if it is not of the alphabet.
const fn byte(letter: char) -> Option<u8> {
    match letter as u32 {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Byte that the first letter of `spelled` stands for, and the rest behind that letter.
fn split_byte(spelled: &[u8]) -> Option<(u8, &[u8])> {
    let (letter, len) = first_char(spelled)?;
    Some((byte(letter)?, spelled.get(len..)?))
}

/// Iterator over the bytes that a token stands for.
#[derive(Clone, Debug)]
pub struct TokenBytes<'f> {
    rest: &'f [u8],
    spelling: Spelling,
}

impl<'f> TokenBytes<'f> {
    /// Bytes of a token that is text as it is.
    pub(super) fn plain(text: &'f [u8]) -> Self {
        Self { rest: text, spelling: Spelling::Plain }
    }

    /// Bytes of a token in the alphabet. A token with any character outside it is taken as it is, as Hugging Face's decoder
    /// does.
    pub(super) fn spelled(text: &'f [u8]) -> Self {
        let mut rest = text;
        while let Some((_, after)) = split_byte(rest) {
            rest = after;
        }
        Self { rest: text, spelling: if rest.is_empty() { Spelling::Bytes } else { Spelling::Plain } }
    }

    /// Bytes of a token in which `▁` is a space.
    pub(super) fn with_spaces(text: &'f [u8]) -> Self {
        Self { rest: text, spelling: Spelling::Spaces }
    }

    /// Drops a space in front.
    pub(super) fn drop_space(&mut self) {
        let mut after = self.clone();
        if after.next() == Some(b' ') {
            *self = after;
        }
    }
}

impl Iterator for TokenBytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match (self.spelling, self.rest) {
            (Spelling::Bytes, rest) => split_byte(rest)?,
            // `▁`
            (Spelling::Spaces, [0xe2, 0x96, 0x81, rest @ ..]) => (b' ', rest),
            (_, [byte, rest @ ..]) => (*byte, rest),
            (_, []) => return None,
        };
        self.rest = rest;
        Some(byte)
    }
}

/// Spelling of a byte token: `<0x0A>`.
pub(super) fn byte_token(byte: u8) -> [u8; 6] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [b'<', b'0', b'x', digit(byte >> 4), digit(byte & 15), b'>']
}

/// Byte that a byte token stands for: the inverse of [`byte_token`]. Hexadecimal digits may be lower case.
pub(super) fn byte_of_token(token: &[u8]) -> Option<u8> {
    let &[b'<', b'0', b'x', high, low, b'>'] = token else { return None };
    let digit = |letter| char::from(letter).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

/// A `'static` slice of one byte, as the text of a byte token.
pub(super) fn byte_slice(byte: u8) -> &'static [u8] {
    static BYTES: [u8; 256] = {
        let (mut bytes, mut i) = ([0; 256], 0);
        while i < 256 {
            bytes[i] = i as u8;
            i += 1;
        }
        bytes
    };
    BYTES.get(usize::from(byte)..).and_then(|bytes| bytes.get(..1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn letters_are_those_of_gpt_2() {
        for (byte, wanted) in [
            (b' ', 'Ġ'),
            (b'\n', 'Ċ'),
            (0, 'Ā'),
            (b'!', '!'),
            (b'~', '~'),
            (0x7f, 'ġ'),
            (0xa0, 'ł'),
            (0xad, 'Ń'),
            (0xff, 'ÿ'),
        ] {
            assert_eq!(letter(byte), wanted, "{byte:#x}");
        }
    }

    #[test]
    fn each_byte_has_its_own_letter() {
        let letters: Vec<char> = (0..=255).map(letter).collect();
        for (i, &letter) in letters.iter().enumerate() {
            assert_eq!(byte(letter), Some(i as u8));
            assert!(!letters[..i].contains(&letter));
        }
        assert_eq!(('\0'..=char::MAX).filter(|&c| byte(c).is_some()).count(), 256);
    }

    #[test]
    fn a_token_with_a_foreign_letter_is_taken_as_it_is() {
        let bytes = |token: &str| String::from_utf8(TokenBytes::spelled(token.as_bytes()).collect()).unwrap();
        assert_eq!(bytes("Ġhello"), " hello");
        assert_eq!(bytes("æĪĳ"), "我");
        assert_eq!(bytes("Ġ我"), "Ġ我");
        assert_eq!(bytes(""), "");
        assert_eq!(TokenBytes::spelled(b"a\xff").collect::<Vec<u8>>(), b"a\xff");
        assert_eq!(TokenBytes::plain("Ġ".as_bytes()).collect::<Vec<u8>>(), "Ġ".as_bytes());
    }
}
