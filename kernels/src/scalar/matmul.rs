//! Products of a weight matrix with the activations of some tokens.

use super::dot::*;
use crate::block::{Block, BlockQ8, blocks_of};
use crate::contract::broken;
use crate::{Activations, ColumnsMut, Layout, Matrix, QK, WeightType};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul): `out[t, r]` is the `dot_*` of row r and token t.
///
/// # Panics
/// When the shapes or the kind of activations do not belong together.
pub fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (WeightType::F32, Activations::F32(x)) => each(w, x, w.n_cols(), out, dot_f32),
        (WeightType::F16, Activations::F32(x)) => each(w, x, w.n_cols(), out, dot_f16),
        (WeightType::BF16, Activations::F32(x)) => each(w, x, w.n_cols(), out, dot_bf16),
        (WeightType::Q4_0, Activations::Q8(x)) if cfg!(feature = "legacy") => quantized(w, x, out, dot_q4_0),
        (WeightType::Q4_1, Activations::Q8(x)) if cfg!(feature = "legacy_1") => quantized(w, x, out, dot_q4_1),
        (WeightType::Q5_0, Activations::Q8(x)) if cfg!(feature = "legacy") => quantized(w, x, out, dot_q5_0),
        (WeightType::Q5_1, Activations::Q8(x)) if cfg!(feature = "legacy_1") => quantized(w, x, out, dot_q5_1),
        (WeightType::Q8_0, Activations::Q8(x)) => quantized(w, x, out, dot_q8_0),
        (WeightType::Q2_K, Activations::Q8(x)) if cfg!(feature = "k") => quantized(w, x, out, dot_q2_k),
        (WeightType::Q3_K, Activations::Q8(x)) if cfg!(feature = "k") => quantized(w, x, out, dot_q3_k),
        (WeightType::Q4_K, Activations::Q8(x)) if cfg!(feature = "k") => quantized(w, x, out, dot_q4_k),
        (WeightType::Q5_K, Activations::Q8(x)) if cfg!(feature = "k") => quantized(w, x, out, dot_q5_k),
        (WeightType::Q6_K, Activations::Q8(x)) if cfg!(feature = "k") => quantized(w, x, out, dot_q6_k),
        (WeightType::IQ4_NL, Activations::Q8(x)) if cfg!(feature = "iq4") => quantized(w, x, out, dot_iq4_nl),
        (WeightType::IQ4_XS, Activations::Q8(x)) if cfg!(feature = "iq4") => quantized(w, x, out, dot_iq4_xs),
        #[cfg(feature = "rare")]
        (ty, Activations::Q8(x)) if ty.is_quantized() => rare(w, x, out),
        _ => broken("Q8 activations go with quantized weights, F32 ones with F32, F16 and BF16"),
    }
}

/// Multiplies with weights of a type that few files have.
#[cfg(feature = "rare")]
fn rare(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    match w.ty() {
        WeightType::IQ1_S => quantized(w, x, out, dot_grouped::<BlockIQ1_S>),
        WeightType::IQ1_M => quantized(w, x, out, dot_grouped::<BlockIQ1_M>),
        WeightType::IQ2_XXS => quantized(w, x, out, dot_grouped::<BlockIQ2_XXS>),
        WeightType::IQ2_XS => quantized(w, x, out, dot_grouped::<BlockIQ2_XS>),
        WeightType::IQ2_S => quantized(w, x, out, dot_grouped::<BlockIQ2_S>),
        WeightType::IQ3_XXS => quantized(w, x, out, dot_grouped::<BlockIQ3_XXS>),
        WeightType::IQ3_S => quantized(w, x, out, dot_grouped::<BlockIQ3_S>),
        WeightType::TQ1_0 => quantized(w, x, out, dot_grouped::<BlockTQ1_0>),
        WeightType::TQ2_0 => quantized(w, x, out, dot_grouped::<BlockTQ2_0>),
        WeightType::MXFP4 => quantized(w, x, out, dot_grouped::<BlockMXFP4>),
        _ => broken("weights of a type that is compiled in"),
    }
}

/// Products of quantized weights in either layout; `x` is `[n_tokens, n_cols / 32]`.
fn quantized<B: Block>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>, dot: fn(f32, &[B], &[BlockQ8]) -> f32) {
    if w.layout() == Layout::Plain {
        return each(w, x, w.n_cols() / QK, out, |row, x| dot(0.0, row, x));
    }
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    let rows = out.start()..out.end();
    out.rows_mut().for_each(|out| out.fill(0.0));
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        for (row, out) in rows.clone().zip(out) {
            let blocks = x.chunks_exact(B::TYPE.block_len() / QK).enumerate();
            *out = blocks.fold(0.0, |acc, (i, x)| dot(acc, &[w.block(row, i)], x));
        }
    }
}

/// Products of plain rows; `x` is `[n_tokens, stride]`.
fn each<B: Block, X>(
    w: &Matrix<'_>,
    x: &[X],
    stride: usize,
    out: &mut ColumnsMut<'_>,
    dot: impl Fn(&[B], &[X]) -> f32,
) {
    w.require_product(x.len(), stride, out);
    if w.n_cols() == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let rows = blocks_of(w.rows(out.start(), out.end()));
    let n_blocks = w.n_cols() / B::TYPE.block_len();
    // Every row has at least one block: `n_cols` is not zero.
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        for (row, out) in rows.chunks_exact(n_blocks.max(1)).zip(out) {
            *out = dot(row, x);
        }
    }
}
