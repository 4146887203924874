//! Normalization of one token.

use super::reduce::strided_sum;
use crate::contract::require;

/// `out = ((x - mean) * inv) * weight + bias`, with `inv = 1 / sqrt(var + eps)`.
///
/// `mean = strided_sum(x) / n`, `var = strided_sum((x - mean)²) / n`. Without `bias` nothing is added.
///
/// # Panics
/// When the lengths differ.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = strided_sum(x.iter().copied()) / n;
    let var = strided_sum(x.iter().map(|x| (x - mean) * (x - mean))) / n;
    standardize(x, mean, inverse_root(var + eps), weight, bias, out);
}

/// `out = (x * inv) * weight`, with `inv = 1 / sqrt(strided_sum(x²) / n + eps)`.
///
/// # Panics
/// When the lengths differ.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = strided_sum(x.iter().map(|x| x * x)) / x.len() as f32;
    rescale(x, inverse_root(mean_square + eps), weight, out);
}

/// `1 / sqrt(x)`, both correctly rounded.
pub(crate) fn inverse_root(x: f32) -> f32 {
    1.0 / libm::sqrtf(x)
}

/// Element-wise half of [`layer_norm`].
#[inline]
pub(crate) fn standardize(x: &[f32], mean: f32, inv: f32, weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    require(x.len() == weight.len() && x.len() == out.len(), "vectors of one length");
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = ((x - mean) * inv) * weight;
    }
    if let Some(bias) = bias {
        super::add(out, bias);
    }
}

/// Element-wise half of [`rms_norm`].
#[inline]
pub(crate) fn rescale(x: &[f32], inv: f32, weight: &[f32], out: &mut [f32]) {
    require(x.len() == weight.len() && x.len() == out.len(), "vectors of one length");
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = (x * inv) * weight;
    }
}
