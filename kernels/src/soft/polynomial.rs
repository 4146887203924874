//! Polynomials.

use super::{add, multiply};

/// Coefficient of a polynomial.
pub(crate) type Coefficient = f32;

/// Coefficients of a polynomial, the highest power first.
pub(crate) const fn coefficients<const N: usize>(c: [f32; N]) -> [Coefficient; N] {
    let mut out = c;
    let mut i = 0;
    while i < N {
        out[i] = c[N - 1 - i];
        i += 1;
    }
    out
}

/// Polynomial by Horner's rule, each product and each sum rounded.
#[inline]
pub(crate) fn polynomial<const N: usize>(c: &[Coefficient; N], x: f32) -> f32 {
    c.iter().copied().reduce(|y, c| add(multiply(y, x), c)).unwrap_or(0.0)
}
