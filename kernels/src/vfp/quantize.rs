//! Conversion of floats to integers: the definition's operations, without lookups and bound checks.

use crate::contract::require;
use crate::scalar::constants::ROUND;
use crate::scalar::{self, AMAX_MIN, ROW};
use crate::{BlockQ8, KvRowsMut, QK};

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
pub(crate) fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    let (whole, rest) = x.as_chunks::<QK>();
    let mut out = out.iter_mut();
    for (x, out) in whole.iter().zip(&mut out) {
        *out = quantize_block(x);
    }
    if let Some(out) = out.next() {
        *out = quantize_rest(rest);
    }
}

/// Quantizes a block of up to 32 columns: zeros behind them change neither the largest magnitude nor the sums.
fn quantize_rest(x: &[f32]) -> BlockQ8 {
    let mut padded = [0.0; QK];
    padded.iter_mut().zip(x).for_each(|(padded, x)| *padded = *x);
    quantize_block(&padded)
}

/// Quantizes a block of 32 columns as [`crate::scalar::quantize_block`] does.
pub(crate) fn quantize_block(x: &[f32; QK]) -> BlockQ8 {
    // Largest magnitude: the shift drops the sign bit.
    let largest = x.as_chunks::<4>().0.iter().fold(0, |max: u32, &[a, b, c, d]| {
        let bits = |x: f32| x.to_bits() << 1;
        max.max(bits(a)).max(bits(b)).max(bits(c)).max(bits(d))
    });
    let amax = f32::from_bits(largest >> 1);
    if !(AMAX_MIN..=f32::MAX).contains(&amax) {
        return scalar::quantize_block(x);
    }
    let id = 127.0 / amax;
    let mut block = BlockQ8 { d: amax / 127.0, ..BlockQ8::default() };
    let halves = block.qs.as_chunks_mut::<{ QK / 2 }>().0.iter_mut().zip(x.as_chunks::<{ QK / 2 }>().0);
    for ((qs, x), sum) in halves.zip(&mut block.sums) {
        let mut total = 0;
        for (qs, x) in qs.as_chunks_mut::<4>().0.iter_mut().zip(x.as_chunks::<4>().0) {
            // The low bits hold the nearest integer.
            let [a, b, c, d] = *x;
            let quant = |x: f32| (x * id + ROUND).to_bits() as i8;
            let four = [quant(a), quant(b), quant(c), quant(d)];
            *qs = four;
            total += (i32::from(four[0]) + i32::from(four[1])) + (i32::from(four[2]) + i32::from(four[3]));
        }
        *sum = total as i16;
    }
    block
}

/// Implements [`Kernels::store_kv`](crate::Kernels::store_kv).
pub(crate) fn store_kv(x: &[f32], out: KvRowsMut<'_>) {
    let KvRowsMut::Q8_0 { qs, d } = out else { return scalar::store_kv(x, out) };
    require(qs.len() == x.len() && d.len() == x.len().div_ceil(QK), ROW);
    for ((x, qs), d) in x.chunks(QK).zip(qs.chunks_mut(QK)).zip(d) {
        let block = quantize_rest(x);
        qs.iter_mut().zip(block.qs).for_each(|(out, q)| *out = q);
        *d = half::f16::from_f32(block.d).to_bits();
    }
}
