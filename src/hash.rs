//! Hashing for tables: of a tokenizer's index, and of the rules of a grammar.

/// Slots that are tried for one key. A half-full table of 250,000 keys needs a quarter as many. Keys that were made to collide
/// are refused beyond this limit, so no lookup takes long.
pub(crate) const MAX_PROBES: usize = 256;

/// FNV-1a hash. The hash of a longer text continues that of its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u32);

impl Hash {
    /// Hash of no bytes.
    pub const EMPTY: Self = Self(0x811c_9dc5);

    /// Hash of `parts` in a row.
    pub fn of(parts: &[&[u8]]) -> Self {
        parts.iter().copied().flatten().fold(Self::EMPTY, |hash, &byte| hash.then(byte))
    }

    /// Hash of a pair of ids.
    pub fn of_pair(left: u32, right: u32) -> Self {
        Self(left.wrapping_mul(0x9e37_79b1) ^ right.wrapping_mul(0x85eb_ca6b).rotate_left(16))
    }

    /// Hash of the same bytes and one more.
    pub fn then(self, byte: u8) -> Self {
        Self((self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// Number below `n` that depends on every bit of the hash, by the finalizer of MurmurHash3.
    pub fn below(self, n: usize) -> usize {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^= hash >> 16;
        ((u64::from(hash) * n as u64) >> 32) as usize
    }
}

/// Slots of a table of `n` in which a key may lie, in the order in which they are tried.
pub(crate) fn probes(hash: Hash, n: usize) -> impl Iterator<Item = usize> {
    let first = hash.below(n);
    (0..n.min(MAX_PROBES)).map(move |i| if first + i < n { first + i } else { first + i - n })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_hash_continues() {
        assert_eq!(Hash::of(&[b"ab", b"", b"c"]), Hash::of(&[b"abc"]));
        assert_eq!(Hash::of(&[b"ab"]).then(b'c'), Hash::of(&[b"abc"]));
    }

    #[test]
    fn probes_go_round_once() {
        let mut seen: Vec<usize> = probes(Hash::of(&[b"x"]), 7).collect();
        assert!(seen.windows(2).all(|w| w[1] == (w[0] + 1) % 7));
        seen.sort();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(probes(Hash::EMPTY, 0).count(), 0);
        assert_eq!(probes(Hash::EMPTY, 1000).count(), MAX_PROBES);
    }
}
