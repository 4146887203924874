//! Dot product of one row of weights with the activations of one token: one definition each weight type.
//!
//! Float weights: eight chains of fused multiply-adds.
//!
//! Quantized weights: inside 32 columns everything is integer (ranges below show that 32 bits hold it, and that 24 bits
//! do, so the conversion to a float is exact); then one `acc += (scale * d_x) * integer as f32`, blocks in column order, from
//! the `acc` of the blocks before them on.
//! Formats with a minimum add a second such term for each 32 columns, from the sums in the activation block.
//! None of these terms is fused. Scales are whatever the file holds: zero, subnormal, huge, infinite or NaN.

use super::reduce::fused_sum;
use crate::block::*;
use crate::contract::require;

/// Message of the contract check of the lengths.
const LENGTHS: &str = "as many activations as weights";

/// `Σ_c w[c] · x[c]`, as [`fused_sum`] adds it: 8 strided chains and the tree.
///
/// # Panics
/// When the lengths differ.
pub fn dot_f32(w: &[F32], x: &[f32]) -> f32 {
    require(w.len() == x.len(), LENGTHS);
    fused_sum(w.iter().zip(x).map(|(w, &x)| (w.to_f32(), x)))
}

/// `Σ_c w[c] · x[c]` in the order of [`dot_f32`], after the exact conversion of each weight.
///
/// # Panics
/// When the lengths differ.
pub fn dot_f16(w: &[F16], x: &[f32]) -> f32 {
    require(w.len() == x.len(), LENGTHS);
    fused_sum(w.iter().zip(x).map(|(w, &x)| (w.to_f32(), x)))
}

/// `Σ_c w[c] · x[c]` in the order of [`dot_f32`], after the exact conversion of each weight.
///
/// # Panics
/// When the lengths differ.
pub fn dot_bf16(w: &[BF16], x: &[f32]) -> f32 {
    require(w.len() == x.len(), LENGTHS);
    fused_sum(w.iter().zip(x).map(|(w, &x)| (w.to_f32(), x)))
}

/// Each block: `acc += (d · d_x) · Σ_j (q[j] − 8) · x[j]`; the sum lies in ±8·127·32 = ±32 512.
///
/// # Panics
/// When the lengths differ.
pub fn dot_q4_0(acc: f32, w: &[BlockQ4_0], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| acc + (w.d.to_f32() * x.d) * product(&w.quants(), &x.qs) as f32)
}

/// Each block: `acc += (d · d_x) · Σ_j q[j] · x[j]`, in ±15·127·32 = ±60 960; then `acc += (m · d_x) · Σ_j x[j]`.
///
/// # Panics
/// When the lengths differ.
pub fn dot_q4_1(acc: f32, w: &[BlockQ4_1], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| {
        let acc = acc + (w.d.to_f32() * x.d) * product(&w.quants(), &x.qs) as f32;
        acc + (w.m.to_f32() * x.d) * x.sum() as f32
    })
}

/// Each block: `acc += (d · d_x) · Σ_j (q[j] − 16) · x[j]`; the sum lies in ±16·127·32 = ±65 024.
///
/// # Panics
/// When the lengths differ.
pub fn dot_q5_0(acc: f32, w: &[BlockQ5_0], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| acc + (w.d.to_f32() * x.d) * product(&w.quants(), &x.qs) as f32)
}

/// Each block: `acc += (d · d_x) · Σ_j q[j] · x[j]`, in ±31·127·32 = ±125 984; then `acc += (m · d_x) · Σ_j x[j]`.
///
/// # Panics
/// When the lengths differ.
pub fn dot_q5_1(acc: f32, w: &[BlockQ5_1], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| {
        let acc = acc + (w.d.to_f32() * x.d) * product(&w.quants(), &x.qs) as f32;
        acc + (w.m.to_f32() * x.d) * x.sum() as f32
    })
}

/// Each block: `acc += (d · d_x) · Σ_j q[j] · x[j]`; the sum lies in ±128·127·32 = ±520 192.
///
/// # Panics
/// When the lengths differ.
pub fn dot_q8_0(acc: f32, w: &[BlockQ8_0], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| acc + (w.d.to_f32() * x.d) * product(&w.qs, &x.qs) as f32)
}

/// Each 32 columns, with `sc` and `mn` of each half h: `acc += (d · d_x) · Σ_h sc_h · Σ_j q[j] · x[j]`, in
/// ±15·3·127·32 = ±182 880; then `acc -= (dmin · d_x) · Σ_h mn_h · Σ_j x[j]`, in ±15·4064.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_q2_k(acc: f32, w: &[BlockQ2_K], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        let [[sc0, mn0], [sc1, mn1]] = w.scales_and_minimums(g).map(|pair| pair.map(i32::from));
        let [sum0, sum1] = half_products(&w.quants(g), &x.qs);
        acc += (w.d.to_f32() * x.d) * (sc0 * sum0 + sc1 * sum1) as f32;
        let minimums = mn0 * i32::from(x.sums[0]) + mn1 * i32::from(x.sums[1]);
        acc -= (w.dmin.to_f32() * x.d) * minimums as f32;
    }
    acc
}

/// Each 32 columns, with `sc` of each half h: `acc += (d · d_x) · Σ_h (sc_h − 32) · Σ_j (q[j] − 4) · x[j]`, in
/// ±32·4·127·32 = ±520 192.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_q3_k(acc: f32, w: &[BlockQ3_K], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        let [sc0, sc1] = [2 * g, 2 * g + 1].map(|i| i32::from(w.scale(i)));
        let [sum0, sum1] = half_products(&w.quants(g), &x.qs);
        acc += (w.d.to_f32() * x.d) * (sc0 * sum0 + sc1 * sum1) as f32;
    }
    acc
}

/// Each 32 columns: `acc += (d · d_x) · (sc · Σ_j q[j] · x[j])`, in ±63·15·127·32 = ±3 840 480; then
/// `acc -= (dmin · d_x) · (mn · Σ_j x[j])`, in ±63·4064.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_q4_k(acc: f32, w: &[BlockQ4_K], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        let (sc, mn) = scale_and_minimum(&w.scales, g);
        acc += (w.d.to_f32() * x.d) * (i32::from(sc) * product(&w.quants(g), &x.qs)) as f32;
        acc -= (w.dmin.to_f32() * x.d) * (i32::from(mn) * x.sum()) as f32;
    }
    acc
}

/// Each 32 columns: `acc += (d · d_x) · (sc · Σ_j q[j] · x[j])`, in ±63·31·127·32 = ±7 936 992; then
/// `acc -= (dmin · d_x) · (mn · Σ_j x[j])`, in ±63·4064.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_q5_k(acc: f32, w: &[BlockQ5_K], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        let (sc, mn) = scale_and_minimum(&w.scales, g);
        acc += (w.d.to_f32() * x.d) * (i32::from(sc) * product(&w.quants(g), &x.qs)) as f32;
        acc -= (w.dmin.to_f32() * x.d) * (i32::from(mn) * x.sum()) as f32;
    }
    acc
}

/// Each 32 columns, with `sc` of each half h: `acc += (d · d_x) · Σ_h sc_h · Σ_j (q[j] − 32) · x[j]`, in
/// ±128·32·127·32 = ±16 646 144, below 2^24.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_q6_k(acc: f32, w: &[BlockQ6_K], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        let [sc0, sc1] = w.half_scales(g).map(i32::from);
        let [sum0, sum1] = half_products(&w.quants(g), &x.qs);
        acc += (w.d.to_f32() * x.d) * (sc0 * sum0 + sc1 * sum1) as f32;
    }
    acc
}

/// Each block: `acc += (d · d_x) · Σ_j v[j] · x[j]`, `v` being the indexed values; the sum lies in ±127·127·32 = ±516 128.
///
/// # Panics
/// When the lengths differ.
pub fn dot_iq4_nl(acc: f32, w: &[BlockIQ4_NL], x: &[BlockQ8]) -> f32 {
    pairs(w, x).fold(acc, |acc, (w, x)| acc + (w.d.to_f32() * x.d) * product(&w.quants(), &x.qs) as f32)
}

/// Each 32 columns: `acc += (d · d_x) · ((sc − 32) · Σ_j v[j] · x[j])`, `v` being the indexed values, in
/// ±32·127·127·32 = ±16 516 096, below 2^24.
///
/// # Panics
/// When `x` does not have eight blocks for each of `w`.
pub fn dot_iq4_xs(acc: f32, w: &[BlockIQ4_XS], x: &[BlockQ8]) -> f32 {
    let mut acc = acc;
    for (w, g, x) in groups(w, x) {
        acc += (w.d.to_f32() * x.d) * (i32::from(w.scale(g)) * product(&w.quants(g), &x.qs)) as f32;
    }
    acc
}

/// Each 32 columns, with `sc` of each half h: `acc += (d · d_x) · Σ_h sc_h · Σ_j q[j] · x[j]`; the largest sums are IQ3_XXS's, in
/// ±31·62·127·32 = ±7 811 008.
///
/// # Panics
/// When `x` does not have a block for each 32 columns of `w`.
#[cfg(feature = "rare")]
pub fn dot_grouped<B: Grouped>(acc: f32, w: &[B], x: &[BlockQ8]) -> f32 {
    let per_block = B::TYPE.block_len() / QK;
    require(w.len() * per_block == x.len(), LENGTHS);
    let mut acc = acc;
    for (w, x) in w.iter().zip(x.chunks_exact(per_block)) {
        let d = w.d();
        for (g, x) in x.iter().enumerate() {
            let (q, sc) = w.group(g);
            let ([sc0, sc1], [sum0, sum1]) = (sc.map(i32::from), half_products(&q, &x.qs));
            acc += (d * x.d) * (sc0 * sum0 + sc1 * sum1) as f32;
        }
    }
    acc
}

/// Blocks of 32 weights with the activations of the same columns.
fn pairs<'a, B>(w: &'a [B], x: &'a [BlockQ8]) -> impl Iterator<Item = (&'a B, &'a BlockQ8)> {
    require(w.len() == x.len(), LENGTHS);
    w.iter().zip(x)
}

/// Super-blocks with the number of a group and its activations, in column order.
fn groups<'a, B>(w: &'a [B], x: &'a [BlockQ8]) -> impl Iterator<Item = (&'a B, usize, &'a BlockQ8)> {
    let (x, rest) = x.as_chunks::<GROUPS>();
    require(w.len() == x.len() && rest.is_empty(), LENGTHS);
    w.iter().zip(x).flat_map(|(w, x)| x.iter().enumerate().map(move |(g, x)| (w, g, x)))
}

/// `Σ_j w[j] · x[j]`: at most 32 products in ±2^14.
pub(crate) fn product(w: &[i8], x: &[i8]) -> i32 {
    w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum()
}

/// `Σ_j w[j] · x[j]` of each half of 16 columns.
fn half_products(w: &[i8; QK], x: &[i8; QK]) -> [i32; 2] {
    let ((w0, w1), (x0, x1)) = (w.split_at(QK / 2), x.split_at(QK / 2));
    [product(w0, x0), product(w1, x1)]
}
