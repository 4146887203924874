//! x86-64 from 2013 on, for four ISAs: AVX2 with FMA and F16C; and with AVX-VNNI, AVX-512 or AVX-512 VNNI.
//!
//! - [`detect`]: the features of the processor
//! - [`matmul`]: products of weights, in which all four ISAs differ
//! - [`floats`]: rows of floats; a register holds the eight chains of a dot product
//! - [`attention`]: a block of stored keys and values; that of many queries at once is written for AVX2 and for AVX-512
//! - [`sixteen`]: the two units that it is written for
//! - [`math`], [`norm`], [`quantize`]: all other kernels, with AVX2
//!
//! Element-wise sums and products, which the compiler vectorizes by itself, are the definitions, compiled for AVX2.
//!
//! A function for one unit is compiled for its features: a closure has the features of the function around it, and is only inlined
//! into a function that has them all. A function for any unit (`U: Sixteen`, `L: Unit`) is always inlined into such a function.

/// Methods of a vector unit that are one instruction each.
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $intrinsic:path;)*) => { $(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` exists, so the processor has the instruction.
            unsafe { $intrinsic($($arg),*) }
        }
    )* };
}

mod attention;
mod detect;
mod floats;
mod math;
mod matmul;
mod norm;
mod quantize;
mod sixteen;

use crate::{
    Activations, BlockQ8, ColumnsMut, Kernels, KvBlock, KvRows, KvRowsMut, Layout, Matrix, Query, Walk, scalar,
};

/// Processor with AVX2, FMA and F16C, and maybe more: a value exists only if `detect` saw these features.
struct X86 {
    name: &'static str,
    /// Products of quantized weights, which the four ISAs differ in.
    quantized: unsafe fn(&Matrix<'_>, &[BlockQ8], &mut ColumnsMut<'_>),
    /// Products of float weights.
    floats: unsafe fn(&Matrix<'_>, Activations<'_>, &mut ColumnsMut<'_>),
    /// Attention of several queries.
    attend: unsafe fn(&X86, &KvBlock<'_>, f32, &mut [Walk<'_>]),
    gelu_tanh: unsafe fn(&mut [f32]),
    gelu_erf: unsafe fn(&mut [f32]),
    silu: unsafe fn(&mut [f32]),
    /// Multiplies and adds bytes in registers, as [`Kernels::int8_peak`] says.
    int8_peak: unsafe fn(u32) -> u64,
}

const AVX2: X86 = X86 {
    name: "avx2",
    quantized: matmul::avx2::matmul,
    floats: matmul::floats_avx2,
    attend: attention::attend_block_avx2,
    gelu_tanh: math::avx2::gelu_tanh,
    gelu_erf: math::avx2::gelu_erf,
    silu: math::avx2::silu,
    int8_peak: matmul::int8_peak_avx2,
};
const AVX_VNNI: X86 =
    X86 { name: "avxvnni", quantized: matmul::avx_vnni::matmul, int8_peak: matmul::int8_peak_avx_vnni, ..AVX2 };
const AVX512: X86 = X86 {
    name: "avx512",
    quantized: matmul::avx512::matmul,
    floats: matmul::floats_avx512,
    attend: attention::attend_block_avx512,
    gelu_tanh: math::avx512::gelu_tanh,
    gelu_erf: math::avx512::gelu_erf,
    silu: math::avx512::silu,
    int8_peak: matmul::int8_peak_avx512,
};
const AVX512_VNNI: X86 = X86 {
    name: "avx512vnni",
    quantized: matmul::avx512_vnni::matmul,
    int8_peak: matmul::int8_peak_avx512_vnni,
    ..AVX512
};

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    detect::avx2().then_some(&AVX2)
}

pub(crate) fn detect_avx_vnni() -> Option<&'static dyn Kernels> {
    (detect::avx2() && detect::avx_vnni()).then_some(&AVX_VNNI)
}

pub(crate) fn detect_avx512() -> Option<&'static dyn Kernels> {
    (detect::avx2() && detect::avx512()).then_some(&AVX512)
}

pub(crate) fn detect_avx512_vnni() -> Option<&'static dyn Kernels> {
    (detect::avx2() && detect::avx512() && detect::avx512_vnni()).then_some(&AVX512_VNNI)
}

/// AVX2, for work that is no kernel; `None` if the processor lacks it.
#[cfg(feature = "std")]
pub(crate) fn vectors() -> Option<&'static Vectors> {
    detect::avx2().then_some(&Vectors(()))
}

/// Processor with AVX2, FMA and F16C: a value exists only if `detect` saw both.
#[cfg(feature = "std")]
pub(crate) struct Vectors(());

#[cfg(feature = "std")]
impl Vectors {
    /// Does `work` compiled for AVX2, as [`vectorized`](crate::vectorized) says.
    pub(crate) fn run(&self, work: impl crate::Work) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run(work: impl crate::Work) {
            work.run();
        }
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { run(work) }
    }
}

impl Kernels for X86 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn layout(&self) -> Layout {
        Layout::Interleaved
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { quantize::quantize_q8(x, out) }
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        match x {
            // SAFETY: `self` exists, so `detect` saw the features of its ISA.
            Activations::Q8(x) if w.ty().is_quantized() => unsafe { (self.quantized)(w, x, out) },
            // SAFETY: as above.
            x => unsafe { (self.floats)(w, x, out) },
        }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { norm::layer_norm(x, weight, bias, eps, out) }
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { norm::rms_norm(x, weight, eps, out) }
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { add(x, y) }
    }

    fn multiply(&self, x: &mut [f32], y: &[f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { multiply(x, y) }
    }

    fn clamp(&self, x: &mut [f32], limit: f32) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { clamp(x, limit) }
    }

    fn gelu_tanh(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { (self.gelu_tanh)(x) }
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { (self.gelu_erf)(x) }
    }

    fn silu(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { (self.silu)(x) }
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { quantize::store_kv(x, out) }
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { attention::sum_squares(row, head_dim) }
    }

    fn score_block(
        &self,
        q: Query<'_>,
        keys: KvRows<'_>,
        scale: f32,
        slope: f32,
        distance: u32,
        scores: &mut [f32],
    ) -> f32 {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { attention::score_block(q, keys, scale, slope, distance, scores) }
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { math::exp_block(scores, max) }
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { attention::accumulate_block(probs, values, acc) }
    }

    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { (self.attend)(self, block, scale, walks) }
    }

    fn scale(&self, x: &mut [f32], factor: f32) {
        // SAFETY: `self` exists, so `detect` saw avx2, fma and f16c.
        unsafe { scale(x, factor) }
    }

    fn int8_peak(&self, rounds: u32) -> u64 {
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { (self.int8_peak)(rounds) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add(x: &mut [f32], y: &[f32]) {
    scalar::add(x, y);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(x: &mut [f32], y: &[f32]) {
    scalar::multiply(x, y);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn clamp(x: &mut [f32], limit: f32) {
    scalar::clamp(x, limit);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn scale(x: &mut [f32], factor: f32) {
    scalar::scale(x, factor);
}
