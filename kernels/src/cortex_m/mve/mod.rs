//! Cortex-M with Helium, integer and float: M55.
//!
//! - [`matmul`]: products of Q4_0, Q5_0, Q8_0 and IQ4_NL; [`attention`]: quantized keys and values
//! - [`math`]: exponentials and activation functions; [`quantize`]: float to int8
//!
//! All other kernels are those of the floating-point unit ([`crate::vfp`]).

mod attention;
mod math;
mod matmul;
mod quantize;

use crate::vfp::{self, norm};
use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Matrix, Query};

/// Processor with Helium: the firmware's feature `mve` says so.
struct Mve(());

static MVE: Mve = Mve(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&MVE)
}

impl Kernels for Mve {
    fn name(&self) -> &'static str {
        "mve"
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul::matmul(w, x, out)
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
        vfp::math::gelu_tanh(x)
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        math::gelu_erf(x)
    }

    fn silu(&self, x: &mut [f32]) {
        vfp::math::silu(x)
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        vfp::quantize::store_kv(x, out)
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        vfp::attention::sum_squares(row, head_dim)
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
