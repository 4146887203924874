//! Products of weights on 32-bit Arm.
//!
//! - [`tiles`]: rows, panels of columns, tokens; [`panel`]: four rows of a panel
//! - [`rows`]: blocks of 32 weights, multiplied where they lie; [`groups`]: super-blocks of 256 weights, unpacked once for all tokens,
//!   as [`k`] says for each type
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. The byte stays where the file has it. [`matmul`] chooses [`tiles::matmul`] for the type.
//! 2. [`rows`] loads the block of each of four rows; shifts and masks make a register of 16 quants, less 8, of either half.
//! 3. `vmull.s8` and `vmlal.s8` multiply them with the token's int8 ([`super::products`]).
//! 4. `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].

mod groups;
mod k;
mod panel;
mod rows;
mod tiles;

use crate::block::{BF16, F16, F32, for_block};
use crate::{Activations, ColumnsMut, Matrix, WeightType, scalar, vfp};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (ty, Activations::Q8(q)) => {
            for_block!(ty, B => tiles::matmul::<B>(w, q, out), _ => scalar::matmul(w, x, out))
        }
        (WeightType::F32, Activations::F32(x)) => vfp::matmul::matmul::<F32>(w, x, out),
        (WeightType::F16, Activations::F32(x)) => vfp::matmul::matmul::<F16>(w, x, out),
        (WeightType::BF16, Activations::F32(x)) => vfp::matmul::matmul::<BF16>(w, x, out),
        // The definition refuses weights and activations that do not belong together.
        _ => scalar::matmul(w, x, out),
    }
}
