//! Products of weights on a Cortex-M with the DSP extension: one token after the other.
//!
//! - [`tiles`]: panels of columns, tokens, rows; [`rows`]: loops over four rows of Q4_0, Q5_0 and Q8_0
//! - [`legacy`], [`k`], [`iq4`]: products of each type
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. The byte stays where the file has it, in flash. [`matmul`] chooses [`tiles::matmul`] for the type.
//! 2. `legacy`'s `FourRows::split` has put the token's int8 in the order of the loop, once for all rows ([`super::split::nibbles`]).
//! 3. [`rows::q4_0`] loads the word of bytes 8..12 of four rows and masks pairs of nibbles out of it.
//! 4. `smlad` multiplies two of them with two activations and adds both; sums begin with `-8 Σ x`, which takes the offset off.
//! 5. `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].
//!
//! Types without such a loop (`Unpack`) become eight words of bytes for each 32 columns, which `half_products` multiplies.

mod iq4;
mod k;
mod legacy;
mod rows;
mod tiles;

use crate::block::*;
use crate::vfp::floats::half;
use crate::vfp::matmul as floats;
use crate::{Activations, BlockQ8, ColumnsMut, Matrix, QK, scalar};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
pub(in crate::cortex_m) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    match (w.ty(), x) {
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ4_0, _>(w, x, out),
        (WeightType::Q4_1, Activations::Q8(x)) if cfg!(feature = "legacy_1") => {
            tiles::matmul_unpacked::<BlockQ4_1>(w, x, out)
        }
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ5_0, _>(w, x, out),
        (WeightType::Q5_1, Activations::Q8(x)) if cfg!(feature = "legacy_1") => {
            tiles::matmul_unpacked::<BlockQ5_1>(w, x, out)
        }
        (WeightType::Q8_0, Activations::Q8(x)) => tiles::matmul::<BlockQ8_0, _>(w, x, out),
        (WeightType::Q2_K, Activations::Q8(x)) if cfg!(feature = "k") => tiles::matmul_unpacked::<BlockQ2_K>(w, x, out),
        (WeightType::Q3_K, Activations::Q8(x)) if cfg!(feature = "k") => tiles::matmul_unpacked::<BlockQ3_K>(w, x, out),
        (WeightType::Q4_K, Activations::Q8(x)) if cfg!(feature = "k") => tiles::matmul_unpacked::<BlockQ4_K>(w, x, out),
        (WeightType::Q5_K, Activations::Q8(x)) if cfg!(feature = "k") => tiles::matmul_unpacked::<BlockQ5_K>(w, x, out),
        (WeightType::Q6_K, Activations::Q8(x)) if cfg!(feature = "k") => tiles::matmul_unpacked::<BlockQ6_K>(w, x, out),
        (WeightType::IQ4_NL, Activations::Q8(x)) if cfg!(feature = "iq4") => {
            tiles::matmul_unpacked::<BlockIQ4_NL>(w, x, out)
        }
        (WeightType::IQ4_XS, Activations::Q8(x)) if cfg!(feature = "iq4") => {
            tiles::matmul_unpacked::<BlockIQ4_XS>(w, x, out)
        }
        (WeightType::F32, Activations::F32(x)) => floats::matmul::<F32>(w, x, out),
        (WeightType::F16, Activations::F32(x)) => floats::matmul::<F16>(w, x, out),
        (WeightType::BF16, Activations::F32(x)) => floats::matmul::<BF16>(w, x, out),
        // The definition refuses weights and activations that do not belong together.
        _ => scalar::matmul(w, x, out),
    }
}

/// Weight type that is unpacked 32 columns at a time.
pub(super) trait Unpack: Block {
    /// Quants of a group, without offset, as bytes.
    fn words(&self, group: usize) -> [u32; QK / 4];

    /// `acc` plus the terms of the group, given the sums of the products of its first and last 16 columns: the formulas of
    /// [`crate::scalar::dot_q4_1`] and the others.
    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32;
}

/// Groups of 32 columns in a block.
pub(super) const fn per_block<B: Block>() -> usize {
    B::TYPE.block_len() / QK
}

/// Word `k` of `bytes`.
fn word(bytes: &[u8], k: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * k], bytes[4 * k + 1], bytes[4 * k + 2], bytes[4 * k + 3]])
}

/// `(d · d_x) · sum`
fn scaled(d: F16, sum: i32, x: &BlockQ8) -> f32 {
    (half(u16::from_le_bytes(d.0)) * x.d) * sum as f32
}
