//! ARMv6-M: Cortex-M0 and M0+, which multiply 32 bits to 32 and have neither vectors nor a floating-point unit.
//!
//! - [`matmul`]: products of weights; [`contribution`]: that of a block of weights to a sum of floats
//!
//! All other kernels are those of [`crate::soft`].

mod contribution;
mod matmul;

use crate::{Activations, ColumnsMut, Kernels, Matrix, soft};

/// Any processor of the M profile.
struct Armv6M(());

static ARMV6M: Armv6M = Armv6M(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&ARMV6M)
}

impl Kernels for Armv6M {
    fn name(&self) -> &'static str {
        "armv6m"
    }

    fn wrapped(&self) -> Option<&dyn Kernels> {
        soft::detect()
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        matmul::matmul(w, x, out)
    }
}
