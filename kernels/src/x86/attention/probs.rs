//! Quantized probabilities: factors of a block's quants, integers of 16 bits for each group of 32 columns.

use core::arch::x86_64::*;

use super::panel::Row;
use super::quants::by_group;
use crate::KV_BLOCK;
use crate::scalar::AMAX_MIN;
use crate::x86::floats::{Element, store};
use crate::x86::sixteen::Sixteen;

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
#[inline(always)]
pub(super) fn quantize_probs<U: Sixteen>(
    u: U,
    probs: &[f32; KV_BLOCK],
    d: &Row,
    seen: Option<[U::M; 2]>,
) -> QuantizedProbs {
    let mut products = [u.splat(0.0); 2];
    let mut amax = u.splat_integer(0);
    for (i, probs) in probs.as_chunks::<16>().0.iter().enumerate() {
        products[i] = u.mul(u.load_some(probs), d.part(u, i));
        if let Some(seen) = seen {
            products[i] = u.keep(seen[i], products[i]);
        }
        amax = u.max_integers(amax, u.bits(u.magnitude(products[i])));
    }
    // SAFETY: every unit has AVX2.
    let amax = unsafe { largest(u.max_integer_halves(amax)) };
    if !amax.is_finite() {
        return QuantizedProbs { step: f32::NAN, ..QuantizedProbs::NONE };
    }
    if amax < AMAX_MIN {
        return QuantizedProbs::NONE;
    }
    let mut pairs = [0; KV_BLOCK / 2];
    let id = u.splat(32767.0 / amax);
    for (pairs, product) in pairs.as_chunks_mut::<8>().0.iter_mut().zip(products) {
        // SAFETY: 32 writable bytes, of any alignment; every unit has AVX2.
        unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), u.words(u.rounded(u.mul(product, id)))) };
    }
    QuantizedProbs { step: amax / 32767.0, pairs }
}

/// Largest of eight integers, as the bits of a float.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn largest(eight: __m256i) -> f32 {
    let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b11_10_11_10>(four));
    let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b01_01_01_01>(two));
    f32::from_bits(_mm_cvtsi128_si32(one) as u32)
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
                for (i, eight) in halves.as_chunks().0.iter().enumerate() {
                    // SAFETY: this function has the features.
                    store(unsafe { Element::widen(eight) }, out.eight(i));
                }
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
        out.iter_mut().zip(rows).for_each(|(out, row)| store(row, out.eight(i)));
    }
}
