//! Conversion of one row of weights to floats.

use crate::block::*;
use crate::contract::{broken, require};
use crate::{Matrix, WeightType};

/// Message of the contract check of a weight type; no matrix has a type that breaks it.
const BUILT_IN: &str = "weights of a type that is compiled in";

/// Implements [`Kernels::dequantize_row`](crate::Kernels::dequantize_row). The formulas are those of the block types,
/// multiplied from the left, each operation rounded. Source: ggml, `ggml-quants.c` (`dequantize_row_*`).
///
/// # Panics
/// When `row` or the length of `out` does not belong to `w`.
pub fn dequantize_row(w: &Matrix<'_>, row: usize, out: &mut [f32]) {
    require(out.len() == w.n_cols(), "a row of the matrix's width");
    w.require_row(row);
    match w.ty() {
        WeightType::F32 => each(w, row, out, |w: &F32, out| out.fill(w.to_f32())),
        WeightType::F16 => each(w, row, out, |w: &F16, out| out.fill(w.to_f32())),
        WeightType::BF16 => each(w, row, out, |w: &BF16, out| out.fill(w.to_f32())),
        WeightType::Q4_0 if cfg!(feature = "legacy") => {
            each(w, row, out, |w: &BlockQ4_0, out| scaled(&w.quants(), w.d.to_f32(), out))
        }
        WeightType::Q4_1 if cfg!(feature = "legacy_1") => {
            each(w, row, out, |w: &BlockQ4_1, out| shifted(&w.quants(), w.d.to_f32(), w.m.to_f32(), out))
        }
        WeightType::Q5_0 if cfg!(feature = "legacy") => {
            each(w, row, out, |w: &BlockQ5_0, out| scaled(&w.quants(), w.d.to_f32(), out))
        }
        WeightType::Q5_1 if cfg!(feature = "legacy_1") => {
            each(w, row, out, |w: &BlockQ5_1, out| shifted(&w.quants(), w.d.to_f32(), w.m.to_f32(), out))
        }
        WeightType::Q8_0 => each(w, row, out, |w: &BlockQ8_0, out| scaled(&w.qs, w.d.to_f32(), out)),
        WeightType::Q2_K if cfg!(feature = "k") => each(w, row, out, q2_k),
        WeightType::Q3_K if cfg!(feature = "k") => each(w, row, out, q3_k),
        WeightType::Q4_K if cfg!(feature = "k") => each(w, row, out, q4_k),
        WeightType::Q5_K if cfg!(feature = "k") => each(w, row, out, q5_k),
        WeightType::Q6_K if cfg!(feature = "k") => each(w, row, out, q6_k),
        WeightType::IQ4_NL if cfg!(feature = "iq4") => {
            each(w, row, out, |w: &BlockIQ4_NL, out| scaled(&w.quants(), w.d.to_f32(), out))
        }
        WeightType::IQ4_XS if cfg!(feature = "iq4") => each(w, row, out, iq4_xs),
        #[cfg(feature = "rare")]
        _ => rare(w, row, out),
        #[cfg(not(feature = "rare"))]
        _ => broken(BUILT_IN),
    }
}

/// Converts a row of a type that few files have.
#[cfg(feature = "rare")]
fn rare(w: &Matrix<'_>, row: usize, out: &mut [f32]) {
    match w.ty() {
        WeightType::IQ1_S => each(w, row, out, grouped::<BlockIQ1_S>),
        WeightType::IQ1_M => each(w, row, out, grouped::<BlockIQ1_M>),
        WeightType::IQ2_XXS => each(w, row, out, grouped::<BlockIQ2_XXS>),
        WeightType::IQ2_XS => each(w, row, out, grouped::<BlockIQ2_XS>),
        WeightType::IQ2_S => each(w, row, out, grouped::<BlockIQ2_S>),
        WeightType::IQ3_XXS => each(w, row, out, grouped::<BlockIQ3_XXS>),
        WeightType::IQ3_S => each(w, row, out, grouped::<BlockIQ3_S>),
        WeightType::TQ1_0 => each(w, row, out, grouped::<BlockTQ1_0>),
        WeightType::TQ2_0 => each(w, row, out, grouped::<BlockTQ2_0>),
        WeightType::MXFP4 => each(w, row, out, grouped::<BlockMXFP4>),
        _ => broken(BUILT_IN),
    }
}

fn each<B: Block>(w: &Matrix<'_>, row: usize, out: &mut [f32], dequantize: impl Fn(&B, &mut [f32])) {
    for (i, out) in out.chunks_exact_mut(B::TYPE.block_len()).enumerate() {
        dequantize(&w.block(row, i), out);
    }
}

/// `d * q`
fn scaled(qs: &[i8], d: f32, out: &mut [f32]) {
    for (out, &q) in out.iter_mut().zip(qs) {
        *out = d * f32::from(q);
    }
}

/// `d * q + m`
fn shifted(qs: &[i8], d: f32, m: f32, out: &mut [f32]) {
    for (out, &q) in out.iter_mut().zip(qs) {
        *out = d * f32::from(q) + m;
    }
}

fn q2_k(w: &BlockQ2_K, out: &mut [f32]) {
    let (d, dmin) = (w.d.to_f32(), w.dmin.to_f32());
    for (g, out) in out.chunks_exact_mut(QK).enumerate() {
        let quants = w.quants(g);
        let halves = quants.chunks_exact(QK / 2).zip(out.chunks_exact_mut(QK / 2));
        for ((half, out), [sc, mn]) in halves.zip(w.scales_and_minimums(g)) {
            shifted(half, d * f32::from(sc), -(dmin * f32::from(mn)), out);
        }
    }
}

fn q3_k(w: &BlockQ3_K, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(QK / 2).enumerate() {
        scaled(half(&w.quants(i / 2), i), w.d.to_f32() * f32::from(w.scale(i)), out);
    }
}

fn q4_k(w: &BlockQ4_K, out: &mut [f32]) {
    let (d, dmin) = (w.d.to_f32(), w.dmin.to_f32());
    for (g, out) in out.chunks_exact_mut(QK).enumerate() {
        let (sc, mn) = scale_and_minimum(&w.scales, g);
        shifted(&w.quants(g), d * f32::from(sc), -(dmin * f32::from(mn)), out);
    }
}

fn q5_k(w: &BlockQ5_K, out: &mut [f32]) {
    let (d, dmin) = (w.d.to_f32(), w.dmin.to_f32());
    for (g, out) in out.chunks_exact_mut(QK).enumerate() {
        let (sc, mn) = scale_and_minimum(&w.scales, g);
        shifted(&w.quants(g), d * f32::from(sc), -(dmin * f32::from(mn)), out);
    }
}

fn q6_k(w: &BlockQ6_K, out: &mut [f32]) {
    for ((i, out), &sc) in out.chunks_exact_mut(QK / 2).enumerate().zip(&w.scales) {
        scaled(half(&w.quants(i / 2), i), w.d.to_f32() * f32::from(sc), out);
    }
}

fn iq4_xs(w: &BlockIQ4_XS, out: &mut [f32]) {
    for (g, out) in out.chunks_exact_mut(QK).enumerate() {
        scaled(&w.quants(g), w.d.to_f32() * f32::from(w.scale(g)), out);
    }
}

/// `d * sc * q`, which is exact for all of these types.
#[cfg(feature = "rare")]
fn grouped<B: Grouped>(w: &B, out: &mut [f32]) {
    for (g, out) in out.chunks_exact_mut(QK).enumerate() {
        let (q, sc) = w.group(g);
        for (i, (out, sc)) in out.chunks_exact_mut(QK / 2).zip(sc).enumerate() {
            scaled(half(&q, i), w.d() * f32::from(sc), out);
        }
    }
}

/// First 16 quants for even `i`, last 16 for odd `i`.
fn half(quants: &[i8; QK], i: usize) -> &[i8] {
    let (first, last) = quants.split_at(QK / 2);
    if i.is_multiple_of(2) { first } else { last }
}
