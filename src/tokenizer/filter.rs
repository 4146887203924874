//! Filter over all tokens, for kinds that search for them: a key that it does not know is in no token.
//!
//! The filter has 16 bits for each token and sets one bit for each key. Vocabularies have about four keys a token (beginnings
//! of tokens, or pairs of neighbors), most of them shared by many tokens. So one in ten unknown keys passes, which costs a
//! lookup of the tokens.

use nearfield_kernels::Arena;

use super::kind::Filtered;
use super::numbers::Numbers;
use super::unicode::first_char;
use super::vocab::{TokenType, Vocab};
use crate::hash::Hash;
use crate::sections::Sections;

/// Words of a filter over `n_tokens`.
const fn words_of(n_tokens: usize) -> usize {
    n_tokens.div_ceil(2)
}

/// Set of the beginnings of tokens, or of the pairs of characters that are neighbors in a token. It may have more than these,
/// never less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'a> {
    words: &'a [u32],
}

impl<'a> Filter<'a> {
    /// A filter that lets nothing pass.
    pub const EMPTY: Self = Self { words: &[] };

    /// Bytes in the index for `n_tokens`.
    pub const fn bytes_of(n_tokens: usize) -> Option<usize> {
        Arena::bytes_of::<u32>(words_of(n_tokens))
    }

    /// Reads the filter from a prepared index; `None` if that ends before.
    pub fn read(parts: &mut Sections<'a>, n_tokens: usize) -> Option<Self> {
        Some(Self { words: parts.take(words_of(n_tokens))? })
    }

    /// Words of the filter in a prepared index.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        Numbers::U32(self.words).words()
    }

    /// True if a key with this hash may be in the filter.
    pub fn may_have(&self, hash: Hash) -> bool {
        let bit = hash.below(32 * self.words.len());
        self.words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 != 0)
    }

    /// True if a token may have these characters in a row.
    pub fn may_have_neighbors(&self, left: u32, right: u32) -> bool {
        self.may_have(Hash::of_pair(left, right))
    }
}

/// A [`Filter`] that is being made.
#[derive(Debug)]
pub(super) struct FilterMut<'a> {
    words: &'a mut [u32],
}

impl<'a> FilterMut<'a> {
    /// Takes a filter that lets nothing pass; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>, n_tokens: usize) -> Option<Self> {
        let words = arena.take(words_of(n_tokens))?;
        words.fill(0);
        Some(Self { words })
    }

    /// Enters the keys that `filtered` names, of all normal tokens.
    pub fn fill(mut self, vocab: &Vocab<'_>, filtered: Filtered) -> Filter<'a> {
        for (id, token) in (0..).zip(vocab.tokens) {
            if vocab.type_of(id) != TokenType::Normal {
                continue;
            }
            match filtered {
                Filtered::Nothing => {}
                Filtered::Prefixes => self.insert_prefixes(token),
                Filtered::Neighbors => self.insert_neighbors(token),
            }
        }
        Filter { words: self.words }
    }

    fn insert_prefixes(&mut self, token: &[u8]) {
        let (mut hash, mut rest) = (Hash::EMPTY, token);
        while let Some((_, len)) = first_char(rest)
            && let Some((char, after)) = rest.split_at_checked(len)
        {
            hash = char.iter().fold(hash, |hash, &byte| hash.then(byte));
            self.insert(hash);
            rest = after;
        }
    }

    fn insert_neighbors(&mut self, token: &[u8]) {
        let (mut left, mut rest) = (None, token);
        while let Some((right, len)) = first_char(rest)
            && let Some(after) = rest.get(len..)
        {
            if let Some(left) = left {
                self.insert(Hash::of_pair(left, u32::from(right)));
            }
            (left, rest) = (Some(u32::from(right)), after);
        }
    }

    fn insert(&mut self, hash: Hash) {
        let bit = hash.below(32 * self.words.len());
        if let Some(word) = self.words.get_mut(bit / 32) {
            *word |= 1 << (bit % 32);
        }
    }
}
