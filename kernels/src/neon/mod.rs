//! NEON, with `FEAT_DotProd` and with `FEAT_I8MM`: every 64-bit Arm core, on Linux, macOS and bare metal.
//!
//! - [`detect`]: the features of the processor
//! - [`matmul`]: products of weights; the three ISAs differ in [`matmul::unit`] alone
//! - [`floats`]: rows of floats; two registers hold the eight chains of a dot product; [`bytes`]: loads that step along rows
//! - [`attention`]: a block of stored keys and values
//! - [`math`], [`norm`], [`quantize`]: all other kernels
//!
//! Element-wise sums and products are the definitions, which the compiler vectorizes by itself: NEON belongs to the target.

mod attention;
mod bytes;
mod detect;
mod floats;
mod math;
mod matmul;
mod norm;
mod quantize;

use core::marker::PhantomData;

use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Layout, Matrix, Query};
use matmul::unit::{DotProd, I8mm, Plain, Unit};

/// Processor with the ISA `I`: a value is given out only if `detect` saw its features.
struct Neon<I>(PhantomData<I>);

static PLAIN: Neon<Plain> = Neon(PhantomData);
static DOTPROD: Neon<DotProd> = Neon(PhantomData);
static I8MM: Neon<I8mm> = Neon(PhantomData);

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    // NEON needs no detection: only targets that have it compile this module.
    Some(&PLAIN)
}

pub(crate) fn detect_dotprod() -> Option<&'static dyn Kernels> {
    detect::dotprod().then_some(&DOTPROD)
}

pub(crate) fn detect_i8mm() -> Option<&'static dyn Kernels> {
    (detect::dotprod() && detect::i8mm()).then_some(&I8MM)
}

impl<I: Unit> Kernels for Neon<I> {
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
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { matmul::matmul::<I>(w, x, out) }
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
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
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
        // SAFETY: `self` exists, so `detect` saw the features of its ISA.
        unsafe { matmul::int8_peak::<I>(rounds) }
    }
}
