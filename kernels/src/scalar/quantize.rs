//! From floats to what is multiplied with weights, and to what is stored in the KV cache.

use super::math::constants::ROUND;
use crate::contract::require;
use crate::{BlockQ8, KvRowsMut, QK};

/// Below this (2^-64) the largest of 32 activations counts as zero.
///
/// Products of a scale above it with any half-precision scale and with integers, and the sums of such products, are then
/// zero or normal: no unit that flushes subnormals can show.
pub(crate) const AMAX_MIN: f32 = 1.0 / (1u128 << 64) as f32;

/// See [`crate::Kernels::quantize_q8`].
///
/// # Panics
/// When `out` does not have exactly the blocks that `x` needs.
pub fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    for (x, out) in x.chunks(QK).zip(out) {
        *out = quantize_block(x);
    }
}

/// One block of [`quantize_q8`]; up to 32 columns, the rest are zeros.
pub fn quantize_block(x: &[f32]) -> BlockQ8 {
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
        *q = nearest(x * id);
    }
    // 16 quants in ±127 sum to ±2032.
    let sum = |qs: &[i8]| qs.iter().map(|&q| i16::from(q)).sum();
    BlockQ8 { d: amax / 127.0, sums: [sum(&qs[..16]), sum(&qs[16..])], qs }
}

/// The nearest integer, half to even, of `x` in ±127.4.
fn nearest(x: f32) -> i8 {
    ((x + ROUND).to_bits() as i32 - ROUND.to_bits() as i32) as i8
}

/// See [`crate::Kernels::store_kv`].
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
    }
}

/// What `store_kv` is promised.
const ROW: &str = "one row of as many columns";

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
