//! Conversion of floats to int8 and to half precision.

use core::arch::aarch64::*;

use super::bytes::narrow;
use super::floats::{load, load_some};
use crate::contract::require;
use crate::scalar::{self, AMAX_MIN, ROW, quantize_block};
use crate::{BlockQ8, KvRowsMut, QK};

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
#[target_feature(enable = "neon")]
pub(super) fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    let (full, rest) = x.as_chunks();
    for (x, out) in full.iter().zip(out.iter_mut()) {
        *out = quantize_full(x);
    }
    if let (Some(last), false) = (out.last_mut(), rest.is_empty()) {
        *last = quantize_block(rest);
    }
}

/// Quantizes a block of 32 columns as [`quantize_block`] does.
#[target_feature(enable = "neon")]
#[inline]
fn quantize_full(x: &[f32; QK]) -> BlockQ8 {
    let fours = x.as_chunks::<4>().0;
    let x: [float32x4_t; 8] = core::array::from_fn(|i| load(&fours[i]));
    let amax = largest(x);
    if !amax.is_finite() || amax < AMAX_MIN {
        let d = if amax.is_finite() { 0.0 } else { f32::NAN };
        return BlockQ8 { d, ..BlockQ8::default() };
    }
    let id = 127.0 / amax;
    // All quants lie in ±127, so narrowing loses nothing.
    let [a, b, c, d, e, f, g, h] = x.map(|x| vcvtnq_s32_f32(vmulq_n_f32(x, id)));
    let join = |low, high| vmovn_high_s32(vmovn_s32(low), high);
    let [ab, cd, ef, gh] = [join(a, b), join(c, d), join(e, f), join(g, h)];
    let (low, high) = (vmovn_high_s16(vmovn_s16(ab), cd), vmovn_high_s16(vmovn_s16(ef), gh));
    let mut block = BlockQ8 { d: amax / 127.0, sums: [vaddlvq_s8(low), vaddlvq_s8(high)], qs: [0; QK] };
    // SAFETY: 32 writable bytes; vector stores need no alignment.
    unsafe {
        vst1q_s8(block.qs.as_mut_ptr(), low);
        vst1q_s8(block.qs.as_mut_ptr().add(16), high);
    }
    block
}

/// Largest magnitude, by its bits.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn largest(x: [float32x4_t; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = x.map(|x| vreinterpretq_u32_f32(vabsq_f32(x)));
    let max = |a, b| vmaxq_u32(a, b);
    f32::from_bits(vmaxvq_u32(max(max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))))
}

/// Implements [`Kernels::store_kv`](crate::Kernels::store_kv).
#[target_feature(enable = "neon")]
pub(super) fn store_kv(x: &[f32], out: KvRowsMut<'_>) {
    match out {
        KvRowsMut::F16(out) => store_halves(x, out),
        KvRowsMut::Q8_0 { qs, d } if x.len().is_multiple_of(QK) => store_quants(x, qs, d),
        out => scalar::store_kv(x, out),
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn store_halves(x: &[f32], out: &mut [u16]) {
    require(out.len() == x.len(), ROW);
    for (x, out) in x.chunks(8).zip(out.chunks_mut(8)) {
        let mut halves = [0; 8];
        // SAFETY: 16 writable bytes; vector stores need no alignment.
        unsafe { vst1q_u16(halves.as_mut_ptr(), narrow(load_some(x))) };
        out.copy_from_slice(&halves[..out.len()]);
    }
}

/// Stores a row of whole groups of 32 columns as Q8_0.
#[target_feature(enable = "neon")]
#[inline]
fn store_quants(x: &[f32], qs: &mut [i8], d: &mut [u16]) {
    require(qs.len() == x.len() && d.len() == x.len() / QK, ROW);
    for ((x, qs), d) in x.as_chunks().0.iter().zip(qs.as_chunks_mut().0).zip(d) {
        let block = quantize_full(x);
        *qs = block.qs;
        *d = half::f16::from_f32(block.d).to_bits();
    }
}
