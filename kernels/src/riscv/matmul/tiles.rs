//! Products of quantized weights with one token after the other: activations are put in order once and meet all rows, four at a time.

use super::rows::{ROWS, Rows};
use super::split::Split;
use crate::block::bytes_of_mut;
use crate::contract::require;
use crate::riscv::scaled::{MOST_TERMS, add_scaled};
use crate::{BlockQ8, ColumnsMut, Matrix, QK};

/// Blocks of activations on the stack: 512 columns. Longer rows are taken in panels of this size, and their sums rest in the output.
const PANEL: usize = 16;
const _: () = assert!(PANEL <= MOST_TERMS);

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for blocks of 32 weights.
pub(super) fn matmul<B: Rows<H>, const H: usize>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    let start = out.start();
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        for (i, x) in x.chunks(PANEL).enumerate() {
            let mut splits = [B::Split::ZERO; PANEL];
            splits.iter_mut().zip(x).for_each(|(split, x)| *split = B::Split::new(x));
            let columns = Columns::<B, H> { first: i * PANEL, splits: splits.get(..x.len()).unwrap_or_default() };
            columns.add(w, start, out);
        }
    }
}

/// Activations of some columns.
struct Columns<'a, B: Rows<H>, const H: usize> {
    /// First block of each row that they are multiplied with.
    first: usize,
    splits: &'a [B::Split],
}

impl<B: Rows<H>, const H: usize> Columns<'_, B, H> {
    /// `out[r] += w[start + r] · x`
    fn add(&self, w: &Matrix<'_>, start: usize, out: &mut [f32]) {
        let (tiled, plain) = out.split_at_mut(w.plain_from().saturating_sub(start).min(out.len()));
        let from = start + tiled.len();
        let bytes = w.rows(from, from + plain.len());
        // SAFETY: any two bytes are a `u16`.
        let (before, halves, after) = unsafe { bytes.align_to::<u16>() };
        if before.is_empty() && after.is_empty() {
            self.add_plain(halves, w.n_cols() / QK * H, plain);
        } else {
            self.add_copied(w, from, plain);
        }
        self.add_copied(w, start, tiled);
    }

    /// Adds the products of rows that follow each other in `weights`, `row_len` half-words each.
    fn add_plain(&self, weights: &[u16], row_len: usize, out: &mut [f32]) {
        require(weights.len() == out.len() * row_len && row_len > 0, "a row of weights for each output");
        let (fours, rest) = out.as_chunks_mut::<ROWS>();
        let of_fours = weights.chunks_exact((ROWS * row_len).max(1));
        let of_rest = of_fours.remainder().chunks_exact(row_len.max(1));
        let mut sums = [[0; ROWS]; PANEL];
        for (four, rows) in fours.iter_mut().zip(of_fours) {
            let mut rows = rows.chunks_exact(row_len.max(1)).map(|row| self.blocks(row));
            let [a, b, c, d] = core::array::from_fn(|_| rows.next().unwrap_or_default());
            for (((((sums, x), a), b), c), d) in sums.iter_mut().zip(self.splits).zip(a).zip(b).zip(c).zip(d) {
                *sums = B::products([a, b, c, d], x);
            }
            for (i, (out, row)) in four.iter_mut().zip([a, b, c, d]).enumerate() {
                *out = self.add_sums(*out, row, &sums, i);
            }
        }
        for (out, row) in rest.iter_mut().zip(of_rest) {
            self.add_row(out, self.blocks(row));
        }
    }

    /// Adds the products of one row.
    #[inline(never)]
    fn add_row(&self, out: &mut f32, row: &[[u16; H]]) {
        let mut sums = [[0; ROWS]; PANEL];
        for ((sums, x), block) in sums.iter_mut().zip(self.splits).zip(row) {
            *sums = B::products([block; ROWS], x);
        }
        *out = self.add_sums(*out, row, &sums, 0);
    }

    /// `acc + (d · d_x) · sum` of one block after the other; the sums are those of row `i` of four.
    #[inline(always)]
    fn add_sums(&self, acc: f32, row: &[[u16; H]], sums: &[[i32; ROWS]; PANEL], i: usize) -> f32 {
        let terms = row.iter().zip(self.splits).zip(sums);
        add_scaled(acc, terms.map(|((w, x), sums)| (w[0], x.scale(), sums.get(i).copied().unwrap_or(0))))
    }

    /// Blocks of a row from the first on.
    fn blocks<'r>(&self, row: &'r [u16]) -> &'r [[u16; H]] {
        row.as_chunks::<H>().0.get(self.first..).unwrap_or_default()
    }

    /// Adds the products of interleaved rows, or rows at odd addresses, which are copied block by block.
    fn add_copied(&self, w: &Matrix<'_>, start: usize, out: &mut [f32]) {
        for (row, out) in (start..).zip(out) {
            let mut blocks = [[0; H]; PANEL];
            for (i, (halves, _)) in blocks.iter_mut().zip(self.splits).enumerate() {
                let mut block: B = w.block(row, self.first + i);
                for (half, bytes) in halves.iter_mut().zip(bytes_of_mut(&mut block).as_chunks::<2>().0) {
                    *half = u16::from_le_bytes(*bytes);
                }
            }
            self.add_row(out, &blocks);
        }
    }
}
