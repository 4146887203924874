//! Hashes of a text and of logits, so that two machines can be compared in one line.

/// FNV-1a hash of 64 bits (Fowler, Noll and Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>).
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

    /// Feeds bytes, one by one.
    pub fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.push(byte.into()));
    }

    /// Feeds the bits of floats, one float a step, so that one changed bit changes the hash.
    pub fn floats(&mut self, floats: &[f32]) {
        floats.iter().for_each(|x| self.push(x.to_bits().into()));
    }

    /// Hash of all that was fed.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Decimal number of a variable that a build script has set, in a `const`.
///
/// # Panics
/// Panics at compile time when the text is no number.
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
        // Source: the authors' test vectors for 64-bit FNV-1a.
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
}
