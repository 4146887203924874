//! A weight matrix as a view into the file, and the views through which products are written.

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::WeightType;
use crate::contract::{broken, require};

/// A matrix of weights: `n_rows` rows (one each output) of `n_cols` weights, in place in the file.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'f> {
    ty: WeightType,
    n_rows: usize,
    n_cols: usize,
    row_bytes: usize,
    bytes: &'f [u8],
}

impl<'f> Matrix<'f> {
    /// The matrix in `bytes`; `None` unless they are exactly `n_rows` rows of whole blocks.
    pub fn new(ty: WeightType, n_rows: usize, n_cols: usize, bytes: &'f [u8]) -> Option<Self> {
        let row_bytes = ty.row_bytes(n_cols)?;
        (row_bytes.checked_mul(n_rows)? == bytes.len()).then_some(Self { ty, n_rows, n_cols, row_bytes, bytes })
    }

    /// How the weights are stored.
    pub fn ty(&self) -> WeightType {
        self.ty
    }

    /// Outputs.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Inputs.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// The bytes of one row.
    ///
    /// # Panics
    /// When `row >= n_rows`.
    pub fn row(&self, row: usize) -> &'f [u8] {
        self.rows(row, row + 1)
    }

    /// The bytes of rows `start..end`, one after the other.
    ///
    /// # Panics
    /// When the range is not inside the matrix.
    pub fn rows(&self, start: usize, end: usize) -> &'f [u8] {
        let bytes = self.bytes.get(start * self.row_bytes..end * self.row_bytes);
        bytes.unwrap_or_else(|| broken("rows of the matrix"))
    }
}

/// What a matrix is multiplied with: `n_tokens` activation rows of `n_cols`.
#[derive(Clone, Copy, Debug)]
pub enum Activations<'a> {
    /// For F32, F16 and BF16 weights: `[n_tokens, n_cols]`.
    F32(&'a [f32]),
    /// For quantized weights: `[n_tokens, n_cols / 32]`.
    Q8(&'a [crate::BlockQ8]),
}

/// Columns `start..end` of a row-major `[n_tokens, stride]` buffer, borrowed alone: other parts may be written at the same time.
#[derive(Debug)]
pub struct ColumnsMut<'a> {
    base: *mut f32,
    n_tokens: usize,
    stride: usize,
    start: usize,
    end: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `ColumnsMut` is a unique borrow of its elements, as `&mut [f32]` is.
unsafe impl Send for ColumnsMut<'_> {}

impl<'a> ColumnsMut<'a> {
    /// All columns of `buffer`, seen as `[buffer.len() / stride, stride]`.
    ///
    /// # Panics
    /// When the length of `buffer` is not a multiple of `stride`.
    pub fn new(buffer: &'a mut [f32], stride: usize) -> Self {
        Self::of(buffer, stride, 0..stride)
    }

    /// The given columns of `buffer`, counted from 0 again.
    fn of(buffer: &'a mut [f32], stride: usize, columns: Range<usize>) -> Self {
        require(stride > 0 && buffer.len().is_multiple_of(stride), "a buffer of whole rows");
        require(columns.start <= columns.end && columns.end <= stride, "columns of the buffer");
        let n_tokens = buffer.len() / stride;
        // An empty buffer has no column to point at.
        let base = buffer.get_mut(columns.start..).map_or(core::ptr::dangling_mut(), <[f32]>::as_mut_ptr);
        Self { base, n_tokens, stride, start: 0, end: columns.len(), buffer: PhantomData }
    }

    /// Rows of the buffer.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// First column of the part: the first row of the weights that it is the product of.
    pub fn start(&self) -> usize {
        self.start
    }

    /// One past the last column.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The part's columns of one token: `[end - start]`.
    ///
    /// # Panics
    /// When `token >= n_tokens`.
    pub fn row(&mut self, token: usize) -> &mut [f32] {
        require(token < self.n_tokens, "a row of the buffer");
        // SAFETY: `base` points at column `c` of the first token, and `c + end <= stride` (`of` and `take` keep it so), so
        // `token * stride + start..end` from there lies in the buffer for every `token < n_tokens`; no other part holds
        // these columns.
        unsafe {
            core::slice::from_raw_parts_mut(self.base.add(token * self.stride + self.start), self.end - self.start)
        }
    }
}

impl ColumnsMut<'_> {
    /// The part's columns of each token, in order: `[n_tokens]` times `[end - start]`.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (base, stride, start, len) = (self.base, self.stride, self.start, self.end - self.start);
        // SAFETY: as in `row`, for every `token < n_tokens`; rows of different tokens share no element, each is made once,
        // and `self` stays borrowed as long as any of them.
        (0..self.n_tokens)
            .map(move |token| unsafe { core::slice::from_raw_parts_mut(base.add(token * stride + start), len) })
    }
}

/// A row-major `[n_tokens, stride]` buffer cut into tiles of columns, given out one by one to whoever asks first.
///
/// How workers share one output without locks: every tile is handed out once.
#[derive(Debug)]
pub struct ColumnTiles<'a> {
    whole: ColumnsMut<'a>,
    tile: usize,
    next: AtomicUsize,
}

// SAFETY: sharing it only lets others take tiles, each of which is given out once (`next` only grows).
unsafe impl Sync for ColumnTiles<'_> {}

impl<'a> ColumnTiles<'a> {
    /// Tiles of `tile` columns (the last may be narrower) of `buffer`, seen as `[buffer.len() / stride, stride]`.
    ///
    /// # Panics
    /// When `tile` is zero or the length of `buffer` is not a multiple of `stride`.
    pub fn new(buffer: &'a mut [f32], stride: usize, tile: usize) -> Self {
        Self::of_columns(buffer, stride, 0..stride, tile)
    }

    /// Tiles of the given columns only; their [`start`](ColumnsMut::start) counts from the first of these.
    ///
    /// # Panics
    /// When `tile` is zero, the length of `buffer` is not a multiple of `stride`, or the columns are not in it.
    pub fn of_columns(buffer: &'a mut [f32], stride: usize, columns: Range<usize>, tile: usize) -> Self {
        require(tile > 0, "tiles of at least a column");
        Self { whole: ColumnsMut::of(buffer, stride, columns), tile, next: AtomicUsize::new(0) }
    }

    /// The next tile and its index; `None` when all are given out.
    pub fn take(&self) -> Option<(usize, ColumnsMut<'a>)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let start = index.checked_mul(self.tile).filter(|&start| start < self.whole.end)?;
        let end = self.whole.end.min(start + self.tile);
        let ColumnsMut { base, n_tokens, stride, .. } = self.whole;
        // Tiles with different indices share no column, and `fetch_add` gives every index once.
        Some((index, ColumnsMut { base, n_tokens, stride, start, end, buffer: PhantomData }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_columns_once() {
        let mut buffer = [0.0; 3 * 10];
        let tiles = ColumnTiles::of_columns(&mut buffer, 10, 2..9, 3);
        while let Some((index, mut tile)) = tiles.take() {
            for token in 0..tile.n_tokens() {
                let start = tile.start();
                for (i, x) in tile.row(token).iter_mut().enumerate() {
                    *x += (100 * token + 10 * index + start + i) as f32;
                }
            }
        }
        let want = [0.0, 0.0, 0.0, 1.0, 2.0, 13.0, 14.0, 15.0, 26.0, 0.0];
        for (token, row) in buffer.chunks_exact(10).enumerate() {
            for (column, (&got, &want)) in row.iter().zip(&want).enumerate() {
                let offset = if (2..9).contains(&column) { 100.0 * token as f32 } else { 0.0 };
                assert_eq!(got, want + offset, "token {token}, column {column}");
            }
        }
    }
}
