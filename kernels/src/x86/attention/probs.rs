//! Quantized probabilities: factors of a block's quants, integers of 16 bits for each group of 32 columns.

use core::arch::x86_64::*;

use super::panel::Row;
use super::quants::by_group;
use crate::KV_BLOCK;
use crate::scalar::AMAX_MIN;
use crate::x86::floats::Element;

/// Factors of one group, as [`crate::scalar::QuantizedProbs`], in pairs.
#[derive(Clone, Copy)]
pub(super) struct QuantizedProbs {
    pub(super) step: f32,
    /// Two factors in a word, the older in its low half: `madd` multiplies them with the quants of two values.
    pub(super) pairs: [i32; KV_BLOCK / 2],
}

impl QuantizedProbs {
    /// Factors of zero.
    pub(super) const NONE: Self = Self { step: 0.0, pairs: [0; KV_BLOCK / 2] };

    /// Factor of value `j`.
    pub(super) fn get(&self, j: usize) -> i32 {
        self.pairs[j / 2] << (16 - j % 2 * 16) >> 16
    }
}

/// Quantizes `probs[j] * d[j]` of the values `seen`, or of all, as [`crate::scalar::quantize_probs`] does.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn quantize_probs(probs: &Row, d: &Row, seen: Option<&Row>) -> QuantizedProbs {
    let mut quantized = [_mm256_setzero_ps(); 4];
    let mut amax = _mm256_setzero_si256();
    for i in 0..4 {
        quantized[i] = _mm256_mul_ps(probs[i], d[i]);
        if let Some(seen) = seen {
            quantized[i] = _mm256_and_ps(seen[i], quantized[i]);
        }
        let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), quantized[i]);
        amax = _mm256_max_epi32(amax, _mm256_castps_si256(magnitude));
    }
    let four = _mm_max_epi32(_mm256_castsi256_si128(amax), _mm256_extracti128_si256::<1>(amax));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b11_10_11_10>(four));
    let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b01_01_01_01>(two));
    let amax = f32::from_bits(_mm_cvtsi128_si32(one) as u32);
    if !amax.is_finite() {
        return QuantizedProbs { step: f32::NAN, ..QuantizedProbs::NONE };
    }
    if amax < AMAX_MIN {
        return QuantizedProbs::NONE;
    }
    let mut pairs = [0; KV_BLOCK / 2];
    let id = _mm256_set1_ps(32767.0 / amax);
    let quants = quantized.map(|w| _mm256_cvtps_epi32(_mm256_mul_ps(w, id)));
    for (pairs, quants) in pairs.as_chunks_mut::<8>().0.iter_mut().zip(quants.as_chunks::<2>().0) {
        // Packing alternates 128 bits of both; the permutation puts them in order.
        let words = _mm256_packs_epi32(quants[0], quants[1]);
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        // SAFETY: 32 writable bytes; `storeu` needs no alignment.
        unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), words) };
    }
    QuantizedProbs { step: amax / 32767.0, pairs }
}

/// Scales of each group of columns, for all rows of a block beside each other; zeros for rows that do not exist. `d`:
/// `[n, n_groups]`, `out`: `[n_groups]`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn scales(d: &[u16], n_groups: usize, out: &mut [Row]) {
    match n_groups {
        1 => scales_of::<1>(d, out),
        2 => scales_of::<2>(d, out),
        4 => scales_of::<4>(d, out),
        _ => {
            for (g, out) in out.iter_mut().take(n_groups).enumerate() {
                let mut halves = [0; KV_BLOCK];
                halves.iter_mut().zip(d.chunks_exact(n_groups)).for_each(|(half, d)| *half = d[g]);
                let eights = halves.as_chunks::<8>().0;
                // SAFETY: this function has the features.
                *out = core::array::from_fn(|i| unsafe { Element::widen(&eights[i]) });
            }
        }
    }
}

/// Scales of `G` groups, as [`scales`] gives them, eight rows at a time.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scales_of<const G: usize>(d: &[u16], out: &mut [Row]) {
    let mut all = [[0; G]; KV_BLOCK];
    let d = d.as_chunks::<G>().0;
    let d = d.first_chunk().unwrap_or_else(|| {
        all[..d.len()].copy_from_slice(d);
        &all
    });
    for (i, eight) in d.as_chunks::<8>().0.iter().enumerate() {
        let eights = eight.as_flattened().as_chunks().0;
        // SAFETY: this function has the features.
        let rows = by_group(core::array::from_fn::<_, G, _>(|v| unsafe { Element::widen(&eights[v]) }));
        out.iter_mut().zip(rows).for_each(|(out, row)| out[i] = row);
    }
}
