//! Checksum of data in flash or on a disk: a model, a tokenizer's index, a snapshot.

/// Computes the checksum of bytes: a hash of their 32-bit words, little-endian, the last one padded with zeros.
///
/// The checksum detects errors, not forgeries, and does not cover the length.
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut words = Words::behind(Checksum::EMPTY);
    words.push(bytes);
    words.get()
}

/// A hash of words that any single wrong word changes: each step maps the sums one to one.
///
/// A word takes two instructions on a Cortex-M (xor with a rotated register, multiply) besides the load, as in Firefox' hasher:
/// well under one instruction a byte, where usual checksums take five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Checksum of no words.
    pub(crate) const EMPTY: Self = Self(0);

    /// Computes the checksum of all `words`.
    pub(crate) fn of(words: impl Iterator<Item = u32>) -> u32 {
        words.fold(Self::EMPTY, Self::then).0
    }

    /// Checksum of the same words and one more.
    pub(crate) fn then(self, word: u32) -> Self {
        Self((self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9))
    }

    /// Value of the checksum.
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

/// Computes the checksum of bytes that come in pieces of any length.
pub(crate) struct Words {
    sum: Checksum,
    /// Bytes of an incomplete word, the first one lowest.
    word: u32,
    n_bytes: u32,
}

impl Words {
    /// Continues the checksum of earlier words.
    pub(crate) fn behind(sum: Checksum) -> Self {
        Self { sum, word: 0, n_bytes: 0 }
    }

    /// Adds bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.n_bytes == 0 {
            let (words, rest) = bytes.as_chunks::<4>();
            self.sum = words.iter().fold(self.sum, |sum, &word| sum.then(u32::from_le_bytes(word)));
            bytes = rest;
        }
        for &byte in bytes {
            self.word |= u32::from(byte) << (8 * self.n_bytes);
            self.n_bytes += 1;
            if self.n_bytes == 4 {
                self.sum = self.sum.then(self.word);
                (self.word, self.n_bytes) = (0, 0);
            }
        }
    }

    /// Checksum so far.
    pub(crate) fn get(&self) -> u32 {
        if self.n_bytes == 0 { self.sum.get() } else { self.sum.then(self.word).get() }
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

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        let bytes: [u8; 23] = core::array::from_fn(|i| (i * 37) as u8);
        for (first, second) in [(0, 0), (1, 2), (3, 9), (4, 8), (7, 22), (23, 23)] {
            let mut words = Words::behind(Checksum::EMPTY);
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                words.push(piece);
            }
            assert_eq!(words.get(), checksum(&bytes), "{first}, {second}");
        }
    }
}
