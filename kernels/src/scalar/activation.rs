//! Activation functions.
//!
//! Each is `x` times a number in 0..=1 that is computed without cancellation, so large negative inputs end in (minus)
//! zero smoothly. Infinities of the wrong sign give NaN, as the formulas say.

use super::math::constants::{GELU_CUBIC, GELU_SLOPE};
use super::math::{exp, normal_cdf};

/// GELU, tanh form: `x/2 · (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`, computed as the equal `x / (1 + exp(-2u))`.
///
/// The equal form takes one `exp` instead of a `tanh`, and is exact in the tail where `1 + tanh u` cancels.
/// `2u = (2√(2/π) · x) · (1 + (0.044715 · x) · x)`. Within 5e-7 · max(1, |x|).
///
/// Source: Hendrycks & Gimpel 2016 (arXiv 1606.08415); BLOOM.
pub fn gelu_tanh(x: &mut [f32]) {
    for x in x {
        let u2 = (GELU_SLOPE * *x) * (1.0 + (GELU_CUBIC * *x) * *x);
        *x /= 1.0 + exp(-u2);
    }
}

/// GELU, exact form: `x/2 · (1 + erf(x/√2)) = x · Φ(x)`. Within 2e-7 · max(1, |x|).
///
/// Source: Hendrycks & Gimpel 2016 (arXiv 1606.08415); MPT, Falcon-RW.
pub fn gelu_erf(x: &mut [f32]) {
    for x in x {
        *x *= normal_cdf(*x);
    }
}

/// `x / (1 + exp(-x))`. Within 4 ulp, or 3e-37 where exp(-x) overflows.
pub fn silu(x: &mut [f32]) {
    for x in x {
        *x /= 1.0 + exp(-*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libm::{erfc, exp, tanh};

    /// Checks `f` at floats of all exponents against `want`, to `bound(x, want)`.
    fn check(f: fn(&mut [f32]), want: fn(f64) -> f64, bound: fn(f64, f64) -> f64) {
        for x in (0..=u32::MAX).step_by(9973).map(f32::from_bits).filter(|x| x.is_finite()) {
            let mut y = [x];
            f(&mut y);
            let (x, got) = (f64::from(x), f64::from(y[0]));
            let want = want(x);
            assert!((got - want).abs() <= bound(x, want), "at {x}: {got}, not {want}");
        }
    }

    fn absolute<const N: i32>(x: f64, _: f64) -> f64 {
        f64::from(N) * 1e-7 * x.abs().max(1.0)
    }

    #[test]
    fn gelu_tanh_is_as_close_as_stated() {
        check(
            gelu_tanh,
            |x| x / 2.0 * (1.0 + tanh(libm::sqrt(2.0 / core::f64::consts::PI) * (x + 0.044715 * x * x * x))),
            absolute::<5>,
        );
    }

    #[test]
    fn gelu_erf_is_as_close_as_stated() {
        check(gelu_erf, |x| x / 2.0 * erfc(-x / core::f64::consts::SQRT_2), absolute::<2>);
    }

    #[test]
    fn silu_is_as_close_as_stated() {
        let ulps = |_, want: f64| 4.0 * want.abs() * libm::scalbn(1.0, -23) + 3e-37;
        check(silu, |x| x / (1.0 + exp(-x)), ulps);
    }
}
