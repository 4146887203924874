//! Integer arithmetic that floats are made of: products of more than 32 bits, places of the first one.

/// Product of two numbers below 2^24: its upper 32 bits, and its lower 16.
#[inline(always)]
pub(super) fn product(a: u32, b: u32) -> (u32, u32) {
    // ARMv6-M multiplies 32 bits to 32: the compiler would call a function for more.
    if cfg!(target_arch = "arm") {
        return product_of_halves(a, b);
    }
    // Shifted up, so that the upper bits fill a register.
    let product = u64::from(a << 8) * u64::from(b << 8);
    ((product >> 32) as u32, product as u32 >> 16)
}

/// Computes [`product`] by four products of 16 bits.
#[inline(always)]
fn product_of_halves(a: u32, b: u32) -> (u32, u32) {
    let ([a_high, a_low], [b_high, b_low]) = ([a >> 16, a & 0xffff], [b >> 16, b & 0xffff]);
    let low = a_low * b_low;
    // The cross products have 24 bits.
    (((a_high * b_high) << 16) + (a_high * b_low + a_low * b_high) + (low >> 16), low & 0xffff)
}

/// Zeros before the first one of a byte.
pub(crate) static ZEROS: [u8; 256] = {
    let mut table = [8; 256];
    let mut i = 1;
    while i < table.len() {
        table[i] = (i as u8).leading_zeros() as u8;
        i += 1;
    }
    table
};

/// Shifts `x`, which is not zero, up until its first one is bit 31; by how many places.
#[inline(always)]
pub(crate) fn normalize(x: u32) -> (u32, u32) {
    if cfg!(target_feature = "zbb") {
        return (x << x.leading_zeros(), x.leading_zeros());
    }
    // Processors without an instruction that counts zeros would call a function.
    let (mut x, mut places) = (x, 0);
    if x >> 16 == 0 {
        (x, places) = (x << 16, 16);
    }
    if x >> 24 == 0 {
        (x, places) = (x << 8, places + 8);
    }
    let last = u32::from(ZEROS[(x >> 24) as usize]);
    (x << (last & 7), places + last)
}

/// `256 / b - 256` for the middle `b` of each interval of 1/256 in 1/2..1.
const RECIPROCALS: [u8; 128] = {
    let mut table = [0; 128];
    let mut i = 0;
    while i < table.len() {
        let middle = 2 * (128 + i as u32) + 1;
        table[i] = (((1 << 18) / middle).div_ceil(2) - 256) as u8;
        i += 1;
    }
    table
};

/// `2^39 / x` for x in 2^23..2^24, too small by at most 1/4000 of it and never too large.
#[inline(always)]
pub(super) fn reciprocal(x: u32) -> u32 {
    let near = 256 + u32::from(RECIPROCALS[(x >> 16 & 127) as usize]);
    // A step of Newton's, `r (2 - b r)`, which squares the error and ends below `1 / b` from either side. `b` is rounded up.
    let step = ((1 << 25) - ((x >> 8) + 1) * near) >> 8;
    (near * step) >> 9
}

/// Number of 64 bits. The compiler takes calls for its shifts on 32-bit processors.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub high: u32,
    pub low: u32,
}

impl Wide {
    /// Divides by `2^places`. The last bit is also set if a one was shifted out.
    #[inline(always)]
    pub fn shift_right(self, places: u32) -> Self {
        let Self { high, low } = self;
        match places {
            0 => self,
            1..=31 => {
                let lost = low << (32 - places) != 0;
                Self { high: high >> places, low: low >> places | high << (32 - places) | u32::from(lost) }
            }
            32 => Self { high: 0, low: high | u32::from(low != 0) },
            33..=63 => {
                let lost = high << (64 - places) | low;
                Self { high: 0, low: high >> (places - 32) | u32::from(lost != 0) }
            }
            _ => Self { high: 0, low: 1 },
        }
    }

    /// Shifts a number that is not zero up until its first one is bit 63; by how many places.
    #[inline(always)]
    pub fn normalize(self) -> (Self, u32) {
        if self.high == 0 {
            let (high, places) = normalize(self.low);
            return (Self { high, low: 0 }, 32 + places);
        }
        let (high, places) = normalize(self.high);
        let from_low = if places == 0 { 0 } else { self.low >> (32 - places) };
        (Self { high: high | from_low, low: self.low << places }, places)
    }

    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high + other.high + u32::from(carry), low }
    }

    /// `self - other`, which is not negative.
    #[inline(always)]
    pub fn subtract(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high - other.high - u32::from(borrow), low }
    }

    #[inline(always)]
    pub fn is_below(self, other: Self) -> bool {
        (self.high, self.low) < (other.high, other.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rng;

    #[test]
    fn halves_give_the_product() {
        let mut rng = Rng::new(3);
        let edges = [1 << 23, (1 << 23) + 1, 0xff_ffff, 0xff_0000, 0x80_ffff];
        let drawn = (0..10_000).map(|_| [rng.bits() >> 8, rng.bits() >> 8]);
        let edges = edges.into_iter().flat_map(|a| edges.map(|b| [a, b]));
        for [a, b] in edges.chain(drawn) {
            let product = u64::from(a) * u64::from(b);
            let (high, low) = product_of_halves(a, b);
            assert_eq!(u64::from(high) << 16 | u64::from(low), product, "{a} * {b}");
        }
    }

    #[test]
    fn reciprocals_are_close_and_not_too_large() {
        for x in (1 << 23..1 << 24).step_by(101).chain([(1 << 24) - 1]) {
            let (exact, got) = ((1_u64 << 39) / u64::from(x), u64::from(reciprocal(x)));
            assert!(got <= exact && exact - got <= exact / 4000, "1 / {x}: {got}, not {exact}");
        }
    }
}
