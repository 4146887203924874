//! Attention of several queries over one block: work that concerns the block alone is done once for all of them.
//!
//! The keys become a [`Panel`], then the values another, in which a query's products need no sums across lanes. Queries pass
//! by, four at the keys and two or four at the values. The terms and the order of each sum are those of the definition.

// Iterators over registers are not unrolled in code for any unit: 1.7 times slower.
#![allow(clippy::needless_range_loop)]

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
use crate::x86::X86;
use crate::x86::math::exp_down;
use crate::x86::sixteen::{Sixteen, Ymm, Zmm};
use crate::{KV_BLOCK, KvBlock, KvRows, QK, Walk};

/// Queries that share each load of keys.
const GROUP: usize = 4;

/// Fewer queries than this are faster one by one.
const MIN_WALKS: usize = 4;

/// Function that implements [`Kernels::attend_block`](crate::Kernels::attend_block), compiled for a vector unit.
macro_rules! attend_block {
    ($(#[$doc:meta])* $name:ident, $features:literal, $unit:ident) => {
        $(#[$doc])*
        #[target_feature(enable = $features)]
        pub(in crate::x86) fn $name(kernels: &X86, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
            for walks in walks.chunks_mut(KV_BLOCK) {
                let mut going = [0; KV_BLOCK];
                let mut n_going = 0;
                for (i, _) in walks.iter().enumerate().filter(|(_, walk)| !walk.ended) {
                    going[n_going] = i;
                    n_going += 1;
                }
                let going = &mut going[..n_going];
                if !fit(block, walks) {
                    scalar::attend_block(kernels, block, scale, walks);
                } else if n_going < MIN_WALKS {
                    going.iter().for_each(|&i| attend_alone($unit::new(), block, scale, &mut walks[i]));
                } else {
                    attend($unit::new(), block, scale, walks, going);
                }
            }
        }
    };
}

attend_block! {
    /// Attends with AVX2.
    attend_block_avx2, "avx2,fma,f16c", Ymm
}
attend_block! {
    /// Attends with AVX-512.
    attend_block_avx512, "avx2,fma,f16c,avx512f,avx512bw", Zmm
}

/// True if the block fits a panel, and all distances are exact as floats.
fn fit(block: &KvBlock<'_>, walks: &[Walk<'_>]) -> bool {
    walks.iter().filter(|walk| !walk.ended).all(|walk| {
        let head_dim = walk.acc.len();
        head_dim <= WIDTH && head_dim.is_multiple_of(LANES) && walk.pos.saturating_sub(block.start) < 1 << 24
    })
}

/// Takes one walk past the block, and reads the rows as they are stored.
#[inline(always)]
fn attend_alone<U: Sixteen>(u: U, block: &KvBlock<'_>, scale: f32, walk: &mut Walk<'_>) {
    let (n, head_dim) = (block.n_seen(walk.pos), walk.acc.len());
    require(n > 0, SEEN);
    assert_block(block, head_dim);
    let mut row = [0.0; KV_BLOCK];
    // SAFETY: every unit has AVX2.
    unsafe { dot_block(walk.query, block.keys.first(n, head_dim), &mut row[..n]) };
    let dots = [u.load_some(&row), u.load_some(&row[16..])];
    let scores = take_scores(u, walk, dots, block, scale);
    let probs = take_exponentials(u, walk, scores, block);
    // SAFETY: as above.
    unsafe { accumulate_block(&Row::of(u, probs).floats()[..n], block.values.first(n, head_dim), walk.acc) };
}

/// Takes the walks in `going` past the block.
#[inline(always)]
fn attend<U: Sixteen>(u: U, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>], going: &mut [usize]) {
    let (n, head_dim) = (block.end.saturating_sub(block.start), walks[going[0]].acc.len());
    assert_block(block, head_dim);
    for walk in going.iter().map(|&i| &walks[i]) {
        require(block.n_seen(walk.pos) > 0 && walk.acc.len() == head_dim, SEEN);
        require(assert_query(walk.query, block.keys, n) == head_dim, QUERY);
    }
    // Values are summed for a few walks at a time, from the one that sees the fewest on.
    going.sort_unstable_by_key(|&i| block.n_seen(walks[i].pos));
    let mut panel = Panel::new();
    let mut d = [Row::ZERO; WIDTH / QK];
    // SAFETY: every unit has AVX2.
    let keys = unsafe { keys_of(block, head_dim, &mut panel, &mut d) };
    // Scores of each walk, then their exponentials.
    let mut scores = [const { MaybeUninit::<Row>::uninit() }; KV_BLOCK];
    for (group, scores) in going.chunks(GROUP).zip(scores.chunks_mut(GROUP)) {
        match group.try_into() {
            Ok(group) => {
                let group: [usize; GROUP] = group;
                let dots = keys.dots(u, group.map(|i| walks[i].query));
                for ((i, dots), scores) in group.into_iter().zip(dots).zip(scores) {
                    scores.write(Row::of(u, take_scores(u, &mut walks[i], dots, block, scale)));
                }
            }
            Err(_) => {
                for (&i, scores) in group.iter().zip(scores) {
                    let [dots] = keys.dots(u, [walks[i].query]);
                    scores.write(Row::of(u, take_scores(u, &mut walks[i], dots, block, scale)));
                }
            }
        }
    }
    for (&i, scores) in going.iter().zip(&mut scores) {
        // SAFETY: the loop above wrote the scores of each walk that is going.
        let scores = unsafe { scores.assume_init_mut() };
        *scores = Row::of(u, take_exponentials(u, &mut walks[i], [scores.part(u, 0), scores.part(u, 1)], block));
    }
    // SAFETY: as above; a `MaybeUninit` has the layout of the type that it holds.
    let probs: &[Row] = unsafe { core::slice::from_raw_parts(scores.as_ptr().cast(), going.len()) };
    // SAFETY: every unit has AVX2.
    let values = unsafe { values_of(block, head_dim, &mut panel, &mut d) };
    if U::WIDE {
        accumulate::<U, 4>(u, &values, block, walks, going, probs);
    } else {
        accumulate::<U, 2>(u, &values, block, walks, going, probs);
    }
}

/// Sums the values for `Q` walks at a time, then for those that are left over.
#[inline(always)]
fn accumulate<U: Sixteen, const Q: usize>(
    u: U,
    values: &Values<'_>,
    block: &KvBlock<'_>,
    walks: &mut [Walk<'_>],
    going: &[usize],
    probs: &[Row],
) {
    let ((groups, rest), (group_probs, rest_probs)) = (going.as_chunks::<Q>(), probs.as_chunks::<Q>());
    for (&group, probs) in groups.iter().zip(group_probs) {
        let n_seen = group.map(|i| block.n_seen(walks[i].pos));
        let acc = walks.get_disjoint_mut(group).expect("different walks").map(|walk| &mut *walk.acc);
        values.accumulate(u, probs.each_ref().map(Row::floats), n_seen, acc);
    }
    for (&i, probs) in rest.iter().zip(rest_probs) {
        values.accumulate(u, [probs.floats()], [block.n_seen(walks[i].pos)], [walks[i].acc]);
    }
}

/// Prepares the keys for many queries, and fetches the older block.
#[target_feature(enable = "avx2,fma,f16c")]
fn keys_of<'p>(block: &KvBlock<'_>, head_dim: usize, panel: &'p mut Panel, d: &'p mut [Row; WIDTH / QK]) -> Keys<'p> {
    [block.keys, block.values].into_iter().for_each(|rows| prefetch_older_rows(rows, head_dim));
    let n_groups = head_dim.div_ceil(QK);
    match block.keys {
        KvRows::F32(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::F16(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::Q8_0 { qs, d: halves } => {
            scales(halves, n_groups, d);
            Keys::Quants(panel.turned_quants(qs, head_dim), d)
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            scales(halves, n_groups, d);
            Keys::Quants(panel.turned_quants(qs, head_dim), d)
        }
    }
}

/// Prepares the values for many queries.
#[target_feature(enable = "avx2,fma,f16c")]
fn values_of<'p>(
    block: &KvBlock<'_>,
    head_dim: usize,
    panel: &'p mut Panel,
    d: &'p mut [Row; WIDTH / QK],
) -> Values<'p> {
    let n_groups = head_dim.div_ceil(QK);
    match block.values {
        KvRows::F32(x) => Values::Floats(panel.widened(x, head_dim)),
        KvRows::F16(x) => Values::Floats(panel.widened(x, head_dim)),
        KvRows::Q8_0 { qs, d: halves } => {
            scales(halves, n_groups, d);
            Values::Quants(panel.paired(qs, head_dim), d)
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            scales(halves, n_groups, d);
            Values::Quants(panel.paired(qs, head_dim), d)
        }
    }
}

/// Numbers of the keys of a block: 0 to 31.
const NUMBERS: [[f32; 16]; 2] = {
    let mut numbers = [[0.0; 16]; 2];
    let mut i = 0;
    while i < KV_BLOCK {
        numbers[i / 16][i % 16] = i as f32;
        i += 1;
    }
    numbers
};

/// Mask of the keys that a walk sees, the first `n` of a block; `None` if it sees all of a whole block.
#[inline(always)]
fn seen<U: Sixteen>(u: U, n: usize) -> Option<[U::M; 2]> {
    if n >= KV_BLOCK {
        return None;
    }
    let end = u.splat(n as f32);
    Some([u.less(u.load_some(&NUMBERS[0]), end), u.less(u.load_some(&NUMBERS[1]), end)])
}

/// Turns the products of the keys with the query into scores, -∞ for keys that the walk does not see, and raises the walk's
/// maximum.
#[inline(always)]
fn take_scores<U: Sixteen>(u: U, walk: &mut Walk<'_>, dots: [U::F; 2], block: &KvBlock<'_>, scale: f32) -> [U::F; 2] {
    let lowest = u.splat(f32::NEG_INFINITY);
    // Distance of the block's first key; all distances are exact.
    let distance = u.splat((walk.pos - block.start) as f32);
    let (slope, scale) = (u.splat(walk.slope), u.splat(scale));
    let mut scores = [lowest; 2];
    for i in 0..2 {
        let bias = u.mul(slope, u.sub(distance, u.load_some(&NUMBERS[i])));
        scores[i] = u.sub(u.mul(dots[i], scale), bias);
    }
    if let Some(seen) = seen(u, block.n_seen(walk.pos)) {
        for i in 0..2 {
            scores[i] = u.select(seen[i], scores[i], lowest);
        }
    }
    // `max` returns the second operand if the first is not greater, also for NaN; adding 0 makes any zero +0.
    let lanes = u.max(scores[1], u.max(scores[0], lowest));
    // SAFETY: every unit has AVX2.
    let max = unsafe { largest(u.max_halves(lanes)) } + 0.0;
    if max > walk.max {
        let shrink = scalar::exp(walk.max - max);
        walk.sum *= shrink;
        // SAFETY: as above.
        unsafe { multiply_by(walk.acc, shrink) };
        walk.max = max;
    }
    scores
}

/// Computes the exponentials of the scores, the probabilities of the values, and adds these to the walk's sum. Runs after the
/// scores of all walks are made: right behind those of one walk it would wait for that walk's maximum.
#[inline(always)]
fn take_exponentials<U: Sixteen>(u: U, walk: &mut Walk<'_>, scores: [U::F; 2], block: &KvBlock<'_>) -> [U::F; 2] {
    let shift = u.splat(walk.max);
    let mut probs = scores;
    for prob in probs.iter_mut() {
        *prob = exp_down(u, u.sub(*prob, shift));
    }
    if let Some(seen) = seen(u, block.n_seen(walk.pos)) {
        for i in 0..2 {
            probs[i] = u.keep(seen[i], probs[i]);
        }
    }
    // SAFETY: every unit has AVX2.
    walk.sum += unsafe { sum(u.sum_halves(u.add(probs[0], probs[1]))) };
    probs
}

/// `x *= factor`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn multiply_by(x: &mut [f32], factor: f32) {
    scalar::scale(x, factor);
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
