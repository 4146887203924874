//! Cortex-M with the DSP extension and a single-precision unit: M4F, M7, M33.
//!
//! - [`rows`]: loops over four rows of Q4_0, Q5_0 and Q8_0, [`split`]: activations as they want them, [`matmul`]: both
//! - [`unpack`]: the other quantized types
//! - [`floats`], [`attention`], [`math`], [`norm`], [`quantize`]: the definitions, cut for one multiplier and 32 float
//!   registers

pub(super) mod attention;
mod floats;
pub(super) mod math;
mod matmul;
pub(super) mod norm;
pub(super) mod quantize;
mod reduce;
mod rows;
mod split;
mod unpack;
mod word;

#[cfg(feature = "mve")]
pub(super) use word::half;

use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Layout, Matrix, Query, scalar};

/// A processor with the DSP extension: the firmware says so by the feature `dsp`.
struct Dsp(());

static DSP: Dsp = Dsp(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&DSP)
}

impl Kernels for Dsp {
    fn name(&self) -> &'static str {
        "dsp"
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul(w, x, out)
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        quantize::quantize_q8(x, out)
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        norm::layer_norm(x, weight, bias, eps, out)
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        norm::rms_norm(x, weight, eps, out)
    }

    fn gelu_tanh(&self, x: &mut [f32]) {
        math::gelu_tanh(x)
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        math::gelu_erf(x)
    }

    fn silu(&self, x: &mut [f32]) {
        math::silu(x)
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        quantize::store_kv(x, out)
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        attention::sum_squares(row, head_dim)
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
        attention::score_block(q, keys, scale, slope, distance, scores)
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        math::exp_block(scores, max)
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        attention::accumulate_block(probs, values, acc)
    }
}

pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    match (w.ty(), x) {
        _ if w.layout() == Layout::Interleaved => scalar::matmul(w, x, out),
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => matmul::matmul::<BlockQ4_0>(w, x, out),
        (WeightType::Q4_1, Activations::Q8(x)) if cfg!(feature = "legacy") => {
            matmul::matmul_unpacked::<BlockQ4_1>(w, x, out)
        }
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => matmul::matmul::<BlockQ5_0>(w, x, out),
        (WeightType::Q5_1, Activations::Q8(x)) if cfg!(feature = "legacy") => {
            matmul::matmul_unpacked::<BlockQ5_1>(w, x, out)
        }
        (WeightType::Q8_0, Activations::Q8(x)) => matmul::matmul::<BlockQ8_0>(w, x, out),
        (WeightType::Q2_K, Activations::Q8(x)) if cfg!(feature = "k") => {
            matmul::matmul_unpacked::<BlockQ2_K>(w, x, out)
        }
        (WeightType::Q3_K, Activations::Q8(x)) if cfg!(feature = "k") => {
            matmul::matmul_unpacked::<BlockQ3_K>(w, x, out)
        }
        (WeightType::Q4_K, Activations::Q8(x)) if cfg!(feature = "k") => {
            matmul::matmul_unpacked::<BlockQ4_K>(w, x, out)
        }
        (WeightType::Q5_K, Activations::Q8(x)) if cfg!(feature = "k") => {
            matmul::matmul_unpacked::<BlockQ5_K>(w, x, out)
        }
        (WeightType::Q6_K, Activations::Q8(x)) if cfg!(feature = "k") => {
            matmul::matmul_unpacked::<BlockQ6_K>(w, x, out)
        }
        (WeightType::IQ4_NL, Activations::Q8(x)) if cfg!(feature = "iq4") => {
            matmul::matmul_unpacked::<BlockIQ4_NL>(w, x, out)
        }
        (WeightType::IQ4_XS, Activations::Q8(x)) if cfg!(feature = "iq4") => {
            matmul::matmul_unpacked::<BlockIQ4_XS>(w, x, out)
        }
        (WeightType::F32, Activations::F32(x)) => floats::matmul(w, x, out, |w: &F32| w.to_f32()),
        (WeightType::F16, Activations::F32(x)) => {
            floats::matmul(w, x, out, |w: &F16| word::half(u16::from_le_bytes(w.0)))
        }
        (WeightType::BF16, Activations::F32(x)) => floats::matmul(w, x, out, |w: &BF16| w.to_f32()),
        // It refuses what does not belong together.
        _ => scalar::matmul(w, x, out),
    }
}
