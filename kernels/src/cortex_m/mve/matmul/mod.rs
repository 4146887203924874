//! Products of weights with Helium: Q4_0, Q5_0, Q8_0 and IQ4_NL; all others are those of a processor with the DSP extension.
//!
//! - [`tiles`]: tokens, and some rows at a time; [`rows`]: the loops along those rows
//!
//! The way of a byte is short: [`matmul`] chooses the loop, which loads the byte with 15 others of its row, unpacks both halves
//! in a register and adds their products with the token's int8 by `vmladava`; the offset is taken off with the sum of the int8.

mod rows;
mod tiles;

use crate::block::{BlockIQ4_NL, BlockQ4_0, BlockQ5_0, BlockQ8_0};
use crate::cortex_m::dsp;
use crate::{Activations, ColumnsMut, Matrix, WeightType};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ4_0, 4>(w, x, out),
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => tiles::matmul::<BlockQ5_0, 4>(w, x, out),
        (WeightType::Q8_0, Activations::Q8(x)) => tiles::matmul::<BlockQ8_0, 8>(w, x, out),
        (WeightType::IQ4_NL, Activations::Q8(x)) if cfg!(feature = "iq4") => tiles::matmul::<BlockIQ4_NL, 4>(w, x, out),
        _ => dsp::matmul::matmul(w, x, out),
    }
}
