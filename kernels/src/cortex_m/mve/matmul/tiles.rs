//! Products of quantized weights, some rows at a time.

use core::mem::size_of;

use super::rows::{Rows, offsets};
use crate::contract::require;
use crate::{BlockQ8, ColumnsMut, Matrix, QK};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types with a loop over `R` rows.
pub(super) fn matmul<B: Rows<R>, const R: usize>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    if stride == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let weights = w.rows(out.start(), out.end());
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        token_rows::<B, R>(weights, x, out);
    }
}

/// `out[r] = w[r] · x`
fn token_rows<B: Rows<R>, const R: usize>(weights: &[u8], x: &[BlockQ8], out: &mut [f32]) {
    let row_bytes = x.len() * size_of::<B>();
    require(weights.len() == out.len() * row_bytes, "a row of weights for each output");
    let mut w = weights.as_ptr();
    let (whole, rest) = out.as_chunks_mut::<R>();
    let between = offsets::<B, R>(row_bytes);
    for out in &mut *whole {
        // SAFETY: `R` rows of `x.len()` blocks lie here, one after the other: `weights` holds those of all of `out`.
        unsafe { B::rows(w, row_bytes, &between, x, out) };
        // SAFETY: these rows are inside `weights`.
        w = unsafe { w.add(R * row_bytes) };
    }
    let between = offsets::<B, R>(0);
    for out in rest {
        let mut same = [0.0; R];
        // SAFETY: as above; with a stride of zero, all rows are this one.
        unsafe { B::rows(w, 0, &between, x, &mut same) };
        *out = same[0];
        // SAFETY: this row is inside `weights`.
        w = unsafe { w.add(row_bytes) };
    }
}
