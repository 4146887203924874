//! `precompiled_charsmap`: the replacements that a SentencePiece model makes in a text before it is cut, such as NFKC.
//!
//! The map consists of a length of four bytes, a trie of that many bytes, and the replacements, each ended by a zero. The trie
//! is a double array of `u32` (Aoe 1989, as `darts-clone` lays it out): bits 10.. and 9 of a unit give the place of its
//! children, bit 8 is set if a key ends in it, bits 0..8 are the byte that leads to it. If a key ends, the child of byte zero
//! holds the place of the replacement. Source: SentencePiece's `normalizer.cc` and `darts.h`.

/// Greatest length of a key and of a replacement, in bytes. Those of NFKC have a few dozens; the limit keeps the work for each
/// character short in any file.
const MAX_LEN: usize = 256;

/// Replacements of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charsmap<'f> {
    units: &'f [[u8; 4]],
    replacements: &'f [u8],
}

impl<'f> Charsmap<'f> {
    /// No replacements.
    pub const EMPTY: Self = Self { units: &[], replacements: &[] };

    /// Reads the map from the bytes of the file; `None` if they end too early. [`is_sound`](Self::is_sound) checks the rest.
    pub fn new(blob: &'f [u8]) -> Option<Self> {
        let (len, rest) = blob.split_first_chunk()?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some(Self { units: trie.as_chunks().0, replacements })
    }

    /// True if all replacements end, and none is too long.
    pub fn is_sound(&self) -> bool {
        let mut strings = self.replacements.split(|&byte| byte == 0);
        // The string behind the last zero is empty.
        self.replacements.last().is_none_or(|&last| last == 0) && strings.all(|string| string.len() <= MAX_LEN)
    }

    /// Length of the longest key that `text` begins with, and its replacement.
    pub fn longest_match(&self, text: &[u8]) -> Option<(usize, &'f [u8])> {
        let (mut node, mut found) = (offset(self.unit(0)?), None);
        for (i, &byte) in text.iter().take(MAX_LEN).enumerate() {
            node ^= u32::from(byte);
            let Some(unit) = self.unit(node).filter(|unit| unit & (1 << 31 | 0xff) == u32::from(byte)) else { break };
            node ^= offset(unit);
            if unit >> 8 & 1 != 0
                && let Some(value) = self.unit(node)
            {
                found = Some((i + 1, value & !(1 << 31)));
            }
        }
        let (len, start) = found?;
        Some((len, self.replacements.get(start as usize..)?.split(|&byte| byte == 0).next()?))
    }

    fn unit(&self, node: u32) -> Option<u32> {
        self.units.get(node as usize).copied().map(u32::from_le_bytes)
    }
}

/// Offset of a unit's children: a child lies at the unit's place XOR this offset XOR the child's byte.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & 1 << 9) >> 6)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    /// A key is found where it ends, not where a character only begins as it does.
    #[test]
    fn whole_keys_are_found() {
        // One key, `ab`: each unit has its byte and its place XOR that of its children, which is 256, 512 and 768.
        let mut trie = vec![0u32; 1024];
        trie[0] = 256 << 10;
        trie[256 ^ 0x61] = (256 ^ 0x61 ^ 512) << 10 | 0x61;
        trie[512 ^ 0x62] = (512 ^ 0x62 ^ 768) << 10 | 1 << 8 | 0x62;
        trie[768] = 1 << 31 | 2;
        let units: vec::Vec<[u8; 4]> = trie.into_iter().map(u32::to_le_bytes).collect();
        let map = Charsmap { units: &units, replacements: b"x\0yz\0" };
        assert!(map.is_sound());
        for text in ["ab", "abc", "abab"] {
            assert_eq!(map.longest_match(text.as_bytes()), Some((2, &b"yz"[..])), "{text}");
        }
        for text in ["", "a", "ac", "b", "ba"] {
            assert_eq!(map.longest_match(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn far_children_are_counted_in_256s() {
        assert_eq!([offset(5 << 10 | 1 << 8 | 0xff), offset(5 << 10 | 1 << 9 | 0xff)], [5, 5 << 8]);
    }
}
