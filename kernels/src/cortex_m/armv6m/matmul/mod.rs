//! Products of weights on ARMv6-M: one token after the other.
//!
//! - [`tiles`]: panels of columns, tokens, rows; [`rows`]: loops over four rows of Q4_0, Q5_0 and Q8_0; [`split`]: activations for them
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. The byte stays where the file has it, in flash. [`matmul`] chooses [`tiles::matmul`] for the type.
//! 2. [`split::q4_0`] has put the token's int8 in the order of the loop, in pairs, once for all rows.
//! 3. [`rows::q4_0`] loads the word of bytes 8..12 of four rows and masks pairs of nibbles out of it.
//! 4. `muls` multiplies two of them with two activations; sums begin with `-8 Σ x`, which takes the offset off.
//! 5. `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].
//!
//! All other types, interleaved rows, and rows at odd addresses go the way of the definition.

mod rows;
mod split;
mod tiles;

use crate::block::*;
use crate::soft::matmul as soft;
use crate::{Activations, BlockQ8, ColumnsMut, Layout, Matrix, WeightType, scalar};
use rows::Rows;
use tiles::FourRows;

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        _ if w.layout() != Layout::Plain => soft::matmul(w, x, out),
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ4_0, _>(w, x, out),
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ5_0, _>(w, x, out),
        (WeightType::Q8_0, Activations::Q8(x)) => tiles::matmul::<BlockQ8_0, _>(w, x, out),
        _ => soft::matmul(w, x, out),
    }
}

impl FourRows<{ split::Q4_0 }> for BlockQ4_0 {
    const ROWS: Rows = rows::q4_0;
    fn split(x: &BlockQ8, at_word: bool, out: &mut [u32; split::Q4_0]) -> bool {
        split::q4_0(x, at_word, out)
    }
    fn dot(acc: f32, w: &[Self], x: &[BlockQ8]) -> f32 {
        scalar::dot_q4_0(acc, w, x)
    }
}

impl FourRows<{ split::Q5_0 }> for BlockQ5_0 {
    const ROWS: Rows = rows::q5_0;
    fn split(x: &BlockQ8, at_word: bool, out: &mut [u32; split::Q5_0]) -> bool {
        split::q5_0(x, at_word, out)
    }
    fn dot(acc: f32, w: &[Self], x: &[BlockQ8]) -> f32 {
        scalar::dot_q5_0(acc, w, x)
    }
}

impl FourRows<{ split::Q8_0 }> for BlockQ8_0 {
    const ROWS: Rows = rows::q8_0;
    fn split(x: &BlockQ8, at_word: bool, out: &mut [u32; split::Q8_0]) -> bool {
        split::q8_0(x, at_word, out)
    }
    fn dot(acc: f32, w: &[Self], x: &[BlockQ8]) -> f32 {
        scalar::dot_q8_0(acc, w, x)
    }
}
