//! Attention in floats: scores and biases, norms of stored rows.

use super::floats::{Element, dot, half, strided_sum};
use crate::scalar::{self, assert_rows, distance_of};
use crate::{KvRows, QK};

/// Implements [`Kernels::sum_squares`](crate::Kernels::sum_squares).
pub(crate) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::Q8_0 { qs, d } if head_dim <= QK => {
            let d = half(d.first().copied().unwrap_or(0));
            strided_sum(qs, |&q| {
                let x = d * f32::from(q);
                x * x
            })
        }
        KvRows::F32(x) => strided_sum(x, |x| x * x),
        KvRows::F16(x) => strided_sum(x, |&x| half(x) * half(x)),
        _ => scalar::sum_squares(row, head_dim),
    }
}

/// `scores[j] = q · k_j` for keys of floats, of which each has a column at least.
pub(crate) fn score_floats<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    for (key, score) in keys.chunks_exact(q.len().max(1)).zip(scores) {
        *score = dot(key, q);
    }
}

/// `score * scale - slope * distance` of each score; returns the largest, as the definition does.
pub(crate) fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) -> f32 {
    let n = scores.len();
    let mut max = f32::NEG_INFINITY;
    for (j, score) in scores.iter_mut().enumerate() {
        *score = *score * scale - slope * distance_of(distance, n, j);
        max = if *score > max { *score } else { max };
    }
    max + 0.0
}
