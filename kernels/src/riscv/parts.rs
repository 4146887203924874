//! Floats in parts, for chains of operations on numbers of known ranges: a sign, an exponent and a magnitude.
//!
//! Every operation is rounded to 24 bits, to nearest, half to even, as a float's is. Numbers and results have to be those that a float
//! holds as normal numbers: neither zero nor subnormal, neither infinite nor NaN.

use core::ops::Neg;

use crate::soft::word::normalize;

/// Leading one of a magnitude.
pub(super) const ONE: u32 = 1 << 29;
const SIGN: u32 = 1 << 31;

/// `± top · 2^(exponent - 156)`. `top` lies in `2^29..=2^30`, of which the upper 24 bits are in use once it is rounded; the exponent is a
/// float's, or one less for `2^30`. Two bits above the leading one are free, so that even the sum of the two largest magnitudes fits.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// Sign, in bit 31.
    pub sign: u32,
    pub exponent: u32,
    pub top: u32,
}

/// Number that others are multiplied by: `± top · 2^(exponent - 158)`, `top` in `2^31..2^32`.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    pub sign: u32,
    pub exponent: u32,
    pub top: u32,
}

/// Rounds a magnitude to 24 bits, in place.
#[inline(always)]
pub(super) fn round(top: u32) -> u32 {
    (top + 31 + (top >> 6 & 1)) & !63
}

/// `a * b / 2^32`, with the lowest bit set if there is a rest.
#[inline(always)]
pub(super) fn product(a: u32, b: u32) -> u32 {
    let product = u64::from(a) * u64::from(b);
    (product >> 32) as u32 | u32::from(product as u32 != 0)
}

/// `top / 2^places` of a rounded magnitude, up to 26 places, with the lowest bit set if there is a rest.
#[inline(always)]
fn shifted(top: u32, places: u32) -> u32 {
    let whole = top >> places;
    whole | u32::from(whole << places != top)
}

/// Rest and digit of `rest · 2^BITS / divisor`, for a rest below the divisor, which has 24 bits.
#[inline(always)]
fn digit<const BITS: u32>(rest: u32, divisor: u32) -> (u32, u32) {
    let digit = (rest << BITS) / divisor;
    ((rest << BITS) - digit * divisor, digit)
}

impl Factor {
    /// Parts of a normal number.
    pub const fn new(x: f32) -> Self {
        let bits = x.to_bits();
        Self { sign: bits & SIGN, exponent: bits << 1 >> 24, top: bits << 8 | SIGN }
    }
}

impl Parts {
    pub const ONE: Self = Self::new(1.0);

    /// Parts of a normal number.
    pub const fn new(x: f32) -> Self {
        let Factor { sign, exponent, top } = Factor::new(x);
        Self { sign, exponent, top: top >> 2 }
    }

    /// Parts of normal numbers.
    pub const fn all<const N: usize>(x: [f32; N]) -> [Self; N] {
        let mut parts = [Self::ONE; N];
        let mut i = 0;
        while i < N {
            parts[i] = Self::new(x[i]);
            i += 1;
        }
        parts
    }

    /// Parts of `n · 2^exponent`; `n` is not zero.
    #[inline(always)]
    fn from_int(n: i32, exponent: i32) -> Self {
        let (top, places) = normalize(n.unsigned_abs());
        Self { sign: n as u32 & SIGN, exponent: (158 + exponent) as u32 - places, top: top >> 2 }
    }

    /// The number as a float.
    #[inline(always)]
    pub fn float(self) -> f32 {
        f32::from_bits(self.sign | (((self.exponent - 1) << 23) + (self.top >> 6)))
    }

    #[inline(always)]
    pub fn factor(self) -> Factor {
        let Self { sign, exponent, top } = self;
        match top << 2 {
            0 => Factor { sign, exponent: exponent + 1, top: SIGN },
            top => Factor { sign, exponent, top },
        }
    }

    /// `self · 2^n`.
    #[inline(always)]
    pub fn times_power(self, n: i32) -> Self {
        Self { exponent: self.exponent.wrapping_add_signed(n), ..self }
    }

    /// `self * other`.
    #[inline(always)]
    pub fn times(self, other: Factor) -> Self {
        let (mut top, mut exponent) = (product(self.top, other.top), self.exponent + other.exponent - 126);
        if top & ONE == 0 {
            top <<= 1;
            exponent -= 1;
        }
        Self { sign: self.sign ^ other.sign, exponent, top: round(top) }
    }

    /// `self + other`, of whose magnitude `self` has at least the double.
    #[inline(always)]
    pub fn plus_small(self, other: Self) -> Self {
        let distance = self.exponent - other.exponent;
        if distance > 26 {
            return self;
        }
        let small = shifted(other.top, distance);
        if (self.sign ^ other.sign) == 0 {
            return self.with_sum(self.top + small);
        }
        let (mut top, mut exponent) = (self.top - small, self.exponent);
        if top & ONE == 0 {
            top <<= 1;
            exponent -= 1;
        }
        Self { sign: self.sign, exponent, top: round(top) }
    }

    /// `self + other` of the same sign.
    #[inline(always)]
    pub fn plus_alike(self, other: Self) -> Self {
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let distance = large.exponent - small.exponent;
        if distance > 26 {
            return large;
        }
        large.with_sum(large.top + shifted(small.top, distance))
    }

    /// `self` with another magnitude, which may be too large by a place, or by two as `2^31`, where no bit is lost.
    #[inline(always)]
    fn with_sum(self, top: u32) -> Self {
        let more = top >> 30;
        Self { sign: self.sign, exponent: self.exponent + more, top: round(top >> more | top & 1) }
    }

    /// `self + other`; `None` for zero.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Option<Self> {
        if self.sign == other.sign { Some(self.plus_alike(other)) } else { self.minus_alike(-other) }
    }

    /// `self - other` of the same sign; `None` for zero.
    #[inline(always)]
    pub fn minus_alike(self, other: Self) -> Option<Self> {
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let turned = if self.exponent >= other.exponent { 0 } else { SIGN };
        let distance = large.exponent - small.exponent;
        if distance > 26 {
            return Some(Self { sign: self.sign ^ turned, ..large });
        }
        let (mut sign, mut top) = (self.sign ^ turned, large.top.wrapping_sub(shifted(small.top, distance)));
        if top == 0 {
            return None;
        }
        // Of one exponent, the second may be the larger.
        if top >> 31 != 0 {
            top = top.wrapping_neg();
            sign ^= SIGN;
        }
        let (top, places) = normalize(top);
        Some(Self { sign, exponent: large.exponent + 2 - places, top: round(top >> 2) })
    }

    /// `1 / self`.
    #[inline(always)]
    pub fn reciprocal(self) -> Self {
        let Factor { sign, exponent, top } = self.factor();
        // The leading one is there already; the compiler sees that nothing is divided by zero.
        let divisor = top >> 8 | 1 << 23;
        if divisor == 1 << 23 {
            return Self { sign, exponent: 254 - exponent, top: ONE };
        }
        // The quotient lies in 1/2..1: a digit of 8 bits after the other, three times, and a last one of 2 bits.
        let (rest, first) = digit::<8>(1 << 23, divisor);
        let (rest, second) = digit::<8>(rest, divisor);
        let (rest, third) = digit::<8>(rest, divisor);
        let (rest, last) = digit::<2>(rest, divisor);
        let quotient = first << 18 | second << 10 | third << 2 | last;
        let top = quotient << 4 | u32::from(rest != 0);
        Self { sign, exponent: 253 - exponent, top: round(top) }
    }

    /// Nearest integer, half to even, of a number in ±2^7.
    #[inline(always)]
    pub fn nearest(self) -> i32 {
        // A half or less.
        if self.exponent < 126 {
            return 0;
        }
        let places = 156 - self.exponent;
        let (whole, rest) = (self.top >> places, self.top << (32 - places));
        let up = rest > SIGN || rest == SIGN && whole & 1 == 1;
        let whole = (whole + u32::from(up)) as i32;
        if self.sign == 0 { whole } else { -whole }
    }

    /// `e^self`, with the operations of [`crate::scalar::exp`], for a magnitude in `2^-60..87`; `None` where a number between is zero.
    #[inline(always)]
    pub fn exp(self) -> Option<Self> {
        use crate::scalar::constants::{EXP, LN_2_LOW};
        const LOG2_E: Factor = Factor::new(core::f32::consts::LOG2_E);
        const LOW: Factor = Factor::new(-LN_2_LOW);
        let n = self.times(LOG2_E).nearest();
        let r = match n {
            0 => self,
            // `n · LN_2_HIGH`, of 16 bits, is exact, and has this number's sign.
            n => {
                let rest = self.minus_alike(Self::from_int(355 * n, -9))?;
                let low = Self::from_int(n, 0).times(LOW);
                rest.plus(low)?
            }
        };
        let by_r = r.factor();
        let [c0, c1, c2, c3, c4, c5] = const { Self::all(EXP) };
        let y = c4.plus_small(c5.times(by_r));
        let y = c3.plus_small(y.times(by_r));
        let y = c2.plus_small(y.times(by_r));
        let y = c1.plus_small(y.times(by_r));
        let y = c0.plus_small(y.times(by_r));
        let y = r.plus_small(r.times(by_r).times(y.factor()));
        Some(Self::ONE.plus_small(y).times_power(n))
    }
}

impl Neg for Parts {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { sign: self.sign ^ SIGN, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rng;
    use crate::scalar;

    /// Numbers of these exponents, every eighth a power of two or next to one.
    fn float(rng: &mut Rng, exponents: core::ops::Range<u32>) -> f32 {
        let exponent = exponents.start + rng.below(exponents.len()) as u32;
        let bits = rng.bits();
        let near_power = rng.pick(&[0, 1, 2, 0x7f_ffff, 0x7f_fffe]);
        let fraction = if rng.one_in(8) { near_power } else { bits & 0x7f_ffff };
        f32::from_bits(bits & SIGN | exponent << 23 | fraction)
    }

    /// Parts of a number: those that operations with a result that was rounded up give for powers of two, and all others.
    fn parts(x: f32) -> impl Iterator<Item = Parts> {
        let parts = Parts::new(x);
        let rounded_up = Parts { exponent: parts.exponent - 1, top: 2 * ONE, ..parts };
        [Some(parts), (parts.top == ONE).then_some(rounded_up)].into_iter().flatten()
    }

    fn pairs(a: f32, b: f32) -> impl Iterator<Item = [Parts; 2]> {
        parts(a).flat_map(move |a| parts(b).map(move |b| [a, b]))
    }

    #[track_caller]
    fn check(what: &str, a: f32, b: f32, want: f32, got: Option<Parts>) {
        let got = got.map_or(0.0, Parts::float);
        assert_eq!(got.to_bits(), want.to_bits(), "{what} of {a:e} and {b:e}: {got:e}, not {want:e}");
    }

    #[test]
    fn operations_have_the_bits_of_floats() {
        let mut rng = Rng::new(1);
        for i in 0..2_000_000 {
            let a = float(&mut rng, 90..160);
            // Mostly of exponents whose significands meet, and neighbours of the first.
            let b = match i % 8 {
                0 => float(&mut rng, 90..160),
                1 => f32::from_bits(a.to_bits().wrapping_add(rng.below(5) as u32).wrapping_sub(2) ^ rng.bits() & SIGN),
                _ => {
                    let exponent = a.to_bits() << 1 >> 24;
                    float(&mut rng, exponent - 28..exponent + 28)
                }
            };
            for [x, y] in pairs(a, b) {
                check("the product", a, b, a * b, Some(x.times(y.factor())));
                check("the sum", a, b, a + b, x.plus(y));
                let alike = b.copysign(a);
                for y in parts(alike) {
                    check("the sum", a, alike, a + alike, Some(x.plus_alike(y)));
                    check("the difference", a, alike, a - alike, x.minus_alike(y));
                }
                let small = if a.abs() >= 2.0 * b.abs() { [x, y] } else { [y, x] };
                if a.abs().max(b.abs()) >= 2.0 * a.abs().min(b.abs()) {
                    check("the sum with a small one", a, b, a + b, Some(small[0].plus_small(small[1])));
                }
                check("the negative", a, b, -a, Some(-x));
                check("the quarter", a, b, a / 4.0, Some(x.times_power(-2)));
                check("the reciprocal", a, b, 1.0 / a, Some(x.reciprocal()));
            }
            let near = float(&mut rng, 100..133);
            for x in parts(near) {
                assert_eq!(x.nearest(), libm::rintf(near) as i32, "the integer next to {near}");
            }
        }
    }

    #[test]
    fn the_largest_magnitudes_add_up() {
        let most = Parts { sign: 0, exponent: 126, top: 2 * ONE };
        check("the sum", 1.0, 1.0, 2.0, Some(most.plus_alike(most)));
        check("the sum", -1.0, -1.0, -2.0, (-most).plus(-most));
        check("the difference", 1.0, 1.0, 0.0, most.minus_alike(most));
    }

    #[test]
    fn integers_and_their_halves_have_their_bits() {
        for n in -45_000..=45_000 {
            if n != 0 {
                check("the integer", n as f32, 0.0, n as f32, Some(Parts::from_int(n, 0)));
                check("the integer", n as f32, -9.0, n as f32 / 512.0, Some(Parts::from_int(n, -9)));
                if n.abs() <= 255 {
                    assert_eq!(Parts::new(n as f32 / 2.0).nearest(), libm::rintf(n as f32 / 2.0) as i32, "{n} / 2");
                }
            }
        }
    }

    #[test]
    fn powers_of_e_have_the_bits_of_the_definition() {
        let magnitudes = (67 << 23..87.0_f32.to_bits()).step_by(449).chain([67 << 23, 87.0_f32.to_bits() - 1]);
        for x in magnitudes.flat_map(|bits| [bits, bits | SIGN]).map(f32::from_bits) {
            for parts in parts(x) {
                // Where a number between is zero, there are no parts.
                if let Some(got) = parts.exp() {
                    check("the power of e", x, 0.0, scalar::exp(x), Some(got));
                } else {
                    assert_ne!(x.abs() % core::f32::consts::LN_2, x.abs(), "no power of {x}");
                }
            }
        }
    }
}
