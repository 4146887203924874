//! NEON, with `FEAT_DotProd` and with `FEAT_I8MM`: every 64-bit Arm core, on Linux, macOS and bare metal.
//!
//! - [`isa`]: integer sums of products, all that the three differ in
//! - [`quantized`]: a lane owns a row; eight rows at a time, which [`unpack`], [`unpack_k`] and [`unpack_iq4`] give out in quarters
//! - [`rows`]: where these are read from: rows that lie apart, or interleaved
//! - [`floats`]: four registers hold the 16 partial sums of a dot product
//! - [`attention`], [`math`], [`norm`], [`quantize`]: the rest
//!
//! What the compiler vectorizes by itself (element-wise sums and products) is the definition: NEON belongs to the target.

mod attention;
mod bytes;
mod detect;
mod floats;
mod group;
mod isa;
mod math;
mod norm;
mod peak;
mod quantize;
mod quantized;
mod rows;
mod unpack;
mod unpack_iq4;
mod unpack_k;

use core::marker::PhantomData;

use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Layout, Matrix, Query, scalar};
use isa::{DotProd, I8mm, Isa, Plain};

/// A processor with this ISA: exists only where it was seen.
struct Neon<I>(PhantomData<I>);

static PLAIN: Neon<Plain> = Neon(PhantomData);
static DOTPROD: Neon<DotProd> = Neon(PhantomData);
static I8MM: Neon<I8mm> = Neon(PhantomData);

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    // This module is only compiled for targets that have NEON.
    Some(&PLAIN)
}

pub(crate) fn detect_dotprod() -> Option<&'static dyn Kernels> {
    detect::dotprod().then_some(&DOTPROD)
}

pub(crate) fn detect_i8mm() -> Option<&'static dyn Kernels> {
    (detect::dotprod() && detect::i8mm()).then_some(&I8MM)
}

impl<I: Isa> Kernels for Neon<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn layout(&self) -> Layout {
        I::LAYOUT
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        // SAFETY: the target has NEON.
        unsafe { quantize::quantize_q8(x, out) }
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        // SAFETY: `self` exists, so the ISA was seen.
        unsafe { matmul::<I>(w, x, out) }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { norm::layer_norm(x, weight, bias, eps, out) }
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { norm::rms_norm(x, weight, eps, out) }
    }

    fn gelu_tanh(&self, x: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { math::gelu_tanh(x) }
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { math::gelu_erf(x) }
    }

    fn silu(&self, x: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { math::silu(x) }
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        // SAFETY: the target has NEON.
        unsafe { quantize::store_kv(x, out) }
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        // SAFETY: the target has NEON.
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
        // SAFETY: `self` exists, so the ISA was seen.
        unsafe { attention::score_block::<I>(q, keys, scale, slope, distance, scores) }
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        // SAFETY: the target has NEON.
        unsafe { math::exp_block(scores, max) }
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        // SAFETY: the target has NEON.
        unsafe { attention::accumulate_block(probs, values, acc) }
    }

    fn int8_peak(&self, rounds: u32) -> u64 {
        // SAFETY: `self` exists, so the ISA was seen.
        unsafe { peak::int8_peak::<I>(rounds) }
    }
}

/// See [`Kernels::matmul`].
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
unsafe fn matmul<I: Isa>(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    // SAFETY: the processor has the ISA.
    unsafe {
        match (w.ty(), x) {
            (WeightType::F32, Activations::F32(x)) => floats::matmul::<F32>(w, x, out),
            (WeightType::F16, Activations::F32(x)) => floats::matmul::<F16>(w, x, out),
            (WeightType::BF16, Activations::F32(x)) => floats::matmul::<BF16>(w, x, out),
            (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => {
                quantized::matmul::<I, BlockQ4_0>(w, x, out)
            }
            (WeightType::Q4_1, Activations::Q8(x)) if cfg!(feature = "legacy") => {
                quantized::matmul::<I, BlockQ4_1>(w, x, out)
            }
            (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => {
                quantized::matmul::<I, BlockQ5_0>(w, x, out)
            }
            (WeightType::Q5_1, Activations::Q8(x)) if cfg!(feature = "legacy") => {
                quantized::matmul::<I, BlockQ5_1>(w, x, out)
            }
            (WeightType::Q8_0, Activations::Q8(x)) => quantized::matmul::<I, BlockQ8_0>(w, x, out),
            (WeightType::Q2_K, Activations::Q8(x)) if cfg!(feature = "k") => {
                quantized::matmul::<I, BlockQ2_K>(w, x, out)
            }
            (WeightType::Q3_K, Activations::Q8(x)) if cfg!(feature = "k") => {
                quantized::matmul::<I, BlockQ3_K>(w, x, out)
            }
            (WeightType::Q4_K, Activations::Q8(x)) if cfg!(feature = "k") => {
                quantized::matmul::<I, BlockQ4_K>(w, x, out)
            }
            (WeightType::Q5_K, Activations::Q8(x)) if cfg!(feature = "k") => {
                quantized::matmul::<I, BlockQ5_K>(w, x, out)
            }
            (WeightType::Q6_K, Activations::Q8(x)) if cfg!(feature = "k") => {
                quantized::matmul::<I, BlockQ6_K>(w, x, out)
            }
            (WeightType::IQ4_NL, Activations::Q8(x)) if cfg!(feature = "iq4") => {
                quantized::matmul::<I, BlockIQ4_NL>(w, x, out)
            }
            (WeightType::IQ4_XS, Activations::Q8(x)) if cfg!(feature = "iq4") => {
                quantized::matmul::<I, BlockIQ4_XS>(w, x, out)
            }
            _ => scalar::matmul(w, x, out),
        }
    }
}
