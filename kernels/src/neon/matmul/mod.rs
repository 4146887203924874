//! Products of weights on aarch64: NEON, with `FEAT_DotProd` and with `FEAT_I8MM`.
//!
//! - [`unit`]: integer sums of products of bytes; the three ISAs differ in nothing else
//! - [`rows`]: eight rows of blocks, which lie apart or are interleaved; [`byte_order`]: products in these two orders
//! - [`legacy`], [`k`], [`iq4`]: blocks of each type as quants and scales; [`group`]: 32 columns of these, and their products
//! - [`tiles`]: tiles of rows, panels of columns, tokens; [`floats`]: float weights; [`peak`]: the arithmetic peak, for
//!   comparison
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. [`crate::interleave`](crate::layout::interleave), once, where the unit's `LAYOUT` asks for it; else rows stay as in the file.
//! 2. [`matmul`] chooses [`tiles::matmul`] for the type's block and the processor's unit.
//! 3. For one token, `tiles::one_token` walks the blocks of eight rows and multiplies at once, for a few `tiles::dots` does so with
//!    up to four; for more, `tiles::panels` unpacks 32 groups of 32 columns once and shares them among the tokens.
//! 4. `Unpack::unpack` of the block ([`legacy`]) asks [`rows::Rows`] for the scales, then four times for a quarter of the quants.
//! 5. `legacy::nibbles` makes columns 4..8 and 20..24 of each row of the bytes 8..12: quants of 0..=15.
//! 6. `unit::Dot` multiplies the quarter with the token's int8, in the way of the ISA; [`group::centred`] takes the offset off as `8 Σ x`.
//! 7. [`group::add_terms`]: `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].

mod byte_order;
mod floats;
pub(super) mod group;
mod iq4;
mod k;
mod legacy;
mod peak;
mod rows;
mod tiles;
pub(super) mod unit;

use crate::block::for_block;
use crate::{Activations, ColumnsMut, Matrix};
pub(super) use peak::int8_peak;
use unit::Unit;

/// Implements [`Kernels::matmul`](crate::Kernels::matmul).
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<I: Unit>(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match x {
        // SAFETY: the processor has the ISA (the caller).
        Activations::Q8(q) => unsafe {
            for_block!(w.ty(), B => tiles::matmul::<I, B>(w, q, out), _ => crate::scalar::matmul(w, x, out))
        },
        Activations::F32(_) => floats::matmul_floats(w, x, out),
    }
}
