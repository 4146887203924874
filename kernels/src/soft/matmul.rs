//! Products of weights, row by row.

use super::arithmetic::{from_f16, from_int, fused};
use super::float::{Float, tree_of_chains};
use super::multiply;
use crate::block::*;
use crate::contract::require;
use crate::scalar::{self, CHAINS};
use crate::{Activations, ColumnsMut, Matrix, WeightType};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul): weights that are floats. All others are the definition's.
pub(crate) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (WeightType::F32, Activations::F32(x)) => floats(w, x, out, F32::to_f32),
        (WeightType::F16, Activations::F32(x)) => floats(w, x, out, |w: F16| from_f16(u16::from_le_bytes(w.0))),
        (WeightType::BF16, Activations::F32(x)) => floats(w, x, out, BF16::to_f32),
        _ => scalar::matmul(w, x, out),
    }
}

fn floats<B: Block>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>, value: fn(B) -> f32) {
    let stride = w.n_cols();
    w.require_product(x.len(), stride, out);
    if stride == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let rows = blocks_of::<B>(w.rows(out.start(), out.end()));
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        for (row, out) in rows.chunks_exact(stride).zip(out) {
            *out = dot(row.iter().map(|&w| value(w)), x);
        }
    }
}

/// `Σ w · x`, in the order of [`scalar::fused_sum`].
pub(crate) fn dot(w: impl ExactSizeIterator<Item = f32>, x: &[f32]) -> f32 {
    require(w.len() == x.len(), "rows of the same length");
    let mut chains = [0.0; CHAINS];
    for (i, (w, &x)) in w.zip(x).enumerate() {
        let chain = &mut chains[i % CHAINS];
        *chain = fused(w, x, *chain);
    }
    (tree_of_chains(chains.map(Float)) + Float(0.0)).0
}

/// `scale * sum`: the contribution of a block.
#[inline]
pub(crate) fn scaled(scale: f32, sum: i32) -> f32 {
    multiply(scale, from_int(sum))
}
