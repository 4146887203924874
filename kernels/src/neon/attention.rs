//! Attention over one block of stored keys and values: eight keys at a time, and columns of values in registers.

use core::arch::aarch64::*;

use super::bytes::{next_16, next_32, next_halves, part, rows_from, widen_one};
use super::floats::{Element, add, add_tail, dots, load_some, store_some, tree};
use super::group::{Floats, ROWS, add_scaled};
use super::isa::{Dot, Isa, load};
use super::math::map;
use super::norm::square;
use crate::block::BlockQ8_0;
use crate::contract::broken;
use crate::scalar::{LANES, assert_query, assert_rows, distance_of, unpack_quants};
use crate::{BlockQ8, KvRows, QK, Query};

/// See [`crate::Kernels::sum_squares`].
#[target_feature(enable = "neon")]
pub(super) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::F32(x) => squares(Singles { x, head_dim }, head_dim),
        KvRows::F16(x) => squares(Singles { x, head_dim }, head_dim),
        KvRows::Q8_0 { qs, d } => squares(Quants { qs, d, head_dim }, head_dim),
        KvRows::Q4_0 { qs, d, .. } => squares(Quants { qs, d, head_dim }, head_dim),
    }
}

/// `Σ v²` of the first row: its values, times one, are the values.
#[target_feature(enable = "neon")]
#[inline]
fn squares(values: impl Values, head_dim: usize) -> f32 {
    let mut sums = [[vdupq_n_f32(0.0); 2]; 2];
    let whole = head_dim / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let terms: [Floats; 2] = values.weighted(1.0, 0, at);
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = add(*sum, term.map(|v| square(v)));
        }
    }
    let rest = (whole..head_dim).map(|c| values.weighted_one(1.0, 0, c));
    tree(add_tail(sums, rest.map(|v| v * v)))
}

/// See [`crate::Kernels::score_block`].
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(super) unsafe fn score_block<I: Isa>(
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
        // SAFETY: the processor has the ISA.
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) => unsafe { dot_keys_q8::<I::Dot, _>(q, qs, d, head_dim, scores) },
        // SAFETY: the processor has the ISA.
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) => unsafe { dot_keys_q8::<I::Dot, _>(q, qs, d, head_dim, scores) },
        _ => broken("a query of the keys' kind"),
    }
    add_bias(scores, scale, slope, distance);
    largest(scores)
}

/// `score * scale - slope * distance`
#[target_feature(enable = "neon")]
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
    let farthest = vdupq_n_f32((distance as usize + n) as f32);
    let [first, last] = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]].map(|steps| super::floats::load(&steps));
    let mut distances = [vsubq_f32(farthest, first), vsubq_f32(farthest, last)];
    map(scores, |scores| {
        let bias = distances.map(|distance| vmulq_n_f32(distance, slope));
        distances = distances.map(|distance| vsubq_f32(distance, vdupq_n_f32(8.0)));
        [0, 1].map(|i| vsubq_f32(vmulq_n_f32(scores[i], scale), bias[i]))
    });
}

/// The largest number, +0 for any zero; NaN is passed over.
#[target_feature(enable = "neon")]
#[inline]
fn largest(scores: &[f32]) -> f32 {
    let (eights, rest) = scores.as_chunks::<8>();
    let mut lanes = [vdupq_n_f32(f32::NEG_INFINITY); 2];
    for eight in eights {
        let eight = f32::widen(eight);
        // The number, where one of both is NaN.
        lanes = [0, 1].map(|i| vmaxnmq_f32(lanes[i], eight[i]));
    }
    let all = vmaxnmvq_f32(vmaxnmq_f32(lanes[0], lanes[1]));
    rest.iter().fold(all, |max, &x| if x > max { x } else { max }) + 0.0
}

/// `scores[j] = q · k_j`, four keys at a time.
#[target_feature(enable = "neon")]
#[inline]
fn dot_keys<E: Element>(q: &[f32], keys: &[E], scores: &mut [f32]) {
    for (first, scores) in (0..).step_by(4).zip(scores.chunks_mut(4)) {
        let rows: [&[E]; 4] = four_rows(keys, q.len(), first, scores.len());
        let sums = dots(rows, [q]);
        match scores.first_chunk_mut() {
            Some(four) => *four = sums,
            None => scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum),
        }
    }
}

/// Rows `first..first + n` of `[_, stride]`; the last one also stands in for those up to four.
#[inline]
fn four_rows<T>(all: &[T], stride: usize, first: usize, n: usize) -> [&[T]; 4] {
    let mut rows: [&[T]; 4] = [&[]; 4];
    for (r, slot) in rows.iter_mut().enumerate() {
        *slot = part(all, (first + r.min(n - 1)) * stride, stride);
    }
    rows
}

/// `scores[j] = q · k_j`, eight keys at a time, a lane each.
///
/// # Safety
/// The processor has the ISA, and the keys are as many as the scores.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn dot_keys_q8<D: Dot, Q: Quant>(q: &[BlockQ8], qs: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let (whole, rest) = q.split_at_checked(head_dim / QK).unwrap_or_else(|| broken("a query of the keys' width"));
    for (first, scores) in (0..).step_by(ROWS).zip(scores.chunks_mut(ROWS)) {
        let (mut qs, d) = (rows_from(qs, head_dim.div_ceil(Q::COLUMNS), first), rows_from(d, q.len(), first));
        let mut keys = Keys::<D> { d, walks: [D::start(); 2], acc: [vdupq_n_f32(0.0); 2] };
        // SAFETY: every row has a scale for each group of the query, 32 columns for all but the last, and the rest for that;
        // the processor has the ISA.
        unsafe {
            for q in whole {
                keys.add_products(q, |r| Q::next_group(&mut qs[r]));
            }
            for q in rest {
                let n = (head_dim % QK).div_ceil(Q::COLUMNS);
                keys.add_products(q, |r| Q::last_group(core::slice::from_raw_parts(qs[r].cast(), n)));
            }
        }
        store_some(keys.acc, scores);
    }
}

/// Eight keys, and the sums of their products with the query.
struct Keys<D: Dot> {
    /// The next scale of each.
    d: [*const u8; ROWS],
    walks: [D::Walk; 2],
    acc: Floats,
}

impl<D: Dot> Keys<D> {
    /// Adds the products of a group of the query with that of each key; `columns(r)` is called once for each, in order.
    ///
    /// # Safety
    /// The keys have one more scale; the processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn add_products(&mut self, q: &BlockQ8, mut columns: impl FnMut(usize) -> [int8x16_t; 2]) {
        // SAFETY: by the caller.
        unsafe {
            let d = next_halves(&mut self.d);
            let x = load(&q.qs);
            let [sum, _] = D::dot::<BlockQ8_0>(&mut self.walks[0], [0, 1, 2, 3].map(&mut columns), x);
            self.acc[0] = add_scaled(self.acc[0], d[0], q.d, sum);
            let [sum, _] = D::dot::<BlockQ8_0>(&mut self.walks[1], [4, 5, 6, 7].map(&mut columns), x);
            self.acc[1] = add_scaled(self.acc[1], d[1], q.d, sum);
        }
    }
}

/// How a stored row holds its quants: one in a byte, or two.
trait Quant: Copy {
    /// Columns of a byte.
    const COLUMNS: usize;

    /// 32 columns.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2];

    /// Less than 32 columns, zeros behind them.
    fn last_group(row: &[Self]) -> [int8x16_t; 2];

    /// Eight columns; `qs` holds them.
    fn eight(qs: &[Self]) -> [i8; 8];

    /// Column `c`.
    fn column(row: &[Self], c: usize) -> i8;
}

impl Quant for i8 {
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2] {
        // SAFETY: by the caller.
        unsafe { next_32(p) }
    }

    #[inline]
    fn last_group(row: &[Self]) -> [int8x16_t; 2] {
        let mut all = [0; QK];
        all[..row.len()].copy_from_slice(row);
        // SAFETY: the target has NEON.
        unsafe { load(&all) }
    }

    #[inline(always)]
    fn eight(qs: &[Self]) -> [i8; 8] {
        *qs.first_chunk().unwrap_or_else(|| broken("values of the head's width"))
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> i8 {
        one(row, c)
    }
}

impl Quant for u8 {
    const COLUMNS: usize = 2;

    #[inline(always)]
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2] {
        // SAFETY: 16 bytes can be read, by the caller; the target has NEON.
        unsafe {
            let bytes = vreinterpretq_u8_s8(next_16(p));
            let eight = vdupq_n_s8(8);
            let low = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), eight);
            let high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes)), eight);
            [vzip1q_s8(low, high), vzip2q_s8(low, high)]
        }
    }

    #[inline]
    fn last_group(row: &[Self]) -> [int8x16_t; 2] {
        // SAFETY: the target has NEON.
        unsafe { load(&unpack_quants(row)) }
    }

    #[inline(always)]
    fn eight(qs: &[Self]) -> [i8; 8] {
        let four: [u8; 4] = *qs.first_chunk().unwrap_or_else(|| broken("values of the head's width"));
        // Each byte to two, then their halves to one each.
        let spread = |x: u64, by: u32, mask: u64| (x | x << by) & mask;
        let pairs = spread(u32::from_le_bytes(four).into(), 16, 0x0000_ffff_0000_ffff);
        let nibbles = spread(spread(pairs, 8, 0x00ff_00ff_00ff_00ff), 4, 0x0f0f_0f0f_0f0f_0f0f);
        nibbles.to_le_bytes().map(|q| q as i8 - 8)
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> i8 {
        (one(row, c / 2) >> (c % 2 * 4) & 15) as i8 - 8
    }
}

/// See [`crate::Kernels::accumulate_block`].
#[target_feature(enable = "neon")]
pub(super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    match values {
        KvRows::F32(x) => accumulate(probs, Singles { x, head_dim }, acc),
        KvRows::F16(x) => accumulate(probs, Singles { x, head_dim }, acc),
        KvRows::Q8_0 { qs, d } => accumulate(probs, Quants { qs, d, head_dim }, acc),
        KvRows::Q4_0 { qs, d, .. } => accumulate(probs, Quants { qs, d, head_dim }, acc),
    }
}

/// Stored values, multiplied with a probability as they are read.
trait Values: Copy {
    /// `p · v` of columns `at..at + 8 · N` of a key; `at` is a multiple of 8.
    fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [Floats; N];

    /// `p · v` of one column.
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32;
}

/// Element `at`.
#[inline]
fn one<T: Copy>(x: &[T], at: usize) -> T {
    x.get(at).copied().unwrap_or_else(|| broken("values of the head's width"))
}

#[derive(Clone, Copy)]
struct Singles<'a, E> {
    x: &'a [E],
    head_dim: usize,
}

impl<E: Element> Values for Singles<'_, E> {
    #[inline]
    fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [Floats; N] {
        let x: &[[E; 8]] = part(self.x, key * self.head_dim + at, 8 * N).as_chunks().0;
        // SAFETY: the target has NEON.
        core::array::from_fn(|i| E::widen(&x[i]).map(|x| unsafe { vmulq_n_f32(x, p) }))
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        p * one(self.x, key * self.head_dim + at).value()
    }
}

#[derive(Clone, Copy)]
struct Quants<'a, Q> {
    qs: &'a [Q],
    d: &'a [u16],
    head_dim: usize,
}

impl<Q: Quant> Quants<'_, Q> {
    /// Bytes of a row.
    #[inline]
    fn stride(self) -> usize {
        self.head_dim.div_ceil(Q::COLUMNS)
    }

    #[inline]
    fn scale(self, key: usize, at: usize) -> f32 {
        widen_one(one(self.d, key * self.head_dim.div_ceil(QK) + at / QK))
    }
}

impl<Q: Quant> Values for Quants<'_, Q> {
    #[inline]
    fn weighted<const N: usize>(self, p: f32, key: usize, at: usize) -> [Floats; N] {
        let mut qs =
            part(self.qs, key * self.stride() + at / Q::COLUMNS, 8 * N / Q::COLUMNS).chunks_exact(8 / Q::COLUMNS);
        const { assert!(N <= 8) };
        let mut factors = [p * self.scale(key, at); 2];
        if N > 4 {
            factors[1] = p * self.scale(key, at + QK);
        }
        // SAFETY: the target has NEON.
        core::array::from_fn(|i| {
            let eight = Q::eight(qs.next().unwrap_or_default());
            singles(&eight).map(|q| unsafe { vmulq_n_f32(q, factors[i / 4]) })
        })
    }

    #[inline]
    fn weighted_one(self, p: f32, key: usize, at: usize) -> f32 {
        let row = part(self.qs, key * self.stride(), self.stride());
        (p * self.scale(key, at)) * f32::from(Q::column(row, at))
    }
}

/// Eight bytes as floats: each becomes the top of a fixed-point number with 24 places behind the point.
#[inline]
fn singles(q: &[i8; 8]) -> Floats {
    // SAFETY: the target has NEON; eight readable bytes, and vector loads need no alignment.
    unsafe {
        let bytes = vcombine_s8(vld1_s8(q.as_ptr()), vdup_n_s8(0));
        [0, 4].map(|first: u64| {
            // An index past the table gives zero.
            let pair = |i: u64| vcreate_u8(0x00ff_ffff_00ff_ffff | i << 24 | (i + 1) << 56);
            let top = vqtbl1q_s8(bytes, vcombine_u8(pair(first), pair(first + 2)));
            vcvtq_n_f32_s32::<24>(vreinterpretq_s32_s8(top))
        })
    }
}

/// Columns 64, 32 and 8 at a time, then one by one; their sums stay in registers while the keys pass by.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
#[inline]
fn columns<const N: usize>(probs: &[f32], values: impl Values, at: usize, acc: &mut [f32]) {
    let acc = acc.get_mut(at..).and_then(|acc| acc.get_mut(..8 * N)).unwrap_or_else(|| broken("columns of the sums"));
    let acc: &mut [[f32; 8]] = acc.as_chunks_mut().0;
    let mut sums = [[vdupq_n_f32(0.0); 2]; N];
    for (key, &p) in probs.iter().enumerate().rev() {
        let terms: [Floats; N] = values.weighted(p, key, at);
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = add(*sum, term);
        }
    }
    for (sum, acc) in sums.into_iter().zip(acc) {
        store_some(add(load_some(acc), sum), acc);
    }
}
