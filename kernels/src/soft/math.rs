//! Elementary functions: the operations of `scalar::math`, without its branches and loops.

use core::f32::consts::LOG2_E;

use super::arithmetic::{round, round_to_int};
use super::float::{Float, strided_sum};
use super::word::{ZEROS, normalize};
use super::{Coefficient, coefficients, polynomial};
use crate::scalar;
use crate::scalar::constants::*;

/// Polynomial of `exp`.
static EXP_POLYNOMIAL: [Coefficient; EXP.len()] = coefficients(EXP);
/// Polynomial of `normal_cdf`.
static CDF_POLYNOMIAL: [Coefficient; CDF.len()] = coefficients(CDF);

/// Computes [`crate::scalar::exp`].
pub(crate) fn exp(x: Float) -> Float {
    // The definition takes magnitudes above 87.3, and NaN.
    if x.0.to_bits() & 0x7fff_ffff > (-EXP_MIN).to_bits() {
        return Float(scalar::exp(x.0));
    }
    let n = round_to_int((x * Float(LOG2_E)).0);
    let r = if n == 0 { x } else { Float(reduce(x.0, n)) };
    let y = Float::ONE + (r + (r * r) * Float(polynomial(&EXP_POLYNOMIAL, r.0)));
    // Multiplies by 2^n, n in -126..=126: the result is normal, so that adding n to the exponent is exact.
    Float(f32::from_bits(y.0.to_bits().wrapping_add((n as u32) << 23)))
}

/// `(x - n * LN_2_HIGH) - n * LN_2_LOW`, each product and each difference rounded, for the integer n nearest to `x / ln 2`, which is not
/// zero and lies in ±126.
///
/// The first product and the first difference are exact: `x` and the product are integers times 2^-25, and the difference is below 1/2.
/// The second product is an integer times 2^-36, as the second difference is before it is rounded.
fn reduce(x: f32, n: i32) -> f32 {
    const { assert!(LN_2_HIGH == 355.0 / 512.0 && LN_2_LOW < 0.0 && LN_2_LOW.to_bits() << 1 >> 24 == 150 - 36) };
    const LOW: u32 = LN_2_LOW.to_bits() & 0x7f_ffff | 0x80_0000;
    let (bits, n_abs) = (x.to_bits(), n.unsigned_abs());
    // 125..=133, as |x| lies in 1/4..128: more than ln(2) / 2.
    let exponent = bits << 1 >> 24;
    let x_abs = (bits & 0x7f_ffff | 0x80_0000) << ((exponent - 125) & 15);
    let first = x_abs.wrapping_sub((n_abs * 355) << 16) as i32;
    let product = n_abs * LOW;
    // Rounded to 24 bits, of up to 31.
    let product = match product >> 24 {
        0 => product,
        above => {
            let places = 8 - u32::from(ZEROS[above as usize & 0xff]);
            round(product >> places, product << (32 - places)) << places
        }
    };
    let (mut high, mut low) = (first + (product >> 11) as i32, product & 0x7ff);
    let sign = bits ^ high as u32;
    if high < 0 {
        (high, low) = if low == 0 { (-high, 0) } else { (-1 - high, 0x800 - low) };
    }
    if high == 0 {
        return (Float(x) - Float(n as f32) * Float(LN_2_HIGH) - Float(n as f32) * Float(LN_2_LOW)).0;
    }
    let (top, places) = normalize((high as u32) << 8 | low >> 3);
    let below = low << 29;
    let from_below = if places == 0 { 0 } else { below >> (32 - places) };
    let fraction = (top | from_below) << 24 | u32::from(below << places != 0);
    f32::from_bits(sign & 1 << 31 | round(((124 - places) << 23) + ((top | from_below) >> 8), fraction))
}

/// Computes [`crate::scalar::normal_cdf`].
fn normal_cdf(x: Float) -> Float {
    let a = Float(x.0.abs());
    let t = Float::ONE / (Float::ONE + Float(CDF_T) * a);
    let tail = exp(minus_half(a * a)) * (t * Float(polynomial(&CDF_POLYNOMIAL, t.0)));
    // Greater than zero: neither the sign nor a NaN.
    if (1..=0x7f80_0000).contains(&x.0.to_bits()) { Float::ONE - tail } else { tail }
}

/// `x * -0.5`, for x that is not negative.
fn minus_half(x: Float) -> Float {
    let bits = x.0.to_bits();
    // Normal, and still so with half the exponent.
    if bits.wrapping_sub(2 << 23) < 253 << 23 { Float(-f32::from_bits(bits - (1 << 23))) } else { x * Float(-0.5) }
}

/// Implements [`Kernels::gelu_tanh`](crate::Kernels::gelu_tanh).
pub(crate) fn gelu_tanh(x: &mut [f32]) {
    for out in x {
        let x = Float(*out);
        let u2 = (Float(GELU_SLOPE) * x) * (Float::ONE + (Float(GELU_CUBIC) * x) * x);
        *out = (x / (Float::ONE + exp(-u2))).0;
    }
}

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
pub(crate) fn gelu_erf(x: &mut [f32]) {
    for x in x {
        *x = (Float(*x) * normal_cdf(Float(*x))).0;
    }
}

/// Implements [`Kernels::silu`](crate::Kernels::silu).
pub(crate) fn silu(x: &mut [f32]) {
    for x in x {
        *x = (Float(*x) / (Float::ONE + exp(-Float(*x)))).0;
    }
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
pub(crate) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    for score in scores.iter_mut() {
        *score = exp(Float(*score) - Float(max)).0;
    }
    strided_sum(scores.iter().map(|&x| Float(x))).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_the_bits_of_the_definitions() {
        // Every 4999th float: both signs, all exponents.
        for x in (0..=u32::MAX).step_by(4999).map(f32::from_bits) {
            for (want, got) in [(scalar::exp(x), exp(Float(x)).0), (scalar::normal_cdf(x), normal_cdf(Float(x)).0)] {
                assert!(want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan(), "of {x}: {got}, not {want}");
            }
        }
    }
}
