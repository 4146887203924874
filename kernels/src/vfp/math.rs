//! Elementary functions: the operations of `scalar::math`, without its branches and loops. Nothing is left to the optimizer's choice, so
//! that a firmware that is compiled for size takes no more instructions.

use core::f32::consts::LOG2_E;

use super::floats::strided_sum;
use crate::scalar;
use crate::scalar::constants::*;

/// Computes [`crate::scalar::exp`].
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // The definition takes magnitudes above 87.3, and NaN.
    if x.to_bits() & 0x7fff_ffff > (-EXP_MIN).to_bits() {
        return scalar::exp(x);
    }
    let rounded = x * LOG2_E + ROUND;
    let steps = rounded - ROUND;
    let r = (x - steps * LN_2_HIGH) - steps * LN_2_LOW;
    let y = 1.0 + (r + (r * r) * exp_polynomial(r));
    // Multiplies by 2^n, n in -126..=126: the result is normal, so that adding n to the exponent is exact. The low bits of
    // `rounded` are n, and the shift drops all its upper bits.
    f32::from_bits(y.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// `EXP` at `x`, by Horner's rule.
#[inline(always)]
fn exp_polynomial(x: f32) -> f32 {
    let [a, b, c, d, e, f] = EXP;
    ((((f * x + e) * x + d) * x + c) * x + b) * x + a
}

/// `CDF` at `x`, by Horner's rule.
#[inline(always)]
fn cdf_polynomial(x: f32) -> f32 {
    let [a, b, c, d, e, f, g, h, i] = CDF;
    (((((((i * x + h) * x + g) * x + f) * x + e) * x + d) * x + c) * x + b) * x + a
}

/// Computes [`crate::scalar::normal_cdf`].
#[inline]
fn normal_cdf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + CDF_T * a);
    let tail = exp((a * a) * -0.5) * (t * cdf_polynomial(t));
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// Implements [`Kernels::gelu_tanh`](crate::Kernels::gelu_tanh).
pub(crate) fn gelu_tanh(x: &mut [f32]) {
    for x in x {
        let u2 = (GELU_SLOPE * *x) * (1.0 + (GELU_CUBIC * *x) * *x);
        *x /= 1.0 + exp(-u2);
    }
}

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
pub(crate) fn gelu_erf(x: &mut [f32]) {
    for x in x {
        *x *= normal_cdf(*x);
    }
}

/// Implements [`Kernels::silu`](crate::Kernels::silu).
pub(crate) fn silu(x: &mut [f32]) {
    for x in x {
        *x /= 1.0 + exp(-*x);
    }
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
pub(crate) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    if let [one] = scores {
        // The 15 other partial sums add nothing to a number that is not -0.
        *one = exp(*one - max);
        return *one;
    }
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    strided_sum(scores, |&x| x)
}
