//! Normalization of one token.

use super::arithmetic::from_int;
use super::float::{Float, strided_sum};
use crate::contract::require;
use crate::scalar::inverse_root;

/// Implements [`Kernels::layer_norm`](crate::Kernels::layer_norm).
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    require(x.len() == weight.len() && x.len() == out.len(), LENGTHS);
    let n = length(x);
    let mean = strided_sum(x.iter().map(|&x| Float(x))) / n;
    let square = |x: Float| x * x;
    let var = strided_sum(x.iter().map(|&x| square(Float(x) - mean))) / n;
    let inv = Float(inverse_root((var + Float(eps)).0));
    for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
        *out = (((Float(x) - mean) * inv) * Float(weight)).0;
    }
    if let Some(bias) = bias {
        require(x.len() == bias.len(), LENGTHS);
        out.iter_mut().zip(bias).for_each(|(out, &bias)| *out = (Float(*out) + Float(bias)).0);
    }
}

/// Implements [`Kernels::rms_norm`](crate::Kernels::rms_norm).
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    require(x.len() == weight.len() && x.len() == out.len(), LENGTHS);
    let mean_square = strided_sum(x.iter().map(|&x| Float(x) * Float(x))) / length(x);
    let inv = Float(inverse_root((mean_square + Float(eps)).0));
    for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
        *out = ((Float(x) * inv) * Float(weight)).0;
    }
}

/// Message of the contract check of the lengths.
const LENGTHS: &str = "vectors of one length";

/// Number of elements, below 2^31 as no processor of this folder has more memory.
fn length(x: &[f32]) -> Float {
    Float(i32::try_from(x.len()).map_or(x.len() as f32, from_int))
}
