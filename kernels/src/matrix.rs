//! A weight matrix as a view into the file, and the views through which products are written.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::WeightType;

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
        &self.bytes[row * self.row_bytes..][..self.row_bytes]
    }

    /// The bytes of rows `start..end`, one after the other.
    ///
    /// # Panics
    /// When the range is not inside the matrix.
    pub fn rows(&self, start: usize, end: usize) -> &'f [u8] {
        &self.bytes[start * self.row_bytes..end * self.row_bytes]
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
        assert!(stride > 0 && buffer.len().is_multiple_of(stride));
        Self {
            n_tokens: buffer.len() / stride,
            base: buffer.as_mut_ptr(),
            stride,
            start: 0,
            end: stride,
            buffer: PhantomData,
        }
    }

    /// Rows of the buffer.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// First column of the part, counted in the whole buffer.
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
        assert!(token < self.n_tokens);
        // SAFETY: `token * stride + start..end` lies in the buffer (token < n_tokens, start <= end <= stride),
        // and no other part holds these columns.
        unsafe {
            core::slice::from_raw_parts_mut(self.base.add(token * self.stride + self.start), self.end - self.start)
        }
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
        assert!(tile > 0);
        Self { whole: ColumnsMut::new(buffer, stride), tile, next: AtomicUsize::new(0) }
    }

    /// The next tile and its index; `None` when all are given out.
    pub fn take(&self) -> Option<(usize, ColumnsMut<'a>)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let start = index.checked_mul(self.tile).filter(|&start| start < self.whole.stride)?;
        let end = self.whole.stride.min(start + self.tile);
        let ColumnsMut { base, n_tokens, stride, .. } = self.whole;
        // Tiles with different indices share no column, and `fetch_add` gives every index once.
        Some((index, ColumnsMut { base, n_tokens, stride, start, end, buffer: PhantomData }))
    }
}
