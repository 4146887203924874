//! Values of a block, summed for a few queries: each load serves all of them.

use core::arch::x86_64::*;

use super::super::panel::Row;
use super::super::probs::{QuantizedProbs, quantize_probs};
use super::super::values::add_scaled;
use super::seen;
use crate::x86::floats::{load, store};
use crate::{KV_BLOCK, QK};

/// Values of a block, for each group of 32 columns.
pub(super) enum Values<'p> {
    Floats(&'p [Row]),
    /// Quants in pairs of values, and the scales of each group.
    Quants(&'p [Row], &'p [Row]),
}

impl Values<'_> {
    /// `acc[i] += Σ_j probs[j] v_j[i]` over the first `n_seen` values, for `Q` walks; each walk sees at least as many values as
    /// the one before it.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(super) fn accumulate<const Q: usize>(
        &self,
        probs: [&[f32; KV_BLOCK]; Q],
        n_seen: [usize; Q],
        acc: [&mut [f32]; Q],
    ) {
        match self {
            Self::Floats(values) => add_floats(values.as_chunks().0, probs, n_seen, acc),
            Self::Quants(values, d) => add_quants(values.as_chunks().0, d, probs, n_seen, acc),
        }
    }
}

/// Adds values of floats, from the last value to the first.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_floats<const Q: usize>(
    values: &[[Row; KV_BLOCK]],
    probs: [&[f32; KV_BLOCK]; Q],
    n_seen: [usize; Q],
    mut acc: [&mut [f32]; Q],
) {
    for (g, values) in values.iter().enumerate() {
        let mut sums = [[_mm256_setzero_ps(); 4]; Q];
        let mut seen_before = n_seen[Q - 1];
        for first in (0..Q).rev() {
            // Values from `seen_by_fewer` on are seen by the walks from `first` on, and not by those before.
            let seen_by_fewer = first.checked_sub(1).map_or(0, |before| n_seen[before]);
            for j in (seen_by_fewer..seen_before).rev() {
                for t in first..Q {
                    let weight = _mm256_set1_ps(probs[t][j]);
                    for (sum, &x) in sums[t].iter_mut().zip(&values[j]) {
                        *sum = _mm256_fmadd_ps(weight, x, *sum);
                    }
                }
            }
            seen_before = seen_by_fewer;
        }
        for (acc, sums) in acc.iter_mut().zip(sums) {
            for (acc, sum) in acc[g * QK..].as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                store(_mm256_add_ps(load(acc), sum), acc);
            }
        }
    }
}

/// Adds values of quants, two at a time; a value that a walk does not see has the factor zero.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_quants<const Q: usize>(
    values: &[[Row; KV_BLOCK / 2]],
    d: &[Row],
    probs: [&[f32; KV_BLOCK]; Q],
    n_seen: [usize; Q],
    mut acc: [&mut [f32]; Q],
) {
    let seen = n_seen.map(|n| seen(n));
    for ((g, values), d) in values.iter().enumerate().zip(d) {
        let mut quantized = [QuantizedProbs::NONE; Q];
        for t in 0..Q {
            let probs = [0, 8, 16, 24].map(|first| load(&probs[t][first..]));
            quantized[t] = quantize_probs(&probs, d, seen[t].as_ref());
        }
        let mut sums = [[_mm256_setzero_si256(); 4]; Q];
        for (j, values) in values.iter().enumerate().take(n_seen[Q - 1].div_ceil(2)) {
            for t in 0..Q {
                let weight = _mm256_set1_epi32(quantized[t].pairs[j]);
                for (sum, &pairs) in sums[t].iter_mut().zip(values) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_castps_si256(pairs), weight));
                }
            }
        }
        for ((acc, sums), quantized) in acc.iter_mut().zip(sums).zip(quantized) {
            let acc = &mut acc[g * QK..];
            let n = acc.len().min(QK);
            add_scaled(sums, quantized.step, &mut acc[..n]);
        }
    }
}
