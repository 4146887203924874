//! Conversion of floats to int8 and to half precision.

use core::arch::x86_64::*;

use super::floats::load;
use crate::contract::require;
use crate::scalar::constants::ROUND;
use crate::scalar::{self, AMAX_MIN, ROW, quantize_block};
use crate::{BlockQ8, KvRowsMut, QK};

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
#[target_feature(enable = "avx2,fma,f16c")]
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
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn quantize_full(x: &[f32; QK]) -> BlockQ8 {
    let x = [0, 8, 16, 24].map(|at| load(&x[at..at + 8]));
    let amax = largest(x);
    if !amax.is_finite() || amax < AMAX_MIN {
        let d = if amax.is_finite() { 0.0 } else { f32::NAN };
        return BlockQ8 { d, ..BlockQ8::default() };
    }
    let id = _mm256_set1_ps(127.0 / amax);
    let round = _mm256_set1_ps(ROUND);
    let [a, b, c, d] = x.map(|x| {
        let rounded = _mm256_add_ps(_mm256_mul_ps(x, id), round);
        _mm256_sub_epi32(_mm256_castps_si256(rounded), _mm256_castps_si256(round))
    });
    // Packing works on each 128 bits alone: words 0..4 8..12 4..8 12..16, then bytes in fours of a, b, c, d twice.
    let (ab, cd) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order);
    let mut block = BlockQ8 { d: amax / 127.0, sums: [total(ab), total(cd)], qs: [0; QK] };
    // SAFETY: 32 writable bytes; `storeu` needs no alignment.
    unsafe { _mm256_storeu_si256(block.qs.as_mut_ptr().cast(), bytes) };
    block
}

/// Largest magnitude, by its bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn largest(x: [__m256; 4]) -> f32 {
    let [a, b, c, d] = x.map(|x| _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fff_ffff)));
    let all = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
    let four = _mm_max_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
    f32::from_bits(_mm_cvtsi128_si32(one) as u32)
}

/// Sum of sixteen numbers in ±127.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn total(x: __m256i) -> i16 {
    let pairs = _mm256_madd_epi16(x, _mm256_set1_epi16(1));
    let four = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
    _mm_cvtsi128_si32(one) as i16
}

/// Implements [`Kernels::store_kv`](crate::Kernels::store_kv).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_kv(x: &[f32], out: KvRowsMut<'_>) {
    match out {
        KvRowsMut::F16(out) => store_halves(x, out),
        KvRowsMut::Q8_0 { qs, d } if x.len().is_multiple_of(QK) => store_quants(x, qs, d),
        out => scalar::store_kv(x, out),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn store_halves(x: &[f32], out: &mut [u16]) {
    require(out.len() == x.len(), ROW);
    for (x, out) in x.chunks(8).zip(out.chunks_mut(8)) {
        let rounded = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load(x));
        let mut halves = [0; 8];
        // SAFETY: 16 writable bytes; `storeu` needs no alignment.
        unsafe { _mm_storeu_si128(halves.as_mut_ptr().cast(), rounded) };
        out.copy_from_slice(&halves[..out.len()]);
    }
}

/// Stores a row of whole groups of 32 columns as Q8_0.
#[target_feature(enable = "avx2,fma,f16c")]
fn store_quants(x: &[f32], qs: &mut [i8], d: &mut [u16]) {
    require(qs.len() == x.len() && d.len() == x.len() / QK, ROW);
    for ((x, qs), d) in x.as_chunks().0.iter().zip(qs.as_chunks_mut().0).zip(d) {
        let block = quantize_full(x);
        *qs = block.qs;
        *d = half::f16::from_f32(block.d).to_bits();
    }
}
