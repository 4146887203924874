//! NEON with VFPv4 on 32-bit Arm, on Linux: Cortex-A7 (Raspberry Pi 2), A15, A17, and 64-bit cores under a 32-bit system.
//!
//! - [`matmul`]: products of weights; [`attention`]: a block of stored keys and values
//! - [`products`]: sums of the products of four rows, which both share
//! - [`quantize`]: float to int8
//!
//! All other kernels are those of the floating-point unit ([`crate::vfp`]).
//!
//! The compiler offers no intrinsics of this NEON, and no operands of `asm!` in its upper registers: loops are naked functions, which
//! follow the calling convention (AAPCS: `d8`..`d15` are kept). NEON flushes subnormals. Products of a block's scale, an activation's
//! scale and an integer are zero or normal, and so are their sums ([`crate::scalar`], `AMAX_MIN`); all other floats are left to the
//! unit.

mod attention;
mod detect;
mod matmul;
mod products;
mod quantize;

use crate::vfp::{self, math, norm};
use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Matrix, Query};

/// Processor with NEON and VFPv4: the value is given out only if `detect` saw them.
struct Neon(());

static NEON: Neon = Neon(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    detect::neon().then_some(&NEON)
}

impl Kernels for Neon {
    fn name(&self) -> &'static str {
        "neon"
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        quantize::quantize_q8(x, out)
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul::matmul(w, x, out)
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
