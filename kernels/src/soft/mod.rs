//! Processors without a floating-point unit: Cortex-M0+, RISC-V without the F extension. The definitions, with floats made of integers.
//!
//! The compiler's own functions for floats know no operand's range and are called one by one; `libm::fmaf` takes double precision to
//! pieces. These here take two thirds and a fifth of their instructions, with the same bits.
//!
//! - [`float`]: a float whose operators are those of [`arithmetic`], on Arm of `thumb`; [`word`]: the integers below;
//!   `polynomial`, on Arm `horner`: polynomials; `pairs`: two products by one multiplication, for the folders below
//! - [`math`], [`norm`], [`quantize`], [`attention`], [`matmul`]: kernels, file by file as in `vfp/`
//!
//! Folders of such processors (`cortex_m/armv6m`, `riscv`) wrap these kernels and replace the loops over integers.

pub(crate) mod arithmetic;
pub(crate) mod attention;
pub(crate) mod float;
#[cfg(all(target_arch = "arm", target_os = "none"))]
mod horner;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
#[cfg(any(not(target_arch = "riscv32"), target_feature = "m"))]
pub(crate) mod pairs;
#[cfg(not(all(target_arch = "arm", target_os = "none")))]
mod polynomial;
pub(crate) mod quantize;
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub(crate) mod thumb;
pub(crate) mod word;

#[cfg(not(all(target_arch = "arm", target_os = "none")))]
pub(crate) use arithmetic::{add, multiply};
#[cfg(all(target_arch = "arm", target_os = "none"))]
use horner::{Coefficient, coefficients, polynomial};
#[cfg(not(all(target_arch = "arm", target_os = "none")))]
use polynomial::{Coefficient, coefficients, polynomial};
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub(crate) use thumb::{add, multiply};

use crate::contract::require;
use crate::{Activations, BlockQ8, ColumnsMut, Kernels, KvRows, KvRowsMut, Matrix, Query};
use float::Float;

/// Any processor.
struct Soft(());

static SOFT: Soft = Soft(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&SOFT)
}

/// Computes [`crate::scalar::exp`].
#[cfg(not(test))]
pub(crate) fn exp(x: f32) -> f32 {
    math::exp(Float(x)).0
}

impl Kernels for Soft {
    fn name(&self) -> &'static str {
        "soft"
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

    fn add(&self, x: &mut [f32], y: &[f32]) {
        require(x.len() == y.len(), LENGTHS);
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = (Float(*x) + Float(y)).0);
    }

    fn multiply(&self, x: &mut [f32], y: &[f32]) {
        require(x.len() == y.len(), LENGTHS);
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = (Float(*x) * Float(y)).0);
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

    fn scale(&self, x: &mut [f32], factor: f32) {
        x.iter_mut().for_each(|x| *x = (Float(*x) * Float(factor)).0);
    }
}

/// Message of the contract check of two vectors.
const LENGTHS: &str = "vectors of one length";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn it_gives_the_bits_of_the_definitions() {
        let mut scratch = conformance::Scratch::new();
        for seed in 0..60 {
            conformance::check(detect().unwrap(), seed, &mut scratch).unwrap();
        }
    }
}
