//! Sums, products, quotients and fused products of floats: IEEE 754, to nearest, half to even, with subnormals.
//!
//! Each function has a short way for normal numbers, and leaves everything else (zero and subnormal operands or results, infinities,
//! NaN) to the compiler's own functions, or to `libm`. A significand has 24 bits, its leading one included.

use super::word::{Wide, normalize, product, reciprocal};

const SIGN: u32 = 1 << 31;
const LEADING_ONE: u32 = 1 << 23;
const FRACTION: u32 = LEADING_ONE - 1;

/// Exponent as the number holds it: 1..=254 for normal numbers.
#[inline(always)]
fn exponent(bits: u32) -> u32 {
    bits << 1 >> 24
}

/// True for exponents of normal numbers.
#[inline(always)]
fn is_normal(exponent: u32) -> bool {
    exponent.wrapping_sub(1) < 254
}

#[inline(always)]
fn significand(bits: u32) -> u32 {
    bits & FRACTION | LEADING_ONE
}

/// Rounds `bits + fraction / 2^32` to an integer, half to even. A number that grows out of its exponent is the next power of two, as it
/// should be.
#[inline(always)]
pub(super) fn round(bits: u32, fraction: u32) -> u32 {
    // Half with the last bit at its end: the sum is 2^32 or more for fractions above a half, and for a half if the bit is set.
    let (_, up) = fraction.overflowing_add(0x7fff_ffff + (bits & 1));
    bits.wrapping_add(u32::from(up))
}

/// `a + b`, by the compiler's function. Of its own, so that [`add`] calls nothing before its end, and needs no stack.
#[cold]
#[inline(never)]
fn add_any(a: f32, b: f32) -> f32 {
    a + b
}

/// `a * b`, by the compiler's function, as [`add_any`].
#[cold]
#[inline(never)]
fn multiply_any(a: f32, b: f32) -> f32 {
    a * b
}

/// `a + b`.
#[cfg_attr(all(target_arch = "arm", target_os = "none"), allow(dead_code))]
#[inline(never)]
pub(crate) fn add(a: f32, b: f32) -> f32 {
    let (a, b) = (a.to_bits(), b.to_bits());
    let (large, small) = if a << 1 < b << 1 { (b, a) } else { (a, b) };
    let (to, from) = (exponent(large), exponent(small));
    if to >= 254 || from == 0 {
        if small << 1 == 0 && large << 1 != 0 {
            return f32::from_bits(large);
        }
        return add_any(f32::from_bits(large), f32::from_bits(small));
    }
    let distance = to - from;
    if distance > 25 {
        // Less than a quarter of the last place, which moves no number, not even a power of two.
        return f32::from_bits(large);
    }
    let of_small = significand(small);
    let (whole, fraction) = (of_small >> distance, of_small << 1 << (31 - distance));
    // Sign and exponent. A significand's leading one adds one to the exponent.
    let below = (large & !FRACTION) - LEADING_ONE;
    if (large ^ small) >> 31 == 0 {
        let sum = significand(large) + whole;
        if sum >> 24 == 0 {
            return f32::from_bits(round(below + sum, fraction));
        }
        return f32::from_bits(round(below + LEADING_ONE + (sum >> 1), sum << 31 | fraction >> 1 | fraction & 1));
    }
    let (rest, borrow) = 0_u32.overflowing_sub(fraction);
    let difference = significand(large) - whole - u32::from(borrow);
    if difference & LEADING_ONE != 0 {
        return f32::from_bits(round(below + difference, rest));
    }
    let doubled = difference << 1 | rest >> 31;
    if distance > 1 && to > 1 {
        // One place is missing.
        return f32::from_bits(round(below - LEADING_ONE + doubled, rest << 1));
    }
    if doubled == 0 {
        return 0.0;
    }
    // `rest` had one bit at most, so the difference is exact, however many places are missing.
    let (top, places) = normalize(doubled << 7);
    if distance > 1 || places >= to {
        return add_any(f32::from_bits(large), f32::from_bits(small));
    }
    f32::from_bits(below - (places << 23) + (top >> 8))
}

/// Number with a significand that was shifted up to bit 31 of `top`, and has nothing but zeros behind unless `more`. `None` if it is not
/// normal.
#[inline(always)]
fn pack(sign: u32, exponent: i32, top: u32, more: bool) -> Option<f32> {
    is_normal(exponent as u32).then(|| {
        let fraction = top << 24 | u32::from(more);
        f32::from_bits(sign | round(((exponent as u32 - 1) << 23) + (top >> 8), fraction))
    })
}

/// `a * b`.
#[inline(never)]
pub(crate) fn multiply(a: f32, b: f32) -> f32 {
    let (x, y) = (a.to_bits(), b.to_bits());
    let (p, q) = (exponent(x), exponent(y));
    if !is_normal(p) || !is_normal(q) {
        return multiply_any(a, b);
    }
    let (high, low) = product(significand(x), significand(y));
    let (top, exponent) = if high >> 31 == 0 { (high << 1, p + q) } else { (high, p + q + 1) };
    // Bit 15 of `low` would come up to `top`'s last, which is part of the fraction as `more` is.
    match pack((x ^ y) & SIGN, exponent as i32 - 127, top, low != 0) {
        Some(product) => product,
        None => multiply_any(a, b),
    }
}

/// `a / b`.
#[inline(never)]
pub(crate) fn divide(a: f32, b: f32) -> f32 {
    let (x, y) = (a.to_bits(), b.to_bits());
    let (p, q) = (exponent(x), exponent(y));
    if !is_normal(p) || !is_normal(q) {
        return a / b;
    }
    let (mut dividend, divisor) = (significand(x), significand(y));
    let mut exponent = p as i32 - q as i32 + 127;
    if dividend < divisor {
        dividend <<= 1;
        exponent -= 1;
    }
    // Behind the leading one, two digits of 12 bits.
    let reciprocal = reciprocal(divisor);
    let digit = |rest: u32| {
        let mut digit = ((rest >> 9) * reciprocal) >> 18;
        let mut left = (rest << 12).wrapping_sub(digit.wrapping_mul(divisor));
        while left >= divisor {
            left -= divisor;
            digit += 1;
        }
        (digit, left)
    };
    let (first, rest) = digit(dividend - divisor);
    let (second, rest) = digit(rest);
    let quotient = 1 << 24 | first << 12 | second;
    pack((x ^ y) & SIGN, exponent, quotient << 7, rest != 0).unwrap_or_else(|| a / b)
}

/// `a * b + c`, rounded once.
#[inline(never)]
pub(crate) fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (x, y, z) = (a.to_bits(), b.to_bits(), c.to_bits());
    let (p, q, r) = (exponent(x), exponent(y), exponent(z));
    if !is_normal(p) || !is_normal(q) || !is_normal(r) {
        // The product of normal numbers is not zero, so zero does not change it.
        return if is_normal(p) && is_normal(q) && z << 1 == 0 { multiply(a, b) } else { libm::fmaf(a, b, c) };
    }
    // Numbers of 64 bits: bit 60 is worth `2^(exponent - 127)`.
    let (high, low) = product(significand(x), significand(y));
    let mut left = Wide { high: high >> 2, low: high << 30 | low << 14 };
    let mut right = Wide { high: significand(z) << 5, low: 0 };
    let mut signs = [x ^ y, z];
    let distance = (p + q) as i32 - 127 - r as i32;
    let exponent = r as i32 + distance.max(0);
    if distance < 0 {
        left = left.shift_right(distance.unsigned_abs());
    } else {
        right = right.shift_right(distance as u32);
    }
    let sum = if (signs[0] ^ signs[1]) >> 31 == 0 {
        left.add(right)
    } else {
        if left.is_below(right) {
            (left, right) = (right, left);
            signs.swap(0, 1);
        }
        left.subtract(right)
    };
    if sum.high | sum.low == 0 {
        return 0.0;
    }
    let (sum, places) = sum.normalize();
    pack(signs[0] & SIGN, exponent + 3 - places as i32, sum.high, sum.low != 0).unwrap_or_else(|| libm::fmaf(a, b, c))
}

/// `x` as a float, rounded half to even.
#[inline]
pub(crate) fn from_int(x: i32) -> f32 {
    if x == 0 {
        return 0.0;
    }
    let (top, places) = normalize(x.unsigned_abs());
    f32::from_bits(x as u32 & SIGN | round(((127 + 30 - places) << 23) + (top >> 8), top << 24))
}

/// Half-precision number as a float.
#[inline]
pub(crate) fn from_f16(bits: u16) -> f32 {
    let exponent_and_fraction = u32::from(bits & 0x7fff);
    // 1..=30 for normal numbers.
    if (exponent_and_fraction >> 10).wrapping_sub(1) >= 30 {
        return half::f16::from_bits(bits).to_f32();
    }
    let sign = u32::from(bits >> 15) << 31;
    f32::from_bits(sign | ((exponent_and_fraction << 13) + ((127 - 15) << 23)))
}

/// Nearest integer, half to even, of `x` in ±2^22.
#[inline]
pub(crate) fn round_to_int(x: f32) -> i32 {
    let bits = x.to_bits();
    // Zero below 1/2.
    let Some(more) = exponent(bits).checked_sub(126) else { return 0 };
    let significand = significand(bits);
    let places = 24_u32.saturating_sub(more).max(1);
    let magnitude = round(significand >> places, significand << (32 - places)) as i32;
    if bits >> 31 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rng;

    /// Floats of all kinds, most of them of magnitudes near one.
    fn float(rng: &mut Rng) -> f32 {
        let bits = rng.bits();
        let with_exponent = |exponent: u32| f32::from_bits(bits & !(255 << 23) | exponent << 23);
        match rng.below(10) {
            0 => f32::from_bits(bits),
            1 => with_exponent(rng.below(4) as u32),
            2 => with_exponent(rng.below(4) as u32 + 252),
            // Few bits: sums and products are exact, or ties.
            3 => f32::from_bits(with_exponent(rng.below(60) as u32 + 97).to_bits() & !0x1f_ffff),
            // Powers of two, zero and infinity.
            4 => f32::from_bits(with_exponent(rng.below(256) as u32).to_bits() & !FRACTION),
            _ => with_exponent(rng.below(14) as u32 + 120),
        }
    }

    #[track_caller]
    fn check(name: &str, operands: [f32; 3], want: f32, got: f32) {
        let same = want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
        assert!(same, "{name} of {operands:?}: {got:e}, not {want:e}");
    }

    #[test]
    fn all_operations_have_the_bits_of_the_processor() {
        let mut rng = Rng::new(1);
        for i in 0..2_000_000 {
            let (a, mut b, mut c) = (float(&mut rng), float(&mut rng), float(&mut rng));
            // Neighbours of the difference's zero, of one exponent and of two.
            if i % 5 == 0 {
                c = f32::from_bits((-(a * b)).to_bits().wrapping_add(rng.below(3) as u32).wrapping_sub(1));
                b = f32::from_bits(a.to_bits() ^ SIGN ^ rng.below(4) as u32 ^ (rng.below(2) as u32) << 23);
            }
            check("sum", [a, b, c], a + b, add(a, b));
            check("product", [a, b, c], a * b, multiply(a, b));
            check("quotient", [a, b, c], a / b, divide(a, b));
            check("fused product", [a, b, c], libm::fmaf(a, b, c), fused(a, b, c));
            check("fused product", [c, b, a], libm::fmaf(c, b, a), fused(c, b, a));
        }
    }

    #[test]
    fn conversions_have_the_bits_of_the_processor() {
        for bits in 0..=u16::MAX {
            check("half", [0.0; 3], half::f16::from_bits(bits).to_f32(), from_f16(bits));
        }
        let mut rng = Rng::new(2);
        for i in 0..200_000 {
            let x = rng.bits() as i32 >> (i % 32);
            check("integer", [0.0; 3], x as f32, from_int(x));
            let float = (x >> 10) as f32 / [1.0, 2.0, 8.0, 3.0][i % 4];
            assert_eq!(round_to_int(float), libm::rintf(float) as i32, "{float}");
        }
    }
}
