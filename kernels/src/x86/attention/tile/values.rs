//! Values of a block, summed for a few queries: each load serves all of them.

use super::super::panel::Row;
use super::super::probs::{QuantizedProbs, quantize_probs};
use super::super::values::add_scaled;
use super::seen;
use crate::x86::sixteen::Sixteen;
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
    #[inline(always)]
    pub(super) fn accumulate<U: Sixteen, const Q: usize>(
        &self,
        u: U,
        probs: [&[f32; KV_BLOCK]; Q],
        n_seen: [usize; Q],
        acc: [&mut [f32]; Q],
    ) {
        match self {
            Self::Floats(values) => add_floats(u, values.as_chunks().0, probs, n_seen, acc),
            Self::Quants(values, d) => add_quants(u, values.as_chunks().0, d, probs, n_seen, acc),
        }
    }
}

/// Adds values of floats, from the last value to the first.
#[inline(always)]
fn add_floats<U: Sixteen, const Q: usize>(
    u: U,
    values: &[[Row; KV_BLOCK]],
    probs: [&[f32; KV_BLOCK]; Q],
    n_seen: [usize; Q],
    mut acc: [&mut [f32]; Q],
) {
    for (g, values) in values.iter().enumerate() {
        let mut sums = [[u.splat(0.0); 2]; Q];
        let mut seen_before = n_seen[Q - 1];
        for first in (0..Q).rev() {
            // Values from `seen_by_fewer` on are seen by the walks from `first` on, and not by those before.
            let seen_by_fewer = first.checked_sub(1).map_or(0, |before| n_seen[before]);
            for j in (seen_by_fewer..seen_before).rev() {
                for t in first..Q {
                    let weight = u.splat(probs[t][j]);
                    for i in 0..2 {
                        sums[t][i] = u.fused(weight, values[j].part(u, i), sums[t][i]);
                    }
                }
            }
            seen_before = seen_by_fewer;
        }
        for (acc, sums) in acc.iter_mut().zip(sums) {
            for (acc, sum) in acc[g * QK..].as_chunks_mut::<16>().0.iter_mut().zip(sums) {
                u.store_some(u.add(u.load_some(acc), sum), acc);
            }
        }
    }
}

/// Adds values of quants, two at a time; a value that a walk does not see has the factor zero.
#[inline(always)]
fn add_quants<U: Sixteen, const Q: usize>(
    u: U,
    values: &[[Row; KV_BLOCK / 2]],
    d: &[Row],
    probs: [&[f32; KV_BLOCK]; Q],
    n_seen: [usize; Q],
    mut acc: [&mut [f32]; Q],
) {
    for ((g, values), d) in values.iter().enumerate().zip(d) {
        let mut quantized = [QuantizedProbs::NONE; Q];
        for t in 0..Q {
            quantized[t] = quantize_probs(u, probs[t], d, seen(u, n_seen[t]));
        }
        let mut sums = [[u.splat_integer(0); 2]; Q];
        for (j, values) in values.iter().enumerate().take(n_seen[Q - 1].div_ceil(2)) {
            for t in 0..Q {
                let weight = u.splat_integer(quantized[t].pairs[j]);
                for i in 0..2 {
                    sums[t][i] = u.add_products(sums[t][i], values.integers(u, i), weight);
                }
            }
        }
        for ((acc, sums), quantized) in acc.iter_mut().zip(sums).zip(quantized) {
            for (acc, sums) in acc[g * QK..].as_chunks_mut().0.iter_mut().zip(sums) {
                add_scaled(u, sums, quantized.step, acc);
            }
        }
    }
}
