//! Normalization form C: characters and their marks as one character where there is one, marks in a fixed order.
//!
//! Source: Unicode Standard Annex 15 and section 3.11 of the Unicode Standard (the canonical ordering and composition
//! algorithms), section 3.12 for Hangul. A text is never stored: it is read through a stream that can be copied at any place
//! and holds a few characters. A run of marks, which may be of any length, is read once for each class in it. The tables take
//! 30 KB; `make_nfc_tables.py` asks Hugging Face's `tokenizers` for them.

use super::super::unit::Unit;
use super::first_char;
use super::nfc_tables::{CLASSES, COMPOSED, DECOMPOSED, SPECIAL};

/// Hangul syllables are `FIRST + (lead * N_VOWELS + vowel) * N_TAILS + tail`.
mod hangul {
    pub const FIRST: u32 = 0xac00;
    pub const LEAD: u32 = 0x1100;
    pub const VOWEL: u32 = 0x1161;
    /// Code of no tail.
    pub const TAIL: u32 = 0x11a7;
    pub const N_LEADS: u32 = 19;
    pub const N_VOWELS: u32 = 21;
    pub const N_TAILS: u32 = 28;
    pub const N: u32 = N_LEADS * N_VOWELS * N_TAILS;
}

/// True if each character may stand in a normalized text, whatever its neighbors: such a text is its own normal form. A few
/// other texts are, too.
pub(in super::super) fn is_plain(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let (is_plain, len) = match first_char(rest) {
            _ if byte.is_ascii() => (true, 1),
            // Below U+0300 no character is a mark, or one that a normalized text may not have.
            Some((char, len)) => (char < '\u{300}' || value_at(&SPECIAL, char) == 0, len),
            None => (true, 1),
        };
        if !is_plain {
            return false;
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    true
}

/// Value of the last change up to a character, 0 before the first.
fn value_at(changes: &[u32], char: char) -> u32 {
    let n_before = changes.partition_point(|change| change >> 8 <= u32::from(char));
    n_before.checked_sub(1).and_then(|last| changes.get(last)).map_or(0, |change| change & 0xff)
}

/// Combining class: 0 for a character that is not a mark, so that marks may follow it.
fn class(unit: Unit) -> u32 {
    match unit {
        Unit::Char(char) if char >= '\u{300}' => value_at(&CLASSES, char),
        Unit::Char(_) | Unit::Byte(_) => 0,
    }
}

/// One step of a canonical decomposition: the one or two characters that `char` stands for.
fn parts(char: char) -> Option<(char, Option<char>)> {
    let code = u32::from(char);
    if let Some(syllable) = code.checked_sub(hangul::FIRST).filter(|&syllable| syllable < hangul::N) {
        let (rest, tail) = (syllable / hangul::N_TAILS, syllable % hangul::N_TAILS);
        let (first, second) = match tail {
            0 => (hangul::LEAD + rest / hangul::N_VOWELS, hangul::VOWEL + rest % hangul::N_VOWELS),
            _ => (code - tail, hangul::TAIL + tail),
        };
        return Some((char::from_u32(first)?, char::from_u32(second)));
    }
    let at = DECOMPOSED.binary_search_by_key(&code, |&[code, ..]| code).ok()?;
    let &[_, first, second] = DECOMPOSED.get(at)?;
    Some((char::from_u32(first)?, char::from_u32(second).filter(|&second| second != '\0')))
}

/// Character that two become; `None` if they do not compose.
fn composed(first: char, second: char) -> Option<char> {
    let (a, b) = (u32::from(first), u32::from(second));
    if let (Some(lead), Some(vowel)) = (a.checked_sub(hangul::LEAD), b.checked_sub(hangul::VOWEL))
        && lead < hangul::N_LEADS
        && vowel < hangul::N_VOWELS
    {
        return char::from_u32(hangul::FIRST + (lead * hangul::N_VOWELS + vowel) * hangul::N_TAILS);
    }
    if let (Some(syllable), Some(tail)) = (a.checked_sub(hangul::FIRST), b.checked_sub(hangul::TAIL))
        && syllable < hangul::N
        && syllable % hangul::N_TAILS == 0
        && (1..hangul::N_TAILS).contains(&tail)
    {
        return char::from_u32(a + tail);
    }
    let row = |&place: &u16| DECOMPOSED.get(usize::from(place)).copied().unwrap_or_default();
    let at = COMPOSED
        .binary_search_by_key(&(a, b), |place| {
            let [_, first, second] = row(place);
            (first, second)
        })
        .ok()?;
    let [code, ..] = row(COMPOSED.get(at)?);
    char::from_u32(code)
}

/// Canonical decomposition of a text, marks not yet ordered.
#[derive(Clone, Debug)]
struct Decomposed<'t> {
    rest: &'t [u8],
    /// Characters still to be returned of a decomposition, the last first.
    pending: heapless::Vec<char, 3>,
}

impl Decomposed<'_> {
    fn next(&mut self) -> Option<Unit> {
        if let Some(char) = self.pending.pop() {
            return Some(Unit::Char(char));
        }
        let Some((mut char, len)) = first_char(self.rest) else {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            return Some(Unit::Byte(byte));
        };
        self.rest = self.rest.get(len..).unwrap_or_default();
        while char >= '\u{c0}'
            && let Some((first, second)) = parts(char)
        {
            // No character stands for more than four.
            second.map(|second| self.pending.push(second));
            char = first;
        }
        Some(Unit::Char(char))
    }
}

/// Canonical decomposition with marks in canonical order: by class, and within a class in their order in the text.
#[derive(Clone, Debug)]
struct Ordered<'t> {
    /// Stream behind the last character returned, or at the first mark of the run that is being read.
    source: Decomposed<'t>,
    marks: Option<Marks<'t>>,
}

/// A run of marks that is read once for each class.
#[derive(Clone, Debug)]
struct Marks<'t> {
    at: Decomposed<'t>,
    /// Class of the marks that are being returned.
    class: u32,
    /// Lowest class above `class` that was met.
    next: Option<u32>,
}

impl Ordered<'_> {
    fn next(&mut self) -> Option<Unit> {
        loop {
            let Some(marks) = &mut self.marks else {
                let mut after = self.source.clone();
                let unit = after.next()?;
                if class(unit) == 0 {
                    self.source = after;
                    return Some(unit);
                }
                self.marks = Some(Marks { at: self.source.clone(), class: 0, next: None });
                continue;
            };
            let before = marks.at.clone();
            match marks.at.next().map(|unit| (unit, class(unit))) {
                Some((unit, class)) if class != 0 => {
                    if class == marks.class {
                        return Some(unit);
                    }
                    if class > marks.class {
                        marks.next = Some(marks.next.map_or(class, |next| next.min(class)));
                    }
                }
                _ => match marks.next.take() {
                    Some(next) => (marks.class, marks.at) = (next, self.source.clone()),
                    None => (self.source, self.marks) = (before, None),
                },
            }
        }
    }
}

/// Iterator over a text in normalization form C. Bytes that belong to no character stay as they are.
#[derive(Clone, Debug)]
pub(in super::super) struct Nfc<'t> {
    ordered: Ordered<'t>,
    /// Base character with the marks that joined it so far, and the class of the last mark that did not join, or 0. The base
    /// was returned with all marks that join it.
    base: Option<(char, u32)>,
}

impl<'t> Nfc<'t> {
    /// Normalizes `text`.
    pub fn new(text: &'t [u8]) -> Self {
        let source = Decomposed { rest: text, pending: heapless::Vec::new() };
        Self { ordered: Ordered { source, marks: None }, base: None }
    }

    /// Bytes of the normalized text.
    pub fn n_bytes(self) -> usize {
        self.fold(0usize, |n, unit| n.saturating_add(unit.len()))
    }
}

/// Effect of a character behind a base.
enum Step {
    /// The base and the character become one.
    Joined(char),
    /// The character is a mark of this class that stays behind the base.
    Stays(u32),
    /// The character is not a mark and begins something new.
    Begins,
}

/// Effect of `unit` behind `base`, if the last mark that stayed was of the class `last` (0: none).
fn step(base: char, last: u32, unit: Unit) -> Step {
    let class = class(unit);
    let is_free = last == 0 || last < class;
    let joined = match unit {
        Unit::Char(char) if is_free => composed(base, char),
        _ => None,
    };
    match joined {
        Some(joined) => Step::Joined(joined),
        None if class == 0 => Step::Begins,
        None => Step::Stays(class),
    }
}

impl Iterator for Nfc<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        // Behind a base, characters that joined it are passed over.
        while let Some((base, last)) = self.base {
            let mut after = self.ordered.clone();
            let next = after.next();
            match next.map(|unit| step(base, last, unit)) {
                Some(Step::Joined(joined)) => (self.ordered, self.base) = (after, Some((joined, last))),
                Some(Step::Stays(class)) => {
                    (self.ordered, self.base) = (after, Some((base, class)));
                    return next;
                }
                Some(Step::Begins) | None => self.base = None,
            }
        }
        let unit = self.ordered.next()?;
        let Unit::Char(first) = unit else { return Some(unit) };
        if class(unit) != 0 {
            return Some(unit);
        }
        self.base = Some((first, 0));
        // Looks ahead for the characters that join the base.
        let (mut ahead, mut base, mut last) = (self.ordered.clone(), first, 0);
        while let Some(unit) = ahead.next() {
            match step(base, last, unit) {
                Step::Joined(joined) => base = joined,
                Step::Stays(class) => last = class,
                Step::Begins => break,
            }
        }
        Some(Unit::Char(base))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn nfc(text: &str) -> String {
        let chars = Nfc::new(text.as_bytes()).map(|unit| match unit {
            Unit::Char(char) => char,
            Unit::Byte(_) => panic!("{text:?} is made of characters"),
        });
        chars.collect()
    }

    /// Cases of the standard's figures and tests: singletons, exclusions, order, blocking, Hangul.
    #[test]
    fn cases_of_the_standard() {
        for (text, want) in [
            ("", ""),
            ("e\u{301}", "\u{e9}"),
            ("\u{212b}\u{2126}", "\u{c5}\u{3a9}"),
            ("\u{1e9b}\u{323}", "\u{1e9b}\u{323}"),
            ("\u{1e0a}\u{323}", "\u{1e0c}\u{307}"),
            ("D\u{307}\u{323}", "\u{1e0c}\u{307}"),
            ("a\u{323}\u{302}\u{301}", "\u{1ead}\u{301}"),
            ("a\u{5ae}\u{300}\u{315}b", "\u{e0}\u{5ae}\u{315}b"),
            ("a\u{315}\u{300}\u{5ae}b", "\u{e0}\u{5ae}\u{315}b"),
            ("\u{915}\u{93c}\u{958}", "\u{915}\u{93c}\u{915}\u{93c}"),
            ("\u{fb1d}\u{2adc}", "\u{5d9}\u{5b4}\u{2add}\u{338}"),
            ("\u{9c7}\u{9be}\u{9c7}\u{300}\u{9be}", "\u{9cb}\u{9c7}\u{300}\u{9be}"),
            ("\u{1100}\u{1161}\u{11a8}\u{1100}\u{11a8}", "\u{ac01}\u{1100}\u{11a8}"),
            ("\u{ac00}\u{11a7}\u{ac00}\u{11c2}\u{ac01}\u{11a8}", "\u{ac00}\u{11a7}\u{ac1b}\u{ac01}\u{11a8}"),
            ("\u{1100}\u{300}\u{1161}", "\u{1100}\u{300}\u{1161}"),
            ("\u{344}\u{301}a", "\u{308}\u{301}\u{301}a"),
            ("\u{f73}\u{f71}", "\u{f71}\u{f71}\u{f72}"),
            ("\u{1f82}\u{f900}\u{1d15e}", "\u{1f82}\u{8c48}\u{1d157}\u{1d165}"),
        ] {
            assert_eq!(nfc(text), want, "{}", text.escape_unicode());
            assert_eq!(nfc(want), want, "{}", want.escape_unicode());
        }
    }

    #[test]
    fn a_plain_text_is_its_own_normal_form() {
        let mut n_special = 0;
        for char in '\0'..=char::MAX {
            let text = String::from(char);
            if is_plain(text.as_bytes()) {
                assert_eq!(nfc(&text), text);
            } else {
                n_special += 1;
            }
        }
        assert!((2000..3000).contains(&n_special), "{n_special}");
        assert!(is_plain("Größe, naïve, 我, 한글, \u{1f999}".as_bytes()) && !is_plain("e\u{301}".as_bytes()));
    }

    #[test]
    fn bytes_that_are_no_character_part_characters_from_marks() {
        let units: Vec<Unit> = Nfc::new(b"e\xff\xcc\x81\xccx").collect();
        let want = [Unit::Char('e'), Unit::Byte(0xff), Unit::Char('\u{301}'), Unit::Byte(0xcc), Unit::Char('x')];
        assert_eq!(units, want);
    }

    #[test]
    fn a_megabyte_of_marks_takes_time_in_proportion() {
        for marks in ["\u{301}", "\u{323}\u{301}", "\u{345}\u{301}\u{5ae}\u{334}", "e\u{301}", "\u{1100}\u{1161}"] {
            let text = marks.repeat((1 << 20) / marks.len());
            assert_eq!(nfc(&nfc(&text)), nfc(&text));
        }
    }
}
