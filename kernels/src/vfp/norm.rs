//! Normalization of one token: the definition, with its sums in registers.

use super::floats::strided_sum;
use crate::scalar::{inverse_root, rescale, standardize};

/// Implements [`Kernels::layer_norm`](crate::Kernels::layer_norm).
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = strided_sum(x, |&x| x) / n;
    let var = strided_sum(x, |&x| (x - mean) * (x - mean)) / n;
    standardize(x, mean, inverse_root(var + eps), weight, bias, out);
}

/// Implements [`Kernels::rms_norm`](crate::Kernels::rms_norm).
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = strided_sum(x, |&x| x * x) / x.len() as f32;
    rescale(x, inverse_root(mean_square + eps), weight, out);
}
