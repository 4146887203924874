//! Products of a query with the keys of a block: four keys at a time.

use crate::contract::broken;
use crate::riscv::scaled::{Scale, Term, add_scaled};
use crate::riscv::word::{COLUMNS, dot_bytes};
use crate::scalar::assert_query;
use crate::soft::attention::{self as soft, add_bias};
use crate::{BlockQ8, KvRows, QK, Query};

/// Keys that a pass takes.
const KEYS: usize = 4;

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
pub(in crate::riscv) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) if head_dim > 0 && head_dim.is_multiple_of(COLUMNS) => {
            dot_keys(q, qs, d, head_dim, scores)
        }
        _ => return soft::score_block(q, keys, scale, slope, distance, scores),
    }
    add_bias(scores, scale, slope, distance)
}

/// `scores[j] = q · k_j`, group after group of 32 columns.
fn dot_keys(q: &[BlockQ8], qs: &[i8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    let n_groups = head_dim.div_ceil(QK);
    for (g, q) in q.iter().enumerate() {
        let (columns, scale) = (q.qs.get(..QK.min(head_dim - g * QK)).unwrap_or_default(), Scale::new(q.d));
        let fours = qs.chunks((KEYS * head_dim).max(1)).zip(d.chunks((KEYS * n_groups).max(1)));
        for ((keys, d), scores) in fours.zip(scores.chunks_mut(KEYS)) {
            let n = keys.len() / head_dim.max(1);
            // Where there are fewer keys, the last one stands for the others, too.
            let keys: [_; KEYS] = core::array::from_fn(|i| {
                let key = keys.get(i.min(n.saturating_sub(1)) * head_dim + g * QK..).unwrap_or_default();
                key.get(..columns.len()).unwrap_or_else(|| broken("keys of the query's length")).as_ptr()
            });
            // SAFETY: at each key lie as many columns (just checked).
            let sums = unsafe { dot_bytes(keys, columns) };
            for ((score, sum), d) in scores.iter_mut().zip(sums).zip(d.iter().skip(g).step_by(n_groups.max(1))) {
                *score = add_one(*score, (*d, scale, sum));
            }
        }
    }
}

/// `score + (d_k · d_q) · sum`
#[inline(never)]
fn add_one(score: f32, term: Term) -> f32 {
    add_scaled(score, core::iter::once(term))
}
