//! Scores of one block of keys: four keys of floats at a time, or eight of quants, a lane each.

use core::arch::aarch64::*;

use super::rows::Quant;
use crate::block::BlockQ8_0;
use crate::contract::broken;
use crate::neon::bytes::{ROWS, next_halves, part, rows_from};
use crate::neon::floats::{self, Element, Floats, dots, store_some};
use crate::neon::math::map;
use crate::neon::matmul::group::add_scaled;
use crate::neon::matmul::unit::{Dot, Unit, load};
use crate::scalar::{assert_query, distance_of};
use crate::{BlockQ8, KvRows, QK, Query};

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(in super::super) unsafe fn score_block<I: Unit>(
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
        // Distances beyond 2^24 are not all floats, so each is rounded by itself.
        for (j, score) in scores.iter_mut().enumerate() {
            *score = *score * scale - slope * distance_of(distance, n, j);
        }
        return;
    }
    let farthest = vdupq_n_f32((distance as usize + n) as f32);
    let [first, last] = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]].map(|steps| floats::load(&steps));
    let mut distances = [vsubq_f32(farthest, first), vsubq_f32(farthest, last)];
    map(scores, |scores| {
        let bias = distances.map(|distance| vmulq_n_f32(distance, slope));
        distances = distances.map(|distance| vsubq_f32(distance, vdupq_n_f32(8.0)));
        [0, 1].map(|i| vsubq_f32(vmulq_n_f32(scores[i], scale), bias[i]))
    });
}

/// Largest number, +0 for any zero; a NaN is passed over.
#[target_feature(enable = "neon")]
#[inline]
fn largest(scores: &[f32]) -> f32 {
    let (eights, rest) = scores.as_chunks::<8>();
    let mut lanes = [vdupq_n_f32(f32::NEG_INFINITY); 2];
    for eight in eights {
        let eight = f32::widen(eight);
        // `vmaxnm` returns the number if one of both is NaN.
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
        let [sums] = dots(rows, [q]);
        match scores.first_chunk_mut() {
            Some(four) => *four = sums,
            None => scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum),
        }
    }
}

/// Rows `first..first + n` of `[_, stride]`; the last one also stands in for rows up to four.
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
/// The processor has the ISA, and there are as many keys as scores.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn dot_keys_q8<D: Dot, Q: Quant>(q: &[BlockQ8], qs: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let (whole, rest) = q.split_at_checked(head_dim / QK).unwrap_or_else(|| broken("a query of the keys' width"));
    for (first, scores) in (0..).step_by(ROWS).zip(scores.chunks_mut(ROWS)) {
        let (mut qs, d) = (rows_from(qs, head_dim.div_ceil(Q::COLUMNS), first), rows_from(d, q.len(), first));
        let mut keys = Keys::<D> { d, walks: [D::start(); 2], acc: [vdupq_n_f32(0.0); 2] };
        // SAFETY: every row has a scale for each group of the query, 32 columns for each group but the last, and the rest of
        // the columns for that one; the processor has the ISA.
        unsafe {
            for q in whole {
                keys.add_products(q, |r| Q::next_group(&mut qs[r]));
            }
            for q in rest {
                let n = (head_dim % QK).div_ceil(Q::COLUMNS);
                keys.add_products(q, |r| Q::group(core::slice::from_raw_parts(qs[r].cast(), n)));
            }
        }
        store_some(keys.acc, scores);
    }
}

/// Eight keys, and the sums of their products with the query.
struct Keys<D: Dot> {
    /// Address of each key's next scale.
    d: [*const u8; ROWS],
    walks: [D::Walk; 2],
    acc: Floats,
}

impl<D: Dot> Keys<D> {
    /// Adds the products of a group of the query with that of each key. `columns(r)` is called once for each key, in order.
    ///
    /// # Safety
    /// Each key has one more scale; the processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn add_products(&mut self, q: &BlockQ8, mut columns: impl FnMut(usize) -> [int8x16_t; 2]) {
        // SAFETY: the caller promises one more scale of each key, and the ISA.
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
