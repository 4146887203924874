//! Scores of one query with the keys of a block: four or eight keys at a time.

use core::arch::x86_64::*;

use super::prefetch::prefetch_older;
use super::quants::{self, Quant};
use crate::scalar::{CHAINS, assert_query, distance_of};
use crate::x86::floats::{Element, dots, load, store, trees};
use crate::x86::math::map;
use crate::x86::sixteen::{Sixteen, Ymm};
use crate::{BlockQ8, KvRows, QK, Query};

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::x86) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    dot_block(q, keys, scores);
    add_bias(scores, scale, slope, distance);
    largest(scores)
}

/// `scores[j] = q · k_j`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dot_block(q: Query<'_>, keys: KvRows<'_>, scores: &mut [f32]) {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::F32(q), KvRows::F32(keys)) => dot_keys(q, keys, scores),
        (Query::F32(q), KvRows::F16(keys)) => dot_keys(q, keys, scores),
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => dot_quants(q, qs, d, head_dim, scores),
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) => dot_quants(q, qs, d, head_dim, scores),
        _ => unreachable!("checked by assert_query"),
    }
}

/// `score * scale - slope * distance`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) {
    let n = scores.len();
    if distance as usize + n > 1 << 24 {
        // Distances beyond 2^24 are not all floats, so each is rounded by itself.
        for (j, score) in scores.iter_mut().enumerate() {
            *score = *score * scale - slope * distance_of(distance, n, j);
        }
        return;
    }
    let u = Ymm::new();
    let (scale, slope, step) = (u.splat(scale), u.splat(slope), u.splat(16.0));
    let numbers: [f32; 16] = core::array::from_fn(|i| (i + 1) as f32);
    let mut distances = u.sub(u.splat((distance as usize + n) as f32), u.load_some(&numbers));
    map(u, scores, |score| {
        let bias = u.mul(slope, distances);
        distances = u.sub(distances, step);
        u.sub(u.mul(score, scale), bias)
    });
}

/// Largest number, +0 for any zero; a NaN is passed over.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn largest(scores: &[f32]) -> f32 {
    let (eights, rest) = scores.as_chunks::<8>();
    let mut lanes = _mm256_set1_ps(f32::NEG_INFINITY);
    for eight in eights {
        // `max` returns the second operand if the first is not greater, also for NaN.
        lanes = _mm256_max_ps(load(eight), lanes);
    }
    let mut all = [0.0; 8];
    store(lanes, &mut all);
    all.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max }) + 0.0
}

/// `scores[j] = q · k_j`, four keys at a time.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_keys<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    let (fours, rest) = scores.as_chunks_mut::<4>();
    let (keys, last) = keys.split_at(4 * fours.len() * q.len());
    // Constant trip counts let the compiler unroll.
    match q.len() {
        16 => dot_fours::<E, 2>(q, keys, fours),
        32 => dot_fours::<E, 4>(q, keys, fours),
        64 => dot_fours::<E, 8>(q, keys, fours),
        128 => dot_fours::<E, 16>(q, keys, fours),
        n if n > 0 && n.is_multiple_of(CHAINS) => dot_fours::<E, 0>(q, keys, fours),
        // Heads of other lengths. Those of no columns have no key with an element either.
        _ => dot_ragged(q, keys, fours.as_flattened_mut()),
    }
    dot_ragged(q, last, rest);
}

/// `scores[j] = q · k_j` for whole fours of keys; each chain has `N` terms, or any number if `N` is 0.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_fours<E: Element, const N: usize>(q: &[f32], keys: &[E], scores: &mut [[f32; 4]]) {
    let n = if N == 0 { q.len() / CHAINS } else { N };
    let (q, keys): (&[[f32; CHAINS]], &[[E; CHAINS]]) = (&q.as_chunks().0[..n], keys.as_chunks().0);
    // The order, from the last four to the first, is that of walks from block to block: one stream, which the hardware
    // prefetcher predicts better.
    for (keys, scores) in keys.chunks_exact(4 * n).zip(scores).rev() {
        prefetch_older(keys, n);
        let mut sums = [_mm256_setzero_ps(); 4];
        for c in 0..n {
            let x = load(&q[c]);
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: this function has the features, too.
                *sum = _mm256_fmadd_ps(unsafe { E::widen(&keys[r * n + c]) }, x, *sum);
            }
        }
        *scores = trees(sums);
    }
}

/// `scores[j] = q · k_j` for any number of keys of any length, four at a time.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_ragged<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    for (first, scores) in (0..).step_by(4).zip(scores.chunks_mut(4)) {
        let rows: [&[E]; 4] = rows_from(keys, q.len(), first, scores.len());
        rows.iter().take(scores.len()).for_each(|row| prefetch_older(row, q.len()));
        let [sums] = dots(rows, [q]);
        scores.copy_from_slice(&sums[..scores.len()]);
    }
}

/// Rows `first..first + n` of `[_, stride]`; the last one also stands in for rows up to `R`.
#[inline]
fn rows_from<T, const R: usize>(all: &[T], stride: usize, first: usize, n: usize) -> [&[T]; R] {
    let mut rows: [&[T]; R] = [&[]; R];
    for (r, slot) in rows.iter_mut().enumerate() {
        *slot = &all[(first + r.min(n - 1)) * stride..][..stride];
    }
    rows
}

/// `scores[j] = q · k_j` for keys of quants, eight at a time.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_quants<Q: Quant>(q: &[BlockQ8], qs: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let n = 8 * eights.len();
    let ((keys, last), (d, last_d)) = (qs.split_at(n * head_dim.div_ceil(Q::COLUMNS)), d.split_at(n * q.len()));
    // Groups can be multiplied side by side if all of them are whole.
    match *q {
        [ref a] if head_dim == QK => dot_groups([a], keys, d, eights),
        [ref a, ref b] if head_dim == 2 * QK => dot_groups([a, b], keys, d, eights),
        [ref a, ref b, ref c, ref e] if head_dim == 4 * QK => dot_groups([a, b, c, e], keys, d, eights),
        _ => dot_ragged_quants(q, keys, d, head_dim, eights.as_flattened_mut()),
    }
    dot_ragged_quants(q, last, last_d, head_dim, rest);
}

/// `scores[j] = q · k_j` for whole eights of keys that have `G` whole groups of columns each. Eight groups are multiplied at a
/// time, with their scales beside each other as they are stored; then the products of a key are added up in order.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_groups<Q: Quant, const G: usize>(q: [&BlockQ8; G], qs: &[Q], d: &[u16], scores: &mut [[f32; 8]]) {
    let n = QK / Q::COLUMNS;
    let x = q.map(|q| quants::load(&q.qs));
    let q_d = load(&core::array::from_fn::<_, 8, _>(|i| q[i % G].d));
    let offset = load_ints(&core::array::from_fn(|i| Q::OFFSET * q[i % G].sum()));
    let keys = qs.chunks_exact(8 * G * n).zip(d.chunks_exact(8 * G));
    for ((qs, d), scores) in keys.zip(scores).rev() {
        prefetch_older(qs, G * n);
        prefetch_older(d, G);
        let mut terms = [_mm256_setzero_ps(); G];
        for (v, d) in d.as_chunks::<8>().0.iter().enumerate() {
            let mut sums = [_mm256_setzero_si256(); 8];
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: this function has the features.
                let pairs = unsafe { Q::products(&qs[(8 * v + i) * n..][..n], 0, x[i % G]) };
                *sum = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            }
            let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums_of(sums), offset));
            // SAFETY: this function has the features.
            terms[v] = _mm256_mul_ps(_mm256_mul_ps(unsafe { Element::widen(d) }, q_d), sums);
        }
        let sum = quants::by_group(terms).into_iter().fold(_mm256_setzero_ps(), |sum, term| _mm256_add_ps(sum, term));
        store(sum, scores);
    }
}

/// `scores[j] = q · k_j` for any number of keys of any length, eight at a time, a lane each.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_ragged_quants<Q: Quant>(q: &[BlockQ8], qs: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let stride = head_dim.div_ceil(Q::COLUMNS);
    for (first, scores) in (0..).step_by(8).zip(scores.chunks_mut(8)) {
        let keys: [&[Q]; 8] = rows_from(qs, stride, first, scores.len());
        let d: [&[u16]; 8] = rows_from(d, q.len(), first, scores.len());
        keys.iter().take(scores.len()).for_each(|key| prefetch_older(key, stride));
        let mut acc = _mm256_setzero_ps();
        for (g, q) in q.iter().enumerate() {
            let x = quants::load(&q.qs);
            let (mut sums, mut halves) = ([_mm256_setzero_si256(); 8], [0; 8]);
            for r in 0..8 {
                // SAFETY: this function has the features.
                let pairs = unsafe { Q::products(keys[r], g, x) };
                sums[r] = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                halves[r] = d[r][g];
            }
            // SAFETY: this function has the features.
            let scale = _mm256_mul_ps(unsafe { Element::widen(&halves) }, _mm256_set1_ps(q.d));
            let sums = _mm256_sub_epi32(sums_of(sums), _mm256_set1_epi32(Q::OFFSET * q.sum()));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sums)));
        }
        store(acc, scores);
    }
}

/// Sum of the lanes of each register.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sums_of([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> __m256i {
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let efgh = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let (low, high) = (_mm256_permute2x128_si256::<0x20>(abcd, efgh), _mm256_permute2x128_si256::<0x31>(abcd, efgh));
    _mm256_add_epi32(low, high)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_ints(x: &[i32; 8]) -> __m256i {
    // SAFETY: eight readable integers; `loadu` needs no alignment.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}
