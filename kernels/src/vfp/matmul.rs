//! Products of float weights.

use super::floats::{Element, dot};
use crate::block::{Block, blocks_of};
use crate::{ColumnsMut, Matrix};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for float weights.
pub(crate) fn matmul<B: Block + Element>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols();
    w.require_product(x.len(), stride, out);
    if stride == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let rows = blocks_of::<B>(w.rows(out.start(), out.end()));
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        for (row, out) in rows.chunks_exact(stride).zip(out) {
            *out = dot(row, x);
        }
    }
}
