//! The checksum of what lies in flash or comes from a disk: a model, a tokenizer's index, a snapshot.

/// The checksum of bytes: a hash of their 32-bit words, little-endian, the last one filled up with zeros.
///
/// It is not one for what is made to collide, and tells nothing of the length.
pub fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum = words.iter().fold(Checksum::EMPTY, |sum, &word| sum.then(u32::from_le_bytes(word)));
    if rest.is_empty() {
        return sum.get();
    }
    sum.then(rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))).get()
}

/// A hash of words that any single wrong word changes: each step maps the sums one to one.
///
/// Two instructions a word on a Cortex-M (xor with a rotated register, multiply) besides the load, as in Firefox' hasher: well
/// under one a byte, where the usual sums cost five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Of no words.
    pub(crate) const EMPTY: Self = Self(0);

    /// Of all of them.
    pub(crate) fn of(words: impl Iterator<Item = u32>) -> u32 {
        words.fold(Self::EMPTY, Self::then).0
    }

    /// With one more.
    pub(crate) fn then(self, word: u32) -> Self {
        Self((self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9))
    }

    /// The number.
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_changes_it() {
        let bytes: [u8; 23] = core::array::from_fn(|i| (i * 37) as u8);
        let whole = checksum(&bytes);
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&flipped), whole, "bit {bit}");
        }
        assert_ne!(checksum(&bytes[..22]), whole);
    }

    #[test]
    fn bytes_are_little_endian_words() {
        let words = [0x0403_0201, 0x0807_0605, 0x0000_0a09];
        assert_eq!(checksum(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), Checksum::of(words.into_iter()));
        assert_eq!(checksum(&[]), 0);
    }
}
