//! Texts cut at special tokens: those that stand in the text as it is, then, between them, those that stand in it as it is
//! normalized.
//!
//! The rules are those of Hugging Face's `tokenizers`: the longest token at the first place; a token that must stand alone and
//! does not is passed over, and what begins inside it, too; white space that a token takes is part of no text around it, but
//! other tokens are still found in it.

use core::ops::Range;

use super::Tokenizer;
use super::normalizer::{Ahead, Unit};
use super::special::Bytes;
use super::unicode::{Class, class, first_char};
use super::vocab::TokenType;

/// Which special tokens are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Control tokens beside user-defined ones.
    pub control: bool,
    /// Those that are found in normalized text, or the others.
    pub normalized: bool,
}

impl Tokenizer<'_, '_> {
    /// Whether there may be such tokens.
    fn has(&self, wanted: Wanted) -> bool {
        (wanted.control || self.has_user_defined) && (!wanted.normalized || self.vocab.added.has_normalized())
    }

    /// The longest of the wanted tokens that `text` begins with: its length and id.
    fn wanted_at(&self, text: impl Bytes, wanted: Wanted) -> Option<(usize, u32)> {
        self.special_at(text, |id| {
            let is_wanted = match self.vocab.type_of(id) {
                TokenType::UserDefined => !self.is_piece(id),
                TokenType::Control => wanted.control,
                TokenType::Normal | TokenType::Unused | TokenType::Byte => false,
            };
            // SentencePiece's normalizer is not known to its added tokens.
            let is_normalized = !self.vocab.kind.row().defines_pieces && self.vocab.added.is_normalized(id);
            is_wanted && is_normalized == wanted.normalized
        })
    }
}

/// A text cut at special tokens: what lies before each, and the token.
#[derive(Clone, Debug)]
pub(super) struct Split<'s> {
    tokenizer: &'s Tokenizer<'s, 's>,
    text: &'s [u8],
    wanted: Wanted,
    /// Where the next part begins.
    start: usize,
    /// From where on tokens are looked for.
    from: usize,
    /// Up to where there is white space, as far as it was looked for.
    space_end: usize,
    ended: bool,
}

impl<'s> Split<'s> {
    pub fn new(tokenizer: &'s Tokenizer<'_, '_>, text: &'s [u8], wanted: Wanted) -> Self {
        Self { tokenizer, text, wanted, start: 0, from: 0, space_end: 0, ended: false }
    }

    /// The next token: where it is, and its id.
    fn find(&mut self) -> Option<(Range<usize>, u32)> {
        if !self.tokenizer.has(self.wanted) {
            return None;
        }
        let added = &self.tokenizer.vocab.added;
        while let Some(rest) = self.text.get(self.from..).filter(|rest| !rest.is_empty()) {
            let at = self.from;
            let Some((len, id)) = self.tokenizer.wanted_at(rest, self.wanted) else {
                self.from += 1;
                continue;
            };
            self.from += len;
            let before = self.text.get(..at).and_then(last_char);
            if added.may_stand(id, before, rest.get(len..).and_then(first_char).map(|(char, _)| char)) {
                return Some((at..self.from, id));
            }
        }
        None
    }

    /// Where the white space begins that ends at `at`, in the part that is not yet handed out.
    fn space_before(&self, at: usize) -> usize {
        let mut part = self.text.get(self.start..at).unwrap_or_default();
        while let Some(char) = last_char(part)
            && class(char) == Class::Space
        {
            part = part.get(..part.len() - char.len_utf8()).unwrap_or_default();
        }
        self.start.max(self.start + part.len())
    }

    /// Where the white space ends that begins at `at`.
    fn space_behind(&mut self, at: usize) -> usize {
        self.space_end = self.space_end.max(at);
        while let Some((char, len)) = self.text.get(self.space_end..).and_then(first_char)
            && class(char) == Class::Space
        {
            self.space_end += len;
        }
        self.space_end
    }
}

impl Iterator for Split<'_> {
    type Item = (Range<usize>, Option<u32>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let Some((place, id)) = self.find() else {
            self.ended = true;
            return Some((self.start..self.text.len(), None));
        };
        let added = &self.tokenizer.vocab.added;
        let (takes_before, takes_behind) = (added.takes_space_before(id), added.takes_space_behind(id));
        let start = self.start;
        let end = if takes_before { self.space_before(place.start) } else { place.start };
        self.start = if takes_behind { self.space_behind(place.end) } else { place.end };
        // All of it is white space that the token before it took.
        let is_left = end < self.start;
        Some((start..end.max(start), is_left.then_some(id)))
    }
}

/// The last character of `text`; `None` where it does not end in one.
fn last_char(text: &[u8]) -> Option<char> {
    (1..=4).find_map(|len| {
        let (char, n) = first_char(text.get(text.len().checked_sub(len)?..)?)?;
        (n == len).then_some(char)
    })
}

/// The first bytes of a stream of characters.
#[derive(Clone, Debug)]
pub(super) struct First<I> {
    units: I,
    n_left: usize,
}

impl<I: Iterator<Item = Unit>> Iterator for First<I> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if self.n_left == 0 {
            return None;
        }
        let unit = self.units.next()?;
        self.n_left = self.n_left.saturating_sub(unit.len());
        Some(unit)
    }
}

/// A place in a stream of characters: bytes before it, and what follows.
#[derive(Clone, Debug)]
struct Place<I> {
    at: usize,
    units: I,
}

impl<I: Iterator<Item = Unit> + Clone> Place<I> {
    fn next(&mut self) -> Option<Unit> {
        let unit = self.units.next()?;
        self.at += unit.len();
        Some(unit)
    }

    fn char(&self) -> Option<char> {
        char_of(self.units.clone().next()?)
    }
}

fn char_of(unit: Unit) -> Option<char> {
    match unit {
        Unit::Char(char) => Some(char),
        Unit::Byte(_) => None,
    }
}

/// The same as [`Split`] for a stream of characters, of tokens that are found in normalized text.
#[derive(Clone, Debug)]
pub(super) struct SplitStream<'s, I> {
    tokenizer: &'s Tokenizer<'s, 's>,
    wanted: Wanted,
    /// Where the next part begins.
    start: Place<I>,
    /// From where on tokens are looked for.
    from: Place<I>,
    /// The character before that.
    before: Option<char>,
    /// Where the white space before that begins.
    space_start: usize,
    /// Up to where there is white space, as far as it was looked for.
    space_end: Place<I>,
    ended: bool,
}

impl<'s, I: Iterator<Item = Unit> + Clone> SplitStream<'s, I> {
    pub fn new(tokenizer: &'s Tokenizer<'_, '_>, units: I, control: bool) -> Self {
        let place = Place { at: 0, units };
        Self {
            tokenizer,
            wanted: Wanted { control, normalized: true },
            start: place.clone(),
            from: place.clone(),
            before: None,
            space_start: 0,
            space_end: place,
            ended: false,
        }
    }

    /// The next token: where it begins, where the white space before it does, and its id.
    fn find(&mut self) -> Option<(usize, usize, u32)> {
        if !self.tokenizer.has(self.wanted) {
            return None;
        }
        loop {
            let (at, before, space_start) = (self.from.at, self.before, self.space_start);
            let Some((len, id)) = self.tokenizer.wanted_at(Ahead::new(self.from.units.clone()), self.wanted) else {
                self.step()?;
                continue;
            };
            while self.from.at < at + len {
                self.step()?;
            }
            if self.tokenizer.vocab.added.may_stand(id, before, self.from.char()) {
                return Some((at, space_start, id));
            }
        }
    }

    /// Goes to the next character.
    fn step(&mut self) -> Option<()> {
        self.before = char_of(self.from.next()?);
        if self.before.is_none_or(|char| class(char) != Class::Space) {
            self.space_start = self.from.at;
        }
        Some(())
    }
}

impl<I: Iterator<Item = Unit> + Clone> Iterator for SplitStream<'_, I> {
    type Item = (First<I>, Option<u32>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let start = self.start.clone();
        let Some((at, space_start, id)) = self.find() else {
            self.ended = true;
            return Some((First { units: start.units, n_left: usize::MAX }, None));
        };
        let added = &self.tokenizer.vocab.added;
        let end = if added.takes_space_before(id) { space_start.max(start.at) } else { at };
        let part = First { units: start.units, n_left: end.saturating_sub(start.at) };
        self.start = self.from.clone();
        if added.takes_space_behind(id) {
            if self.space_end.at < self.from.at {
                self.space_end = self.from.clone();
            }
            while self.space_end.char().is_some_and(|char| class(char) == Class::Space) {
                self.space_end.next();
            }
            self.start = self.space_end.clone();
        }
        let is_left = end < self.start.at;
        Some((part, is_left.then_some(id)))
    }
}
