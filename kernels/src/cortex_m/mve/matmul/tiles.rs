//! Products of quantized weights, some rows at a time.

use core::mem::size_of;

use super::rows::{Rows, offsets};
use crate::contract::{broken, require};
use crate::cortex_m::dsp;
use crate::{Activations, BlockQ8, ColumnsMut, Matrix, QK, TILE_ROWS};

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types with a loop over `R` rows.
pub(super) fn matmul<B: Rows<R>, const R: usize>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    if stride == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let start = out.start();
    let n_tiled = w.plain_from().saturating_sub(start).min(out.end() - start);
    let weights = w.rows(start + n_tiled, out.end());
    // Helium loads numbers of 16 and 32 bits from their alignment only; those of a GGUF file have it.
    let tile = w.tile(start).unwrap_or_default().as_ptr();
    if !weights.as_ptr().addr().is_multiple_of(2) || n_tiled > 0 && !tile.addr().is_multiple_of(4) {
        return dsp::matmul::matmul(w, Activations::Q8(x), out);
    }
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        let (tiled, plain) = out.split_at_mut(n_tiled.min(out.len()));
        tiled_rows::<B, R>(w, start, x, tiled);
        token_rows::<B, R>(weights, x, plain);
    }
}

/// `out[r] = w[start + r] · x` for rows of row tiles.
fn tiled_rows<B: Rows<R>, const R: usize>(w: &Matrix<'_>, start: usize, x: &[BlockQ8], out: &mut [f32]) {
    let (mut row, mut rest) = (start, out);
    while !rest.is_empty() {
        // Four rows, of which the first may lie before those asked for, and the last behind.
        let before = row % 4;
        let (out, after) = rest.split_at_mut((4 - before).min(rest.len()));
        let in_tile = (row - before) % TILE_ROWS;
        let tile = w.tile(row).unwrap_or_else(|| broken("rows of row tiles"));
        require(tile.len() == x.len() * TILE_ROWS * size_of::<B>(), "as many blocks as activations");
        let scales = tile.as_ptr().wrapping_add(2 * in_tile);
        let words = tile.as_ptr().wrapping_add(2 * TILE_ROWS + 4 * in_tile);
        let mut four = [0.0; 4];
        // SAFETY: the tile has the scales and words of four rows from `in_tile` on, which is at most 12, in as many blocks as `x`
        // (just checked), at least one.
        unsafe { B::tiled(scales, words, x, &mut four) };
        out.iter_mut().zip(four.iter().skip(before)).for_each(|(out, product)| *out = *product);
        row += out.len();
        rest = after;
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
