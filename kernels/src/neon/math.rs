//! Elementary functions of registers of floats: the operations of `scalar::math`, with its constants.

use core::arch::aarch64::*;
use core::f32::consts::LOG2_E;

use super::floats::{Floats, load_some, store_some, sum};
use crate::scalar::constants::*;

/// Computes [`crate::scalar::exp`] in each lane.
#[target_feature(enable = "neon")]
#[inline]
fn exp(x: float32x4_t) -> float32x4_t {
    let set = |x| vdupq_n_f32(x);
    // Nearest integer, half to even. The definition gets the same by adding `ROUND`, as |x| is small wherever the result is
    // kept.
    let n = vcvtnq_s32_f32(vmulq_f32(x, set(LOG2_E)));
    let steps = vcvtq_f32_s32(n);
    let r = vsubq_f32(x, vmulq_f32(steps, set(LN_2_HIGH)));
    let r = vsubq_f32(r, vmulq_f32(steps, set(LN_2_LOW)));
    let y = vmulq_f32(vmulq_f32(r, r), polynomial(&EXP, r));
    let y = vaddq_f32(set(1.0), vaddq_f32(r, y));
    let half = vshrq_n_s32::<1>(n);
    let y = vmulq_f32(vmulq_f32(y, power_of_two(half)), power_of_two(vsubq_s32(n, half)));
    // Outside of the range `y` is arbitrary and replaced; a NaN has stayed a NaN.
    let low = vcltq_f32(x, set(EXP_MIN));
    let y = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), low));
    vbslq_f32(vcgtq_f32(x, set(EXP_MAX)), set(f32::INFINITY), y)
}

/// Polynomial with the coefficients `c`, lowest first, by Horner's rule.
#[target_feature(enable = "neon")]
#[inline]
fn polynomial<const N: usize>(c: &[f32; N], x: float32x4_t) -> float32x4_t {
    let mut y = vdupq_n_f32(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = vaddq_f32(vmulq_f32(y, x), vdupq_n_f32(c[k]));
    }
    y
}

/// `2^n` for n in -126..=127.
#[target_feature(enable = "neon")]
#[inline]
fn power_of_two(n: int32x4_t) -> float32x4_t {
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127))))
}

/// Computes [`crate::scalar::normal_cdf`] in each lane.
#[target_feature(enable = "neon")]
#[inline]
fn normal_cdf(x: float32x4_t) -> float32x4_t {
    let set = |x| vdupq_n_f32(x);
    let a = vabsq_f32(x);
    let t = vdivq_f32(set(1.0), vaddq_f32(set(1.0), vmulq_f32(set(CDF_T), a)));
    let density = exp(vmulq_f32(vmulq_f32(a, a), set(-0.5)));
    let tail = vmulq_f32(density, vmulq_f32(t, polynomial(&CDF, t)));
    vbslq_f32(vcgtzq_f32(x), vsubq_f32(set(1.0), tail), tail)
}

/// `x = f(x)`, eight at a time, in order; `f` also gets the zeros that fill the last eight.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn map(x: &mut [f32], mut f: impl FnMut(Floats) -> Floats) {
    for eight in x.chunks_mut(8) {
        store_some(f(load_some(eight)), eight);
    }
}

/// Implements [`Kernels::gelu_tanh`](crate::Kernels::gelu_tanh).
#[target_feature(enable = "neon")]
pub(super) fn gelu_tanh(x: &mut [f32]) {
    let one = vdupq_n_f32(1.0);
    let gelu = |x| {
        let cubic = vmulq_f32(vmulq_f32(vdupq_n_f32(GELU_CUBIC), x), x);
        let u2 = vmulq_f32(vmulq_f32(vdupq_n_f32(GELU_SLOPE), x), vaddq_f32(one, cubic));
        vdivq_f32(x, vaddq_f32(one, exp(vnegq_f32(u2))))
    };
    map(x, |x| x.map(gelu));
}

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
#[target_feature(enable = "neon")]
pub(super) fn gelu_erf(x: &mut [f32]) {
    map(x, |x| x.map(|x| vmulq_f32(x, normal_cdf(x))));
}

/// Implements [`Kernels::silu`](crate::Kernels::silu).
#[target_feature(enable = "neon")]
pub(super) fn silu(x: &mut [f32]) {
    map(x, |x| x.map(|x| vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0), exp(vnegq_f32(x))))));
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
#[target_feature(enable = "neon")]
pub(super) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    let shift = vdupq_n_f32(max);
    map(scores, |scores| scores.map(|score| exp(vsubq_f32(score, shift))));
    sum(scores, |x| x)
}
