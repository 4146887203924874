//! Sets of tokens, with a bit for each token of the vocabulary.

use core::iter::Copied;
use core::slice::Iter;

/// A set of tokens over borrowed words: bit `i % 32` of word `i / 32` is token `i`. Tokens behind the last word are not in it.
///
/// ```
/// use nearfield::TokenSet;
///
/// let mut words = [0; TokenSet::n_words(1000)];
/// for token in [3, 40, 999] {
///     TokenSet::insert(&mut words, token);
/// }
/// let set = TokenSet::new(&words);
/// assert!(set.contains(40) && !set.contains(41) && !set.contains(u32::MAX));
/// assert!(set.iter().eq([3, 40, 999]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TokenSet<'a> {
    words: &'a [u32],
}

impl<'a> TokenSet<'a> {
    /// A set without tokens.
    pub const EMPTY: TokenSet<'static> = TokenSet { words: &[] };

    /// The set that these words hold.
    pub const fn new(words: &'a [u32]) -> Self {
        Self { words }
    }

    /// Number of words for the sets of a vocabulary.
    pub const fn n_words(n_tokens: usize) -> usize {
        n_tokens.div_ceil(u32::BITS as usize)
    }

    /// Puts a token into the set that the words hold; false if they have no bit for it.
    pub fn insert(words: &mut [u32], token: u32) -> bool {
        match words.get_mut((token / u32::BITS) as usize) {
            Some(word) => {
                *word |= 1 << (token % u32::BITS);
                true
            }
            None => false,
        }
    }

    /// Takes a token out of a set in this memory; false if it has no place there.
    pub fn remove(words: &mut [u32], token: u32) -> bool {
        match words.get_mut((token / u32::BITS) as usize) {
            Some(word) => {
                *word &= !(1 << (token % u32::BITS));
                true
            }
            None => false,
        }
    }

    /// True if the token is in the set.
    pub fn contains(&self, token: u32) -> bool {
        self.words.get((token / u32::BITS) as usize).is_some_and(|word| word >> (token % u32::BITS) & 1 == 1)
    }

    /// Number of tokens in the set. Reads all words.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// True if no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Iterates over the tokens in the set, the lowest first. A word without tokens takes one comparison.
    pub fn iter(&self) -> Tokens<'a> {
        Tokens { words: self.words.iter().copied(), rest: 0, first: 0u32.wrapping_sub(u32::BITS) }
    }
}

impl<'a> IntoIterator for TokenSet<'a> {
    type Item = u32;
    type IntoIter = Tokens<'a>;

    fn into_iter(self) -> Tokens<'a> {
        self.iter()
    }
}

/// Iterator over the tokens of a [`TokenSet`], the lowest first.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// Words behind the present one.
    words: Copied<Iter<'a, u32>>,
    /// Tokens of the present word that are still to come.
    rest: u32,
    /// Token of the lowest bit of the present word.
    first: u32,
}

impl Iterator for Tokens<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.rest == 0 {
            self.rest = self.words.next()?;
            self.first = self.first.wrapping_add(u32::BITS);
        }
        let token = self.first.wrapping_add(self.rest.trailing_zeros());
        self.rest &= self.rest - 1;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;
    use crate::sampler::rng::Rng;

    #[test]
    fn a_set_holds_what_was_inserted() {
        let mut rng = Rng::new(1);
        for n_tokens in [1, 31, 32, 33, 64, 1000] {
            for n in [0, 1, 5, 100] {
                let mut words = std::vec![0; TokenSet::n_words(n_tokens)];
                let want: BTreeSet<u32> = (0..n).map(|_| rng.below(n_tokens as u64) as u32).collect();
                assert!(want.iter().all(|&token| TokenSet::insert(&mut words, token)));
                let set = TokenSet::new(&words);
                assert!(set.iter().eq(want.iter().copied()));
                assert_eq!((set.len(), set.is_empty()), (want.len(), want.is_empty()));
                let contained: Vec<u32> = (0..2000).filter(|&token| set.contains(token)).collect();
                assert!(want.iter().eq(&contained));
            }
        }
    }

    #[test]
    fn tokens_behind_the_last_word_have_no_bit() {
        let mut words = [u32::MAX; 2];
        assert_eq!([63, 64, u32::MAX].map(|token| TokenSet::insert(&mut words, token)), [true, false, false]);
        let set = TokenSet::new(&words);
        assert_eq!([63, 64, u32::MAX].map(|token| set.contains(token)), [true, false, false]);
        assert_eq!(TokenSet::EMPTY.iter().next(), None);
    }
}
