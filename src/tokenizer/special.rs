//! Tokens that are found in a text before it is cut: control tokens such as `<|endoftext|>`, and those that a user
//! defined.
//!
//! At each place the longest one wins, and the first place before later ones (Hugging Face's `tokenizers`; llama.cpp
//! takes the longest first wherever it is, which differs only where two of them overlap). Nearly every place costs one
//! look into a filter of 512 bytes, however many tokens there are; none costs more looks than the longest token has
//! bytes.

use nearfield_kernels::Arena;

use super::hash::Hash;

/// Bytes of the longest special token that is looked for. Those in use have some dozens; the limit keeps a search short
/// in any text.
pub(super) const MAX_LEN: usize = 512;
/// Bits of each of the two filters.
const BITS: usize = 2048;
const WORDS: usize = 2 * BITS / 32;

/// A Bloom filter of all that special tokens begin with, and one of the whole tokens.
#[derive(Debug)]
pub(super) struct SpecialFilter<'a> {
    words: &'a mut [u32],
    longest: usize,
}

impl<'a> SpecialFilter<'a> {
    /// Bytes of arena.
    pub const fn bytes() -> Option<usize> {
        Arena::bytes_of::<u32>(WORDS)
    }

    /// A filter that lets nothing pass; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>) -> Option<Self> {
        let words = arena.take(WORDS)?;
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

    /// Whether no token was inserted, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// The longest start of `text` that `accept` knows as a special token, and its id. It is asked, with the hash and
    /// the text, for few that are none.
    pub fn longest_match(&self, text: &[u8], accept: impl Fn(Hash, &[u8]) -> Option<u32>) -> Option<(usize, u32)> {
        let (mut hash, mut found) = (Hash::EMPTY, None);
        for (before, &byte) in text.iter().take(self.longest).enumerate() {
            hash = hash.then(byte);
            let bit = hash.below(BITS);
            if !self.has(bit) {
                break;
            }
            if self.has(BITS + bit)
                && let Some(id) = accept(hash, &text[..=before])
            {
                found = Some((before + 1, id));
            }
        }
        found
    }

    fn set(&mut self, bit: usize) {
        self.words[bit / 32] |= 1 << (bit % 32);
    }

    fn has(&self, bit: usize) -> bool {
        self.words[bit / 32] >> (bit % 32) & 1 != 0
    }
}
