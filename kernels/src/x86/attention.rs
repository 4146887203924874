//! Attention over one block of stored keys and values: eight keys at a time, and columns of values in registers.

use core::arch::x86_64::*;

use super::floats::{Element, add_tail, dots, load, store, to_lanes, trees};
use super::math::map;
use super::norm::square;
use super::quants::{self, Quant};
use crate::scalar::{LANES, assert_query, assert_rows, distance_of, tree};
use crate::{BlockQ8, KV_BLOCK, KvRows, QK, Query};

/// See [`crate::Kernels::sum_squares`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::F32(x) => squares(Floats { x, head_dim }, head_dim),
        KvRows::F16(x) => squares(Floats { x, head_dim }, head_dim),
        KvRows::Q8_0 { qs, d } => squares(Quants { qs, d, head_dim }, head_dim),
        KvRows::Q4_0 { qs, d, .. } => squares(Quants { qs, d, head_dim }, head_dim),
    }
}

/// `Σ v²` of the first row: its values, times one, are the values.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn squares(values: impl Values, head_dim: usize) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    let whole = head_dim / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: this function has the features, too.
        let terms: [__m256; 2] = unsafe { values.weighted(1.0, 0, at) };
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = _mm256_add_ps(*sum, square(term));
        }
    }
    let rest = (whole..head_dim).map(|c| values.weighted_one(1.0, 0, c));
    tree(to_lanes(add_tail(sums, rest.map(|v| v * v))))
}

/// See [`crate::Kernels::score_block`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn score_block(
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
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn dot_block(q: Query<'_>, keys: KvRows<'_>, scores: &mut [f32]) {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::F32(q), KvRows::F32(keys)) => dot_keys(q, keys, scores),
        (Query::F32(q), KvRows::F16(keys)) => dot_keys(q, keys, scores),
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => dot_keys_q8(q, qs, d, head_dim, scores),
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) => dot_keys_q8(q, qs, d, head_dim, scores),
        _ => unreachable!("checked by assert_query"),
    }
}

/// `score * scale - slope * distance`
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) {
    let n = scores.len();
    if distance as usize + n > 1 << 24 {
        // Distances are no longer all floats, each must be rounded.
        for (j, score) in scores.iter_mut().enumerate() {
            *score = *score * scale - slope * distance_of(distance, n, j);
        }
        return;
    }
    let (scale, slope, step) = (_mm256_set1_ps(scale), _mm256_set1_ps(slope), _mm256_set1_ps(8.0));
    let farthest = _mm256_set1_ps((distance as usize + n) as f32);
    let mut distances = _mm256_sub_ps(farthest, _mm256_setr_ps(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0));
    map(scores, |score| {
        let bias = _mm256_mul_ps(slope, distances);
        distances = _mm256_sub_ps(distances, step);
        _mm256_sub_ps(_mm256_mul_ps(score, scale), bias)
    });
}

/// The largest number, +0 for any zero; NaN is passed over.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn largest(scores: &[f32]) -> f32 {
    let (eights, rest) = scores.as_chunks::<8>();
    let mut lanes = _mm256_set1_ps(f32::NEG_INFINITY);
    for eight in eights {
        // The second operand where the first is not greater, also for NaN.
        lanes = _mm256_max_ps(load(eight), lanes);
    }
    let mut all = [0.0; 8];
    store(lanes, &mut all);
    all.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max }) + 0.0
}

/// `scores[j] = q · k_j`, four keys at a time.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_keys<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    let (fours, rest) = scores.as_chunks_mut::<4>();
    let (keys, last) = keys.split_at(4 * fours.len() * q.len());
    // So that loops of so few steps are none.
    match q.len() {
        16 => dot_fours::<E, 1>(q, keys, fours),
        32 => dot_fours::<E, 2>(q, keys, fours),
        64 => dot_fours::<E, 4>(q, keys, fours),
        128 => dot_fours::<E, 8>(q, keys, fours),
        n if n.is_multiple_of(LANES) => dot_fours::<E, 0>(q, keys, fours),
        _ => dot_ragged(q, keys, fours.as_flattened_mut()),
    }
    dot_ragged(q, last, rest);
}

/// The same for whole fours of keys, of which each partial sum has `N` terms, or any number if that is 0.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_fours<E: Element, const N: usize>(q: &[f32], keys: &[E], scores: &mut [[f32; 4]]) {
    let n = if N == 0 { q.len() / LANES } else { N };
    let (q, keys): (&[[f32; 8]], &[[E; 8]]) = (&q.as_chunks().0[..2 * n], keys.as_chunks().0);
    for (keys, scores) in keys.chunks_exact(8 * n).zip(scores) {
        prefetch(before(keys, 2 * n), 8 * n);
        // The first and the last eight partial sums of each key.
        let mut sums = [[_mm256_setzero_ps(); 4]; 2];
        for c in 0..n {
            for half in 0..2 {
                let x = load(&q[2 * c + half]);
                for r in 0..4 {
                    // SAFETY: this function has the features, too.
                    let key = unsafe { E::widen(&keys[2 * (r * n + c) + half]) };
                    sums[half][r] = _mm256_add_ps(sums[half][r], _mm256_mul_ps(key, x));
                }
            }
        }
        let [low, high] = sums;
        *scores = trees([0, 1, 2, 3].map(|r| _mm256_add_ps(low[r], high[r])));
    }
}

/// The same for any number of keys of any length.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_ragged<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    for (first, scores) in (0..).step_by(4).zip(scores.chunks_mut(4)) {
        let rows: [&[E]; 4] = rows_from(keys, q.len(), first, scores.len());
        prefetch(before(rows[0], q.len()), 4 * q.len());
        scores.copy_from_slice(&dots(rows, [q])[..scores.len()]);
    }
}

/// Where the rows lie that are a block older than these: what a walk asks for next, and no processor foretells, since blocks
/// follow each other backwards. In a ring it may be elsewhere, or nothing.
#[inline]
fn before<T>(rows: &[T], head_dim: usize) -> *const T {
    rows.as_ptr().wrapping_sub(KV_BLOCK * head_dim)
}

/// Fetches as many rows as these, from where the block before them lies; their scales come with them or are soon there.
#[inline]
pub(super) fn prefetch_before(rows: KvRows<'_>, head_dim: usize) {
    match rows {
        KvRows::F32(x) => prefetch(before(x, head_dim), x.len()),
        KvRows::F16(x) => prefetch(before(x, head_dim), x.len()),
        KvRows::Q8_0 { qs, .. } => prefetch(before(qs, head_dim), qs.len()),
        KvRows::Q4_0 { qs, .. } => prefetch(before(qs, head_dim.div_ceil(2)), qs.len()),
    }
}

/// Fetches `n` elements, if they are there.
#[inline]
fn prefetch<T>(at: *const T, n: usize) {
    for offset in (0..n * size_of::<T>()).step_by(64) {
        // SAFETY: it reads nothing, and may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_byte_add(offset).cast()) };
    }
}

/// Rows `first..first + n` of `[_, stride]`; the last one also stands in for those up to `R`.
#[inline]
fn rows_from<T, const R: usize>(all: &[T], stride: usize, first: usize, n: usize) -> [&[T]; R] {
    let mut rows: [&[T]; R] = [&[]; R];
    for (r, slot) in rows.iter_mut().enumerate() {
        *slot = &all[(first + r.min(n - 1)) * stride..][..stride];
    }
    rows
}

/// `scores[j] = q · k_j`, eight keys at a time, a lane each.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_keys_q8<Q: Quant>(q: &[BlockQ8], qs: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let stride = head_dim.div_ceil(Q::COLUMNS);
    for (first, scores) in (0..).step_by(8).zip(scores.chunks_mut(8)) {
        let keys: [&[Q]; 8] = rows_from(qs, stride, first, scores.len());
        let d: [&[u16]; 8] = rows_from(d, q.len(), first, scores.len());
        prefetch(before(keys[0], stride), 8 * stride);
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
            let scale = _mm256_mul_ps(unsafe { u16::widen(&halves) }, _mm256_set1_ps(q.d));
            let sums = _mm256_sub_epi32(sums_of(sums), _mm256_set1_epi32(Q::OFFSET * q.sum()));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sums)));
        }
        store(acc, scores);
    }
}

/// The sum of the lanes of each.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn sums_of([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> __m256i {
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let efgh = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let (low, high) = (_mm256_permute2x128_si256::<0x20>(abcd, efgh), _mm256_permute2x128_si256::<0x31>(abcd, efgh));
    _mm256_add_epi32(low, high)
}

/// See [`crate::Kernels::accumulate_block`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    prefetch_before(values, head_dim);
    match values {
        KvRows::F32(x) => accumulate(probs, Floats { x, head_dim }, acc),
        KvRows::F16(x) => accumulate(probs, Floats { x, head_dim }, acc),
        KvRows::Q8_0 { qs, d } => accumulate(probs, Quants { qs, d, head_dim }, acc),
        KvRows::Q4_0 { qs, d, .. } => accumulate(probs, Quants { qs, d, head_dim }, acc),
    }
}

/// Stored values, multiplied with a probability as they are read.
trait Values: Copy {
    /// `p · v` of columns `at..at + 8 · N` of a key; `at` is a multiple of 8.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [__m256; N];

    /// `p · v` of one column.
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32;
}

#[derive(Clone, Copy)]
struct Floats<'a, E> {
    x: &'a [E],
    head_dim: usize,
}

impl<E: Element> Values for Floats<'_, E> {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [__m256; N] {
        let x: &[[E; 8]] = self.x[key * self.head_dim + at..][..8 * N].as_chunks().0;
        // SAFETY: this function has the features, too.
        core::array::from_fn(|i| _mm256_mul_ps(_mm256_set1_ps(p), unsafe { E::widen(&x[i]) }))
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        p * self.x[key * self.head_dim + at].value()
    }
}

#[derive(Clone, Copy)]
struct Quants<'a, Q> {
    qs: &'a [Q],
    d: &'a [u16],
    head_dim: usize,
}

impl<Q: Quant> Quants<'_, Q> {
    /// Elements of a row.
    #[inline]
    fn stride(self) -> usize {
        self.head_dim.div_ceil(Q::COLUMNS)
    }

    #[inline]
    fn scale(self, key: usize, at: usize) -> u16 {
        self.d[key * self.head_dim.div_ceil(QK) + at / QK]
    }
}

impl<Q: Quant> Values for Quants<'_, Q> {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [__m256; N] {
        let n = 8 / Q::COLUMNS;
        let qs = &self.qs[key * self.stride() + at / Q::COLUMNS..][..N * n];
        let mut factor = _mm256_setzero_ps();
        core::array::from_fn(|i| {
            if i % 4 == 0 {
                let d = _mm256_cvtph_ps(_mm_set1_epi16(self.scale(key, at + 8 * i) as i16));
                factor = _mm256_mul_ps(_mm256_set1_ps(p), d);
            }
            // SAFETY: this function has the features.
            _mm256_mul_ps(factor, unsafe { Q::widen_eight(&qs[i * n..][..n]) })
        })
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        (p * self.scale(key, at).value()) * Q::column(&self.qs[key * self.stride()..], at)
    }
}

/// Columns 64, 32 and 8 at a time, then one by one; their sums stay in registers while the keys pass by.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn accumulate(probs: &[f32], values: impl Values, acc: &mut [f32]) {
    let n = acc.len();
    let mut at = 0;
    while n - at >= 64 {
        columns::<8>(probs, values, at, acc);
        at += 64;
    }
    if n - at >= 32 {
        columns::<4>(probs, values, at, acc);
        at += 32;
    }
    while n - at >= 8 {
        columns::<1>(probs, values, at, acc);
        at += 8;
    }
    for (c, acc) in acc.iter_mut().enumerate().skip(at) {
        let weighted = probs.iter().enumerate().rev().map(|(key, &p)| values.weighted_one(p, key, c));
        *acc += weighted.fold(0.0, |sum, x| sum + x);
    }
}

/// Columns `at..at + 8 · N`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn columns<const N: usize>(probs: &[f32], values: impl Values, at: usize, acc: &mut [f32]) {
    let acc: &mut [[f32; 8]] = acc[at..][..8 * N].as_chunks_mut().0;
    let mut sums = [_mm256_setzero_ps(); N];
    for (key, &p) in probs.iter().enumerate().rev() {
        // SAFETY: this function has the features, too.
        let terms: [__m256; N] = unsafe { values.weighted(p, key, at) };
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = _mm256_add_ps(*sum, term);
        }
    }
    for (sum, acc) in sums.into_iter().zip(acc) {
        store(_mm256_add_ps(load(acc), sum), acc);
    }
}
