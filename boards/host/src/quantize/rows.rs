//! Weights to the blocks of each type.

use std::fmt;

use half::{bf16, f16};
use nearfield::kernels::{self, WeightType, Work};

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

/// Whether weights can become this type; the others are only read.
pub fn is_written(ty: WeightType) -> bool {
    ty.can_interleave() && !matches!(ty, WeightType::IQ4_NL | WeightType::IQ4_XS) || !ty.is_quantized()
}

/// Quantizes whole rows: any number of whole blocks of `ty`, whose bytes just fill `out`. The same bits on any machine.
///
/// # Errors
/// The first weight that is not finite, or, for types with half-precision numbers, beyond the largest half.
///
/// # Panics
/// When `x` is not whole blocks, `out` has another length than they, or the type [is not written](is_written).
pub fn quantize_rows(ty: WeightType, x: &[f32], out: &mut [u8]) -> Result<(), Unfit> {
    let (block_len, block_bytes) = (ty.block_len(), ty.block_bytes());
    assert!(is_written(ty), "{ty} is only read");
    assert!(x.len().is_multiple_of(block_len) && out.len() == x.len() / block_len * block_bytes, "whole {ty} blocks");
    let limit = limit(ty);
    if let Some(at) = x.iter().position(|x| x.is_nan() || x.abs() > limit) {
        return Err(Unfit { ty, at, weight: x[at] });
    }
    kernels::vectorized(Rows { ty, x, out });
    Ok(())
}

/// Makes each block on its own: a call that is written out here, and so compiled with what is around it.
macro_rules! blocks {
    ($x:expr, $out:expr, $block:expr) => {
        for (x, out) in $x.as_chunks().0.iter().zip($out.as_chunks_mut().0) {
            $block(x, out);
        }
    };
}

/// Weights that the type holds.
struct Rows<'a> {
    ty: WeightType,
    x: &'a [f32],
    out: &'a mut [u8],
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { ty, x, out } = self;
        match ty {
            WeightType::F32 => blocks!(x, out, |&[x]: &[f32; 1], out: &mut [u8; 4]| *out = x.to_le_bytes()),
            WeightType::F16 => {
                blocks!(x, out, |&[x]: &[f32; 1], out: &mut [u8; 2]| *out = f16::from_f32(x).to_le_bytes())
            }
            WeightType::BF16 => {
                blocks!(x, out, |&[x]: &[f32; 1], out: &mut [u8; 2]| *out = bf16::from_f32(x).to_le_bytes())
            }
            WeightType::Q4_0 => legacy::q4_0(x.as_chunks().0, out.as_chunks_mut().0),
            WeightType::Q4_1 => legacy::q4_1(x.as_chunks().0, out.as_chunks_mut().0),
            WeightType::Q5_0 => legacy::q5_0(x.as_chunks().0, out.as_chunks_mut().0),
            WeightType::Q5_1 => legacy::q5_1(x.as_chunks().0, out.as_chunks_mut().0),
            WeightType::Q8_0 => legacy::q8_0(x.as_chunks().0, out.as_chunks_mut().0),
            WeightType::Q2_K => blocks!(x, out, k::q2_k),
            WeightType::Q3_K => blocks!(x, out, k::q3_k),
            WeightType::Q4_K => blocks!(x, out, k::q4_k),
            WeightType::Q5_K => blocks!(x, out, k::q5_k),
            WeightType::Q6_K => blocks!(x, out, k::q6_k),
            // Refused by `quantize_rows`.
            _ => {}
        }
    }
}
