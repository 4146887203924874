//! `precompiled_charsmap`: the replacements that a SentencePiece model makes in a text before it is cut, such as NFKC.
//!
//! A length of four bytes, a trie of that many bytes, then the replacements, each ended by a zero. The trie is a double
//! array of `u32` (Aoe 1989, as `darts-clone` lays it out): bits 10.. and 9 of a unit give where its children lie, bit 8
//! whether a key ends in it, bits 0..8 the byte that leads to it; where a key ends, the child of byte zero holds the
//! place of the replacement. Source: SentencePiece's `normalizer.cc` and `darts.h`.

/// Bytes of the longest key and of the longest replacement that can be. Those of NFKC have a few dozens; the limit keeps
/// the work for each character short in any file.
const MAX_LEN: usize = 256;

/// The replacements of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charsmap<'f> {
    units: &'f [[u8; 4]],
    replacements: &'f [u8],
}

impl<'f> Charsmap<'f> {
    /// No replacements.
    pub const EMPTY: Self = Self { units: &[], replacements: &[] };

    /// The map in the bytes of the file; `None` if it ends too early. Nothing else is [checked](Self::is_sound).
    pub fn new(blob: &'f [u8]) -> Option<Self> {
        let (len, rest) = blob.split_first_chunk()?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some(Self { units: trie.as_chunks().0, replacements })
    }

    /// Whether all replacements end, and none is too long.
    pub fn is_sound(&self) -> bool {
        let mut strings = self.replacements.split(|&byte| byte == 0);
        // Behind the last zero there is nothing.
        self.replacements.last().is_none_or(|&last| last == 0) && strings.all(|string| string.len() <= MAX_LEN)
    }

    /// The longest key that `text` begins with: its length, and what takes its place.
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

/// Where the children of a unit lie, to be combined with the byte of each.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & 1 << 9) >> 6)
}
