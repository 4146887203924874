//! Products of float weights, with the dot products of [`crate::neon::floats`].

use crate::block::{BF16, Block, F16, F32};
use crate::float_matmul::{self, Dots};
use crate::neon::floats::{Element, dots};
use crate::{Activations, ColumnsMut, Matrix, WeightType, scalar};

/// NEON: sixteen registers of sums.
struct Neon;

impl<B: Element> Dots<B> for Neon {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dots<const R: usize, const T: usize>(rows: [&[B]; R], x: [&[f32]; T]) -> [f32; 4] {
        dots(rows, x)
    }
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for float weights.
#[target_feature(enable = "neon")]
pub(super) fn matmul_floats(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    match (w.ty(), x) {
        (WeightType::F32, Activations::F32(x)) => of::<F32>(w, x, out),
        (WeightType::F16, Activations::F32(x)) => of::<F16>(w, x, out),
        (WeightType::BF16, Activations::F32(x)) => of::<BF16>(w, x, out),
        _ => scalar::matmul(w, x, out),
    }
}

#[target_feature(enable = "neon")]
fn of<B: Block + Element>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>) {
    // SAFETY: the target has NEON.
    unsafe { float_matmul::matmul::<B, Neon>(w, x, out) }
}
