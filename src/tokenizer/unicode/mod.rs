//! Classes of characters for the pre-tokenizers (letter, number, white space, punctuation, word), and BERT's normalization of
//! characters.
//!
//! The tables of letters, numbers and white space are those of Unicode 16.0.0, the version in the regexes of Hugging Face's
//! `tokenizers` 0.23; `make_tables.py` writes them and compares every code point with that package. They take 3.2 KB.
//! Punctuation and BERT's tables come from the same package and are of older versions of Unicode; `make_bert_tables.py` asks it
//! for every code point. Characters of words are those of its crate `regex`, also of Unicode 16 (`make_word_table.py`). Lower
//! case comes from the standard library, whose version of Unicode the compiler determines.

pub(super) mod bert;
pub(super) mod nfc;
mod nfc_tables;
mod punctuation;
mod tables;
mod words;

use punctuation::PUNCTUATION;
use tables::{CHANGES, PAGES};
use words::WORDS;

/// Class of a character, or of a byte that belongs to none, in the rules of pre-tokenizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `[^\s\p{L}\p{N}]`, and each byte that is not UTF-8.
    Other,
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`: the property White_Space.
    Space,
}

/// First character of `text` and its length in bytes; `None` if `text` does not start with one.
pub(super) fn first_char(text: &[u8]) -> Option<(char, usize)> {
    let len = match text.first()? {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let char = core::str::from_utf8(text.get(..len)?).ok()?.chars().next()?;
    Some((char, len))
}

/// Class of the first character of `text` and its length in bytes; [`Class::Other`] and 1 for a byte that belongs to none.
/// `None` at the end.
pub(super) fn first_class(text: &[u8]) -> Option<(Class, usize)> {
    match *text.first()? {
        byte @ 0..=0x7f => Some((ASCII[usize::from(byte)], 1)),
        _ => Some(first_char(text).map_or((Class::Other, 1), |(char, len)| (class(char), len))),
    }
}

/// Finds the class of a character by a binary search of at most ten steps.
pub(super) fn class(char: char) -> Class {
    let (page, place) = (u32::from(char) >> 14, (u32::from(char) & 0x3fff) as u16);
    let Some(&[start, end]) = PAGES.get(page as usize..).and_then(|pages| pages.first_chunk()) else {
        return Class::Other;
    };
    // Each page begins with the class of its first character.
    let changes = CHANGES.get(usize::from(start)..usize::from(end)).unwrap_or_default();
    let n_before = changes.partition_point(|change| change >> 2 <= place);
    let change = n_before.checked_sub(1).and_then(|last| changes.get(last));
    match change.map_or(0, |change| change & 3) {
        1 => Class::Letter,
        2 => Class::Number,
        3 => Class::Space,
        _ => Class::Other,
    }
}

/// True if a character is punctuation (category P) or one of the signs `$+<=>^\`|~`.
pub(super) fn is_punctuation(char: char) -> bool {
    // Runs of punctuation and of other characters alternate.
    char.is_ascii_punctuation() || PUNCTUATION.partition_point(|&start| start <= u32::from(char)) % 2 != 0
}

/// True if a character is part of a word: `\w`, which is Alphabetic, M, Nd, Pc and Join_Control.
pub(super) fn is_word(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_alphanumeric() || char == '_';
    }
    let is_named = matches!(class(char), Class::Letter | Class::Number);
    let differs = WORDS.partition_point(|&turn| turn <= u32::from(char)) % 2 != 0;
    is_named != differs
}

/// Lower case of a character, one or two characters, or the character itself if `lowercase` is false. Neighbors do not matter,
/// as in Hugging Face's `tokenizers`, so a sigma at the end of a word becomes the usual one.
pub(super) fn lowered(char: char, lowercase: bool) -> impl Iterator<Item = char> {
    // Either `lower` or `same` is empty.
    let (lower, same) = if lowercase { (Some(char.to_lowercase()), None) } else { (None, Some(char)) };
    lower.into_iter().flatten().chain(same)
}

static ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Number,
            b'\t'..=b'\r' | b' ' => Class::Space,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn the_tables_hold_unicode_16() {
        let count = |wanted| ('\0'..=char::MAX).filter(|&c| class(c) == wanted).count();
        assert_eq!(count(Class::Letter), 141_028);
        assert_eq!(count(Class::Number), 1_911);
        assert_eq!(count(Class::Space), 25);
    }

    #[test]
    fn white_space_is_what_the_standard_library_says() {
        assert!(('\0'..=char::MAX).all(|c| (class(c) == Class::Space) == c.is_whitespace()));
    }

    #[test]
    fn words_are_those_of_the_crate_regex() {
        // Number that `make_word_table.py --check` counts.
        assert_eq!(('\0'..=char::MAX).filter(|&c| is_word(c)).count(), 144_667);
        for char in ['a', 'Z', '0', '_', 'é', '我', '\u{301}', '\u{93f}', 'Ⅷ', '٣', 'ⓐ', '‿', '\u{200c}', '\u{200d}']
        {
            assert!(is_word(char), "{char:?}");
        }
        for char in [' ', '-', '\0', '²', '½', '①', '…', '，', '\u{200b}', '\u{2060}', '🦙', '\u{fffd}', '\u{378}']
        {
            assert!(!is_word(char), "{char:?}");
        }
    }

    #[test]
    fn letters_become_small_one_by_one() {
        let lower = |text: &str| text.chars().flat_map(|c| lowered(c, true)).collect::<std::string::String>();
        assert_eq!(lower("İSTANBUL ΣΑΣ ẞ ǅ Ω"), "i\u{307}stanbul σασ ß ǆ ω");
        assert!(lowered('A', false).eq(['A']));
    }

    #[test]
    fn ascii_has_the_same_classes_by_byte_and_by_table() {
        for c in '\0'..='\x7f' {
            assert_eq!(first_class(&[c as u8]), Some((class(c), 1)), "{c:?}");
        }
    }

    #[test]
    fn corners_of_the_classes() {
        for (char, wanted) in [
            ('ª', Class::Letter),
            ('²', Class::Number),
            ('Ⅷ', Class::Number),
            ('〇', Class::Number),
            ('ǅ', Class::Letter),
            ('\u{301}', Class::Other),
            ('\u{200b}', Class::Other),
            ('\u{180e}', Class::Other),
            ('\u{feff}', Class::Other),
            ('\u{85}', Class::Space),
            ('\u{3000}', Class::Space),
            ('\u{1c}', Class::Other),
            ('\u{105c0}', Class::Letter),
            ('\u{323af}', Class::Letter),
            ('\u{323b0}', Class::Other),
            ('\u{10ffff}', Class::Other),
        ] {
            assert_eq!(class(char), wanted, "{char:?}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_one_other_byte() {
        for bytes in [&b"\x80"[..], b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xc3"] {
            assert_eq!(first_class(bytes), Some((Class::Other, 1)), "{bytes:x?}");
        }
        assert_eq!(first_class(b""), None);
        for char in ['a', 'é', '我', '🦙'] {
            assert_eq!(first_char(std::format!("{char}x").as_bytes()), Some((char, char.len_utf8())));
        }
    }
}
