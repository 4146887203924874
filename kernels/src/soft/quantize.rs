//! Conversion of floats to integers.

use super::arithmetic::{divide, round_to_int};
use super::multiply;
use crate::contract::require;
use crate::scalar::{self, AMAX_MIN, QuantizedProbs, ROW};
use crate::{BlockQ8, KV_BLOCK, KvRowsMut, QK};

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
pub(crate) fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    for (x, out) in x.chunks(QK).zip(out) {
        *out = quantize_block(x);
    }
}

/// Largest magnitude, as [`scalar::quantize_block`] takes it, if it is one that numbers are divided by.
fn largest(x: &[f32]) -> Option<f32> {
    // The shift drops the sign.
    let bits = x.iter().fold(0, |max, x| max.max(x.to_bits() << 1)) >> 1;
    (AMAX_MIN.to_bits()..=f32::MAX.to_bits()).contains(&bits).then(|| f32::from_bits(bits))
}

/// Quantizes up to 32 columns as [`scalar::quantize_block`] does.
fn quantize_block(x: &[f32]) -> BlockQ8 {
    let Some(amax) = largest(x) else { return scalar::quantize_block(x) };
    let id = divide(127.0, amax);
    let mut block = BlockQ8 { d: divide(amax, 127.0), ..BlockQ8::default() };
    let halves = block.qs.as_chunks_mut::<{ QK / 2 }>().0.iter_mut().zip(x.chunks(QK / 2));
    for ((qs, x), sum) in halves.zip(&mut block.sums) {
        let mut total = 0;
        for (q, &x) in qs.iter_mut().zip(x) {
            let quant = round_to_int(multiply(x, id));
            *q = quant as i8;
            total += quant;
        }
        *sum = total as i16;
    }
    block
}

/// Computes [`scalar::quantize_probs`].
pub(crate) fn quantize_probs(products: &[f32; KV_BLOCK]) -> QuantizedProbs {
    let Some(amax) = largest(products) else { return scalar::quantize_probs(products) };
    let id = divide(32767.0, amax);
    let quants = products.map(|p| if p.to_bits() << 1 == 0 { 0 } else { round_to_int(multiply(p, id)) as i16 });
    QuantizedProbs { step: divide(amax, 32767.0), quants }
}

/// Implements [`Kernels::store_kv`](crate::Kernels::store_kv).
pub(crate) fn store_kv(x: &[f32], out: KvRowsMut<'_>) {
    let KvRowsMut::Q8_0 { qs, d } = out else { return scalar::store_kv(x, out) };
    require(qs.len() == x.len() && d.len() == x.len().div_ceil(QK), ROW);
    for ((x, qs), d) in x.chunks(QK).zip(qs.chunks_mut(QK)).zip(d) {
        let block = quantize_block(x);
        qs.iter_mut().zip(block.qs).for_each(|(out, q)| *out = q);
        *d = half::f16::from_f32(block.d).to_bits();
    }
}
