//! Breakers of DRY: tokens that no repetition reaches across.

use super::history::History;
use super::token_set::TokenSet;

/// Tokens that no repetition reaches across.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DryBreakers<'s> {
    /// Tokens that are breakers by themselves. They have no penalty either.
    pub tokens: TokenSet<'s>,
    /// Breakers of several tokens, in ascending order.
    pub sequences: &'s [&'s [u32]],
}

impl DryBreakers<'_> {
    /// No breakers.
    pub const NONE: DryBreakers<'static> = DryBreakers { tokens: TokenSet::EMPTY, sequences: &[] };

    /// Tokens behind the first of the longest breaker that begins `i` before the newest token; `None` if none does.
    fn tail(&self, history: &History<'_>, i: usize) -> Option<usize> {
        let token = history.back(i)?;
        let first = self.sequences.partition_point(|sequence| sequence.first() < Some(&token));
        let sequences = self.sequences.iter().skip(first).take_while(|sequence| sequence.first() == Some(&token));
        let tails = sequences.filter_map(|sequence| sequence.get(1..)).filter(|tail| {
            tail.len() <= i
                && (1..).zip(*tail).all(|(offset, &token)| history.back(i.wrapping_sub(offset)) == Some(token))
        });
        let alone = self.tokens.contains(token).then_some(0);
        tails.map(<[u32]>::len).chain(alone).max()
    }

    /// True if the token is a breaker by itself.
    pub(super) fn is_breaker(&self, token: u32) -> bool {
        self.tokens.contains(token) || self.sequences.binary_search(&[token].as_slice()).is_ok()
    }

    /// Length of the longest end of the last `n` tokens that reaches across no breaker.
    pub(super) fn limit(&self, history: &History<'_>, n: usize) -> usize {
        if *self == Self::NONE {
            return n;
        }
        (0..n).find_map(|i| Some(i.saturating_sub(self.tail(history, i)?))).unwrap_or(n)
    }
}
