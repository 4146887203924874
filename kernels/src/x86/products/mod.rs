//! Products of quantized weights on x86-64, for four vector units: AVX2, AVX-VNNI, AVX-512 and AVX-512 VNNI.
//!
//! - [`lanes`]: what a vector unit does; [`ymm`], [`zmm`]: registers of 256 and of 512 bits
//! - [`rows`]: sixteen rows of blocks, interleaved or gathered from plain rows
//! - [`unpack`], [`unpack_k`], [`unpack_iq4`]: blocks of each type as quants and scales; [`group`]: 32 columns of them, and their products
//! - [`quantized`]: tiles of rows, panels of columns, tokens; [`peak`]: what they are compared with
//!
//! All of it is generic text without target features, and inlined into the functions below, each compiled for its unit.

// Loops go over the same lanes of several arrays.
#![allow(clippy::needless_range_loop)]

mod group;
mod lanes;
mod peak;
mod quantized;
mod rows;
mod unpack;
mod unpack_iq4;
mod unpack_k;
mod ymm;
mod zmm;

use crate::block::*;
use crate::{ColumnsMut, Matrix, WeightType};
use group::Unpack;
pub(super) use peak::{int8_peak_avx_vnni, int8_peak_avx2, int8_peak_avx512, int8_peak_avx512_vnni};
use ymm::Ymm;
use zmm::Zmm;

/// A function that multiplies with weights of any quantized type, compiled for a vector unit.
macro_rules! matmul {
    ($(#[$doc:meta])* $name:ident, $features:literal, $unit:ty) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has these features.
        #[target_feature(enable = $features)]
        pub(in crate::x86) fn $name(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
            #[target_feature(enable = $features)]
            fn of<B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
                // SAFETY: this function has the features.
                quantized::matmul::<B, _>(unsafe { <$unit>::new() }, w, x, out);
            }
            match w.ty() {
                WeightType::Q4_0 if cfg!(feature = "legacy") => of::<BlockQ4_0>(w, x, out),
                WeightType::Q4_1 if cfg!(feature = "legacy") => of::<BlockQ4_1>(w, x, out),
                WeightType::Q5_0 if cfg!(feature = "legacy") => of::<BlockQ5_0>(w, x, out),
                WeightType::Q5_1 if cfg!(feature = "legacy") => of::<BlockQ5_1>(w, x, out),
                WeightType::Q8_0 => of::<BlockQ8_0>(w, x, out),
                WeightType::Q2_K if cfg!(feature = "k") => of::<BlockQ2_K>(w, x, out),
                WeightType::Q3_K if cfg!(feature = "k") => of::<BlockQ3_K>(w, x, out),
                WeightType::Q4_K if cfg!(feature = "k") => of::<BlockQ4_K>(w, x, out),
                WeightType::Q5_K if cfg!(feature = "k") => of::<BlockQ5_K>(w, x, out),
                WeightType::Q6_K if cfg!(feature = "k") => of::<BlockQ6_K>(w, x, out),
                WeightType::IQ4_NL if cfg!(feature = "iq4") => of::<BlockIQ4_NL>(w, x, out),
                WeightType::IQ4_XS if cfg!(feature = "iq4") => of::<BlockIQ4_XS>(w, x, out),
                WeightType::F32 | WeightType::F16 | WeightType::BF16 => crate::contract::broken("quantized weights"),
                _ => crate::scalar::matmul(w, crate::Activations::Q8(x), out),
            }
        }
    };
}

matmul! {
    /// With AVX2: products added in pairs.
    matmul_avx2, "avx2,f16c", Ymm<false>
}
matmul! {
    /// With AVX-VNNI: products added by fours.
    matmul_avx_vnni, "avx2,f16c,avxvnni", Ymm<true>
}
matmul! {
    /// With AVX-512: wider registers, and twice as many.
    matmul_avx512, "avx2,f16c,avx512f,avx512bw", Zmm<false>
}
matmul! {
    /// With AVX-512 VNNI: both.
    matmul_avx512_vnni, "avx2,f16c,avx512f,avx512bw,avx512vnni", Zmm<true>
}
