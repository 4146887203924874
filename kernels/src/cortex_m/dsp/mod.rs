//! Cortex-M with the DSP extension and a single-precision unit: M4F, M7, M33.
//!
//! - [`rows`]: loops over four rows of Q4_0, Q5_0 and Q8_0, [`split`]: activations as they want them, [`matmul`]: both
//! - [`unpack`]: the other quantized types

mod matmul;
mod rows;
mod split;
mod unpack;
mod word;

use crate::{Activations, ColumnsMut, Kernels, Matrix, scalar};

/// A processor with the DSP extension: the firmware says so by the feature `dsp`.
struct Dsp(());

static DSP: Dsp = Dsp(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&DSP)
}

impl Kernels for Dsp {
    fn name(&self) -> &'static str {
        "dsp"
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul(w, x, out)
    }
}

pub(super) fn matmul(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
    use crate::block::*;
    match (w.ty(), x) {
        (WeightType::Q4_0, Activations::Q8(x)) => matmul::matmul::<BlockQ4_0>(w, x, out),
        (WeightType::Q4_1, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ4_1>(w, x, out),
        (WeightType::Q5_0, Activations::Q8(x)) => matmul::matmul::<BlockQ5_0>(w, x, out),
        (WeightType::Q5_1, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ5_1>(w, x, out),
        (WeightType::Q8_0, Activations::Q8(x)) => matmul::matmul::<BlockQ8_0>(w, x, out),
        (WeightType::Q2_K, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ2_K>(w, x, out),
        (WeightType::Q3_K, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ3_K>(w, x, out),
        (WeightType::Q4_K, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ4_K>(w, x, out),
        (WeightType::Q5_K, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ5_K>(w, x, out),
        (WeightType::Q6_K, Activations::Q8(x)) => matmul::matmul_unpacked::<BlockQ6_K>(w, x, out),
        _ => scalar::matmul(w, x, out),
    }
}
