//! AVX2 with F16C: x86-64 from 2013 on.
//!
//! - [`quantized`]: a lane owns a row, so eight rows of blocks are transposed as they are unpacked ([`unpack`], [`unpack_k`])
//! - [`floats`]: two registers hold the 16 partial sums of a dot product
//! - [`attention`], [`math`], [`norm`]: the rest, eight columns at a time
//! - [`walks`]: attention of several queries at once, eight keys at a time
//!
//! What the compiler vectorizes by itself (element-wise sums and products) is the definition, compiled for AVX2.
//!
//! Every function is compiled for the same two features: a closure has those of the function around it, and is only
//! inlined into a function that has them all.

mod attention;
mod floats;
mod group;
mod math;
mod norm;
mod peak;
mod quantize;
mod quantized;
mod unpack;
mod unpack_k;
mod walks;

use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvBlock, KvRows, KvRowsMut, Matrix, Query, Walk, scalar};

/// A processor with AVX2 and F16C: exists only where both were seen.
struct Avx2(());

static AVX2: Avx2 = Avx2(());

cpufeatures::new!(avx2_detected, "avx2");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    // `cpufeatures` checks that the system saves the wide registers. F16C, which it does not know, is bit 29 of leaf 1.
    // SAFETY: every x86-64 has `cpuid`; newer compilers call it safe.
    #[allow(unused_unsafe)]
    let f16c = || unsafe { core::arch::x86_64::__cpuid(1) }.ecx >> 29 & 1 == 1;
    (avx2_detected::get() && f16c()).then_some(&AVX2)
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { quantize::quantize_q8(x, out) }
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { matmul(w, x, out) }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { norm::layer_norm(x, weight, bias, eps, out) }
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { norm::rms_norm(x, weight, eps, out) }
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { add(x, y) }
    }

    fn multiply(&self, x: &mut [f32], y: &[f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { multiply(x, y) }
    }

    fn clamp(&self, x: &mut [f32], limit: f32) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { clamp(x, limit) }
    }

    fn gelu_tanh(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { math::gelu_tanh(x) }
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { math::gelu_erf(x) }
    }

    fn silu(&self, x: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { math::silu(x) }
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { quantize::store_kv(x, out) }
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
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
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { attention::score_block(q, keys, scale, slope, distance, scores) }
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { math::exp_block(scores, max) }
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { attention::accumulate_block(probs, values, acc) }
    }

    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { walks::attend_block(self, block, scale, walks) }
    }

    fn scale(&self, x: &mut [f32], factor: f32) {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { scale(x, factor) }
    }

    fn int8_peak(&self, rounds: u32) -> u64 {
        // SAFETY: `self` exists, so `detect` saw avx2 and f16c.
        unsafe { peak::int8_peak(rounds) }
    }
}

#[target_feature(enable = "avx2,f16c")]
fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    match (w.ty(), x) {
        (WeightType::F32, Activations::F32(x)) => floats::matmul::<F32>(w, x, out),
        (WeightType::F16, Activations::F32(x)) => floats::matmul::<F16>(w, x, out),
        (WeightType::BF16, Activations::F32(x)) => floats::matmul::<BF16>(w, x, out),
        (WeightType::Q4_0, Activations::Q8(x)) => quantized::matmul::<BlockQ4_0>(w, x, out),
        (WeightType::Q4_1, Activations::Q8(x)) => quantized::matmul::<BlockQ4_1>(w, x, out),
        (WeightType::Q5_0, Activations::Q8(x)) => quantized::matmul::<BlockQ5_0>(w, x, out),
        (WeightType::Q5_1, Activations::Q8(x)) => quantized::matmul::<BlockQ5_1>(w, x, out),
        (WeightType::Q8_0, Activations::Q8(x)) => quantized::matmul::<BlockQ8_0>(w, x, out),
        (WeightType::Q2_K, Activations::Q8(x)) => quantized::matmul::<BlockQ2_K>(w, x, out),
        (WeightType::Q3_K, Activations::Q8(x)) => quantized::matmul::<BlockQ3_K>(w, x, out),
        (WeightType::Q4_K, Activations::Q8(x)) => quantized::matmul::<BlockQ4_K>(w, x, out),
        (WeightType::Q5_K, Activations::Q8(x)) => quantized::matmul::<BlockQ5_K>(w, x, out),
        (WeightType::Q6_K, Activations::Q8(x)) => quantized::matmul::<BlockQ6_K>(w, x, out),
        _ => scalar::matmul(w, x, out),
    }
}

#[target_feature(enable = "avx2,f16c")]
fn add(x: &mut [f32], y: &[f32]) {
    scalar::add(x, y);
}

#[target_feature(enable = "avx2,f16c")]
fn multiply(x: &mut [f32], y: &[f32]) {
    scalar::multiply(x, y);
}

#[target_feature(enable = "avx2,f16c")]
fn clamp(x: &mut [f32], limit: f32) {
    scalar::clamp(x, limit);
}

#[target_feature(enable = "avx2,f16c")]
fn scale(x: &mut [f32], factor: f32) {
    scalar::scale(x, factor);
}
