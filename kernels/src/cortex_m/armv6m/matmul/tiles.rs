//! Products of quantized weights with one token after the other: activations are split once and meet all rows.

use core::marker::PhantomData;
use core::mem::size_of;

use super::rows::{Results, Rows};
use crate::block::*;
use crate::contract::require;
use crate::{BlockQ8, ColumnsMut, Matrix, QK};

/// Words of activations on the stack: 2560 bytes, which hold 960 columns for Q4_0. Longer rows are taken in panels of this size, and
/// their sums rest in the output.
const PANEL: usize = 640;
/// Rows that a pass takes.
const ROWS: usize = 4;

/// Weight type with a loop over four rows, for which a block of activations is split into `N` words.
pub(super) trait FourRows<const N: usize>: Block {
    /// Splits a block of activations for a block of weights that begins at a word, or in the middle of one. False if the loop cannot take
    /// its scale.
    fn split(x: &BlockQ8, at_word: bool, out: &mut [u32; N]) -> bool;
    /// Loop over four rows.
    const ROWS: Rows;
    /// Adds the product of a row, in any case.
    fn dot(acc: f32, w: &[Self], x: &[BlockQ8]) -> f32;
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for plain rows of types with a loop over four rows.
pub(super) fn matmul<B: FourRows<N>, const N: usize>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    if stride == 0 {
        return;
    }
    let weights = w.rows(out.start(), out.end());
    for (x, out) in x.chunks_exact(stride).zip(out.rows_mut()) {
        require(weights.len() == out.len() * stride * size_of::<B>(), "a row of weights for each output");
        for first in (0..stride).step_by(PANEL / N) {
            Panel::<B, N> { weights, stride, first, x: x.get(first..).unwrap_or_default(), of: PhantomData }.add(out);
        }
    }
}

/// Some blocks of each row.
struct Panel<'a, B: FourRows<N>, const N: usize> {
    /// Rows of `stride` blocks, one after the other.
    weights: &'a [u8],
    stride: usize,
    /// First block of each row.
    first: usize,
    /// Activations from this block on.
    x: &'a [BlockQ8],
    of: PhantomData<B>,
}

impl<B: FourRows<N>, const N: usize> Panel<'_, B, N> {
    /// Adds the products of these blocks to `out`.
    fn add(&self, out: &mut [f32]) {
        let row_bytes = self.stride * size_of::<B>();
        let begin = self.weights.as_ptr().addr() + self.first * size_of::<B>();
        if !begin.is_multiple_of(2) {
            return self.add_by_definition(out, 0, 1);
        }
        // Rows of an odd number of blocks begin at words and in the middle of words by turns.
        let step = if row_bytes.is_multiple_of(4) { 1 } else { 2 };
        for phase in 0..step {
            let at_word = (begin + phase * row_bytes).is_multiple_of(4);
            let mut panel = [0u32; PANEL];
            let splits = panel.as_chunks_mut::<N>().0;
            let splits = splits.get_mut(..self.x.len().min(PANEL / N)).unwrap_or_default();
            let mut whole = true;
            for (i, (x, split)) in self.x.iter().zip(&mut *splits).enumerate() {
                // The next block begins where this one ends, half a word further.
                whole &= B::split(x, at_word == (i % 2 == 0), split);
            }
            match whole {
                true => self.add_rows(splits, out, phase, step),
                false => self.add_by_definition(out, phase, step),
            }
        }
    }

    /// Adds the products of rows `phase`, `phase + step` and so on.
    fn add_rows(&self, splits: &[[u32; N]], out: &mut [f32], phase: usize, step: usize) {
        let row_bytes = self.stride * size_of::<B>();
        let x = splits.as_ptr_range();
        let mut row = phase;
        while row < out.len() {
            // With a distance of zero, all four rows are this one.
            let four = row + (ROWS - 1) * step < out.len();
            let (n, distance) = if four { (ROWS, step * row_bytes) } else { (1, 0) };
            let at = row * row_bytes + self.first * size_of::<B>();
            let mut results = Results { x_end: x.end.cast(), acc: [0.0; ROWS] };
            for (i, acc) in results.acc.iter_mut().take(n).enumerate() {
                *acc = out.get(row + i * step).copied().unwrap_or(0.0);
            }
            // SAFETY: `n` rows lie `distance` apart, and hold as many blocks from here on as there are splits, at least one: `weights` has
            // `stride` blocks for each output. The first split is for a block that begins where this row's does, an even address.
            unsafe { B::ROWS(self.weights.as_ptr().add(at), x.start.cast(), distance, &mut results) };
            for (i, acc) in results.acc.iter().take(n).enumerate() {
                if let Some(out) = out.get_mut(row + i * step) {
                    *out = *acc;
                }
            }
            row += n * step;
        }
    }

    fn add_by_definition(&self, out: &mut [f32], phase: usize, step: usize) {
        let x = self.x.chunks(PANEL / N).next().unwrap_or_default();
        let rows = blocks_of::<B>(self.weights).chunks_exact(self.stride.max(1)).zip(out).enumerate();
        for (_, (row, out)) in rows.filter(|(r, _)| step == 1 || r % 2 == phase) {
            *out = B::dot(*out, row.get(self.first..self.first + x.len()).unwrap_or_default(), x);
        }
    }
}
