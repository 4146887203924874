//! Products of float weights.

use crate::block::{BF16, Block, F16, F32};
use crate::float_matmul::{self, FloatUnit};
use crate::neon::floats::{Element, Floats, dots, fused, store_some, trees};
use crate::scalar::CHAINS;
use crate::{Activations, ColumnsMut, Matrix, WeightType, scalar};

use core::arch::aarch64::*;

/// NEON: two registers have the chains of one row.
#[derive(Clone, Copy)]
struct Neon;

impl<B: Element> FloatUnit<B> for Neon {
    type Chains = Floats;
    const ROWS: usize = 1;

    #[inline(always)]
    fn dots<const R: usize, const T: usize>(self, rows: [&[B]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
        // SAFETY: the target has NEON.
        unsafe { dots(rows, x) }
    }

    #[inline(always)]
    fn widen(self, from: &[B; CHAINS], to: &mut [f32; CHAINS]) {
        // SAFETY: the target has NEON.
        unsafe { store_some(B::widen(from), to) }
    }

    #[inline(always)]
    fn zero(self) -> Floats {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_f32(0.0); 2] }
    }

    #[inline(always)]
    unsafe fn load(self, panel: *const f32) -> Floats {
        // SAFETY: eight readable floats, as promised; the target has NEON.
        unsafe { [vld1q_f32(panel), vld1q_f32(panel.add(4))] }
    }

    #[inline(always)]
    unsafe fn spread(self, x: *const f32) -> Floats {
        // SAFETY: eight readable floats, as promised; the target has NEON.
        unsafe { [vld1q_f32(x), vld1q_f32(x.add(4))] }
    }

    #[inline(always)]
    fn fused(self, a: Floats, b: Floats, c: Floats) -> Floats {
        // SAFETY: the target has NEON.
        unsafe { fused(a, b, c) }
    }

    #[inline(always)]
    fn trees(self, [a, b, c]: [Floats; 3]) -> [f32; 8] {
        // SAFETY: the target has NEON.
        let [a, b, c, _] = unsafe { trees([a, b, c, c]) };
        [a, b, c, 0.0, 0.0, 0.0, 0.0, 0.0]
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
    float_matmul::matmul::<B, _, 4>(Neon, w, x, out)
}
