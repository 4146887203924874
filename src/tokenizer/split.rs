//! Cuts texts at special tokens: first at tokens that are found in the text as it is, then, between them, at tokens that are
//! found in the normalized text.
//!
//! The rules are those of Hugging Face's `tokenizers`. The longest token at the first place is found. A token that must stand
//! alone and does not is passed over, and so are tokens that begin inside it. White space that a token takes belongs to no
//! part, but other tokens are still found in it.

use core::ops::Range;

use super::Tokenizer;
use super::encoding::Part;
use super::normalizer::Ahead;
use super::special::Bytes;
use super::unicode::{Class, class, first_char};
use super::unit::Unit;
use super::vocab::TokenType;

/// Special tokens that are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// True to look for control tokens, too, not only for user-defined ones.
    pub control: bool,
    /// True to look for tokens that are found in normalized text, false for the others.
    pub normalized: bool,
}

impl Tokenizer<'_, '_> {
    /// True if the vocabulary may have wanted tokens.
    fn has(&self, wanted: Wanted) -> bool {
        (wanted.control || self.has_user_defined) && (!wanted.normalized || self.vocab.added.has_normalized())
    }

    /// Length and id of the longest wanted token that `text` begins with.
    fn wanted_at(&self, text: impl Bytes, wanted: Wanted) -> Option<(usize, u32)> {
        self.special_at(text, |id| {
            let is_wanted = match self.vocab.type_of(id) {
                TokenType::UserDefined => !self.is_piece(id),
                TokenType::Control => wanted.control,
                TokenType::Normal | TokenType::Unused | TokenType::Byte => false,
            };
            // Added tokens of SentencePiece are never looked for in normalized text.
            let is_normalized = !self.vocab.kind.row().defines_pieces && self.vocab.added.is_normalized(id);
            is_wanted && is_normalized == wanted.normalized
        })
    }
}

impl Tokenizer<'_, '_> {
    /// Cuts a text at its control and user-defined tokens, as encoding with
    /// [`parse_special`](super::EncodeOptions::parse_special) does: parts of the text, each with the token that
    /// follows it; one of the two may be missing. White space that a token takes belongs to no part. User-defined tokens of SentencePiece that are pieces
    /// of text stay in the parts.
    pub fn cut<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = (&'s [u8], Option<u32>)> {
        let cut = move |text: &'s [u8], normalized| {
            let split = Split::new(self, text, Wanted { control: true, normalized });
            split.map(move |(range, token)| (text.get(range).unwrap_or_default(), token))
        };
        cut(text, false).flat_map(move |(part, token)| {
            let last = token.map(|token| (&[][..], Some(token)));
            cut(part, true).filter(|(part, token)| !part.is_empty() || token.is_some()).chain(last)
        })
    }
}

impl<'t> Part<'t> {
    /// Cuts the part at tokens that are found in normalized text, for kinds that leave the text as it is.
    pub fn split<'s>(&self, tokenizer: &'s Tokenizer<'_, '_>) -> impl Iterator<Item = (&'s [u8], Option<u32>)>
    where
        't: 's,
    {
        let text = self.text();
        let split = Split::new(tokenizer, text, Wanted { control: self.parse_special, normalized: true });
        split.map(|(range, token)| (text.get(range).unwrap_or_default(), token))
    }

    /// Cuts the part's `normalized` characters at tokens that are found in normalized text.
    pub fn split_stream<'s, I: Iterator<Item = Unit> + Clone>(
        &self,
        tokenizer: &'s Tokenizer<'_, '_>,
        normalized: I,
    ) -> SplitStream<'s, I> {
        SplitStream::new(tokenizer, normalized, self.parse_special)
    }
}

/// Iterator over a text cut at special tokens: the part before each, and the token.
#[derive(Clone, Debug)]
pub(super) struct Split<'s> {
    tokenizer: &'s Tokenizer<'s, 's>,
    text: &'s [u8],
    wanted: Wanted,
    /// Place at which the next part begins.
    start: usize,
    /// Place from which tokens are looked for.
    from: usize,
    /// End of the white space, as far as it was looked for.
    space_end: usize,
    ended: bool,
}

impl<'s> Split<'s> {
    pub fn new(tokenizer: &'s Tokenizer<'_, '_>, text: &'s [u8], wanted: Wanted) -> Self {
        Self { tokenizer, text, wanted, start: 0, from: 0, space_end: 0, ended: false }
    }

    /// Finds the next token: its bytes in the text, and its id.
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

    /// Start of the white space that ends at `at`, within the part that was not yet returned.
    fn space_before(&self, at: usize) -> usize {
        let mut part = self.text.get(self.start..at).unwrap_or_default();
        while let Some(char) = last_char(part)
            && class(char) == Class::Space
        {
            part = part.get(..part.len() - char.len_utf8()).unwrap_or_default();
        }
        self.start.max(self.start + part.len())
    }

    /// End of the white space that begins at `at`.
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
        // A token that lies in white space taken by the one before it is dropped.
        let is_left = end < self.start;
        Some((start..end.max(start), is_left.then_some(id)))
    }
}

/// Last character of `text`; `None` if it does not end in one.
fn last_char(text: &[u8]) -> Option<char> {
    (1..=4).find_map(|len| {
        let (char, n) = first_char(text.get(text.len().checked_sub(len)?..)?)?;
        (n == len).then_some(char)
    })
}

/// Iterator over the first characters of a stream, up to a number of bytes.
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

/// A place in a stream of characters: the number of bytes before it, and the characters behind it.
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

/// Iterator over a stream of characters cut at tokens that are found in normalized text, as [`Split`] is over bytes.
#[derive(Clone, Debug)]
pub(super) struct SplitStream<'s, I> {
    tokenizer: &'s Tokenizer<'s, 's>,
    wanted: Wanted,
    /// Place at which the next part begins.
    start: Place<I>,
    /// Place from which tokens are looked for.
    from: Place<I>,
    /// Character before `from`.
    before: Option<char>,
    /// Start of the white space before `from`.
    space_start: usize,
    /// End of the white space, as far as it was looked for.
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

    /// Finds the next token: its start, the start of the white space before it, and its id.
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

    /// Moves `from` to the next character; `None` at the end.
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
