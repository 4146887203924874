//! Sum of one block of values, each times its probability: floats in the order of the definition, quants in integers.

use core::arch::aarch64::*;

use super::probs::{WithProbs, add_products};
use crate::contract::{broken, require};
use crate::neon::bytes::{ROWS, halves_apart, next_halves, part, rows_from, widen};
use crate::neon::floats::{Element, Floats, add, fused, fused_one, load_some, store_some};
use crate::neon::quantize::largest;
use crate::scalar::{AMAX_MIN, QuantizedProbs, assert_rows};
use crate::{KV_BLOCK, KvRows, QK};

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
#[target_feature(enable = "neon")]
pub(in super::super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    assert_rows(values, probs.len(), acc.len());
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        KvRows::F32(x) => add_floats(probs, x, acc),
        KvRows::F16(x) => add_floats(probs, x, acc),
        KvRows::Q8_0 { qs, d } => add_quants(probs, qs, d, acc),
        KvRows::Q4_0 { qs, d, .. } => add_quants(probs, qs, d, acc),
    }
}

/// Adds values of floats: 64, 32 and 8 columns at a time, then one by one. The sums stay in registers while the values pass by.
#[target_feature(enable = "neon")]
#[inline]
fn add_floats<E: Element>(probs: &[f32], values: &[E], acc: &mut [f32]) {
    let n = acc.len();
    let mut at = 0;
    while n - at >= 64 {
        columns::<E, 8>(probs, values, at, acc);
        at += 64;
    }
    if n - at >= 32 {
        columns::<E, 4>(probs, values, at, acc);
        at += 32;
    }
    while n - at >= 8 {
        columns::<E, 1>(probs, values, at, acc);
        at += 8;
    }
    for (c, acc) in acc.iter_mut().enumerate().skip(at) {
        let values = probs.iter().enumerate().rev().map(|(key, &p)| (p, one(values, key * n + c).value()));
        *acc += values.fold(0.0, |sum, (p, x)| fused_one(p, x, sum));
    }
}

/// Adds the values' columns `at..at + 8 · N`.
#[target_feature(enable = "neon")]
#[inline]
fn columns<E: Element, const N: usize>(probs: &[f32], values: &[E], at: usize, acc: &mut [f32]) {
    let head_dim = acc.len();
    let acc = acc.get_mut(at..).and_then(|acc| acc.get_mut(..8 * N)).unwrap_or_else(|| broken("columns of the sums"));
    let acc: &mut [[f32; 8]] = acc.as_chunks_mut().0;
    let mut sums = [[vdupq_n_f32(0.0); 2]; N];
    for (key, &p) in probs.iter().enumerate().rev() {
        let x: &[[E; 8]] = part(values, key * head_dim + at, 8 * N).as_chunks().0;
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = fused(E::widen(x), [vdupq_n_f32(p); 2], *sum);
        }
    }
    for (sum, acc) in sums.into_iter().zip(acc) {
        store_some(add(load_some(acc), sum), acc);
    }
}

/// Returns element `at`.
#[inline]
fn one<T: Copy>(x: &[T], at: usize) -> T {
    x.get(at).copied().unwrap_or_else(|| broken("values of the head's width"))
}

/// Adds values of quants: each group of 32 columns has quantized probabilities of its own.
#[target_feature(enable = "neon")]
#[inline]
fn add_quants<Q: WithProbs>(probs: &[f32], qs: &[Q], d: &[u16], acc: &mut [f32]) {
    let head_dim = acc.len();
    let (stride, n_groups) = (head_dim.div_ceil(Q::COLUMNS), head_dim.div_ceil(QK));
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let quantized = quantize_probs(probs, d, n_groups, g);
        let first = g * (QK / Q::COLUMNS);
        let sums = sum_group(&quantized, qs.get(first..).unwrap_or_default(), probs.len(), stride);
        for (acc, sums) in acc.chunks_mut(8).zip(sums.as_chunks().0) {
            let terms = sums.map(|sum: int32x4_t| vmulq_n_f32(vcvtq_f32_s32(sum), quantized.step));
            store_some(add(load_some(acc), terms), acc);
        }
    }
}

/// Quantizes probabilities times scales `group` of `[_, n_groups]`, as [`crate::scalar::quantize_probs`] does.
#[target_feature(enable = "neon")]
#[inline]
fn quantize_probs(probs: &[f32], d: &[u16], n_groups: usize, group: usize) -> QuantizedProbs {
    debug_assert!(group < n_groups);
    let mut quantized = [[vdupq_n_f32(0.0); 2]; KV_BLOCK / ROWS];
    let times = |probs: Floats, d: Floats| [vmulq_f32(probs[0], d[0]), vmulq_f32(probs[1], d[1])];
    let (eights, rest) = probs.as_chunks::<ROWS>();
    let scales = part(d, 0, eights.len() * ROWS * n_groups);
    let mut p = scales.as_ptr().wrapping_add(group).cast();
    for (quantized, eight) in quantized.iter_mut().zip(eights) {
        // SAFETY: the part has eight rows for each of the eights, and each row a scale for this group.
        let d = unsafe { halves_apart(&mut p, n_groups * size_of::<u16>()) };
        *quantized = times(f32::widen(eight), widen(d));
    }
    if let Some(quantized) = quantized.get_mut(eights.len())
        && !rest.is_empty()
    {
        let rows = rows_from(d, n_groups, eights.len() * ROWS);
        // SAFETY: each row has a scale for this group. A scale that stands in for a row that does not exist is multiplied with
        // a zero; if it is not finite, its own row makes the step NaN anyway.
        let d = unsafe { next_halves(&mut rows.map(|row| row.wrapping_add(group * size_of::<u16>()))) };
        *quantized = times(load_some(rest), d);
    }
    let [[a, b], [c, d], [e, f], [g, h]] = quantized;
    let amax = largest([a, b, c, d, e, f, g, h]);
    let mut quants = [0; KV_BLOCK];
    if !amax.is_finite() || amax < AMAX_MIN {
        return QuantizedProbs { step: if amax.is_finite() { 0.0 } else { f32::NAN }, quants };
    }
    let id = 32767.0 / amax;
    for (quants, quantized) in quants.as_chunks_mut::<ROWS>().0.iter_mut().zip(quantized) {
        let [low, high] = quantized.map(|w| vcvtnq_s32_f32(vmulq_n_f32(w, id)));
        // All numbers lie in ±32767, so narrowing loses nothing.
        let eight = vmovn_high_s32(vmovn_s32(low), high);
        // SAFETY: eight writable integers; vector stores need no alignment.
        unsafe { vst1q_s16(quants.as_mut_ptr(), eight) };
    }
    QuantizedProbs { step: amax / 32767.0, quants }
}

/// `Σ_j w_j q_j` of 32 columns over `n` values. `qs` begins at the first of these columns of value 0; a value follows `stride`
/// bytes behind the one before, and the last value has only the bytes that are left of its row. Sums past a row's end belong to
/// no column.
#[target_feature(enable = "neon")]
#[inline]
fn sum_group<Q: WithProbs>(quantized: &QuantizedProbs, qs: &[Q], n: usize, stride: usize) -> [int32x4_t; 8] {
    let bytes = QK / Q::COLUMNS;
    // Values with enough bytes behind their start, their own or those of the next values.
    let whole = qs.len().checked_sub(bytes).map_or(0, |rest| n.min(rest / stride.max(1) + 1));
    let fours = quantized.quants.as_chunks::<4>().0;
    // The oldest values of a steep head have factors of zero.
    let skipped = fours.iter().take_while(|four| **four == [0; 4]).count().min(whole / 4);
    let mut p = qs.as_ptr().cast::<u8>().wrapping_add(4 * skipped * stride);
    let mut sums = Q::start(quantized);
    for four in fours.get(skipped..whole / 4).unwrap_or_default() {
        // SAFETY: four more whole values and four integers can be read; vector loads need no alignment.
        unsafe {
            let w = vld1_s16(four.as_ptr());
            add_products::<0>(&mut sums, Q::next(&mut p, stride), w);
            add_products::<1>(&mut sums, Q::next(&mut p, stride), w);
            add_products::<2>(&mut sums, Q::next(&mut p, stride), w);
            add_products::<3>(&mut sums, Q::next(&mut p, stride), w);
        }
    }
    for (j, &w) in quantized.quants.iter().enumerate().take(n).skip(whole / 4 * 4) {
        let factors = if j < whole {
            // SAFETY: one more whole value can be read.
            unsafe { Q::next(&mut p, stride) }
        } else {
            Q::last(qs.get(j * stride..).unwrap_or_default())
        };
        add_products::<0>(&mut sums, factors, vdup_n_s16(w));
    }
    Q::finish(sums)
}
