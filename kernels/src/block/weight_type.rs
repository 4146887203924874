//! GGUF weight types: their numbers, names and sizes. Source: ggml, `ggml.h` (`enum ggml_type`).

use core::fmt;

use super::{QK, QK_K};
use crate::Layout;

macro_rules! weight_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal, $block_len:expr, $block_bytes:literal $(, $feature:literal)?;)*) => {
        /// Type of a tensor's numbers, named exactly as GGUF names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types)]
        #[repr(u8)]
        pub enum WeightType { $($(#[$doc])* $name = $number,)* }

        impl WeightType {
            /// Types that the runtime reads when all features are on.
            pub const N_KNOWN: usize = [$(Self::$name,)*].len();

            /// All types that are compiled in, in the order of their GGUF numbers.
            pub const ALL: &'static [Self] = &[$($(#[cfg(feature = $feature)])? Self::$name,)*];

            /// Type with this number in a GGUF file; `None` if the runtime cannot read it, or not with the features that are
            /// on.
            pub const fn from_gguf(number: u32) -> Option<Self> {
                match number { $($(#[cfg(feature = $feature)])? $number => Some(Self::$name),)* _ => None }
            }

            /// True if the features that are on include the type's kernels. No [`Matrix`](crate::Matrix) has a type without
            /// them.
            pub const fn is_compiled_in(self) -> bool {
                Self::from_gguf(self as u32).is_some()
            }

            /// Feature that includes the kernels of the type with this number in a GGUF file; `None` if they are always there, or if
            /// the runtime has none.
            pub const fn feature_of(number: u32) -> Option<&'static str> {
                const fn first(features: &[&'static str]) -> Option<&'static str> {
                    features.first().copied()
                }
                match number { $($number => first(&[$($feature)?]),)* _ => None }
            }

            /// GGUF's name for the type.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Name of the type in interleaved rows.
            const fn interleaved_name(self) -> &'static str {
                match self { $(Self::$name => concat!($label, " interleaved"),)* }
            }

            /// Weights in one block: a row holds a whole number of blocks.
            pub const fn block_len(self) -> usize {
                match self { $(Self::$name => $block_len,)* }
            }

            /// Bytes of one block.
            pub const fn block_bytes(self) -> usize {
                match self { $(Self::$name => $block_bytes,)* }
            }
        }
    };
}

weight_types! {
    /// IEEE 754 single precision.
    F32 = 0, "F32", 1, 4;
    /// IEEE 754 half precision.
    F16 = 1, "F16", 1, 2;
    /// 4-bit, scale.
    Q4_0 = 2, "Q4_0", QK, 18, "legacy";
    /// 4-bit, scale and minimum.
    Q4_1 = 3, "Q4_1", QK, 20, "legacy_1";
    /// 5-bit, scale.
    Q5_0 = 6, "Q5_0", QK, 22, "legacy";
    /// 5-bit, scale and minimum.
    Q5_1 = 7, "Q5_1", QK, 24, "legacy_1";
    /// 8-bit, scale.
    Q8_0 = 8, "Q8_0", QK, 34;
    /// 2-bit super-blocks, 4-bit scales and minimums of 16 weights.
    Q2_K = 10, "Q2_K", QK_K, 84, "k";
    /// 3-bit super-blocks, 6-bit scales of 16 weights.
    Q3_K = 11, "Q3_K", QK_K, 110, "k";
    /// 4-bit super-blocks, 6-bit scales and minimums of 32 weights.
    Q4_K = 12, "Q4_K", QK_K, 144, "k";
    /// 5-bit super-blocks, 6-bit scales and minimums of 32 weights.
    Q5_K = 13, "Q5_K", QK_K, 176, "k";
    /// 6-bit super-blocks, 8-bit scales of 16 weights.
    Q6_K = 14, "Q6_K", QK_K, 210, "k";
    /// 2-bit codebook of eight weights, super-blocks, 4-bit scales of 32 weights.
    IQ2_XXS = 16, "IQ2_XXS", QK_K, 66, "rare";
    /// 2-bit codebook of eight weights, super-blocks, 4-bit scales of 16 weights.
    IQ2_XS = 17, "IQ2_XS", QK_K, 74, "rare";
    /// 3-bit codebook of four weights, super-blocks, 4-bit scales of 32 weights.
    IQ3_XXS = 18, "IQ3_XXS", QK_K, 98, "rare";
    /// 1.5-bit codebook of eight weights, super-blocks, 3-bit scales of 32 weights.
    IQ1_S = 19, "IQ1_S", QK_K, 50, "rare";
    /// 4-bit indexes of 16 values, scale.
    IQ4_NL = 20, "IQ4_NL", QK, 18, "iq4";
    /// 3-bit codebook of four weights, super-blocks, 4-bit scales of 32 weights.
    IQ3_S = 21, "IQ3_S", QK_K, 110, "rare";
    /// 2-bit codebook of eight weights, super-blocks, 4-bit scales of 16 weights.
    IQ2_S = 22, "IQ2_S", QK_K, 82, "rare";
    /// 4-bit indexes of 16 values, super-blocks, 6-bit scales of 32 weights.
    IQ4_XS = 23, "IQ4_XS", QK_K, 136, "iq4";
    /// 1.5-bit codebook of eight weights, super-blocks, 3-bit scales of 16 weights.
    IQ1_M = 29, "IQ1_M", QK_K, 56, "rare";
    /// Upper 16 bits of single precision: 8 exponent bits, 7 of mantissa.
    BF16 = 30, "BF16", 1, 2;
    /// Ternary, five weights in a byte, scale of 256.
    TQ1_0 = 34, "TQ1_0", QK_K, 54, "rare";
    /// Ternary, four weights in a byte, scale of 256.
    TQ2_0 = 35, "TQ2_0", QK_K, 66, "rare";
    /// 4-bit floats, a power of two as scale.
    MXFP4 = 39, "MXFP4", QK, 17, "rare";
}

impl WeightType {
    /// True if activations are quantized to int8 blocks before they meet weights of this type.
    pub const fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Two-byte numbers at the beginning and at the end of a block: its half-precision scales and minimums, and the high bits
    /// of IQ4_XS's integer scales. `[0, 0]` for quantized types that are never interleaved.
    pub const fn halves(self) -> [usize; 2] {
        match self {
            Self::F32 | Self::BF16 => [0, 0],
            Self::F16 | Self::Q4_0 | Self::Q5_0 | Self::Q8_0 | Self::IQ4_NL => [1, 0],
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K | Self::IQ4_XS => [2, 0],
            Self::Q3_K | Self::Q6_K => [0, 1],
            Self::Q2_K => [0, 2],
            _ => [0, 0],
        }
    }

    /// True if rows of this type can be interleaved.
    pub const fn can_interleave(self) -> bool {
        self.is_quantized() && !matches!(self.halves(), [0, 0])
    }

    /// Bytes of a row of `n_cols` weights; `None` if it is not a whole number of blocks or overflows.
    pub const fn row_bytes(self, n_cols: usize) -> Option<usize> {
        if !n_cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (n_cols / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// GGUF's name of any type number, also of those the runtime cannot read (for error messages).
///
/// Source: ggml, `enum ggml_type`.
pub const fn gguf_type_name(number: u32) -> &'static str {
    match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        42 => "Q2_0",
        _ => match Layout::from_gguf(number) {
            Some((ty, Layout::Plain)) => ty.name(),
            Some((ty, Layout::Interleaved)) => ty.interleaved_name(),
            None => "unknown",
        },
    }
}

/// Plain type of weights that llama.cpp once stored in another order, for some processors' kernels; `None` for all other type
/// numbers. Newer versions of llama.cpp refuse such files, too, since they reorder weights on loading (December 2024).
pub const fn gguf_type_reordered(number: u32) -> Option<WeightType> {
    match number {
        31..=33 => Some(WeightType::Q4_0),
        36..=38 => Some(WeightType::IQ4_NL),
        _ => None,
    }
}
