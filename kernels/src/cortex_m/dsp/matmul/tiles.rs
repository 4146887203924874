//! Products of quantized weights with one token after the other: activations are split once and meet all rows.

use core::marker::PhantomData;
use core::mem::size_of;

use super::rows::Rows;
use super::{Unpack, per_block};
use crate::block::*;
use crate::contract::{broken, require};
use crate::cortex_m::dsp::split;
use crate::cortex_m::dsp::word::half_products;
use crate::{ColumnsMut, Layout, Matrix, QK, TILE_ROWS};

/// Words of activations on the stack: 2304 bytes, which hold 1024 columns for Q4_0. Longer rows are taken in panels of this
/// size, and their sums rest in the output.
const PANEL: usize = 32 * (2 + QK / 2);
/// Rows that a pass takes.
const ROWS: usize = 4;

/// Weight type with a loop over four rows, which reads a block of activations as `N` words.
pub(super) trait FourRows<const N: usize>: Block {
    /// Splits a block of activations.
    fn split(x: &BlockQ8, out: &mut [u32; N]);
    /// Loop over four plain rows.
    const ROWS: Rows;
    /// Loop over four neighbouring rows of a row tile.
    const TILED: Rows;
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types with a loop over four rows.
pub(super) fn matmul<B: FourRows<N>, const N: usize>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    let start = out.start();
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        row_panels::<B, N>(w, start, x, out);
    }
}

/// `out[r] += w[start + r] · x`
fn row_panels<B: FourRows<N>, const N: usize>(w: &Matrix<'_>, start: usize, x: &[BlockQ8], out: &mut [f32]) {
    let (tiled, plain) = out.split_at_mut(w.plain_from().saturating_sub(start).min(out.len()));
    let weights = w.rows(start + tiled.len(), start + tiled.len() + plain.len());
    let mut panel = [0u32; PANEL];
    for (i, part) in x.chunks(PANEL / N).enumerate() {
        let splits = panel.as_chunks_mut::<N>().0;
        for (x, split) in part.iter().zip(&mut *splits) {
            B::split(x, split);
        }
        let splits = splits.get(..part.len()).unwrap_or_default();
        let columns = Columns::<B, N> { first: i * (PANEL / N), splits, of: PhantomData };
        columns.add_tiled(w, start, tiled);
        columns.add_plain(weights, x.len() * size_of::<B>(), plain);
    }
}

/// Activations of some columns, split for the loop of `B`.
struct Columns<'a, B: FourRows<N>, const N: usize> {
    /// First block of each row that they are multiplied with.
    first: usize,
    /// At least one.
    splits: &'a [[u32; N]],
    of: PhantomData<B>,
}

impl<B: FourRows<N>, const N: usize> Columns<'_, B, N> {
    /// Adds the products of plain rows, which follow each other in `weights`, to `out`.
    fn add_plain(&self, weights: &[u8], row_bytes: usize, out: &mut [f32]) {
        require(weights.len() == out.len() * row_bytes, "a row of weights for each output");
        let columns = self.splits.as_ptr_range();
        let mut at = self.first * size_of::<B>();
        let (fours, rest) = out.as_chunks_mut::<ROWS>();
        let (mut fours, mut rest) = (fours.iter_mut(), rest.iter_mut());
        let mut alone = [0.0; ROWS];
        // One call of the loop, which is inlined: rows behind the last four are taken one by one.
        loop {
            let (four, n, one) = match fours.next() {
                Some(four) => (four, ROWS, None),
                None => {
                    let Some(one) = rest.next() else { return };
                    alone = [*one; ROWS];
                    (&mut alone, 1, Some(one))
                }
            };
            let stride = if n == ROWS { row_bytes } else { 0 };
            // SAFETY: four rows lie `row_bytes` apart from block `first` of this row on, and have as many more blocks as there are
            // splits: `weights` holds the rows of `out`. With a stride of zero, all four rows are this one. There is at least one
            // split.
            unsafe { B::ROWS(weights.as_ptr().add(at), columns.start.cast(), stride, columns.end.cast(), four) };
            if let Some(one) = one {
                *one = alone[0];
            }
            at += n * row_bytes;
        }
    }

    /// Adds the products of rows of row tiles, from row `start` on, to `out`.
    fn add_tiled(&self, w: &Matrix<'_>, start: usize, out: &mut [f32]) {
        let columns = self.splits.as_ptr_range();
        let (mut row, mut rest) = (start, out);
        while !rest.is_empty() {
            // Four rows, of which the first may lie before those asked for, and the last behind.
            let before = row % ROWS;
            let (out, after) = rest.split_at_mut((ROWS - before).min(rest.len()));
            let mut four = [0.0; ROWS];
            four.iter_mut().skip(before).zip(&*out).for_each(|(acc, out)| *acc = *out);
            let in_tile = (row - before) % TILE_ROWS;
            // A block of a tile: 16 scales, then the words.
            let (at, to_words) = (self.first * TILE_ROWS * size_of::<B>() + 2 * in_tile, 2 * TILE_ROWS + 2 * in_tile);
            let tile = w.tile(row).unwrap_or_else(|| broken("rows of row tiles"));
            let need = (self.first + self.splits.len()) * TILE_ROWS * size_of::<B>();
            require(need <= tile.len(), "as many blocks as activations");
            // SAFETY: the tile has as many blocks from `first` on as there are splits (just checked), of four rows each from
            // `in_tile` on, which is at most 12. There is at least one split.
            unsafe { B::TILED(tile.as_ptr().add(at), columns.start.cast(), to_words, columns.end.cast(), &mut four) };
            out.iter_mut().zip(four.iter().skip(before)).for_each(|(out, acc)| *out = *acc);
            row += out.len();
            rest = after;
        }
    }
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types that are unpacked row by row, 32 columns at a time.
pub(super) fn matmul_unpacked<B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    let per_block = const { per_block::<B>() };
    let rows = out.start()..out.end();
    if stride == 0 {
        return;
    }
    // Blocks of interleaved rows are copied one by one.
    let plain: &[B] = match w.layout() {
        Layout::Plain => blocks_of(w.rows(rows.start, rows.end)),
        Layout::Interleaved => &[],
    };
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        let mut panel = [[0; QK / 2]; PANEL / (QK / 2) / GROUPS * GROUPS];
        for (i, x) in x.chunks(panel.len()).enumerate() {
            for (x, pairs) in x.iter().zip(&mut panel) {
                split::byte_pairs(x, pairs);
            }
            for (row, out) in rows.clone().zip(&mut *out) {
                let first = i * panel.len() / per_block;
                let mut in_place = plain.iter().skip((row - rows.start) * (stride / per_block) + first);
                for ((x, pairs), b) in x.chunks(per_block).zip(panel.chunks(per_block)).zip(first..) {
                    let copy;
                    let block = match in_place.next() {
                        Some(block) => block,
                        None => {
                            copy = w.block::<B>(row, b);
                            &copy
                        }
                    };
                    for (g, (x, pairs)) in x.iter().zip(pairs).enumerate() {
                        *out = block.add(g, half_products(&block.words(g), pairs), x, *out);
                    }
                }
            }
        }
    }
}
