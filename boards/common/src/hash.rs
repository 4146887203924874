//! Numbers that stand for a text and for logits, so that two machines can be compared in one line.

/// FNV-1a, 64 bits, of whatever is fed in (Fowler, Noll and Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv64(u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    fn push(&mut self, x: u64) {
        self.0 = (self.0 ^ x).wrapping_mul(0x0100_0000_01b3);
    }

    /// Takes bytes in, one by one.
    pub fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.push(byte.into()));
    }

    /// Takes the bits of floats in, one float a step: logits that differ in one bit give another number.
    pub fn floats(&mut self, floats: &[f32]) {
        floats.iter().for_each(|x| self.push(x.to_bits().into()));
    }

    /// The number so far.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The checksum of an image in flash: FNV-1a in steps of 32-bit words, little-endian, the last one filled up with zeros.
///
/// A step is a bijection of what came before, so any change within one word is noticed for certain; and it costs a board
/// an instruction a byte, where the usual sums cost five.
pub fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, word: u32| (sum ^ word).wrapping_mul(0x0100_0193);
    let (words, rest) = bytes.as_chunks::<4>();
    let sum = words.iter().fold(0x811c_9dc5, |sum, &word| step(sum, u32::from_le_bytes(word)));
    if rest.is_empty() {
        return sum;
    }
    step(sum, rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)))
}

/// The number in a variable that a build script has set; for a `const`.
///
/// # Panics
/// At compile time, when it is none.
pub const fn parse(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("NEARFIELD_CHECKSUM is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_numbers() {
        // From the authors' test vectors for 64-bit FNV-1a.
        for (text, want) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv64::default();
            hash.bytes(text.as_bytes());
            assert_eq!(hash.get(), want, "{text:?}");
        }
    }

    #[test]
    fn the_sign_of_zero_counts() {
        let of = |x: f32| {
            let mut hash = Fnv64::default();
            hash.floats(&[x]);
            hash.get()
        };
        assert_ne!(of(0.0), of(-0.0));
    }

    #[test]
    fn each_bit_changes_the_checksum() {
        let bytes: [u8; 23] = core::array::from_fn(|i| (i * 37) as u8);
        let whole = checksum(&bytes);
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&flipped), whole, "bit {bit}");
        }
        assert_ne!(checksum(&bytes[..22]), whole);
    }
}
