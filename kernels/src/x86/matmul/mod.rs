//! Products of quantized weights on x86-64, for four vector units: AVX2, AVX-VNNI, AVX-512 and AVX-512 VNNI.
//!
//! # The way of one byte
//!
//! Byte 9 of a row of Q4_0 holds columns 7 (low half) and 23 (high half). From the file to the multiply it passes:
//!
//! 1. [`crate::interleave`](crate::layout::interleave), once, when a file is packed or loaded: the words of 16 rows alternate, so that a
//!    register takes the same four bytes of each row. A plain row keeps its order and is gathered in step 4 instead.
//! 2. [`crate::Kernels::matmul`] of `X86` calls the `matmul` of a module below, compiled for the processor's unit ([`unit`]).
//! 3. [`tiles::matmul`] finds the row tile (16 rows). For one token, and for up to eight with interleaved rows (four at a time),
//!    `tiles::dots` walks its blocks and multiplies at once; for more, `tiles::panels` unpacks 32 groups of 32 columns into a panel,
//!    which all tokens share.
//! 4. [`rows::Source::quad`] loads the 16 bytes of quants of each row: the byte is one of four in its row's lane.
//! 5. `Unpack::unpack` of its block ([`legacy`]; [`k`], [`iq4`] for other types) names quants and scale of the group:
//!    `Group::plain(Nibbles(quad), d)`. [`crate::block::Quantized`] says what the numbers mean.
//! 6. [`group::accumulate`] asks for columns 4..8 and 20..24: `Nibbles::four` masks or shifts the byte into two quants of 0..=15.
//! 7. `Unit::maddubs` (or `dpbusd`) multiplies them with the token's int8 and adds neighbours; the offset 8 is taken off as `8 Σ x`, which
//!    the activation block brings along ([`crate::BlockQ8`]).
//! 8. `acc += (d · d_x) · sum`, once for each 32 columns, in their order: the bits of [`crate::scalar::dot_q4_0`].
//! 9. `tiles::write` stores the lanes of the rows that were asked for.
//!
//! All of these functions are generic, without target features, and inlined into the functions below, each compiled for its
//! unit.

// Loops index the same lanes of several arrays.
#![allow(clippy::needless_range_loop)]

mod floats;
mod group;
mod iq4;
mod k;
mod legacy;
mod peak;
mod rows;
mod tiles;
mod unit;

use crate::block::for_block;
pub(super) use floats::{floats_avx2, floats_avx512};
use group::Unpack;
pub(super) use peak::{int8_peak_avx_vnni, int8_peak_avx2, int8_peak_avx512, int8_peak_avx512_vnni};

/// Module whose function `matmul` multiplies with weights of any quantized type, compiled for a vector unit. A module each makes a
/// codegen unit each, which compilers work on side by side.
macro_rules! matmul {
    ($(#[$doc:meta])* $module:ident, $features:literal, $unit:ty) => {
        $(#[$doc])*
        pub(in crate::x86) mod $module {
            use super::{Unpack, for_block, tiles, unit};
            use crate::{Activations, BlockQ8, ColumnsMut, Matrix, scalar};

            /// Multiplies with weights of any quantized type.
            ///
            /// # Safety
            /// The processor has the unit's features.
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn matmul(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
                for_block!(w.ty(), B => of::<B>(w, x, out), _ => scalar::matmul(w, Activations::Q8(x), out))
            }

            #[target_feature(enable = $features)]
            fn of<B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
                // SAFETY: this function has the features.
                tiles::matmul::<B, _>(unsafe { <$unit>::new() }, w, x, out);
            }
        }
    };
}

matmul! {
    /// AVX2: products added in pairs.
    avx2, "avx2,f16c", unit::Avx2
}
matmul! {
    /// AVX-VNNI: products added by fours.
    avx_vnni, "avx2,f16c,avxvnni", unit::AvxVnni
}
matmul! {
    /// AVX-512: products added in pairs, registers twice as wide, and twice as many.
    avx512, "avx2,f16c,avx512f,avx512bw", unit::Avx512
}
matmul! {
    /// AVX-512 VNNI: products added by fours in the wider registers.
    avx512_vnni, "avx2,f16c,avx512f,avx512bw,avx512vnni", unit::Avx512Vnni
}
