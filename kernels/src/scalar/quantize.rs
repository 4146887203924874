//! Quantization of activations, of stored keys and values, and of the probabilities that stored values are multiplied with.

use super::math::constants::ROUND;
use super::reduce::strided_sum;
use crate::contract::require;
use crate::{BlockQ8, KV_BLOCK, KvRowsMut, QK};

/// Threshold of 2^-64: if the largest of 32 activations is below it, all count as zero.
///
/// Products of a scale above it with any half-precision scale and with integers, and the sums of such products, are then zero
/// or normal, so a unit that flushes subnormals gives the same bits.
pub(crate) const AMAX_MIN: f32 = 1.0 / (1u128 << 64) as f32;

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
///
/// # Panics
/// When `out` does not have exactly the blocks that `x` needs.
pub fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    for (x, out) in x.chunks(QK).zip(out) {
        *out = quantize_block(x);
    }
}

/// Quantizes one block of [`quantize_q8`]: up to 32 columns; the rest are zeros.
///
/// # Panics
/// When there are more than 32 columns.
#[inline]
pub fn quantize_block(x: &[f32]) -> BlockQ8 {
    require(x.len() <= QK, "at most 32 columns");
    let amax = f32::from_bits(x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
    if !amax.is_finite() {
        return BlockQ8 { d: f32::NAN, ..BlockQ8::default() };
    }
    if amax < AMAX_MIN {
        return BlockQ8::default();
    }
    let id = 127.0 / amax;
    let mut qs = [0; QK];
    for (q, x) in qs.iter_mut().zip(x) {
        *q = nearest(x * id) as i8;
    }
    // 16 quants in ±127 sum to ±2032.
    let sum = |qs: &[i8]| qs.iter().map(|&q| i16::from(q)).sum();
    BlockQ8 { d: amax / 127.0, sums: [sum(&qs[..16]), sum(&qs[16..])], qs }
}

/// Nearest integer, half to even, of `x` in ±2^22.
fn nearest(x: f32) -> i32 {
    (x + ROUND).to_bits() as i32 - ROUND.to_bits() as i32
}

/// Probabilities times scales of the values of a block, as integers: value `j` is multiplied with `step * quants[j]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedProbs {
    /// Factor of all integers. If it is NaN or zero, every value is multiplied with it alone, and the integers are zeros.
    pub step: f32,
    /// Integers, in ±32767; zeros behind the last.
    pub quants: [i16; KV_BLOCK],
}

/// Quantizes up to 32 products of a probability and a scale, as [`Kernels::accumulate_block`](crate::Kernels::accumulate_block)
/// says. Rounding changes a product by half a step at most: 2^-16 of the largest.
///
/// # Panics
/// When there are more than 32 products.
pub fn quantize_probs(products: &[f32]) -> QuantizedProbs {
    require(products.len() <= KV_BLOCK, "values of one block");
    let mut quants = [0; KV_BLOCK];
    let amax = f32::from_bits(products.iter().map(|p| p.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
    if !amax.is_finite() {
        return QuantizedProbs { step: f32::NAN, quants };
    }
    if amax < AMAX_MIN {
        return QuantizedProbs { step: 0.0, quants };
    }
    let id = 32767.0 / amax;
    for (q, p) in quants.iter_mut().zip(products) {
        *q = nearest(p * id) as i16;
    }
    QuantizedProbs { step: amax / 32767.0, quants }
}

/// Implements [`Kernels::store_kv`](crate::Kernels::store_kv).
///
/// # Panics
/// When `out` is not exactly one row of `x.len()` columns.
pub fn store_kv(x: &[f32], out: KvRowsMut<'_>) {
    match out {
        KvRowsMut::F32(out) => {
            require(out.len() == x.len(), ROW);
            out.copy_from_slice(x);
        }
        KvRowsMut::F16(out) => {
            require(out.len() == x.len(), ROW);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = half::f16::from_f32(x).to_bits();
            }
        }
        KvRowsMut::Q8_0 { qs, d } => store_q8(x, qs, d),
        KvRowsMut::Q4_0 { qs, d, .. } => store_q4(x, qs, d),
    }
}

/// Message of the contract check of a row to be stored.
pub(crate) const ROW: &str = "one row of as many columns";

fn store_q8(x: &[f32], qs: &mut [i8], d: &mut [u16]) {
    require(qs.len() == x.len() && d.len() == x.len().div_ceil(QK), ROW);
    for ((x, qs), d) in x.chunks(QK).zip(qs.chunks_mut(QK)).zip(d) {
        let block = quantize_block(x);
        for (q, &quant) in qs.iter_mut().zip(&block.qs) {
            *q = quant;
        }
        *d = half::f16::from_f32(block.d).to_bits();
    }
}

fn store_q4(x: &[f32], qs: &mut [u8], d: &mut [u16]) {
    require(qs.len() == x.len().div_ceil(2) && d.len() == x.len().div_ceil(QK), ROW);
    for ((x, qs), d) in x.chunks(QK).zip(qs.chunks_mut(QK / 2)).zip(d) {
        let (scale, quants) = quantize_q4(x);
        for (byte, &[low, high]) in qs.iter_mut().zip(quants.as_chunks::<2>().0) {
            *byte = (low + 8) as u8 | ((high + 8) as u8) << 4;
        }
        *d = half::f16::from_f32(scale).to_bits();
    }
}

/// Quantizes up to 32 columns to a scale and integers in -8..=7, with zeros behind them.
///
/// The number of the largest magnitude (of several, the first) becomes -8, as in ggml's Q4_0, or -7, and each of the others the
/// nearest integer, half to even, to `x` in the same steps, at most 7. With `y = x * (-8 / max)`, the scale that errs least in
/// the mean of squares is `d = max / -8 · Σ y q / Σ q²`, and of both choices the one with the larger `(Σ y q)² / Σ q²` is
/// taken, -8 if they are equal. On keys and values of trained models this removes a quarter and a tenth of the error (KL) that
/// -8 and `d = max / -8` have.
fn quantize_q4(x: &[f32]) -> (f32, [i8; QK]) {
    let bits = |x: f32| x.to_bits() & 0x7fff_ffff;
    // `max_by_key` takes the last of several, so the order is reversed.
    let max = x.iter().copied().rev().max_by_key(|&x| bits(x)).unwrap_or(0.0);
    if !max.is_finite() {
        return (f32::NAN, [0; QK]);
    }
    if max.abs() < AMAX_MIN {
        return (0.0, [0; QK]);
    }
    let id = -8.0 / max;
    let rounded = |top: f32| {
        let mut quants = [0; QK];
        for (q, x) in quants.iter_mut().zip(x) {
            *q = nearest(x * (top / max)).min(7) as i8;
        }
        let products = strided_sum(x.iter().zip(&quants).map(|(x, &q)| x * id * f32::from(q)));
        // The sum is at most 32 times 64.
        let squares: i16 = quants.iter().map(|&q| i16::from(q) * i16::from(q)).sum();
        let scale = products / f32::from(squares);
        (products * scale, max / -8.0 * scale, quants)
    };
    let (eight, seven) = (rounded(-8.0), rounded(-7.0));
    let (_, scale, quants) = if seven.0 > eight.0 { seven } else { eight };
    (scale, quants)
}
