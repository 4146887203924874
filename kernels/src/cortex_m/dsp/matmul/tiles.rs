//! Products of quantized weights with one token after the other: activations are split once and meet all rows.

use core::mem::size_of;

use super::rows::Rows;
use super::{Unpack, per_block};
use crate::block::*;
use crate::contract::require;
use crate::cortex_m::dsp::split;
use crate::cortex_m::dsp::word::half_products;
use crate::{ColumnsMut, Matrix, QK};

/// Words of activations on the stack: 2304 bytes, which hold 1024 columns for Q4_0. Longer rows are taken in panels of this
/// size, and their sums rest in the output.
const PANEL: usize = 32 * (2 + QK / 2);
/// Rows that a pass takes.
const ROWS: usize = 4;

/// Weight type with a loop over four rows.
pub(super) trait FourRows: Block {
    /// Block of activations in the order that the loop reads.
    type Split: Copy;
    /// Splits a block of activations.
    fn split(x: &BlockQ8, out: &mut Self::Split);
    /// Loop over four rows.
    const ROWS: Rows;
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types with a loop over four rows.
pub(super) fn matmul<B: FourRows>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    let weights = w.rows(out.start(), out.end());
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        row_panels::<B>(weights, x, out);
    }
}

/// `out[r] += w[r] · x`
fn row_panels<B: FourRows>(weights: &[u8], x: &[BlockQ8], out: &mut [f32]) {
    let row_bytes = x.len() * size_of::<B>();
    require(weights.len() == out.len() * row_bytes, "a row of weights for each output");
    let mut panel = [0u32; PANEL];
    let words = size_of::<B::Split>() / size_of::<u32>();
    for (i, x) in x.chunks(PANEL / words).enumerate() {
        // SAFETY: a `Split` is an array of words (in `legacy`), so any words are a value of it, and `PANEL / words` of them fit
        // the panel, one after the other; `chunks` has no more than that.
        let splits: &mut [B::Split] =
            unsafe { core::slice::from_raw_parts_mut(panel.as_mut_ptr().cast(), PANEL / words) };
        for (x, split) in x.iter().zip(splits) {
            B::split(x, split);
        }
        let columns = panel.as_ptr();
        let columns_end = columns.wrapping_add(x.len() * words);
        let first = i * (PANEL / words) * size_of::<B>();
        let (fours, rest) = out.as_chunks_mut::<ROWS>();
        let mut at = first;
        for four in &mut *fours {
            // SAFETY: four rows lie `row_bytes` apart from block `i * (PANEL / words)` of this row on, and have `x.len()` more
            // blocks: `weights` holds the rows of `out`. `columns..columns_end` are as many split blocks, at least one.
            unsafe { B::ROWS(weights.as_ptr().add(at), columns, row_bytes, columns_end, four) };
            at += ROWS * row_bytes;
        }
        for one in rest {
            let mut four = [*one; ROWS];
            // SAFETY: as above; with a stride of zero, all four rows are this one.
            unsafe { B::ROWS(weights.as_ptr().add(at), columns, 0, columns_end, &mut four) };
            *one = four[0];
            at += row_bytes;
        }
    }
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for types that are unpacked row by row, 32 columns at a time.
pub(super) fn matmul_unpacked<B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    let per_block = const { per_block::<B>() };
    let blocks: &[B] = blocks_of(w.rows(out.start(), out.end()));
    if stride == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        let mut panel = [[0; QK / 2]; PANEL / (QK / 2) / GROUPS * GROUPS];
        for (i, x) in x.chunks(panel.len()).enumerate() {
            for (x, pairs) in x.iter().zip(&mut panel) {
                split::byte_pairs(x, pairs);
            }
            for (row, out) in blocks.chunks_exact((stride / per_block).max(1)).zip(&mut *out) {
                let row = row.iter().skip(i * panel.len() / per_block);
                for ((block, x), pairs) in row.zip(x.chunks(per_block)).zip(panel.chunks(per_block)) {
                    for (g, (x, pairs)) in x.iter().zip(pairs).enumerate() {
                        *out = block.add(g, half_products(&block.words(g), pairs), x, *out);
                    }
                }
            }
        }
    }
}
