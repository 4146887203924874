//! Blocks of weights, byte for byte as they lie in the file, and the blocks of activations they are multiplied with.
//!
//! Every weight block has alignment 1, so a tensor is a slice of blocks wherever it lies in the file.
//! Fields are named as in their source: ggml, `ggml-common.h` (`block_q4_0` ... `block_q6_K`).
//!
//! Each block unpacks 32 columns at a time, in column order: [`BlockQ4_0::quants`], [`BlockQ4_K::quants`] (of one of
//! its eight groups) and so on. Any bytes are a valid block.

mod floats;
mod iq4;
mod k;
mod q;
mod quantized;
#[cfg(feature = "rare")]
mod rare;
mod weight_type;

use core::mem::{align_of, size_of};

use crate::contract::require;

pub use floats::{BF16, F16, F32};
pub use iq4::{BlockIQ4_NL, BlockIQ4_XS, IQ4_VALUES};
pub use k::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, scale_and_minimum};
pub use q::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};
#[allow(unused_imports)]
pub(crate) use quantized::for_block;
pub use quantized::{Quantized, Scaling};
#[cfg(feature = "rare")]
pub use rare::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS, BlockMXFP4, BlockTQ1_0,
    BlockTQ2_0, Grouped,
};
pub use weight_type::{WeightType, gguf_type_name, gguf_type_reordered};

/// Weights of a block of the 32-element formats.
pub const QK: usize = 32;
/// Weights of a super-block of the K formats.
pub const QK_K: usize = 256;
/// Groups of 32 columns in a super-block.
pub const GROUPS: usize = QK_K / QK;

/// Activations of 32 columns: `x[i] ≈ d * qs[i]`.
///
/// Made by [`crate::Kernels::quantize_q8`], so `qs` lies in ±127 and `d` is zero, normal or NaN (if an input was not finite).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct BlockQ8 {
    /// Scale.
    pub d: f32,
    /// Sums of the first and of the last 16 quants, which a weight's minimum is multiplied with.
    pub sums: [i16; 2],
    /// Quants.
    pub qs: [i8; QK],
}

impl BlockQ8 {
    /// Sum of all 32 quants, in ±4064.
    pub fn sum(&self) -> i32 {
        i32::from(self.sums[0]) + i32::from(self.sums[1])
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Unit that rows of one weight type are made of.
///
/// Sealed: every implementor has alignment 1, no padding, and any bytes are a value of it.
pub trait Block: sealed::Sealed + Copy + Sync + 'static {
    /// Type whose rows are made of this block.
    const TYPE: WeightType;
}

macro_rules! blocks {
    ($($block:ident $ty:ident;)*) => { $(
        impl sealed::Sealed for $block {}
        impl Block for $block {
            const TYPE: WeightType = WeightType::$ty;
        }
        const _: () = assert!(align_of::<$block>() == 1 && size_of::<$block>() == WeightType::$ty.block_bytes());
    )* };
}

blocks! {
    F32 F32;
    F16 F16;
    BF16 BF16;
    BlockQ4_0 Q4_0;
    BlockQ4_1 Q4_1;
    BlockQ5_0 Q5_0;
    BlockQ5_1 Q5_1;
    BlockQ8_0 Q8_0;
    BlockQ2_K Q2_K;
    BlockQ3_K Q3_K;
    BlockQ4_K Q4_K;
    BlockQ5_K Q5_K;
    BlockQ6_K Q6_K;
    BlockIQ4_NL IQ4_NL;
    BlockIQ4_XS IQ4_XS;
}

#[cfg(feature = "rare")]
blocks! {
    BlockIQ1_S IQ1_S;
    BlockIQ1_M IQ1_M;
    BlockIQ2_XXS IQ2_XXS;
    BlockIQ2_XS IQ2_XS;
    BlockIQ2_S IQ2_S;
    BlockIQ3_XXS IQ3_XXS;
    BlockIQ3_S IQ3_S;
    BlockTQ1_0 TQ1_0;
    BlockTQ2_0 TQ2_0;
    BlockMXFP4 MXFP4;
}

/// Views bytes of a file as blocks, in place.
///
/// # Panics
/// When `bytes` is not a whole number of blocks.
pub fn blocks_of<B: Block>(bytes: &[u8]) -> &[B] {
    require(bytes.len().is_multiple_of(size_of::<B>()), "not a whole number of blocks");
    // SAFETY: the slice covers exactly `bytes`; `B` has alignment 1 and any bytes are a value of it (`Block`).
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast::<B>(), bytes.len() / size_of::<B>()) }
}

/// Bytes of a block, to be written.
pub(crate) fn bytes_of_mut<B: Block>(block: &mut B) -> &mut [u8] {
    // SAFETY: the slice covers exactly the block, which has no padding, and any bytes are a value of it (`Block`).
    unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(block).cast::<u8>(), size_of::<B>()) }
}
