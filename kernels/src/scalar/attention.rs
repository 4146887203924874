//! Attention over one block of stored keys and values, for one query head.

use core::slice::ChunksExact;

use super::dot::product;
use super::math::exp;
use super::quantize::{QuantizedProbs, quantize_probs};
use super::reduce::{fused, fused_sum, strided_sum};
use crate::contract::{broken, require};
use crate::{BlockQ8, KV_BLOCK, Kernels, KvBlock, KvQuant, KvRows, QK, Query, Walk};

/// Message of the contract check that a query and keys go together.
const KINDS: &str = "Q8_0 and Q4_0 keys go with a Q8 query, F32 and F16 keys with an F32 one";

/// Implements [`Kernels::sum_squares`](crate::Kernels::sum_squares). A Q8_0 or Q4_0 element is read back as `d * q`.
///
/// # Panics
/// When `row` is not one row of `head_dim` columns.
pub fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    let square = |x: f32| x * x;
    match row {
        KvRows::F32(x) => strided_sum(x.iter().copied().map(square)),
        KvRows::F16(x) => strided_sum(x.iter().map(|&x| square(f16(x)))),
        KvRows::Q8_0 { qs, d } => strided_sum(
            qs.chunks(QK).zip(d).flat_map(|(qs, &d)| qs.iter().map(move |&q| f16(d) * f32::from(q))).map(square),
        ),
        KvRows::Q4_0 { qs, d, .. } => strided_sum(
            quant_groups(qs)
                .zip(d)
                .flat_map(|(qs, &d)| qs.into_iter().map(move |q| f16(d) * f32::from(q)))
                .take(head_dim)
                .map(square),
        ),
    }
}

/// Implements [`Kernels::score_block`](crate::Kernels::score_block). Products with F32 and F16 keys are sums of [`fused_sum`]; the
/// scaled product, the bias and the difference are each rounded.
///
/// Distances are u32 (they stop at its end) and rounded to f32. The maximum passes over NaN, is -inf without keys, and is +0 if
/// it is zero.
///
/// # Panics
/// When `keys` are not `scores.len()` rows of the query's length, or have no columns, or the query is not of the kind they need.
pub fn score_block(q: Query<'_>, keys: KvRows<'_>, scale: f32, slope: f32, distance: u32, scores: &mut [f32]) -> f32 {
    let n = scores.len();
    let head_dim = assert_query(q, keys, n);
    let mut max = f32::NEG_INFINITY;
    let dots = scores.iter_mut().zip(0..);
    let mut enter = |(score, j): (&mut f32, usize), dot: f32| {
        *score = dot * scale - slope * distance_of(distance, n, j);
        max = if *score > max { *score } else { max };
    };
    match (q, keys) {
        (Query::F32(q), KvRows::F32(keys)) => {
            let key_dot = |key: &[f32]| fused_sum(key.iter().copied().zip(q.iter().copied()));
            dots.zip(rows(keys, head_dim)).for_each(|(score, key)| enter(score, key_dot(key)));
        }
        (Query::F32(q), KvRows::F16(keys)) => {
            let key_dot = |key: &[u16]| fused_sum(key.iter().map(|&k| f16(k)).zip(q.iter().copied()));
            dots.zip(rows(keys, head_dim)).for_each(|(score, key)| enter(score, key_dot(key)));
        }
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => {
            let keys = rows(qs, head_dim).zip(rows(d, head_dim.div_ceil(QK)));
            dots.zip(keys).for_each(|(score, (qs, d))| enter(score, dot_q8(q, qs, d)));
        }
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) => {
            let keys = rows(qs, head_dim.div_ceil(2)).zip(rows(d, head_dim.div_ceil(QK)));
            dots.zip(keys).for_each(|(score, (qs, d))| enter(score, dot_q4(q, qs, d)));
        }
        _ => broken(KINDS),
    }
    max + 0.0
}

/// Distance of key `j` of `n` from the query; the last key's is `newest`.
#[inline]
pub(crate) fn distance_of(newest: u32, n: usize, j: usize) -> f32 {
    newest.saturating_add((n - 1 - j) as u32) as f32
}

/// Dot product with a Q8_0 key. Groups of 32 columns in order: `acc += (d_k · d_q) · Σ q_k q_q`, over the columns that the row
/// has.
fn dot_q8(q: &[BlockQ8], key: &[i8], d: &[u16]) -> f32 {
    let groups = key.chunks(QK).zip(d).zip(q);
    groups.fold(0.0, |acc, ((key, &d), q)| acc + (f16(d) * q.d) * product(key, &q.qs) as f32)
}

/// Dot product with a Q4_0 key, in the order of [`dot_q8`]; past the end of the row the query's quants are zero.
fn dot_q4(q: &[BlockQ8], key: &[u8], d: &[u16]) -> f32 {
    let groups = quant_groups(key).zip(d).zip(q);
    groups.fold(0.0, |acc, ((key, &d), q)| acc + (f16(d) * q.d) * product(&key, &q.qs) as f32)
}

/// Groups of 32 columns of a Q4_0 row; zeros behind the last column.
fn quant_groups(row: &[u8]) -> impl Iterator<Item = [i8; QK]> {
    row.chunks(QK / 2).map(unpack_quants)
}

/// Quants in up to 16 bytes of a Q4_0 row, `q - 8`; zeros behind them.
pub(crate) fn unpack_quants(bytes: &[u8]) -> [i8; QK] {
    let mut quants = [0; QK];
    for (pair, &byte) in quants.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [byte & 15, byte >> 4].map(|q| q as i8 - u8::OFFSET as i8);
    }
    quants
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
pub fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    strided_sum(scores.iter().copied())
}

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
///
/// # Panics
/// When `values` are not `probs.len()` rows of `acc.len()` columns, or more than [`KV_BLOCK`].
pub fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    require(probs.len() <= KV_BLOCK, "values of one block");
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        match values {
            KvRows::F32(x) => {
                let rows = rows(x, head_dim).map(|row| group(row, g).iter().copied());
                add_floats(probs, rows, acc);
            }
            KvRows::F16(x) => {
                let rows = rows(x, head_dim).map(|row| group(row, g).iter().map(|&x| f16(x)));
                add_floats(probs, rows, acc);
            }
            KvRows::Q8_0 { qs, d } => {
                let quantized = quantize_group(probs, rows(d, head_dim.div_ceil(QK)), g);
                let rows = rows(qs, head_dim).map(|row| group(row, g).iter().copied());
                add_quants(&quantized, rows, acc);
            }
            KvRows::Q4_0 { qs, d, .. } => {
                let quantized = quantize_group(probs, rows(d, head_dim.div_ceil(QK)), g);
                let rows = rows(qs, head_dim.div_ceil(2)).map(|row| quant_groups(row).nth(g).unwrap_or_default());
                add_quants(&quantized, rows, acc);
            }
        }
    }
}

/// `acc[c] += Σ_j probs[j] * v_j[c]` over a group of columns: a chain of fused terms, the newest value first.
fn add_floats<V>(probs: &[f32], values: impl DoubleEndedIterator<Item = V> + ExactSizeIterator, acc: &mut [f32])
where
    V: IntoIterator<Item = f32>,
{
    let mut sums = [0.0; QK];
    for (&p, value) in probs.iter().zip(values).rev() {
        sums.iter_mut().zip(value).for_each(|(sum, x)| *sum = fused(p, x, *sum));
    }
    acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += sum);
}

/// `acc[c] += step * Σ_j w_j q_j[c]` over a group of columns: 32 products of a factor in ±32767 and a quant in ±128, less than
/// 2^27 in all.
fn add_quants<V: IntoIterator<Item = i8>>(
    quantized: &QuantizedProbs,
    values: impl Iterator<Item = V>,
    acc: &mut [f32],
) {
    let mut sums = [0i32; QK];
    for (&w, value) in quantized.quants.iter().zip(values) {
        sums.iter_mut().zip(value).for_each(|(sum, q)| *sum += i32::from(w) * i32::from(q));
    }
    acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += quantized.step * sum as f32);
}

/// Quantizes the factors of the values in columns `32 g..`: the probability of each value times its scale `d_j[g]`.
fn quantize_group<'d>(probs: &[f32], d: impl Iterator<Item = &'d [u16]>, g: usize) -> QuantizedProbs {
    let mut products = [0.0; KV_BLOCK];
    let scales = d.map(|d| d.get(g).copied().map_or(0.0, f16));
    for ((w, p), d) in products.iter_mut().zip(probs).zip(scales) {
        *w = p * d;
    }
    quantize_probs(&products)
}

/// Implements [`Kernels::attend_block`] with the block kernels of `kernels`, walk by walk.
///
/// # Panics
/// When a walk sees no key of the block, or the block is longer than [`KV_BLOCK`], has other rows than it says, or is not of the
/// walks' width or kind.
pub fn attend_block<K: Kernels + ?Sized>(kernels: &K, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
    let mut scores = [0.0; KV_BLOCK];
    let mut width = None;
    for walk in walks.iter_mut().filter(|walk| !walk.ended) {
        // Walks mostly have one width, so the block is checked once for all of them.
        if width != Some(walk.acc.len()) {
            assert_block(block, walk.acc.len());
            width = Some(walk.acc.len());
        }
        let n = block.n_seen(walk.pos);
        let Some(scores) = scores.get_mut(..n).filter(|scores| !scores.is_empty()) else { broken(SEEN) };
        let (keys, values) = match block.end - block.start {
            all if all == n => (block.keys, block.values),
            _ => (block.keys.first(n, walk.acc.len()), block.values.first(n, walk.acc.len())),
        };
        // Distances that do not fit stop at the end of u32, as those of `score_block` do.
        let distance = u32::try_from(walk.pos - (block.start + (n - 1))).unwrap_or(u32::MAX);
        let max = kernels.score_block(walk.query, keys, scale, walk.slope, distance, scores);
        if max > walk.max {
            let shrink = crate::exp(walk.max - max);
            walk.sum *= shrink;
            kernels.scale(walk.acc, shrink);
            walk.max = max;
        }
        walk.sum += kernels.exp_block(scores, walk.max);
        kernels.accumulate_block(scores, values, walk.acc);
    }
}

/// Checks that `block` is no longer than [`KV_BLOCK`], and holds the rows that it says, of `head_dim` columns.
pub(crate) fn assert_block(block: &KvBlock<'_>, head_dim: usize) {
    let n = block.end.saturating_sub(block.start);
    require(n <= KV_BLOCK, SEEN);
    assert_rows(block.keys, n, head_dim);
    assert_rows(block.values, n, head_dim);
}

/// Message of the contract check of a block and its walks.
pub(crate) const SEEN: &str = "a block of up to 32 keys, of which each walk sees some";

/// Rows of `x`; none if they have no columns.
fn rows<T>(x: &[T], n_cols: usize) -> ChunksExact<'_, T> {
    x.chunks_exact(n_cols.max(1))
}

/// Columns `32 g..` of a row, 32 at most.
fn group<T>(row: &[T], g: usize) -> &[T] {
    row.chunks(QK).nth(g).unwrap_or_default()
}

fn f16(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

/// Checks that `rows` are `n` rows of `head_dim` columns.
pub(crate) fn assert_rows(rows: KvRows<'_>, n: usize, head_dim: usize) {
    let is = |len: usize, per_row: usize| n.checked_mul(per_row) == Some(len);
    let fit = match rows {
        KvRows::F32(x) => is(x.len(), head_dim),
        KvRows::F16(x) => is(x.len(), head_dim),
        KvRows::Q8_0 { qs, d } => is(qs.len(), head_dim) && is(d.len(), head_dim.div_ceil(QK)),
        KvRows::Q4_0 { qs, d, .. } => is(qs.len(), head_dim.div_ceil(2)) && is(d.len(), head_dim.div_ceil(QK)),
    };
    require(fit, "as many rows as are spoken of, of the head's width");
}

/// Message of the contract check of a query's width.
pub(crate) const QUERY: &str = "a query of the keys' width, a column at least";

/// Checks that `keys` are `n` rows that `q` can be multiplied with; returns their `head_dim`, which is not zero if there are
/// any.
pub(crate) fn assert_query(q: Query<'_>, keys: KvRows<'_>, n: usize) -> usize {
    let head_dim = match (q, keys) {
        (Query::F32(q), KvRows::F32(_) | KvRows::F16(_)) => q.len(),
        (Query::Q8(_), KvRows::Q8_0 { qs, .. }) => qs.len() / n.max(1),
        // An odd width counts as the even one above it: the last nibble is then a column past the end, where a query is zero.
        (Query::Q8(_), KvRows::Q4_0 { qs, .. }) => qs.len() / n.max(1) * 2,
        _ => broken(KINDS),
    };
    assert_rows(keys, n, head_dim);
    let fits = match q {
        Query::F32(_) => true,
        Query::Q8(q) => q.len() == head_dim.div_ceil(QK),
    };
    require(n == 0 || fits && head_dim > 0, QUERY);
    head_dim
}
