//! A query with the keys of a block, probabilities with its values, norms of stored rows.

use super::arithmetic::{from_f16, from_int};
use super::float::{Float, strided_sum};
use super::matmul::{dot, scaled};
use super::multiply;
use super::quantize::quantize_probs;
use crate::contract::{broken, require};
use crate::scalar::{self, assert_query, assert_rows, distance_of, unpack_quants};
use crate::{BlockQ8, KV_BLOCK, KvRows, QK, Query};

/// Implements [`Kernels::sum_squares`](crate::Kernels::sum_squares).
pub(crate) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    let square = |x: Float| x * x;
    match row {
        KvRows::F32(x) => strided_sum(x.iter().map(|&x| square(Float(x)))).0,
        KvRows::F16(x) => strided_sum(x.iter().map(|&x| square(Float(from_f16(x))))).0,
        KvRows::Q8_0 { qs, d } => {
            let groups = qs.chunks(QK).zip(d);
            let values = groups.flat_map(|(qs, &d)| qs.iter().map(move |&q| Float(scaled(from_f16(d), q.into()))));
            strided_sum(values.map(square)).0
        }
        KvRows::Q4_0 { .. } => scalar::sum_squares(row, head_dim),
    }
}

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
pub(crate) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    let head_dim = assert_query(q, keys, scores.len());
    let n_groups = head_dim.div_ceil(QK);
    match (q, keys) {
        (Query::F32(q), KvRows::F32(keys)) => {
            let dots = keys.chunks_exact(head_dim.max(1)).map(|key| dot(key.iter().copied(), q));
            scores.iter_mut().zip(dots).for_each(|(score, dot)| *score = dot);
        }
        (Query::F32(q), KvRows::F16(keys)) => {
            let dots = keys.chunks_exact(head_dim.max(1)).map(|key| dot(key.iter().map(|&x| from_f16(x)), q));
            scores.iter_mut().zip(dots).for_each(|(score, dot)| *score = dot);
        }
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => {
            let keys = qs.chunks_exact(head_dim.max(1)).zip(d.chunks_exact(n_groups.max(1)));
            for (score, (key, d)) in scores.iter_mut().zip(keys) {
                *score = dot_groups(q, key.chunks(QK).map(|group| group.iter().copied()), d);
            }
        }
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) => {
            let keys = qs.chunks_exact(head_dim.div_ceil(2).max(1)).zip(d.chunks_exact(n_groups.max(1)));
            for (score, (key, d)) in scores.iter_mut().zip(keys) {
                *score = dot_groups(q, key.chunks(QK / 2).map(|bytes| unpack_quants(bytes).into_iter()), d);
            }
        }
        _ => broken("a query of the keys' kind"),
    }
    add_bias(scores, scale, slope, distance)
}

/// Dot product with a key of integers: `acc += (d_k · d_q) · Σ q_k q_q` for each 32 columns.
fn dot_groups<G: Iterator<Item = i8>>(q: &[BlockQ8], groups: impl Iterator<Item = G>, d: &[u16]) -> f32 {
    let terms = q.iter().zip(groups).zip(d).map(|((q, group), &d)| {
        let sum = q.qs.iter().zip(group).map(|(&q, k)| i32::from(q) * i32::from(k)).sum();
        Float(scaled(multiply(from_f16(d), q.d), sum))
    });
    terms.fold(Float(0.0), |acc, term| acc + term).0
}

/// `score * scale - slope * distance` of each score; returns the largest, as the definition does.
pub(crate) fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) -> f32 {
    let n = scores.len();
    let mut max = f32::NEG_INFINITY;
    for (j, score) in scores.iter_mut().enumerate() {
        let steps = distance.saturating_add((n - 1 - j) as u32);
        let distance = i32::try_from(steps).map_or_else(|_| distance_of(distance, n, j), from_int);
        *score = (Float(*score) * Float(scale) - Float(slope) * Float(distance)).0;
        max = if is_above(*score, max) { *score } else { max };
    }
    max + 0.0
}

/// `a > b`, or that `a` is +0 and `b` is -0.
fn is_above(a: f32, b: f32) -> bool {
    // Turns the order of negative numbers around; NaN lies beyond the infinities.
    let order = |x: f32| x.to_bits() as i32 ^ ((x.to_bits() as i32 >> 31) as u32 >> 1) as i32;
    a.to_bits() << 1 <= 0xff00_0000 && order(a) > order(b)
}

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
pub(crate) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    let KvRows::Q8_0 { qs, d } = values else { return scalar::accumulate_block(probs, values, acc) };
    assert_rows(values, probs.len(), head_dim);
    require(probs.len() <= KV_BLOCK, "values of one block");
    let n_groups = head_dim.div_ceil(QK);
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let mut factors = [0.0; KV_BLOCK];
        for ((factor, &p), d) in factors.iter_mut().zip(probs).zip(d.chunks_exact(n_groups.max(1))) {
            *factor = multiply(p, d.get(g).copied().map_or(0.0, from_f16));
        }
        let quantized = quantize_probs(&factors);
        let mut sums = [0i32; QK];
        for (&w, row) in quantized.quants.iter().zip(qs.chunks_exact(head_dim.max(1))) {
            let group = row.chunks(QK).nth(g).unwrap_or_default();
            sums.iter_mut().zip(group).for_each(|(sum, &q)| *sum += i32::from(w) * i32::from(q));
        }
        for (acc, sum) in acc.iter_mut().zip(sums) {
            *acc = (Float(*acc) + Float(scaled(quantized.step, sum))).0;
        }
    }
}
