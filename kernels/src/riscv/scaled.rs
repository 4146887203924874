//! Sums of integers that are scaled: `acc + (d · d_x) · sum`, each step rounded to nearest, half to even.
//!
//! The numbers between the steps stay in parts ([`super::parts`]).

use super::parts::{ONE, Parts, product, round};
use crate::soft::word::normalize;

/// Scale of a block of activations, prepared for [`add_scaled`].
#[derive(Clone, Copy)]
pub(super) struct Scale {
    d: f32,
    /// Significand, with its leading one in bit 31; zero for scales that are left to the compiler's functions.
    top: u32,
    /// Exponent as the number holds it.
    exponent: u32,
}

impl Scale {
    pub(super) const ZERO: Self = Self { d: 0.0, top: 0, exponent: 0 };

    /// Prepares a scale, which is not negative.
    ///
    /// Scales in `2^-67..2^64` let no product leave the normal numbers, whatever the weight's scale and the sum are.
    #[inline]
    pub(super) fn new(d: f32) -> Self {
        let exponent = d.to_bits() >> 23;
        let usual = (60..=190).contains(&exponent);
        Self { d, top: if usual { d.to_bits() << 8 | 1 << 31 } else { 0 }, exponent }
    }
}

/// Term of a sum: the weight's scale, a half-precision number; the activations' scale; an integer in ±2^20.
pub(super) type Term = (u16, Scale, i32);

/// Terms that [`add_scaled`] takes at most.
pub(super) const MOST_TERMS: usize = 32;

/// `acc + (d · d_x) · sum` of one term after the other. An `acc` of zero is +0.
#[inline(always)]
pub(super) fn add_scaled(acc: f32, mut terms: impl Iterator<Item = Term>) -> f32 {
    let Some(mut parts) = Sum::new(acc) else { return add_unusual(acc, terms) };
    while let Some((d, d_x, sum)) = terms.next() {
        let of_d = u32::from(d) >> 10 & 31;
        if of_d.wrapping_sub(1) >= 30 || d_x.top == 0 {
            let acc = add_unusual(parts.float(), core::iter::once((d, d_x, sum)));
            match Sum::new(acc) {
                Some(sum) => parts = sum,
                None => return add_unusual(acc, terms),
            }
            continue;
        }
        // Products of 11 and 24 bits.
        let mut scale = product((u32::from(d) & 0x3ff) << 19 | ONE, d_x.top);
        let mut exponent = of_d + d_x.exponent - 14;
        if scale & ONE == 0 {
            scale <<= 1;
            exponent -= 1;
        }
        parts.add(u32::from(d) << 16, exponent, round(scale), sum);
    }
    parts.float()
}

/// [`add_scaled`] by the compiler's functions.
#[cold]
#[inline(never)]
fn add_unusual(acc: f32, terms: impl Iterator<Item = Term>) -> f32 {
    terms.fold(acc, |acc, (d, d_x, sum)| acc + (half::f16::from_bits(d).to_f32() * d_x.d) * sum as f32)
}

/// `acc + scale · sum`; `scale` is not negative, an `acc` of zero is +0.
#[inline(never)]
pub(super) fn add_step(acc: f32, scale: Scale, sum: i32) -> f32 {
    match Sum::new(acc) {
        // Larger sums would be rounded before they are multiplied.
        Some(mut parts) if scale.top != 0 && sum.unsigned_abs() <= 1 << 24 => {
            parts.add(0, scale.exponent, scale.top >> 2, sum);
            parts.float()
        }
        _ => add_unusual_step(acc, scale, sum),
    }
}

/// [`add_step`] by the compiler's functions.
#[cold]
#[inline(never)]
fn add_unusual_step(acc: f32, scale: Scale, sum: i32) -> f32 {
    acc + scale.d * sum as f32
}

/// Sum in parts; a `top` of zero is +0.
struct Sum(Parts);

impl Sum {
    /// Parts of a sum; `None` where terms could lead out of the normal numbers.
    #[inline(always)]
    fn new(acc: f32) -> Option<Self> {
        let parts = Parts::new(acc);
        match acc.to_bits() {
            0 => Some(Self(Parts { sign: 0, exponent: 0, top: 0 })),
            _ => (1..=240).contains(&parts.exponent).then_some(Self(parts)),
        }
    }

    #[inline(always)]
    fn float(self) -> f32 {
        if self.0.top == 0 { 0.0 } else { self.0.float() }
    }

    /// Adds `scale · sum`. The scale is a rounded magnitude with the sign in bit 31 of `sign`, and lies in `2^-90..2^90`; the integer
    /// lies in ±2^24.
    #[inline(always)]
    fn add(&mut self, sign: u32, exponent: u32, scale: u32, sum: i32) {
        if sum == 0 {
            return;
        }
        let (magnitude, places) = normalize(sum.unsigned_abs());
        let mut top = product(scale, magnitude);
        let mut exponent = exponent + 32 - places;
        if top & ONE == 0 {
            top <<= 1;
            exponent -= 1;
        }
        let term = Parts { sign: (sign ^ sum as u32) & 1 << 31, exponent, top: round(top) };
        self.0 =
            if self.0.top == 0 { term } else { self.0.plus(term).unwrap_or(Parts { sign: 0, exponent: 0, top: 0 }) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rng;

    fn scales(rng: &mut Rng) -> (u16, f32) {
        let d = match rng.below(16) {
            // Any half-precision number, whether subnormal, infinite or NaN.
            0 => rng.bits() as u16,
            1 => rng.pick(&[0, 0x8000, 1, 0x3ff, 0x400, 0x7bff, 0x7c00, 0x7e00]),
            _ => (rng.bits() as u16 & 0x83ff) | (8 + rng.below(12) as u16) << 10,
        };
        let exponent = match rng.below(16) {
            0 => rng.below(256) as u32,
            1 => rng.pick(&[0, 1, 59, 60, 61, 189, 190, 191, 254, 255]),
            _ => 112 + rng.below(20) as u32,
        };
        let fraction = if rng.one_in(8) { rng.pick(&[0, 1, 0x7f_fffe, 0x7f_ffff]) } else { rng.bits() & 0x7f_ffff };
        (d, f32::from_bits(exponent << 23 | fraction))
    }

    fn integer(rng: &mut Rng, bits: u32) -> i32 {
        match rng.below(16) {
            0 => 0,
            1 => rng.pick(&[1, -1, (1 << bits) - 1, 1 << bits, -(1 << bits)]),
            _ => rng.bits() as i32 >> (31 - bits + rng.below(bits as usize) as u32),
        }
    }

    fn sum(rng: &mut Rng) -> f32 {
        match rng.below(8) {
            // Not -0, which no sum of the kernels is.
            0 => Some(f32::from_bits(rng.bits())).filter(|x| x.to_bits() != 1 << 31).unwrap_or(0.0),
            1..4 => 0.0,
            _ => f32::from_bits(rng.bits() & 0x807f_ffff | (115 + rng.below(20) as u32) << 23),
        }
    }

    #[track_caller]
    fn check(what: impl core::fmt::Debug, want: f32, got: f32) {
        let same = want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
        assert!(same, "{what:?}: {got:e}, not {want:e}");
    }

    fn check_terms(acc: f32, terms: &[(u16, f32, i32)]) {
        let want =
            terms.iter().fold(acc, |acc, &(d, d_x, sum)| acc + (half::f16::from_bits(d).to_f32() * d_x) * sum as f32);
        check((acc, terms), want, add_scaled(acc, terms.iter().map(|&(d, d_x, sum)| (d, Scale::new(d_x), sum))));
    }

    #[test]
    fn sums_of_terms_have_the_bits_of_floats() {
        let mut rng = Rng::new(1);
        for _ in 0..1_000_000 {
            let mut terms = [(0, 0.0, 0); 8];
            let terms = &mut terms[..1 + rng.below(8)];
            for i in 0..terms.len() {
                let (d, d_x) = scales(&mut rng);
                terms[i] = (d, d_x, integer(&mut rng, 20));
                // The same term again, or its opposite, which ends at zero.
                if i > 0 && rng.one_in(8) {
                    terms[i] = terms[i - 1];
                    if rng.one_in(2) {
                        terms[i].2 = -terms[i].2;
                    }
                }
            }
            check_terms(sum(&mut rng), terms);
        }
    }

    #[test]
    fn steps_have_the_bits_of_floats() {
        let mut rng = Rng::new(2);
        for _ in 0..4_000_000 {
            let (acc, (_, d), n) = (sum(&mut rng), scales(&mut rng), integer(&mut rng, 27));
            check((acc, d, n), acc + d * n as f32, add_step(acc, Scale::new(d), n));
        }
    }

    /// Products that are rounded up to a power of two have the largest magnitude that there is: two of them need a bit more.
    #[test]
    fn terms_of_the_largest_magnitude_add_up() {
        let mut n = 0;
        for sum in (3..1_i32 << 18).step_by(2) {
            // The largest significand whose product with `sum` is below a power of two.
            let power = sum.ilog2() + 24;
            let d_x = ((1u64 << power) / sum as u64) as f32;
            if d_x as u64 * (sum as u64) < 1 << power && d_x * sum as f32 == libm::exp2f(power as f32) {
                n += 1;
                for sign in [1, -1] {
                    let term = (0x3c00, d_x * libm::exp2f(-30.0), sign * sum);
                    check_terms(0.0, &[term; 2]);
                    check_terms(0.0, &[term; 5]);
                    let (_, d, sum) = term;
                    let once = add_step(0.0, Scale::new(d), sum);
                    check(term, d * sum as f32 + d * sum as f32, add_step(once, Scale::new(d), sum));
                }
            }
        }
        assert!(n > 1000, "{n} products");
    }
}
