//! Attention of several queries over one block: what is done to the block is done once for all of them.
//!
//! The keys and the values become a [`Panel`] each, where a query's products need no sums across lanes; then queries pass by, four
//! at the keys and two at the values. What is summed, and in which order, is what the definition says.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::attention::{accumulate_block, dot_block, prefetch_before};
use super::floats::{load, store};
use super::math::exp_down;
use super::panel::{Panel, Row, WIDTH, scales};
use crate::contract::{broken, require};
use crate::scalar::{self, LANES, SEEN, assert_query, assert_rows};
use crate::{BlockQ8, KV_BLOCK, Kernels, KvBlock, KvRows, QK, Query, Walk};

/// Queries that share each load of keys.
const GROUP: usize = 4;

/// Fewer queries than this are sooner done one by one.
const MIN_WALKS: usize = 4;

/// See [`crate::Kernels::attend_block`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn attend_block(kernels: &impl Kernels, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
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

/// Whether the block fits a panel, and all distances are floats.
fn fit(block: &KvBlock<'_>, walks: &[Walk<'_>]) -> bool {
    walks.iter().filter(|walk| !walk.ended).all(|walk| {
        let head_dim = walk.acc.len();
        head_dim <= WIDTH && head_dim.is_multiple_of(LANES) && walk.pos.saturating_sub(block.start) < 1 << 24
    })
}

/// Takes one walk past the block, whose rows are read as they are.
#[target_feature(enable = "avx2,f16c")]
fn attend_alone(block: &KvBlock<'_>, scale: f32, walk: &mut Walk<'_>) {
    let (n, head_dim) = (block.n_seen(walk.pos), walk.acc.len());
    require((1..=KV_BLOCK).contains(&n) && block.end - block.start <= KV_BLOCK, SEEN);
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
#[target_feature(enable = "avx2,f16c")]
fn attend(block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>], going: &[usize]) {
    let n = block.end - block.start;
    let head_dim = walks[going[0]].acc.len();
    for walk in going.iter().map(|&i| &walks[i]) {
        require((1..=KV_BLOCK).contains(&block.n_seen(walk.pos)) && n <= KV_BLOCK, SEEN);
        require(assert_query(walk.query, block.keys, n) == head_dim && walk.acc.len() == head_dim, SEEN);
    }
    assert_rows(block.values, n, head_dim);
    [block.keys, block.values].into_iter().for_each(|rows| prefetch_before(rows, head_dim));
    let mut panel = Panel::new();
    // Scores, then what the values count.
    let mut scores = [const { MaybeUninit::<Row>::uninit() }; KV_BLOCK];
    let mut d = [[_mm256_setzero_ps(); 4]; WIDTH / QK];
    let keys = match block.keys {
        KvRows::F32(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::F16(x) => Keys::Floats(panel.turned(x, head_dim)),
        KvRows::Q8_0 { qs, d: halves } => {
            Keys::Quants(panel.turned_quants(qs, head_dim), scales(halves, head_dim, &mut d))
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            Keys::Quants(panel.turned_pairs(qs, head_dim), scales(halves, head_dim, &mut d))
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
        // SAFETY: as many were written as walks are going.
        let scores = unsafe { scores.assume_init_mut() };
        take_exponentials(&mut walks[i], scores, block);
    }
    // SAFETY: as above, and a `MaybeUninit` has the layout of what it holds, and eight floats that of a register.
    let probs: &[[f32; KV_BLOCK]] = unsafe { core::slice::from_raw_parts(scores.as_ptr().cast(), going.len()) };
    let values = match block.values {
        KvRows::F32(x) => Values { x: panel.widened(x, head_dim), d: None },
        KvRows::F16(x) => Values { x: panel.widened(x, head_dim), d: None },
        KvRows::Q8_0 { qs, d: halves } => {
            Values { x: panel.widened(qs, head_dim), d: Some(scales(halves, head_dim, &mut d)) }
        }
        KvRows::Q4_0 { qs, d: halves, .. } => {
            Values { x: panel.widened_pairs(qs, head_dim), d: Some(scales(halves, head_dim, &mut d)) }
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

/// The keys of a block, turned.
enum Keys<'p> {
    Floats(&'p [Row]),
    Quants(&'p [Row], &'p [Row]),
}

impl Keys<'_> {
    /// The products of each query with each key.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn dots<const Q: usize>(&self, queries: [Query<'_>; Q]) -> [Row; Q] {
        let mut dots = [[_mm256_setzero_ps(); 4]; Q];
        match self {
            Self::Floats(keys) => {
                let queries = queries.map(|query| match query {
                    Query::F32(q) => q.as_chunks().0,
                    Query::Q8(_) => broken(SEEN),
                });
                let keys = keys.as_chunks::<LANES>().0;
                for part in [0, 2] {
                    // So that loops of so few steps are none.
                    match keys.len() {
                        4 => dot_floats::<Q, 4>(&mut dots, keys, queries, part),
                        8 => dot_floats::<Q, 8>(&mut dots, keys, queries, part),
                        _ => dot_floats::<Q, 0>(&mut dots, keys, queries, part),
                    }
                }
            }
            Self::Quants(keys, d) => {
                for (g, (keys, d)) in keys.chunks(QK / 2).zip(*d).enumerate() {
                    let queries = queries.map(|query| match query {
                        Query::F32(_) => broken(SEEN),
                        Query::Q8(q) => &q[g],
                    });
                    let pairs = queries.map(|q| pairs_of(&q.qs));
                    for part in [0, 2] {
                        add_quants(&mut dots, keys, d, queries, &pairs, part);
                    }
                }
            }
        }
        dots
    }
}

/// Sums for some queries and 16 keys, parts `part` and `part + 1` of each row.
type Sums<T, const Q: usize> = [[T; 2]; Q];

/// Writes the products with parts `part` and `part + 1` of the keys: 16 strided sums and the tree, for each lane. `N` is how
/// many numbers each sum has, or 0, which is any.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_floats<const Q: usize, const N: usize>(
    dots: &mut [Row; Q],
    keys: &[[Row; LANES]],
    queries: [&[[f32; LANES]]; Q],
    part: usize,
) {
    let n = if N == 0 { keys.len() } else { N };
    let (keys, queries) = (&keys[..n], queries.map(|q| &q[..n]));
    // Not in registers, all of which a sum that is being made has need of.
    let mut halves = [[[MaybeUninit::uninit(); 2]; Q]; LANES / 2];
    for (lane, half) in halves.iter_mut().enumerate() {
        put(half, strided_sum(keys, &queries, part, lane));
        let upper = strided_sum(keys, &queries, part, lane + LANES / 2);
        // SAFETY: it was written.
        unsafe { add_to(half, &upper) };
    }
    for n in [4, 2, 1] {
        for lane in 0..n {
            // SAFETY: all eight were written.
            unsafe {
                let upper = get(&halves[lane + n]);
                add_to(&mut halves[lane], &upper);
            }
        }
    }
    // SAFETY: as above.
    let sums = unsafe { get(&halves[0]) };
    for t in 0..Q {
        for i in 0..2 {
            // The sums began with a product and not with zero, which shows only where all are -0.
            dots[t][part + i] = _mm256_add_ps(_mm256_setzero_ps(), sums[t][i]);
        }
    }
}

/// The partial sum `lane`, which begins with a product.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn strided_sum<const Q: usize>(
    keys: &[[Row; LANES]],
    queries: &[&[[f32; LANES]]; Q],
    part: usize,
    lane: usize,
) -> Sums<__m256, Q> {
    let mut sums = [[_mm256_setzero_ps(); 2]; Q];
    for c in 0..keys.len() {
        let key = [keys[c][lane][part], keys[c][lane][part + 1]];
        for t in 0..Q {
            let q = _mm256_set1_ps(queries[t][c][lane]);
            for i in 0..2 {
                let product = _mm256_mul_ps(key[i], q);
                sums[t][i] = if c == 0 { product } else { _mm256_add_ps(sums[t][i], product) };
            }
        }
    }
    sums
}

/// Sums in memory.
type Put<const Q: usize> = Sums<MaybeUninit<__m256>, Q>;

#[inline(always)]
fn put<const Q: usize>(to: &mut Put<Q>, sums: Sums<__m256, Q>) {
    for t in 0..Q {
        for i in 0..2 {
            to[t][i].write(sums[t][i]);
        }
    }
}

/// # Safety
/// `from` was written.
#[inline(always)]
unsafe fn get<const Q: usize>(from: &Put<Q>) -> Sums<__m256, Q> {
    // SAFETY: a `MaybeUninit` has the layout of what it holds.
    unsafe { core::mem::transmute_copy(from) }
}

/// # Safety
/// `to` was written.
#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn add_to<const Q: usize>(to: &mut Put<Q>, sums: &Sums<__m256, Q>) {
    for t in 0..Q {
        for i in 0..2 {
            // SAFETY: as promised.
            let sum = _mm256_add_ps(unsafe { to[t][i].assume_init() }, sums[t][i]);
            to[t][i].write(sum);
        }
    }
}

/// Adds the products with a group of up to 32 columns: `dot += (d_k · d_q) · Σ q_k q_q`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn add_quants<const Q: usize>(
    dots: &mut [Row; Q],
    keys: &[Row],
    d: &Row,
    queries: [&BlockQ8; Q],
    pairs: &[[i32; QK / 2]; Q],
    part: usize,
) {
    let mut sums: Sums<__m256i, Q> = [[_mm256_setzero_si256(); 2]; Q];
    for (c, key) in keys.iter().take(QK / 2).enumerate() {
        let key = [key[part], key[part + 1]].map(|key| _mm256_castps_si256(key));
        for (sums, pairs) in sums.iter_mut().zip(pairs) {
            let q = _mm256_set1_epi32(pairs[c]);
            for (sum, key) in sums.iter_mut().zip(key) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(key, q));
            }
        }
    }
    for ((dots, sums), q) in dots.iter_mut().zip(sums).zip(queries) {
        for ((dot, sum), &d) in dots[part..].iter_mut().zip(sums).zip(&d[part..]) {
            let scale = _mm256_mul_ps(d, _mm256_set1_ps(q.d));
            *dot = _mm256_add_ps(*dot, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
        }
    }
}

/// Two at a time, as 16-bit integers.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn pairs_of(qs: &[i8; QK]) -> [i32; QK / 2] {
    let mut pairs = [0; QK / 2];
    for (pairs, qs) in pairs.as_chunks_mut::<8>().0.iter_mut().zip(qs.as_chunks::<16>().0) {
        // SAFETY: 16 readable and 32 writable bytes; neither needs alignment.
        unsafe {
            let words = _mm256_cvtepi8_epi16(_mm_loadu_si128(qs.as_ptr().cast()));
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), words);
        }
    }
    pairs
}

/// The numbers of the keys of a block.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn numbers() -> Row {
    let eight = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
    [0.0, 8.0, 16.0, 24.0].map(|first| _mm256_add_ps(eight, _mm256_set1_ps(first)))
}

/// Where a walk sees the keys of a block; `None` if it sees all of a whole one.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn seen(walk: &Walk<'_>, block: &KvBlock<'_>) -> Option<Row> {
    let n_seen = block.n_seen(walk.pos);
    let end = _mm256_set1_ps(n_seen as f32);
    (n_seen < KV_BLOCK).then(|| numbers().map(|numbers| _mm256_cmp_ps::<_CMP_LT_OQ>(numbers, end)))
}

/// The scores of the keys, from their products with the query, in the walk's maximum; -∞ where it sees none.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn take_scores(walk: &mut Walk<'_>, dots: &Row, block: &KvBlock<'_>, scale: f32) -> Row {
    let (numbers, lowest) = (numbers(), _mm256_set1_ps(f32::NEG_INFINITY));
    // Of the block's first key; all distances are exact.
    let distance = _mm256_set1_ps((walk.pos - block.start) as f32);
    let (slope, scale) = (_mm256_set1_ps(walk.slope), _mm256_set1_ps(scale));
    let mut scores = [lowest; 4];
    for i in 0..4 {
        let bias = _mm256_mul_ps(slope, _mm256_sub_ps(distance, numbers[i]));
        scores[i] = _mm256_sub_ps(_mm256_mul_ps(dots[i], scale), bias);
    }
    if let Some(seen) = seen(walk, block) {
        for i in 0..4 {
            scores[i] = _mm256_blendv_ps(lowest, scores[i], seen[i]);
        }
    }
    // The second operand where the first is not greater, also for NaN; +0 for any zero.
    let max = largest(scores.into_iter().fold(lowest, |max, x| _mm256_max_ps(x, max))) + 0.0;
    if max > walk.max {
        let shrink = scalar::exp(walk.max - max);
        walk.sum *= shrink;
        scalar::scale(walk.acc, shrink);
        walk.max = max;
    }
    scores
}

/// Makes the scores their exponentials, which the values count, and adds these to the walk's sum. For all walks after each
/// other: those of one alone would wait for its maximum.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn take_exponentials(walk: &mut Walk<'_>, scores: &mut Row, block: &KvBlock<'_>) {
    let shift = _mm256_set1_ps(walk.max);
    for score in scores.iter_mut() {
        *score = exp_down(_mm256_sub_ps(*score, shift));
    }
    if let Some(seen) = seen(walk, block) {
        for i in 0..4 {
            scores[i] = _mm256_and_ps(seen[i], scores[i]);
        }
    }
    let [a, b, c, d] = *scores;
    walk.sum += sum(_mm256_add_ps(_mm256_add_ps(a, c), _mm256_add_ps(b, d)));
}

/// Adds the upper half of the lanes to the lower half: 4, 2, 1.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn sum(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The largest lane; none is a NaN.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn largest(x: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

/// The values of a block as floats, for each group of 32 columns, and the scales of the groups if they have some.
struct Values<'p> {
    x: &'p [Row],
    d: Option<&'p [Row]>,
}

impl Values<'_> {
    /// `acc[i] += Σ_j probs[j] v_j[i]` over the first `n_seen` values, from the last to the first, for `Q` walks of which
    /// each sees as much as the one before it, or more.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn accumulate<const Q: usize>(&self, probs: [&[f32; KV_BLOCK]; Q], n_seen: [usize; Q], mut acc: [&mut [f32]; Q]) {
        for (g, values) in self.x.as_chunks::<KV_BLOCK>().0.iter().enumerate() {
            let scaled = self.d.map(|d| probs.map(|probs| products(probs, &d[g])));
            let weights = scaled.as_ref().map_or(probs, |scaled| scaled.each_ref());
            let mut sums = [[_mm256_setzero_ps(); 4]; Q];
            let mut seen_before = n_seen[Q - 1];
            for first in (0..Q).rev() {
                // What the walks from here on see, and those before do not.
                let seen_by_fewer = first.checked_sub(1).map_or(0, |before| n_seen[before]);
                for j in (seen_by_fewer..seen_before).rev() {
                    for t in first..Q {
                        let weight = _mm256_set1_ps(weights[t][j]);
                        for (sum, &x) in sums[t].iter_mut().zip(&values[j]) {
                            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(weight, x));
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
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn products(x: &[f32; KV_BLOCK], y: &Row) -> [f32; KV_BLOCK] {
    let mut out = [0.0; KV_BLOCK];
    for ((out, x), &y) in out.chunks_mut(8).zip(x.chunks(8)).zip(y) {
        store(_mm256_mul_ps(load(x), y), out);
    }
    out
}
