//! RV32 with multiplication and without a floating-point unit: Hazard3 (RP2350), ESP32-C3, ESP32-C6.
//!
//! - [`matmul`]: products of weights; [`attention`]: a block of stored keys and values
//! - [`math`]: exponentials and activations
//! - [`scaled`]: sums of integers that are scaled and added to floats; [`parts`]: floats in parts; [`word`]: loops over bytes
//!
//! All other kernels are those of [`crate::soft`].

mod attention;
mod math;
mod matmul;
mod parts;
mod scaled;
mod word;

pub(crate) use math::exp;

use crate::{Activations, ColumnsMut, Kernels, KvBlock, KvRows, Matrix, Query, Walk, scalar, soft};

/// Processor with the M extension: the compiler's target says so.
struct Rv32m(());

static RV32M: Rv32m = Rv32m(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&RV32M)
}

impl Kernels for Rv32m {
    fn name(&self) -> &'static str {
        "rv32m"
    }

    /// All methods that are not below.
    fn wrapped(&self) -> Option<&dyn Kernels> {
        soft::detect()
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul::matmul(w, x, out)
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        math::gelu_erf(x)
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

    /// With the block kernels of this type.
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        scalar::attend_block(self, block, scale, walks)
    }
}
