//! Products of quantized weights, some rows at a time.

use core::mem::size_of;

use super::rows::Rows;
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
    let aligned = weights.as_ptr().addr().is_multiple_of(2) && (n_tiled == 0 || tile.addr().is_multiple_of(4));
    if !aligned || stride * size_of::<B>() > B::MOST_BYTES {
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
        // Sixteen rows, of which the first may lie before those asked for, and the last behind.
        let before = row % TILE_ROWS;
        let (out, after) = rest.split_at_mut((TILE_ROWS - before).min(rest.len()));
        let tile = w.tile(row).unwrap_or_else(|| broken("rows of row tiles"));
        require(tile.len() == x.len() * TILE_ROWS * size_of::<B>(), "as many blocks as activations");
        row += out.len();
        rest = after;
        if let Ok(out) = <&mut [f32; TILE_ROWS]>::try_from(&mut *out) {
            // SAFETY: the tile has as many blocks as `x` (just checked), at least one.
            unsafe { B::tiled(tile.as_ptr(), x, out) };
            continue;
        }
        let mut all = [0.0; TILE_ROWS];
        // SAFETY: as above.
        unsafe { B::tiled(tile.as_ptr(), x, &mut all) };
        out.iter_mut().zip(all.iter().skip(before)).for_each(|(out, product)| *out = *product);
    }
}

/// `out[r] = w[r] · x`
fn token_rows<B: Rows<R>, const R: usize>(weights: &[u8], x: &[BlockQ8], out: &mut [f32]) {
    let row_bytes = x.len() * size_of::<B>();
    require(weights.len() == out.len() * row_bytes && row_bytes <= B::MOST_BYTES, "a row of weights for each output");
    let (whole, rest) = out.as_chunks_mut::<R>();
    let n_whole = whole.len() * R;
    if n_whole > 0 {
        // SAFETY: `weights` holds rows of `x.len()` blocks for all of `out`, one after the other; they are not too long (both just
        // checked), and have at least one block.
        unsafe { B::rows(weights.as_ptr(), row_bytes, x, whole) };
    }
    for (i, out) in (n_whole..).zip(rest) {
        let mut same = [[0.0; R]];
        // SAFETY: as above; with a stride of zero, all rows are this one.
        unsafe { B::rows(weights.as_ptr().add(i * row_bytes), 0, x, &mut same) };
        *out = same[0][0];
    }
}
