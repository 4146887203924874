//! BERT's normalization before WordPiece: drops control characters, makes each Chinese character a word, drops accents,
//! lowercases, and makes each punctuation mark a word.
//!
//! Source: `BertNormalizer` and `BertPreTokenizer` of Hugging Face's `tokenizers`, and their tables of Unicode. Unlike there,
//! combining marks that take space (category Mc) are not put in canonical order.

use super::options::BertOptions;
use super::unicode::bert::{CLASSES, STRIPPED, STRIPPED_TO_MORE};
use super::unicode::{first_char, lowered};
use super::unit::Unit;

/// Class of a character in BERT's normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a word.
    Other,
    /// Dropped: control and format characters, private and unassigned ones, U+0000 and U+FFFD.
    Removed,
    /// White space.
    Space,
    /// A word of its own: a CJK ideograph.
    Chinese,
    /// A word of its own.
    Punctuation,
    /// Category Mn.
    Mark,
}

/// Finds the class of a character by a binary search.
pub(super) fn class(char: char) -> Class {
    let code = u32::from(char);
    // The table begins with the class of U+0000.
    let n_before = CLASSES.partition_point(|change| change >> 3 <= code);
    let change = n_before.checked_sub(1).and_then(|last| CLASSES.get(last));
    match change.map_or(0, |change| change & 7) {
        1 => Class::Removed,
        2 => Class::Space,
        3 => Class::Chinese,
        4 => Class::Punctuation,
        5 => Class::Mark,
        _ => Class::Other,
    }
}

impl BertOptions {
    /// Characters of a text normalized by these options, as tokens that are found in normalized texts are spelled.
    pub fn normalized(self, text: &str) -> impl Iterator<Item = char> {
        let normalized = Normalized::new(text.as_bytes(), self);
        normalized.map(|unit| match unit {
            Unit::Char(char) => char,
            Unit::Byte(_) => char::REPLACEMENT_CHARACTER,
        })
    }
}

/// Iterator over a text as BERT normalizes it: lowercased and without accents as the options say, white space as spaces, and
/// spaces around Chinese characters. Bytes that are not UTF-8 are left out.
#[derive(Clone, Debug)]
pub(super) struct Normalized<'t> {
    rest: &'t [u8],
    options: BertOptions,
    /// Characters still to be returned for the last one read: at most two spaces around three characters that lowercase to
    /// three each.
    pending: heapless::Deque<char, 11>,
}

impl<'t> Normalized<'t> {
    pub fn new(text: &'t [u8], options: BertOptions) -> Self {
        Self { rest: text, options, pending: heapless::Deque::new() }
    }

    /// Normalizes a character that is neither an ASCII letter nor a digit, into `pending`.
    fn take(&mut self, char: char) {
        let class = class(char);
        let (before, behind) = match class {
            Class::Removed => return,
            Class::Space => (Some(' '), None),
            Class::Chinese => (Some(' '), Some(' ')),
            Class::Punctuation | Class::Mark | Class::Other => (None, None),
        };
        let chars = match self.options.strip_accents {
            _ if class == Class::Space => [None; 3],
            true => stripped(char),
            false => [Some(char), None, None],
        };
        let lowercase = self.options.lowercase;
        let chars = chars.into_iter().flatten().flat_map(|char| lowered(char, lowercase));
        for char in before.into_iter().chain(chars).chain(behind) {
            // `pending` was empty and has room for the most that one character becomes.
            let _ = self.pending.push_back(char);
        }
    }
}

impl Iterator for Normalized<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        while self.pending.is_empty() {
            let &byte = self.rest.first()?;
            let (char, len) = first_char(self.rest).unwrap_or((char::REPLACEMENT_CHARACTER, 1));
            self.rest = self.rest.get(len..).unwrap_or_default();
            if byte.is_ascii_alphanumeric() {
                return Some(Unit::Char(if self.options.lowercase { char.to_ascii_lowercase() } else { char }));
            }
            self.take(char);
        }
        self.pending.pop_front().map(Unit::Char)
    }
}

/// Canonical decomposition (NFD) of a character, without marks of category Mn.
fn stripped(char: char) -> [Option<char>; 3] {
    let code = u32::from(char);
    if char.is_ascii() {
        return [Some(char), None, None];
    }
    if let Some(syllable) = code.checked_sub(HANGUL).filter(|&syllable| syllable < N_HANGUL) {
        return hangul(syllable).map(|jamo| jamo.and_then(char::from_u32));
    }
    if let Ok(at) = STRIPPED.binary_search_by_key(&code, |&[from, _]| from) {
        return [STRIPPED.get(at).and_then(|&[_, to]| char::from_u32(to)), None, None];
    }
    if let Ok(at) = STRIPPED_TO_MORE.binary_search_by_key(&code, |&[from, ..]| from) {
        let to = |i: usize| match STRIPPED_TO_MORE.get(at).and_then(|row| row.get(i)) {
            Some(0) | None => None,
            Some(&to) => char::from_u32(to),
        };
        return [to(1), to(2), to(3)];
    }
    [(class(char) != Class::Mark).then_some(char), None, None]
}

/// First Hangul syllable, and the number of syllables (The Unicode Standard, 3.12).
const HANGUL: u32 = 0xac00;
const N_HANGUL: u32 = 19 * 21 * 28;

/// Jamo of a syllable: first consonant, vowel and, if it has one, last consonant.
fn hangul(syllable: u32) -> [Option<u32>; 3] {
    let last = syllable % 28;
    [Some(0x1100 + syllable / (21 * 28)), Some(0x1161 + syllable / 28 % 21), (last > 0).then_some(0x11a7 + last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_one_step() {
        let is = |lowercase, strip_accents, wanted: &str| {
            BertOptions { lowercase, strip_accents }.normalized("Été\t\u{0}我 각").eq(wanted.chars())
        };
        assert!(is(false, false, "Été  我  각"));
        assert!(is(true, false, "été  我  각"));
        assert!(is(false, true, "Ete  我  \u{1100}\u{1161}\u{11a8}"));
        assert!(is(true, true, "ete  我  \u{1100}\u{1161}\u{11a8}"));
    }
}
