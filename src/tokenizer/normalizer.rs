//! SentencePiece's normalization of a text: replacements, extra spaces, and `▁` for a space.
//!
//! Source: `Normalizer::Normalize` in SentencePiece's `normalizer.cc`. Here it is a stream that can be copied at any place, so
//! that no text is ever stored. User-defined tokens are not replaced (`PrefixMatcher` there).

use heapless::Vec;

use super::Tokenizer;
use super::charsmap::Charsmap;
use super::encoding::Part;
use super::options::SpaceOptions;
use super::special::{Bytes, MAX_LEN};
use super::unicode::first_char;
use super::unit::{SPACE, Unit};

/// Iterator over a text as SentencePiece normalizes it. User-defined tokens in it stay as they are, except for spaces.
#[derive(Clone, Debug)]
pub(super) struct Normalized<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    /// Text still to be read.
    rest: &'t [u8],
    /// Rest of a replacement.
    replacement: &'t [u8],
    charsmap: Charsmap<'t>,
    remove_extra: bool,
    /// True if spaces at the end are dropped.
    trim_end: bool,
    add_prefix: bool,
    /// True if the last replacement ended in a space and further spaces are dropped.
    after_space: bool,
    /// Number of `▁` to come that are known not to be at the end.
    n_spaces: usize,
}

impl<'t> Normalized<'t> {
    /// Normalizes the text of `part`.
    pub fn new(tokenizer: &'t Tokenizer<'_, '_>, part: &Part<'t>) -> Self {
        let SpaceOptions { add_prefix, remove_extra, charsmap } = tokenizer.vocab.spaces;
        Self {
            tokenizer,
            rest: part.text(),
            replacement: &[],
            charsmap: charsmap.and_then(Charsmap::new).unwrap_or(Charsmap::EMPTY),
            remove_extra,
            trim_end: remove_extra,
            add_prefix: add_prefix && part.begins,
            after_space: remove_extra && part.begins,
            n_spaces: 0,
        }
    }

    /// Bytes of the normalized text.
    pub fn n_bytes(self) -> usize {
        self.fold(0usize, |n, unit| n.saturating_add(unit.len()))
    }

    /// Next character, including spaces at the end.
    fn step(&mut self) -> Option<Unit> {
        if core::mem::take(&mut self.add_prefix) {
            return Some(Unit::Char(SPACE));
        }
        while self.replacement.is_empty() {
            if self.rest.is_empty() {
                return None;
            }
            let defined = self.tokenizer.piece_at(self.rest).map(|(len, _)| len);
            let defined = defined.and_then(|len| Some((len, self.rest.get(..len)?)));
            let found = defined.or_else(|| self.charsmap.longest_match(self.rest));
            let first = || first_char(self.rest).map(|(_, len)| (len, self.rest.get(..len).unwrap_or_default()));
            let Some((len, mut replacement)) = found.or_else(first) else {
                let (&byte, rest) = self.rest.split_first()?;
                (self.rest, self.after_space) = (rest, false);
                return Some(Unit::Byte(byte));
            };
            self.rest = self.rest.get(len..).unwrap_or_default();
            if self.after_space {
                replacement = replacement.trim_ascii_start_spaces();
            }
            if !replacement.is_empty() {
                self.after_space = self.remove_extra && replacement.ends_with(b" ");
            }
            self.replacement = replacement;
        }
        let (unit, len) = match first_char(self.replacement) {
            Some((' ', len)) => (Unit::Char(SPACE), len),
            Some((char, len)) => (Unit::Char(char), len),
            None => (Unit::Byte(*self.replacement.first()?), 1),
        };
        self.replacement = self.replacement.get(len..).unwrap_or_default();
        Some(unit)
    }
}

/// Bytes of characters to come, read on demand, at most as many as the longest special token has.
#[derive(Clone, Debug)]
pub(super) struct Ahead<I> {
    units: I,
    bytes: Vec<u8, MAX_LEN>,
}

impl<I: Iterator<Item = Unit>> Ahead<I> {
    pub fn new(units: I) -> Self {
        Self { units, bytes: Vec::new() }
    }
}

impl<I: Iterator<Item = Unit>> Bytes for Ahead<I> {
    fn byte(&mut self, at: usize) -> Option<u8> {
        while at >= self.bytes.len() {
            self.bytes.extend_from_slice(self.units.next()?.bytes(&mut [0; 4])).ok()?;
        }
        self.bytes.get(at).copied()
    }
}

/// Trims spaces only, where `trim_ascii_start` drops all white space.
trait TrimSpaces {
    fn trim_ascii_start_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_ascii_start_spaces(&self) -> &Self {
        let mut rest = self;
        while let [b' ', after @ ..] = rest {
            rest = after;
        }
        rest
    }
}

impl Iterator for Normalized<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let unit = self.step()?;
        if unit != Unit::Char(SPACE) || !self.trim_end {
            return Some(unit);
        }
        if self.n_spaces == 0 {
            // Looks past a row of spaces once, from its first one.
            let mut ahead = self.clone();
            self.n_spaces = 1;
            loop {
                match ahead.step() {
                    Some(Unit::Char(SPACE)) => self.n_spaces += 1,
                    Some(_) => break,
                    None => {
                        (self.rest, self.replacement) = (&[], &[]);
                        return None;
                    }
                }
            }
        }
        self.n_spaces -= 1;
        Some(unit)
    }
}
