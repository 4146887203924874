//! Normalization of one token.

use super::reduce::strided_sum;

/// `out = ((x - mean) * inv) * weight + bias`, with `inv = 1 / sqrt(var + eps)`.
///
/// `mean = strided_sum(x) / n`, `var = strided_sum((x - mean)²) / n`. Without `bias` nothing is added.
///
/// # Panics
/// When the lengths differ.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    assert_norm_lengths(x, weight, bias, out);
    let n = x.len() as f32;
    let mean = strided_sum(x.iter().copied()) / n;
    let var = strided_sum(x.iter().map(|x| (x - mean) * (x - mean))) / n;
    let inv = 1.0 / libm::sqrtf(var + eps);
    for (i, out) in out.iter_mut().enumerate() {
        let y = ((x[i] - mean) * inv) * weight[i];
        *out = bias.map_or(y, |bias| y + bias[i]);
    }
}

/// `out = (x * inv) * weight`, with `inv = 1 / sqrt(strided_sum(x²) / n + eps)`.
///
/// # Panics
/// When the lengths differ.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_norm_lengths(x, weight, None, out);
    let mean_square = strided_sum(x.iter().map(|x| x * x)) / x.len() as f32;
    let inv = 1.0 / libm::sqrtf(mean_square + eps);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = (x * inv) * weight;
    }
}

/// The lengths of a norm's operands are one length.
pub(crate) fn assert_norm_lengths(x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &[f32]) {
    assert!(x.len() == weight.len() && x.len() == out.len());
    assert!(bias.is_none_or(|bias| bias.len() == x.len()));
}
