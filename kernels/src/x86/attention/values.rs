//! Values of a block, summed for one query: 64 columns of floats or 32 of quants in registers. Also sums of squares of a row.

use core::arch::x86_64::*;

use super::panel::{Row, WIDTH};
use super::prefetch::prefetch_older;
use super::probs::{QuantizedProbs, quantize_probs, scales};
use super::quants::Quant;
use super::rows::Rows;
use crate::contract::require;
use crate::scalar::{self, LANES, assert_rows, tree};
use crate::x86::floats::{Element, add_tail, fused, load, store, sum, to_lanes};
use crate::x86::norm::square;
use crate::x86::sixteen::{Sixteen, Ymm};
use crate::{KV_BLOCK, KvRows, QK};

/// Implements [`Kernels::sum_squares`](crate::Kernels::sum_squares).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::x86) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::F32(x) => sum(x, |v| square(v)),
        KvRows::F16(x) => sum(x, |v| square(v)),
        KvRows::Q8_0 { qs, d } => squares(qs, d, head_dim),
        KvRows::Q4_0 { qs, d, .. } => squares(qs, d, head_dim),
    }
}

/// `Σ (d q)²`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn squares<Q: Quant>(qs: &[Q], d: &[u16], head_dim: usize) -> f32 {
    let scale = |at: usize| d[at / QK].value();
    let mut sums = [_mm256_setzero_ps(); 2];
    let whole = head_dim / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        for (sum, at) in sums.iter_mut().zip([at, at + 8]) {
            // SAFETY: this function has the features.
            let eight = unsafe { Q::widen_eight(&qs[at / Q::COLUMNS..]) };
            *sum = _mm256_add_ps(*sum, square(_mm256_mul_ps(_mm256_set1_ps(scale(at)), eight)));
        }
    }
    let rest = (whole..head_dim).map(|at| scale(at) * Q::column(qs, at) as f32);
    tree(to_lanes(add_tail(sums, rest.map(|v| v * v))))
}

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::x86) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    assert_rows(values, probs.len(), acc.len());
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        KvRows::F32(x) => add_floats(probs, x, acc),
        KvRows::F16(x) => add_floats(probs, x, acc),
        KvRows::Q8_0 { qs, d } if acc.len() <= WIDTH => add_quants(probs, qs, d, acc),
        KvRows::Q4_0 { qs, d, .. } if acc.len() <= WIDTH => add_quants(probs, qs, d, acc),
        _ => scalar::accumulate_block(probs, values, acc),
    }
}

/// Adds values of floats: 64, 32 and 8 columns at a time, then one by one. The sums stay in registers while the values pass by.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_floats<E: Element>(probs: &[f32], x: &[E], acc: &mut [f32]) {
    let head_dim = acc.len();
    let rows = Rows::new(x, head_dim);
    let mut at = 0;
    while head_dim - at >= 64 {
        add_columns::<E, 64>(probs, &rows, at, acc);
        at += 64;
    }
    if head_dim - at >= 32 {
        add_columns::<E, 32>(probs, &rows, at, acc);
        at += 32;
    }
    while head_dim - at >= 8 {
        add_columns::<E, 8>(probs, &rows, at, acc);
        at += 8;
    }
    for (c, acc) in acc.iter_mut().enumerate().skip(at) {
        let values = probs.iter().enumerate().rev().map(|(j, &p)| (p, x[j * head_dim + c].value()));
        *acc += values.fold(0.0, |sum, (p, x)| fused(p, x, sum));
    }
}

/// Adds the values' columns `at..at + N`, which `acc` has.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_columns<E: Element, const N: usize>(probs: &[f32], rows: &Rows<'_, E>, at: usize, acc: &mut [f32]) {
    let acc: &mut [f32; N] = acc[at..].first_chunk_mut().expect("as many columns");
    // `N / 8` of these registers are used.
    let mut sums = [_mm256_setzero_ps(); 8];
    const { assert!(N <= 64) };
    let probs = &probs[..rows.n()];
    for j in (0..probs.len()).rev() {
        let p = probs[j];
        // SAFETY: `j` is less than the number of rows; `acc`, which has `at + N` columns, is as wide as a row.
        let x: &[E; N] = unsafe { rows.get_unchecked(j, at) };
        rows.prefetch_older(x);
        for (sum, x) in sums.iter_mut().zip(x.as_chunks().0) {
            // SAFETY: this function has the features, too.
            *sum = _mm256_fmadd_ps(_mm256_set1_ps(p), unsafe { E::widen(x) }, *sum);
        }
    }
    for (sum, acc) in sums.into_iter().zip(acc.as_chunks_mut::<8>().0) {
        store(_mm256_add_ps(load(acc), sum), acc);
    }
}

/// Adds values of quants: a group of 32 columns at a time; of a shorter last group 16 columns, then one by one.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_quants<Q: Quant>(probs: &[f32], qs: &[Q], d: &[u16], acc: &mut [f32]) {
    let (head_dim, n_groups) = (acc.len(), acc.len().div_ceil(QK));
    prefetch_older(d, n_groups);
    let mut row = [0.0; KV_BLOCK];
    row[..probs.len()].copy_from_slice(probs);
    let mut d_rows = [Row::ZERO; WIDTH / QK];
    scales(d, n_groups, &mut d_rows);
    let stride = head_dim.div_ceil(Q::COLUMNS);
    let rows = Rows::new(qs, stride);
    for ((acc, d), at) in acc.chunks_mut(QK).zip(&d_rows).zip((0..).step_by(QK)) {
        let quantized = quantize_probs(Ymm::new(), &row, d, None);
        if acc.len() == QK {
            // SAFETY: a row is as wide as all of `acc`, so it has the columns from `at` on that this part has.
            unsafe { add_sixteens::<Q, 2>(&rows, &quantized, at, acc.as_chunks_mut().0) };
            continue;
        }
        let (sixteens, rest) = acc.as_chunks_mut::<LANES>();
        // SAFETY: as above.
        unsafe { add_sixteens::<Q, 1>(&rows, &quantized, at, sixteens) };
        let column = |j: usize, c: usize| Q::column(&qs[j * stride..], c);
        for (c, acc) in (at + sixteens.len() * LANES..).zip(rest) {
            let sum: i32 = (0..rows.n()).map(|j| quantized.get(j) * column(j, c)).sum();
            *acc += quantized.step * sum as f32;
        }
    }
}

/// Adds `N` times 16 columns from `at` on, if `acc` has so many: two values at a time.
///
/// # Safety
/// Rows have the columns from `at` on that `acc` has.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn add_sixteens<Q: Quant, const N: usize>(
    rows: &Rows<'_, Q>,
    quantized: &QuantizedProbs,
    at: usize,
    acc: &mut [[f32; LANES]],
) {
    let Some(acc) = acc.first_chunk_mut::<N>() else { return };
    let mut sums = [[_mm256_setzero_si256(); 2]; N];
    let mut add = |older: [__m256i; N], newer: [__m256i; N], pair: i32| {
        let pair = _mm256_set1_epi32(pair);
        for i in 0..N {
            for (sum, pairs) in sums[i].iter_mut().zip(pairs_of(older[i], newer[i])) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, pair));
            }
        }
    };
    let n_pairs = rows.n() / 2;
    if rows.n() % 2 == 1 {
        // SAFETY: the last row exists; it has the columns, by the caller.
        let last = unsafe { rows.sixteens(2 * n_pairs, at) };
        // The factor of the missing newer value, for which `last` stands in, is zero.
        add(last, last, quantized.pairs[n_pairs]);
    }
    let pairs = &quantized.pairs[..n_pairs];
    for j in (0..n_pairs).rev() {
        // SAFETY: at least twice `n_pairs` rows exist; they have the columns, by the caller.
        let [older, newer] = [2 * j, 2 * j + 1].map(|row| unsafe { rows.sixteens(row, at) });
        add(older, newer, pairs[j]);
    }
    for (sums, acc) in sums.into_iter().zip(acc) {
        add_scaled(Ymm::new(), in_order(sums), quantized.step, acc);
    }
}

/// Pairs sixteen columns of two values: columns 0 to 3 and 8 to 11, then the others.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn pairs_of(older: __m256i, newer: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(older, newer), _mm256_unpackhi_epi16(older, newer)]
}

/// Puts the results of such pairs in the order of the columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn in_order([a, b]: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)]
}

/// `acc[c] += step * sums[c] as f32`
#[inline(always)]
pub(super) fn add_scaled<U: Sixteen>(u: U, sums: U::I, step: f32, acc: &mut [f32; 16]) {
    let term = u.mul(u.splat(step), u.to_floats(sums));
    u.store_some(u.add(u.load_some(acc), term), acc);
}
