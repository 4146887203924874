//! Tokens that are found in a text before it is cut: control tokens such as `<|endoftext|>`, and those that a user
//! defined.
//!
//! At each place the longest one wins, and the first place before later ones (Hugging Face's `tokenizers`; llama.cpp
//! takes the longest first wherever it is, which differs only where two of them overlap). Nearly every place costs one
//! look into a filter of 512 bytes, however many tokens there are; none costs more looks than the longest token has
//! bytes.

use nearfield_kernels::Arena;

use super::hash::Hash;
use super::numbers::Numbers;
use crate::sections::Sections;

/// Bytes of the longest special token that is looked for. Those in use have some dozens; the limit keeps a search short
/// in any text.
pub(super) const MAX_LEN: usize = 512;
/// Bits of each of the two filters.
const BITS: usize = 2048;
const WORDS: usize = 2 * BITS / 32;

/// A Bloom filter of all that special tokens begin with, and one of the whole tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecialFilter<'a> {
    words: &'a [u32; WORDS],
    longest: usize,
}

impl<'a> SpecialFilter<'a> {
    /// Bytes of index.
    pub const fn bytes() -> Option<usize> {
        Arena::bytes_of::<u32>(WORDS)
    }

    /// The next part of a prepared index, whose header knows the `longest` token; `None` if it ends before.
    pub fn read(parts: &mut Sections<'a>, longest: usize) -> Option<Self> {
        Some(Self { words: parts.take(WORDS)?.first_chunk()?, longest })
    }

    /// The part as a prepared index holds it.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        Numbers::U32(self.words).words()
    }

    /// Bytes of the longest token.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Whether no token was inserted, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// The longest start of `text` that `accept` knows as a special token, and its id. It is asked, with the hash and
    /// the text, for few that are none.
    pub fn longest_match(&self, text: &[u8], accept: impl Fn(Hash, &[u8]) -> Option<u32>) -> Option<(usize, u32)> {
        let (mut hash, mut found) = (Hash::EMPTY, None);
        for (len, &byte) in (1..=self.longest).zip(text) {
            hash = hash.then(byte);
            let bit = hash.below(BITS);
            if !self.has(bit) {
                break;
            }
            if self.has(BITS + bit)
                && let Some(id) = text.get(..len).and_then(|token| accept(hash, token))
            {
                found = Some((len, id));
            }
        }
        found
    }

    fn has(&self, bit: usize) -> bool {
        self.words[bit / 32] >> (bit % 32) & 1 != 0
    }
}

/// A [`SpecialFilter`] that is being made.
#[derive(Debug)]
pub(super) struct SpecialFilterMut<'a> {
    words: &'a mut [u32; WORDS],
    longest: usize,
}

impl<'a> SpecialFilterMut<'a> {
    /// A filter that lets nothing pass; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>) -> Option<Self> {
        let words = arena.take(WORDS)?.first_chunk_mut()?;
        words.fill(0);
        Some(Self { words, longest: 0 })
    }

    /// Lets a token pass.
    pub fn insert(&mut self, token: &[u8]) {
        let mut hash = Hash::EMPTY;
        for &byte in token {
            hash = hash.then(byte);
            self.set(hash.below(BITS));
        }
        self.set(BITS + hash.below(BITS));
        self.longest = self.longest.max(token.len());
    }

    fn set(&mut self, bit: usize) {
        self.words[bit / 32] |= 1 << (bit % 32);
    }

    /// The filter, to be read alone from now on.
    pub fn finish(self) -> SpecialFilter<'a> {
        SpecialFilter { words: self.words, longest: self.longest }
    }
}
