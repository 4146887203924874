//! Weights to the blocks of each type.

use std::fmt;

use half::{bf16, f16};
use nearfield::kernels::WeightType;

use super::{k, legacy};

/// A weight that a type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unfit {
    /// The type.
    pub ty: WeightType,
    /// Its place among the weights.
    pub at: usize,
    /// The weight.
    pub weight: f32,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ty, weight, .. } = self;
        match weight.is_finite() {
            true => write!(f, "a weight of {weight:e}, and {ty} holds none beyond {:e}", limit(*ty)),
            false => write!(f, "a weight is {weight}: the model is broken"),
        }
    }
}

impl std::error::Error for Unfit {}

/// The largest weight that a type can hold: for most, that of the half-precision scale.
fn limit(ty: WeightType) -> f32 {
    match ty {
        WeightType::F32 => f32::MAX,
        WeightType::BF16 => bf16::MAX.to_f32(),
        _ => f16::MAX.to_f32(),
    }
}

/// Quantizes whole rows: any number of whole blocks of `ty`, whose bytes just fill `out`. The same bits on any machine.
///
/// # Errors
/// The first weight that is not finite, or, for types with half-precision numbers, beyond the largest half.
///
/// # Panics
/// When `x` is not whole blocks or `out` has another length than they.
pub fn quantize_rows(ty: WeightType, x: &[f32], out: &mut [u8]) -> Result<(), Unfit> {
    let (block_len, block_bytes) = (ty.block_len(), ty.block_bytes());
    assert!(x.len().is_multiple_of(block_len) && out.len() == x.len() / block_len * block_bytes, "whole {ty} blocks");
    let limit = limit(ty);
    if let Some(at) = x.iter().position(|x| x.is_nan() || x.abs() > limit) {
        return Err(Unfit { ty, at, weight: x[at] });
    }
    match ty {
        WeightType::F32 => blocks(x, out, |&[x], out| *out = x.to_le_bytes()),
        WeightType::F16 => blocks(x, out, |&[x], out| *out = f16::from_f32(x).to_le_bytes()),
        WeightType::BF16 => blocks(x, out, |&[x], out| *out = bf16::from_f32(x).to_le_bytes()),
        WeightType::Q4_0 => blocks(x, out, legacy::q4_0),
        WeightType::Q4_1 => blocks(x, out, legacy::q4_1),
        WeightType::Q5_0 => blocks(x, out, legacy::q5_0),
        WeightType::Q5_1 => blocks(x, out, legacy::q5_1),
        WeightType::Q8_0 => blocks(x, out, legacy::q8_0),
        WeightType::Q2_K => blocks(x, out, k::q2_k),
        WeightType::Q3_K => blocks(x, out, k::q3_k),
        WeightType::Q4_K => blocks(x, out, k::q4_k),
        WeightType::Q5_K => blocks(x, out, k::q5_k),
        WeightType::Q6_K => blocks(x, out, k::q6_k),
    }
    Ok(())
}

fn blocks<const N: usize, const B: usize>(x: &[f32], out: &mut [u8], block: impl Fn(&[f32; N], &mut [u8; B])) {
    for (x, out) in x.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<B>().0) {
        block(x, out);
    }
}
