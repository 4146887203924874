//! Attention of several queries over one block: work that concerns the block alone is done once for all of them.
//!
//! The keys become a [`Panel`], then the values another, in which a query's products need no sums across lanes. Queries pass
//! by, four at the keys and two at the values. The terms and the order of each sum are those of the definition.

mod keys;
mod values;

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use keys::Keys;
use values::Values;

use super::panel::{Panel, Row, WIDTH};
use super::prefetch::prefetch_older_rows;
use super::probs::scales;
use super::scores::dot_block;
use super::values::accumulate_block;
use crate::contract::require;
use crate::scalar::{self, LANES, QUERY, SEEN, assert_block, assert_query};
use crate::x86::floats::{load, store};
use crate::x86::math::exp_down;
use crate::{KV_BLOCK, Kernels, KvBlock, KvRows, QK, Walk};

/// Queries that share each load of keys.
const GROUP: usize = 4;

/// Fewer queries than this are faster one by one.
const MIN_WALKS: usize = 4;

/// Implements [`Kernels::attend_block`](crate::Kernels::attend_block).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::x86) fn attend_block(kernels: &impl Kernels, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
    for walks in walks.chunks_mut(KV_BLOCK) {
        let mut going = [0; KV_BLOCK];
        let mut n_going = 0;
        for (i, _) in walks.iter().enumerate().filter(|(_, walk)| !walk.ended) {
            going[n_going] = i;
            n_going += 1;
        }
        let going = &going[..n_going];
        if !fit(block, walks) {
            scalar::attend_block(kernels, block, scale, walks);
        } else if n_going < MIN_WALKS {
            going.iter().for_each(|&i| attend_alone(block, scale, &mut walks[i]));
        } else {
            attend(block, scale, walks, going);
        }
    }
}

/// True if the block fits a panel, and all distances are exact as floats.
fn fit(block: &KvBlock<'_>, walks: &[Walk<'_>]) -> bool {
    walks.iter().filter(|walk| !walk.ended).all(|walk| {
        let head_dim = walk.acc.len();
        head_dim <= WIDTH && head_dim.is_multiple_of(LANES) && walk.pos.saturating_sub(block.start) < 1 << 24
    })
}

/// Takes one walk past the block, and reads the rows as they are stored.
#[target_feature(enable = "avx2,fma,f16c")]
fn attend_alone(block: &KvBlock<'_>, scale: f32, walk: &mut Walk<'_>) {
    let (n, head_dim) = (block.n_seen(walk.pos), walk.acc.len());
    require(n > 0, SEEN);
    assert_block(block, head_dim);
    let mut row = [0.0; KV_BLOCK];
    dot_block(walk.query, block.keys.first(n, head_dim), &mut row[..n]);
    let mut scores = [0, 8, 16, 24].map(|first| load(&row[first..]));
    scores = take_scores(walk, &scores, block, scale);
    take_exponentials(walk, &mut scores, block);
    for (score, row) in scores.into_iter().zip(row.as_chunks_mut::<8>().0) {
        store(score, row);
    }
    accumulate_block(&row[..n], block.values.first(n, head_dim), walk.acc);
}

/// Takes the walks in `going` past the block.
#[target_feature(enable = "avx2,fma,f16c")]
fn attend(block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>], going: &[usize]) {
    let (n, head_dim) = (block.end.saturating_sub(block.start), walks[going[0]].acc.len());
    assert_block(block, head_dim);
    for walk in going.iter().map(|&i| &walks[i]) {
        require(block.n_seen(walk.pos) > 0 && walk.acc.len() == head_dim, SEEN);
        require(assert_query(walk.query, block.keys, n) == head_dim, QUERY);
    }
    [block.keys, block.values].into_iter().for_each(|rows| prefetch_older_rows(rows, head_dim));
    let mut panel = Panel::new();
    // Scores of each walk, then their exponentials.
    let mut scores = [const { MaybeUninit::<Row>::uninit() }; KV_BLOCK];
    let (n_groups, mut d) = (head_dim.div_ceil(QK), [[_mm256_setzero_ps(); 4]; WIDTH / QK]);
    let keys = match block.keys {
        KvRows::F32(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::F16(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::Q8_0 { qs, d: halves } => {
            scales(halves, n_groups, &mut d);
            Keys::Quants(panel.turned_quants(qs, head_dim), &d)
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            scales(halves, n_groups, &mut d);
            Keys::Quants(panel.turned_quants(qs, head_dim), &d)
        }
    };
    for (group, scores) in going.chunks(GROUP).zip(scores.chunks_mut(GROUP)) {
        match group.try_into() {
            Ok(group) => {
                let group: [usize; GROUP] = group;
                let dots = keys.dots(group.map(|i| walks[i].query));
                for ((i, dots), scores) in group.into_iter().zip(&dots).zip(scores) {
                    scores.write(take_scores(&mut walks[i], dots, block, scale));
                }
            }
            Err(_) => {
                for (&i, scores) in group.iter().zip(scores) {
                    let [dots] = keys.dots([walks[i].query]);
                    scores.write(take_scores(&mut walks[i], &dots, block, scale));
                }
            }
        }
    }
    for (&i, scores) in going.iter().zip(&mut scores) {
        // SAFETY: the loop above wrote the scores of each walk that is going.
        let scores = unsafe { scores.assume_init_mut() };
        take_exponentials(&mut walks[i], scores, block);
    }
    // SAFETY: as above; a `MaybeUninit` has the layout of the type that it holds, and a `Row` that of 32 floats.
    let probs: &[[f32; KV_BLOCK]] = unsafe { core::slice::from_raw_parts(scores.as_ptr().cast(), going.len()) };
    let values = match block.values {
        KvRows::F32(x) => Values::Floats(panel.widened(x, head_dim)),
        KvRows::F16(x) => Values::Floats(panel.widened(x, head_dim)),
        KvRows::Q8_0 { qs, d: halves } => {
            scales(halves, n_groups, &mut d);
            Values::Quants(panel.paired(qs, head_dim), &d)
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            scales(halves, n_groups, &mut d);
            Values::Quants(panel.paired(qs, head_dim), &d)
        }
    };
    for (pair, probs) in going.chunks(2).zip(probs.chunks(2)) {
        match *pair {
            [a, b] => {
                let walks =
                    walks.get_disjoint_mut([a, b]).expect("two walks").map(|walk| (block.n_seen(walk.pos), walk));
                let [(n, a), (m, b)] = walks;
                if n <= m {
                    values.accumulate([&probs[0], &probs[1]], [n, m], [a.acc, b.acc]);
                } else {
                    values.accumulate([&probs[1], &probs[0]], [m, n], [b.acc, a.acc]);
                }
            }
            [a] => values.accumulate([&probs[0]], [block.n_seen(walks[a].pos)], [walks[a].acc]),
            _ => unreachable!("a pair or one"),
        }
    }
}

/// Numbers of the keys of a block: 0 to 31.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn numbers() -> Row {
    let eight = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
    [0.0, 8.0, 16.0, 24.0].map(|first| _mm256_add_ps(eight, _mm256_set1_ps(first)))
}

/// Mask of the keys that a walk sees, the first `n` of a block; `None` if it sees all of a whole block.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn seen(n: usize) -> Option<Row> {
    let end = _mm256_set1_ps(n as f32);
    (n < KV_BLOCK).then(|| numbers().map(|numbers| _mm256_cmp_ps::<_CMP_LT_OQ>(numbers, end)))
}

/// Turns the products of the keys with the query into scores, -∞ for keys that the walk does not see, and raises the walk's
/// maximum.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn take_scores(walk: &mut Walk<'_>, dots: &Row, block: &KvBlock<'_>, scale: f32) -> Row {
    let (numbers, lowest) = (numbers(), _mm256_set1_ps(f32::NEG_INFINITY));
    // Distance of the block's first key; all distances are exact.
    let distance = _mm256_set1_ps((walk.pos - block.start) as f32);
    let (slope, scale) = (_mm256_set1_ps(walk.slope), _mm256_set1_ps(scale));
    let mut scores = [lowest; 4];
    for i in 0..4 {
        let bias = _mm256_mul_ps(slope, _mm256_sub_ps(distance, numbers[i]));
        scores[i] = _mm256_sub_ps(_mm256_mul_ps(dots[i], scale), bias);
    }
    if let Some(seen) = seen(block.n_seen(walk.pos)) {
        for i in 0..4 {
            scores[i] = _mm256_blendv_ps(lowest, scores[i], seen[i]);
        }
    }
    // `max` returns the second operand if the first is not greater, also for NaN; adding 0 makes any zero +0.
    let max = largest(scores.into_iter().fold(lowest, |max, x| _mm256_max_ps(x, max))) + 0.0;
    if max > walk.max {
        let shrink = scalar::exp(walk.max - max);
        walk.sum *= shrink;
        scalar::scale(walk.acc, shrink);
        walk.max = max;
    }
    scores
}

/// Replaces the scores by their exponentials, the probabilities of the values, and adds these to the walk's sum. Runs after the
/// scores of all walks are made: right behind those of one walk it would wait for that walk's maximum.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn take_exponentials(walk: &mut Walk<'_>, scores: &mut Row, block: &KvBlock<'_>) {
    let shift = _mm256_set1_ps(walk.max);
    for score in scores.iter_mut() {
        *score = exp_down(_mm256_sub_ps(*score, shift));
    }
    if let Some(seen) = seen(block.n_seen(walk.pos)) {
        for i in 0..4 {
            scores[i] = _mm256_and_ps(seen[i], scores[i]);
        }
    }
    let [a, b, c, d] = *scores;
    walk.sum += sum(_mm256_add_ps(_mm256_add_ps(a, c), _mm256_add_ps(b, d)));
}

/// Adds the upper half of the lanes to the lower half: 4, 2, 1.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Largest lane; no lane is a NaN.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn largest(x: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}
