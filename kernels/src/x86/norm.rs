//! Normalization of one token: the sums are made here, all else is the definition, compiled for AVX2.

use core::arch::x86_64::*;

use super::floats::sum;
use crate::scalar::{inverse_root, rescale, standardize};

/// Implements [`Kernels::layer_norm`](crate::Kernels::layer_norm).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = sum(x, |x| x) / n;
    let means = _mm256_set1_ps(mean);
    let var = sum(x, |x| square(_mm256_sub_ps(x, means))) / n;
    standardize(x, mean, inverse_root(var + eps), weight, bias, out);
}

/// Implements [`Kernels::rms_norm`](crate::Kernels::rms_norm).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = sum(x, |x| square(x)) / x.len() as f32;
    rescale(x, inverse_root(mean_square + eps), weight, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn square(x: __m256) -> __m256 {
    _mm256_mul_ps(x, x)
}
