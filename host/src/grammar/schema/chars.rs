//! Sets of characters, and how a JSON string spells them.

use super::super::gbnf::{any_of, class, literal};

const MAX: u32 = char::MAX as u32;

/// Set of code points without surrogates: ranges that ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chars(Vec<(u32, u32)>);

impl Chars {
    pub fn none() -> Self {
        Self(vec![])
    }

    pub fn all() -> Self {
        Self(vec![(0, 0xd7ff), (0xe000, MAX)])
    }

    /// Characters that a JSON string spells as they are here: all but controls, quote and backslash.
    pub fn plain() -> Self {
        Self::all()
            .without(0, 0x1f)
            .without('"'.into(), '"'.into())
            .without('\\'.into(), '\\'.into())
            .without(0x7f, 0x7f)
    }

    pub fn of(ranges: &[(u32, u32)]) -> Self {
        ranges.iter().fold(Self::none(), |chars, &(lo, hi)| chars.with(lo, hi))
    }

    pub fn has(&self, code: u32) -> bool {
        self.0.iter().any(|&(lo, hi)| (lo..=hi).contains(&code))
    }

    /// The only character of the set.
    pub fn only(&self) -> Option<u32> {
        match self.0[..] {
            [(lo, hi)] if lo == hi => Some(lo),
            _ => None,
        }
    }

    pub fn without(&self, lo: u32, hi: u32) -> Self {
        let cut = |&(from, to): &(u32, u32)| {
            let before = (from < lo).then(|| (from, to.min(lo.saturating_sub(1))));
            let behind = (to > hi).then(|| (from.max(hi + 1), to));
            before.into_iter().chain(behind)
        };
        Self(self.0.iter().flat_map(cut).collect())
    }

    pub fn with(&self, lo: u32, hi: u32) -> Self {
        let mut ranges = self.without(lo, hi).0;
        ranges
            .extend(Self::all().0.iter().map(|&(from, to)| (from.max(lo), to.min(hi))).filter(|(from, to)| from <= to));
        ranges.sort_unstable();
        Self(ranges)
    }

    pub fn and(&self, other: &Self) -> Self {
        Self::all().minus(&Self::all().minus(self).or(&Self::all().minus(other)))
    }

    pub fn or(&self, other: &Self) -> Self {
        other.0.iter().fold(self.clone(), |chars, &(lo, hi)| chars.with(lo, hi))
    }

    pub fn minus(&self, other: &Self) -> Self {
        other.0.iter().fold(self.clone(), |chars, &(lo, hi)| chars.without(lo, hi))
    }

    /// Class of the characters as they are.
    pub fn class(&self) -> String {
        class(&self.0)
    }

    /// Spellings of one of the characters in a JSON string.
    pub fn in_json(&self) -> String {
        let plain = self.and(&Self::plain());
        let escaped = self.minus(&plain);
        let mut alternatives = Vec::new();
        if plain != Self::none() {
            alternatives.push(plain.class());
        }
        for code in escaped.0.iter().flat_map(|&(lo, hi)| lo..=hi) {
            let short = match char::from_u32(code) {
                Some(c @ ('"' | '\\')) => format!("\\{c}"),
                Some('\n') => "\\n".into(),
                Some('\r') => "\\r".into(),
                Some('\t') => "\\t".into(),
                _ => format!("\\u{code:04X}"),
            };
            alternatives.push(literal(&short));
        }
        any_of(alternatives)
    }
}
