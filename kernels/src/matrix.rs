//! A weight matrix as a view into the file.

use crate::WeightType;
use crate::contract::broken;

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
