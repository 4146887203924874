//! Products of weights that are floats.

use super::reduce::dot;
use crate::block::{Block, blocks_of};
use crate::{ColumnsMut, Matrix};

/// See [`crate::Kernels::matmul`].
pub(super) fn matmul<B: Block>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>, float: impl Fn(&B) -> f32) {
    let stride = w.n_cols();
    assert_eq!(x.len(), out.n_tokens() * stride);
    let start = out.start();
    for token in 0..out.n_tokens() {
        let x = &x[token * stride..][..stride];
        for (r, out) in out.row(token).iter_mut().enumerate() {
            *out = dot(blocks_of::<B>(w.row(start + r)), x, &float);
        }
    }
}
