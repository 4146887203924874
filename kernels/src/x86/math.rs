//! Elementary functions of eight numbers: the operations of `scalar::math`, with its constants.

use core::arch::x86_64::*;
use core::f32::consts::LOG2_E;

use super::floats::{load, store, sum};
use crate::scalar::constants::*;

/// Computes [`crate::scalar::exp`] in each lane.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn exp(x: __m256) -> __m256 {
    let set = |x| _mm256_set1_ps(x);
    let (y, n) = reduced_exp(x);
    let half = _mm256_srai_epi32::<1>(n);
    let y = _mm256_mul_ps(_mm256_mul_ps(y, power_of_two(half)), power_of_two(_mm256_sub_epi32(n, half)));
    // Outside of the range `y` is arbitrary and replaced; a NaN has stayed a NaN.
    let y = _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, set(EXP_MIN)), y);
    _mm256_blendv_ps(y, set(f32::INFINITY), _mm256_cmp_ps::<_CMP_GT_OQ>(x, set(EXP_MAX)))
}

/// Computes [`exp`] of lanes that are at most zero, or NaN: nothing becomes infinite, and `2^n` fits a float.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn exp_down(x: __m256) -> __m256 {
    let (y, n) = reduced_exp(x);
    _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(EXP_MIN)), _mm256_mul_ps(y, power_of_two(n)))
}

/// `y` and `n` such that `e^x` is `y 2^n`, in the range in which it is a normal number.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn reduced_exp(x: __m256) -> (__m256, __m256i) {
    let set = |x| _mm256_set1_ps(x);
    let rounded = _mm256_add_ps(_mm256_mul_ps(x, set(LOG2_E)), set(ROUND));
    let n = _mm256_sub_epi32(_mm256_castps_si256(rounded), _mm256_castps_si256(set(ROUND)));
    let steps = _mm256_sub_ps(rounded, set(ROUND));
    let r = _mm256_sub_ps(x, _mm256_mul_ps(steps, set(LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(steps, set(LN_2_LOW)));
    let y = _mm256_mul_ps(_mm256_mul_ps(r, r), polynomial(&EXP, r));
    (_mm256_add_ps(set(1.0), _mm256_add_ps(r, y)), n)
}

/// Polynomial with the coefficients `c`, lowest first, by Horner's rule.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn polynomial<const N: usize>(c: &[f32; N], x: __m256) -> __m256 {
    let mut y = _mm256_set1_ps(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = _mm256_add_ps(_mm256_mul_ps(y, x), _mm256_set1_ps(c[k]));
    }
    y
}

/// `2^n` for n in -126..=127.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn power_of_two(n: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))))
}

/// Computes [`crate::scalar::normal_cdf`] in each lane.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn normal_cdf(x: __m256) -> __m256 {
    let set = |x| _mm256_set1_ps(x);
    let a = _mm256_andnot_ps(set(-0.0), x);
    let t = _mm256_div_ps(set(1.0), _mm256_add_ps(set(1.0), _mm256_mul_ps(set(CDF_T), a)));
    let density = exp(_mm256_mul_ps(_mm256_mul_ps(a, a), set(-0.5)));
    let tail = _mm256_mul_ps(density, _mm256_mul_ps(t, polynomial(&CDF, t)));
    let upper = _mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_setzero_ps());
    _mm256_blendv_ps(tail, _mm256_sub_ps(set(1.0), tail), upper)
}

/// `x = f(x)`, eight at a time, in order; `f` also gets the zeros that fill the last eight.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn map(x: &mut [f32], mut f: impl FnMut(__m256) -> __m256) {
    for eight in x.chunks_mut(8) {
        store(f(load(eight)), eight);
    }
}

/// Implements [`Kernels::gelu_tanh`](crate::Kernels::gelu_tanh).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gelu_tanh(x: &mut [f32]) {
    let one = _mm256_set1_ps(1.0);
    map(x, |x| {
        let cubic = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(GELU_CUBIC), x), x);
        let u2 = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(GELU_SLOPE), x), _mm256_add_ps(one, cubic));
        _mm256_div_ps(x, _mm256_add_ps(one, exp(negative(u2))))
    });
}

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gelu_erf(x: &mut [f32]) {
    map(x, |x| _mm256_mul_ps(x, normal_cdf(x)));
}

/// Implements [`Kernels::silu`](crate::Kernels::silu).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn silu(x: &mut [f32]) {
    map(x, |x| _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0), exp(negative(x)))));
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn negative(x: __m256) -> __m256 {
    _mm256_xor_ps(x, _mm256_set1_ps(-0.0))
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    let shift = _mm256_set1_ps(max);
    map(scores, |score| exp(_mm256_sub_ps(score, shift)));
    sum(scores, |x| x)
}
