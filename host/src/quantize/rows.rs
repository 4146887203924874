//! Blocks of each type from weights.

use half::{bf16, f16};
use nearfield::kernels::WeightType;
use nearfield_kernels::Work;

use super::unfit::{Unfit, limit};
use super::{k, legacy};

/// True if weights can become this type; the others are only read.
pub fn is_written(ty: WeightType) -> bool {
    ty.can_interleave() || !ty.is_quantized()
}

/// Quantizes whole rows, of any number of whole blocks of `ty`, whose bytes just fill `out`. The bits are the same on any
/// machine.
///
/// `importance` has a number above zero for each column of a row: the weight of its squared errors. Numbers around 1 are best.
///
/// # Errors
/// The first weight that is not finite or, for types with f16 numbers, beyond the largest f16.
///
/// # Panics
/// When `x` or `importance` is not whole blocks, `out` has another length than they, or the type [is not written](is_written).
pub fn quantize_rows(ty: WeightType, x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) -> Result<(), Unfit> {
    let (block_len, block_bytes) = (ty.block_len(), ty.block_bytes());
    assert!(is_written(ty), "{ty} is only read");
    assert!(x.len().is_multiple_of(block_len) && out.len() == x.len() / block_len * block_bytes, "whole {ty} blocks");
    assert!(importance.is_none_or(|row| row.len().is_multiple_of(block_len) && !row.is_empty()), "whole {ty} blocks");
    let limit = limit(ty);
    if let Some(at) = x.iter().position(|x| x.is_nan() || x.abs() > limit) {
        return Err(Unfit { ty, at, weight: x[at] });
    }
    nearfield_kernels::vectorized(Rows { ty, x, importance, out });
    Ok(())
}

/// Converts each number on its own.
macro_rules! floats {
    ($x:expr, $out:expr, $float:expr) => {
        for (&x, out) in $x.iter().zip($out.as_chunks_mut().0) {
            *out = $float(x).to_le_bytes();
        }
    };
}

/// Makes each block on its own. As a macro, the call is compiled with the code around it.
macro_rules! blocks {
    ($x:expr, $importance:expr, $out:expr, $block:expr) => {
        let mut importance = $importance.map(|row| row.as_chunks().0.iter().cycle());
        for (x, out) in $x.as_chunks().0.iter().zip($out.as_chunks_mut().0) {
            $block(x, importance.as_mut().and_then(|blocks| blocks.next()), out);
        }
    };
}

/// Weights that the type can hold.
struct Rows<'a> {
    ty: WeightType,
    x: &'a [f32],
    importance: Option<&'a [f32]>,
    out: &'a mut [u8],
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { ty, x, importance, out } = self;
        let of_32 = || importance.map(|row| row.as_chunks().0);
        match ty {
            WeightType::F32 => floats!(x, out, |x: f32| x),
            WeightType::F16 => floats!(x, out, f16::from_f32),
            WeightType::BF16 => floats!(x, out, bf16::from_f32),
            WeightType::Q4_0 => legacy::q4_0(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::Q4_1 => legacy::q4_1(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::Q5_0 => legacy::q5_0(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::Q5_1 => legacy::q5_1(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::Q8_0 => legacy::q8_0(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::Q2_K => {
                blocks!(x, importance, out, k::q2_k);
            }
            WeightType::Q3_K => {
                blocks!(x, importance, out, k::q3_k);
            }
            WeightType::Q4_K => {
                blocks!(x, importance, out, k::q4_k);
            }
            WeightType::Q5_K => {
                blocks!(x, importance, out, k::q5_k);
            }
            WeightType::Q6_K => {
                blocks!(x, importance, out, k::q6_k);
            }
            WeightType::IQ4_NL => legacy::iq4_nl(x.as_chunks().0, of_32(), out.as_chunks_mut().0),
            WeightType::IQ4_XS => {
                blocks!(x, importance, out, k::iq4_xs);
            }
            // `quantize_rows` has refused other types.
            _ => {}
        }
    }
}
