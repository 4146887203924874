//! Products of float weights: the walk over rows and tokens that x86-64 and NEON share. The two differ in [`Dots`].

use crate::block::{Block, blocks_of};
use crate::contract::broken;
use crate::{ColumnsMut, Matrix};

/// Rows whose products stay in L2 while the tokens pass by.
const ROW_BLOCK: usize = 16;

/// Dot products of float weights on one ISA.
pub(crate) trait Dots<B> {
    /// `Σ_c rows[r][c] · x[t][c]` at `r * T + t`, for `R · T = 4`; all slices have one length.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dots<const R: usize, const T: usize>(rows: [&[B]; R], x: [&[f32]; T]) -> [f32; 4];
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul): two rows with two tokens at a time, or four rows with one.
///
/// # Safety
/// The processor has the ISA of `D`.
#[inline(always)]
pub(crate) unsafe fn matmul<B: Block, D: Dots<B>>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>) {
    let n_tokens = out.n_tokens();
    w.require_product(x.len(), w.n_cols(), out);
    // Without tokens no data bounds the number of rows, so a loop over them might take forever.
    let n_rows = if n_tokens == 0 { 0 } else { out.end() - out.start() };
    for first in (0..n_rows).step_by(ROW_BLOCK) {
        let end = n_rows.min(first + ROW_BLOCK);
        let paired = n_tokens - n_tokens % 2;
        for token in (0..paired).step_by(2) {
            for row in (first..end).step_by(2) {
                // SAFETY: the caller promises that the processor has the ISA of `D`.
                unsafe { tile::<B, D, 2, 2>(w, x, out, row, token) };
            }
        }
        for token in paired..n_tokens {
            for row in (first..end).step_by(4) {
                // SAFETY: the caller promises that the processor has the ISA of `D`.
                unsafe { tile::<B, D, 4, 1>(w, x, out, row, token) };
            }
        }
    }
}

/// Products of `R` rows (counted from `out.start()`; fewer at the end) with `T` tokens, `R · T = 4`.
///
/// # Safety
/// The processor has the ISA of `D`.
#[inline(always)]
unsafe fn tile<B: Block, D: Dots<B>, const R: usize, const T: usize>(
    w: &Matrix<'_>,
    x: &[f32],
    out: &mut ColumnsMut<'_>,
    row: usize,
    token: usize,
) {
    let (start, n_cols) = (out.start(), w.n_cols());
    let last = out.end() - 1;
    let mut rows: [&[B]; R] = [&[]; R];
    for (r, slot) in rows.iter_mut().enumerate() {
        // The last row stands in for rows that do not exist; their sums are dropped.
        *slot = blocks_of(w.row((start + row + r).min(last)));
    }
    let mut tokens: [&[f32]; T] = [&[]; T];
    for (t, slot) in tokens.iter_mut().enumerate() {
        let token = x.get((token + t) * n_cols..).and_then(|x| x.get(..n_cols));
        *slot = token.unwrap_or_else(|| broken("activations of each token"));
    }
    // SAFETY: the caller promises that the processor has the ISA of `D`.
    let sums = unsafe { D::dots(rows, tokens) };
    for t in 0..T {
        let out = out.row(token + t).get_mut(row..).unwrap_or_else(|| broken("columns of the output"));
        for r in 0..R.min(out.len()) {
            out[r] = sums[r * T + t];
        }
    }
}
