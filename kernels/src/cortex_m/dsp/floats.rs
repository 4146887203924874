//! Rows of floats: sums in the one order of the definitions, with the 16 partial sums in registers.

use crate::contract::require;
use crate::scalar::{LANES, tree};

/// Computes [`crate::scalar::strided_sum`] of `term(x)`.
#[inline]
pub(in super::super) fn strided_sum<T>(x: &[T], term: impl Fn(&T) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += term(x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += term(x));
    tree(lanes)
}

/// `Σ w[c] · x[c]`, in the order of [`strided_sum`].
#[inline]
pub(super) fn dot<T>(w: &[T], x: &[f32], float: impl Fn(&T) -> f32) -> f32 {
    require(w.len() == x.len(), "rows of the same length");
    let (w_chunks, w_rest) = w.as_chunks::<LANES>();
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (w, x) in w_chunks.iter().zip(x_chunks) {
        lanes.iter_mut().zip(w.iter().zip(x)).for_each(|(lane, (w, x))| *lane += float(w) * x);
    }
    lanes.iter_mut().zip(w_rest.iter().zip(x_rest)).for_each(|(lane, (w, x))| *lane += float(w) * x);
    tree(lanes)
}
