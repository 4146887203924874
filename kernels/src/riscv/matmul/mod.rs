//! Products of weights on RV32 without a floating-point unit: one token after the other.
//!
//! - [`tiles`]: panels of columns, tokens, rows; [`rows`]: products of 32 columns of four rows; [`split`]: activations in their order
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. The byte stays where the file has it, in flash. [`matmul`] chooses [`tiles::matmul`] for the type.
//! 2. [`split`] has put the token's int8 in pairs of 16 bits, once for all rows.
//! 3. [`rows`] loads bytes 8..12 of four rows as two half-words each and masks pairs of nibbles out of them.
//! 4. One `mul` makes two products and their sum; sums begin with `-8 Σ x`, which takes the offset off.
//! 5. `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].
//!
//! All other types are multiplied as their definitions say.

mod rows;
mod split;
mod tiles;

use crate::block::*;
use crate::soft::matmul as soft;
use crate::{Activations, ColumnsMut, Matrix};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ4_0, 9>(w, x, out),
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ5_0, 11>(w, x, out),
        (WeightType::Q8_0, Activations::Q8(x)) => tiles::matmul::<BlockQ8_0, 17>(w, x, out),
        _ => soft::matmul(w, x, out),
    }
}
