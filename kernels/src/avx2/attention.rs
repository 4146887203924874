//! Attention over one block of stored keys and values: four or eight keys at a time, and columns of values in registers.

use core::arch::x86_64::*;

use super::floats::{Element, dots, sum};
use super::group::{ROWS, halves, signed_products};
use super::norm::square;
use super::unpack::signed;
use crate::scalar::{self, assert_query, assert_rows, distance_of};
use crate::{BlockQ8, KvRows, QK, Query};

/// See [`crate::Kernels::sum_squares`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::F32(x) => sum(x, |x| square(x)),
        KvRows::F16(x) => sum(x, |x| square(x)),
        KvRows::Q8_0 { .. } => scalar::sum_squares(row, head_dim),
    }
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
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::F32(q), KvRows::F32(keys)) => dot_keys(q, keys, scores),
        (Query::F32(q), KvRows::F16(keys)) => dot_keys(q, keys, scores),
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => dot_keys_q8(q, qs, d, head_dim, scores),
        _ => unreachable!("checked by assert_query"),
    }
    let n = scores.len();
    for (j, score) in scores.iter_mut().enumerate() {
        *score = *score * scale - slope * distance_of(distance, n, j);
    }
    largest(scores)
}

/// The largest number, +0 for any zero; NaN is passed over.
#[target_feature(enable = "avx2")]
#[inline]
fn largest(scores: &[f32]) -> f32 {
    let (eights, rest) = scores.as_chunks::<8>();
    let mut lanes = _mm256_set1_ps(f32::NEG_INFINITY);
    for eight in eights {
        // SAFETY: eight readable floats; `loadu` needs no alignment.
        let x = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
        // Its second operand where the first is not greater, also for NaN.
        lanes = _mm256_max_ps(x, lanes);
    }
    let mut all = [0.0; 8];
    // SAFETY: eight writable floats; `storeu` needs no alignment.
    unsafe { _mm256_storeu_ps(all.as_mut_ptr(), lanes) };
    all.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max }) + 0.0
}

/// `scores[j] = q · k_j`, four keys at a time.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_keys<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    let n = scores.len();
    for (i, scores) in scores.chunks_mut(4).enumerate() {
        // The last key stands in for keys that do not exist.
        let rows: [&[E]; 4] = core::array::from_fn(|r| &keys[(4 * i + r).min(n - 1) * q.len()..][..q.len()]);
        scores.copy_from_slice(&dots(rows, [q])[..scores.len()]);
    }
}

/// `scores[j] = q · k_j`, eight keys at a time, a lane each.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dot_keys_q8(q: &[BlockQ8], qs: &[i8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let n = scores.len();
    for (i, scores) in scores.chunks_mut(ROWS).enumerate() {
        // The last key stands in for keys that do not exist.
        let key: [usize; ROWS] = core::array::from_fn(|r| (ROWS * i + r).min(n - 1));
        let mut acc = _mm256_setzero_ps();
        for (g, q) in q.iter().enumerate() {
            let d = halves(key.map(|key| d[key * head_dim.div_ceil(QK) + g].to_le_bytes()));
            let rows = key.map(|key| &qs[key * head_dim..][..head_dim][g * QK..]);
            let [sum] = signed_products(&signed_columns(rows), [q]);
            let scale = _mm256_mul_ps(d, _mm256_set1_ps(q.d));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
        }
        let mut all = [0.0; ROWS];
        // SAFETY: eight writable floats; `storeu` needs no alignment.
        unsafe { _mm256_storeu_ps(all.as_mut_ptr(), acc) };
        scores.copy_from_slice(&all[..scores.len()]);
    }
}

/// The first 32 columns of eight rows; zeros for those that a row does not have.
#[target_feature(enable = "avx2")]
#[inline]
fn signed_columns(rows: [&[i8]; ROWS]) -> [__m256i; 8] {
    if rows[0].len() >= QK {
        return signed(rows.map(|row| row.first_chunk().expect("32 columns")));
    }
    let padded = rows.map(|row| {
        let mut all = [0; QK];
        all[..row.len()].copy_from_slice(row);
        all
    });
    signed(padded.each_ref())
}

/// See [`crate::Kernels::accumulate_block`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    match values {
        KvRows::F32(x) => accumulate(probs, Floats { x, head_dim }, acc),
        KvRows::F16(x) => accumulate(probs, Floats { x, head_dim }, acc),
        KvRows::Q8_0 { qs, d } => accumulate(probs, Quants { qs, d, head_dim }, acc),
    }
}

/// Stored values, multiplied with a probability as they are read.
trait Values: Copy {
    /// `p · v` of columns `at..at + 8` of a key.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn weighted(self, p: f32, key: usize, at: usize) -> __m256;

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
    unsafe fn weighted(self, p: f32, key: usize, at: usize) -> __m256 {
        let eight = self.x[key * self.head_dim + at..].first_chunk().expect("eight columns");
        // SAFETY: this function has the features, too.
        _mm256_mul_ps(_mm256_set1_ps(p), unsafe { E::widen(eight) })
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        p * self.x[key * self.head_dim + at].value()
    }
}

#[derive(Clone, Copy)]
struct Quants<'a> {
    qs: &'a [i8],
    d: &'a [u16],
    head_dim: usize,
}

impl Quants<'_> {
    #[inline]
    fn scale(self, key: usize, at: usize) -> u16 {
        self.d[key * self.head_dim.div_ceil(QK) + at / QK]
    }
}

impl Values for Quants<'_> {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn weighted(self, p: f32, key: usize, at: usize) -> __m256 {
        let eight: &[i8; 8] = self.qs[key * self.head_dim + at..].first_chunk().expect("eight columns");
        // SAFETY: eight readable bytes.
        let bytes = unsafe { _mm_loadl_epi64(eight.as_ptr().cast()) };
        let q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
        let d = _mm256_cvtph_ps(_mm_set1_epi16(self.scale(key, at) as i16));
        _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(p), d), q)
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        (p * self.scale(key, at).value()) * f32::from(self.qs[key * self.head_dim + at])
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
    let acc = &mut acc[at..][..8 * N];
    let mut sums = [_mm256_setzero_ps(); N];
    for (key, &p) in probs.iter().enumerate().rev() {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: this function has the features, too.
            *sum = _mm256_add_ps(*sum, unsafe { values.weighted(p, key, at + 8 * i) });
        }
    }
    for (i, sum) in sums.into_iter().enumerate() {
        let eight: &mut [f32] = &mut acc[8 * i..][..8];
        // SAFETY: eight readable and writable floats; `loadu` and `storeu` need no alignment.
        unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), _mm256_add_ps(_mm256_loadu_ps(eight.as_ptr()), sum)) };
    }
}
