//! Attention over one block of stored keys and values, for one query head.

use super::dot::product;
use super::math::exp;
use super::reduce::strided_sum;
use crate::{BlockQ8, KvRows, QK, Query};

/// See [`crate::Kernels::sum_squares`]. A Q8_0 element is read back as `d * q`.
///
/// # Panics
/// When `row` is not one row of `head_dim` columns.
pub fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    strided_sum((0..head_dim).map(|c| {
        let x = element(row, head_dim, 0, c);
        x * x
    }))
}

/// See [`crate::Kernels::score_block`]. Each product, and the difference, is rounded.
///
/// Distances are u32 (they stop at its end) and rounded to f32. The maximum passes over NaN, is -inf for no keys, and
/// is +0 where it is zero.
///
/// # Panics
/// When `keys` are not `scores.len()` rows of the query's length, or the query is not of the kind they need.
pub fn score_block(q: Query<'_>, keys: KvRows<'_>, scale: f32, slope: f32, distance: u32, scores: &mut [f32]) -> f32 {
    let n = scores.len();
    let head_dim = assert_query(q, keys, n);
    let mut max = f32::NEG_INFINITY;
    for (j, score) in scores.iter_mut().enumerate() {
        let dot = match (q, keys) {
            (Query::F32(q), keys) => strided_sum((0..head_dim).map(|c| element(keys, head_dim, j, c) * q[c])),
            (Query::Q8(q), keys) => dot_q8(q, keys, head_dim, j),
        };
        *score = dot * scale - slope * distance_of(distance, n, j);
        max = if *score > max { *score } else { max };
    }
    max + 0.0
}

/// How far key `j` of `n` lies from the query.
#[inline]
pub(crate) fn distance_of(newest: u32, n: usize, j: usize) -> f32 {
    newest.saturating_add((n - 1 - j) as u32) as f32
}

/// Groups of 32 columns in order: `acc += (d_k · d_q) · Σ q_k q_q`, over the columns that the row has.
fn dot_q8(q: &[BlockQ8], keys: KvRows<'_>, head_dim: usize, row: usize) -> f32 {
    let KvRows::Q8_0 { qs, d } = keys else { unreachable!("checked by assert_query") };
    let key = qs[row * head_dim..][..head_dim].chunks(QK);
    let d = &d[row * q.len()..][..q.len()];
    key.zip(d).zip(q).fold(0.0, |acc, ((key, &d), q)| acc + (f16(d) * q.d) * product(key, &q.qs) as f32)
}

/// See [`crate::Kernels::exp_block`].
pub fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    strided_sum(scores.iter().copied())
}

/// See [`crate::Kernels::accumulate_block`].
///
/// # Panics
/// When `values` are not `probs.len()` rows of `acc.len()` columns.
pub fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    assert_rows(values, probs.len(), acc.len());
    let head_dim = acc.len();
    for (c, acc) in acc.iter_mut().enumerate() {
        let weighted = probs.iter().enumerate().rev().map(|(j, &p)| match values {
            KvRows::Q8_0 { qs, d } => {
                (p * f16(d[j * head_dim.div_ceil(QK) + c / QK])) * f32::from(qs[j * head_dim + c])
            }
            _ => p * element(values, head_dim, j, c),
        });
        *acc += weighted.fold(0.0, |sum, x| sum + x);
    }
}

/// Column `c` of row `row`, as it is read back.
fn element(rows: KvRows<'_>, head_dim: usize, row: usize, c: usize) -> f32 {
    let i = row * head_dim + c;
    match rows {
        KvRows::F32(x) => x[i],
        KvRows::F16(x) => f16(x[i]),
        KvRows::Q8_0 { qs, d } => f16(d[row * head_dim.div_ceil(QK) + c / QK]) * f32::from(qs[i]),
    }
}

fn f16(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

/// `rows` are `n` rows of `head_dim` columns.
pub(crate) fn assert_rows(rows: KvRows<'_>, n: usize, head_dim: usize) {
    match rows {
        KvRows::F32(x) => assert_eq!(x.len(), n * head_dim),
        KvRows::F16(x) => assert_eq!(x.len(), n * head_dim),
        KvRows::Q8_0 { qs, d } => assert!(qs.len() == n * head_dim && d.len() == n * head_dim.div_ceil(QK)),
    }
}

/// `keys` are `n` rows that `q` can be multiplied with; returns their `head_dim`.
pub(crate) fn assert_query(q: Query<'_>, keys: KvRows<'_>, n: usize) -> usize {
    let head_dim = match (q, keys) {
        (Query::F32(q), KvRows::F32(_) | KvRows::F16(_)) => q.len(),
        (Query::Q8(_), KvRows::Q8_0 { qs, .. }) => qs.len() / n.max(1),
        _ => panic!("Q8_0 keys go with a Q8 query, F32 and F16 keys with an F32 one"),
    };
    assert_rows(keys, n, head_dim);
    if let Query::Q8(q) = q {
        assert!(n == 0 || q.len() == head_dim.div_ceil(QK));
    }
    head_dim
}
