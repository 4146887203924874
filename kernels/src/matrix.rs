//! Weight matrix: a view into the bytes of a file.

use crate::block::{Block, blocks_of, bytes_of_mut};
use crate::contract::{broken, require};
use crate::{ColumnsMut, Layout, TILE_ROWS, WeightType};

/// Message of the contract check that rows exist.
const ROWS: &str = "rows of the matrix";

/// Matrix of weights: `n_rows` rows (one each output) of `n_cols` weights, in place in the file.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'f> {
    ty: WeightType,
    layout: Layout,
    n_rows: usize,
    n_cols: usize,
    row_bytes: usize,
    bytes: &'f [u8],
}

impl<'f> Matrix<'f> {
    /// Views `bytes` as a matrix, row by row; `None` unless they are exactly `n_rows` rows of whole blocks, of a type that is
    /// [compiled in](WeightType::is_compiled_in).
    pub fn new(ty: WeightType, n_rows: usize, n_cols: usize, bytes: &'f [u8]) -> Option<Self> {
        if !ty.is_compiled_in() {
            return None;
        }
        let row_bytes = ty.row_bytes(n_cols)?;
        let layout = Layout::Plain;
        (row_bytes.checked_mul(n_rows)? == bytes.len()).then_some(Self { ty, layout, n_rows, n_cols, row_bytes, bytes })
    }

    /// Reads the same bytes in `layout`; `None` for an order that weights of this type never have.
    pub fn in_layout(self, layout: Layout) -> Option<Self> {
        (layout == Layout::Plain || self.ty.can_interleave()).then_some(Self { layout, ..self })
    }

    /// Order of the bytes.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Type of the weights.
    pub fn ty(&self) -> WeightType {
        self.ty
    }

    /// Number of outputs.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of inputs.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Bytes of one row.
    ///
    /// # Panics
    /// When `row >= n_rows`, or the row is interleaved with others.
    pub fn row(&self, row: usize) -> &'f [u8] {
        self.require_row(row);
        self.rows(row, row + 1)
    }

    /// Bytes of rows `start..end`, one after the other.
    ///
    /// # Panics
    /// When the range is not inside the matrix, or the rows are interleaved.
    pub fn rows(&self, start: usize, end: usize) -> &'f [u8] {
        require(start <= end && end <= self.n_rows, ROWS);
        require(self.plain_from() <= start || start == end, "rows that lie one after the other");
        // Neither product overflows: each is at most the number of the matrix's bytes.
        self.bytes.get(start * self.row_bytes..end * self.row_bytes).unwrap_or_else(|| broken(ROWS))
    }

    /// Checks that the row exists.
    ///
    /// # Panics
    /// When `row >= n_rows`.
    #[inline]
    pub(crate) fn require_row(&self, row: usize) {
        require(row < self.n_rows, ROWS);
    }

    /// Checks the lengths of a product, before any of its numbers is read.
    ///
    /// # Panics
    /// When `x_len` is not `per_token` for each token of `out`, or the columns of `out` are not rows of the matrix.
    #[inline]
    pub(crate) fn require_product(&self, x_len: usize, per_token: usize, out: &ColumnsMut<'_>) {
        require(out.n_tokens().checked_mul(per_token) == Some(x_len), "a row of activations for each token");
        require(out.end() <= self.n_rows, ROWS);
    }

    /// First row that is not interleaved with others.
    pub(crate) fn plain_from(&self) -> usize {
        match self.layout {
            Layout::Plain => 0,
            Layout::Interleaved => self.n_rows / TILE_ROWS * TILE_ROWS,
        }
    }

    /// Bytes of the row tile that `row` is interleaved in, as [`crate::layout`] describes it; `None` for a plain row.
    pub fn tile(&self, row: usize) -> Option<&'f [u8]> {
        if row >= self.plain_from() {
            return None;
        }
        // Neither product overflows: the tile exists, so it and the bytes before it are at most the matrix's bytes.
        let tile_bytes = TILE_ROWS * self.row_bytes;
        self.bytes.get(row / TILE_ROWS * tile_bytes..)?.get(..tile_bytes)
    }

    /// Copy of block `i` of a row, from either layout.
    ///
    /// # Panics
    /// When the row or the block does not exist, or the matrix is not made of `B`.
    pub fn block<B: Block>(&self, row: usize, i: usize) -> B {
        require(B::TYPE == self.ty, "blocks of the matrix's type");
        self.require_row(row);
        // An index inside the row keeps all offsets below from overflowing.
        require(i < self.n_cols / B::TYPE.block_len(), "blocks of a row");
        let block = |bytes: &[u8]| blocks_of::<B>(bytes).first().copied().unwrap_or_else(|| broken("blocks of a row"));
        let size = size_of::<B>();
        let Some(tile) = self.tile(row) else {
            return block(self.row(row).get(i * size..(i + 1) * size).unwrap_or_default());
        };
        let tile = tile.get(i * TILE_ROWS * size..(i + 1) * TILE_ROWS * size).unwrap_or_default();
        let mut found = block(tile.get(..size).unwrap_or_default());
        // Scales, words, scales, as `crate::layout::pieces` names them.
        let [first, last] = self.ty.halves();
        let (words, end) = (2 * first, size - 2 * last);
        let (before, rest) = bytes_of_mut(&mut found).split_at_mut(words);
        let (middle, after) = rest.split_at_mut(end - words);
        let from = |at: usize| tile.get(TILE_ROWS * at..).unwrap_or_default();
        take_row::<2>(from(0), row % TILE_ROWS, before);
        take_row::<4>(from(words), row % TILE_ROWS, middle);
        take_row::<2>(from(end), row % TILE_ROWS, after);
        found
    }
}

/// Copies the pieces of `W` bytes of row `r` of a row tile.
#[inline]
fn take_row<const W: usize>(tile: &[u8], r: usize, out: &mut [u8]) {
    let pieces = tile.as_chunks::<W>().0.iter().skip(r).step_by(TILE_ROWS);
    out.as_chunks_mut::<W>().0.iter_mut().zip(pieces).for_each(|(out, piece)| *out = *piece);
}

/// Activations that a matrix is multiplied with: `n_tokens` rows of `n_cols`.
#[derive(Clone, Copy, Debug)]
pub enum Activations<'a> {
    /// For F32, F16 and BF16 weights: `[n_tokens, n_cols]`.
    F32(&'a [f32]),
    /// For quantized weights: `[n_tokens, n_cols / 32]`.
    Q8(&'a [crate::BlockQ8]),
}
