//! Normalization of one token: the sums are made here, all else is the definition, which the compiler vectorizes.

use core::arch::aarch64::*;

use super::floats::sum;
use crate::scalar::{inverse_root, rescale, standardize};

/// Implements [`Kernels::layer_norm`](crate::Kernels::layer_norm).
#[target_feature(enable = "neon")]
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = sum(x, |x| x) / n;
    let means = vdupq_n_f32(mean);
    let var = sum(x, |x| x.map(|x| square(vsubq_f32(x, means)))) / n;
    standardize(x, mean, inverse_root(var + eps), weight, bias, out);
}

/// Implements [`Kernels::rms_norm`](crate::Kernels::rms_norm).
#[target_feature(enable = "neon")]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = sum(x, |x| x.map(|x| square(x))) / x.len() as f32;
    rescale(x, inverse_root(mean_square + eps), weight, out);
}

#[target_feature(enable = "neon")]
#[inline]
pub(super) fn square(x: float32x4_t) -> float32x4_t {
    vmulq_f32(x, x)
}
