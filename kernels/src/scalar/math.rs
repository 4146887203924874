//! Elementary functions: the same operations on each ISA, each rounded, none fused.

/// Constants of the formulas, which the ISAs share.
pub(crate) mod constants {
    /// Least argument of `exp` that does not give zero: results stay normal.
    pub const EXP_MIN: f32 = -87.3;
    /// `ln(f32::MAX)`, the largest argument of `exp` that does not give infinity.
    pub const EXP_MAX: f32 = 88.722_83;
    /// `1.5 * 2^23`: adding it leaves the nearest integer, half to even, in the low bits of a float in ±2^22.
    pub const ROUND: f32 = 12_582_912.0;
    /// First part of `ln 2`: 9 bits, so its product with an integer in ±2^15 is exact.
    pub const LN_2_HIGH: f32 = 355.0 / 512.0;
    /// `ln 2 - LN_2_HIGH`.
    pub const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// `(e^r - 1 - r) / r²` for r in ±ln(2)/2, ascending powers; relative error of `e^r` 8e-10. Chebyshev interpolation.
    pub const EXP: [f32; 6] = [0.5, 0.166_666_67, 0.041_666_463, 0.008_333_31, 0.001_393_368_6, 0.000_198_910_3];

    /// Factor of `a` in `t = 1 / (1 + CDF_T * a)`.
    pub const CDF_T: f32 = 0.28;
    /// `Φ(-a) · exp(a²/2) / t` for a in 0..13.3, ascending powers of t; relative error 8e-8. Chebyshev interpolation.
    pub const CDF: [f32; 9] = [
        0.111_677_825,
        0.112_158_98,
        0.099_734,
        0.096_856_676,
        0.041_804_712,
        0.037_761_673,
        0.054_712_29,
        -0.075_948_29,
        0.021_242_153,
    ];

    /// `2 √(2/π)`
    pub const GELU_SLOPE: f32 = 1.595_769;
    /// Coefficient of the cubic term of GELU's tanh form.
    pub const GELU_CUBIC: f32 = 0.044_715;
}

use constants::{CDF, CDF_T, EXP, EXP_MAX, EXP_MIN, LN_2_HIGH, LN_2_LOW, ROUND};

/// `e^x`, within 1 ulp where it is neither zero nor infinite.
///
/// Zero below -87.3 (where the true value leaves the normal numbers), infinite above `ln(f32::MAX)`, NaN for NaN.
///
/// `x = n ln 2 + r` with the integer n nearest to `x / ln 2`; `e^r = 1 + (r + r² q(r))`; then times `2^n`, in two
/// exact steps because `2^128` is not a float.
pub fn exp(x: f32) -> f32 {
    if x < EXP_MIN {
        return 0.0;
    }
    if x > EXP_MAX {
        return f32::INFINITY;
    }
    if x.is_nan() {
        return x;
    }
    let rounded = x * core::f32::consts::LOG2_E + ROUND;
    // `n` lies in -126..=128, by the bounds above.
    let n = rounded.to_bits() as i32 - ROUND.to_bits() as i32;
    let steps = rounded - ROUND;
    let r = (x - steps * LN_2_HIGH) - steps * LN_2_LOW;
    let y = 1.0 + (r + (r * r) * polynomial(&EXP, r));
    y * power_of_two(n >> 1) * power_of_two(n - (n >> 1))
}

/// Horner's rule: `((c[n] x + c[n-1]) x + ...) x + c[0]`.
fn polynomial(c: &[f32], x: f32) -> f32 {
    c.iter().rev().copied().reduce(|y, c| y * x + c).unwrap_or(0.0)
}

/// `2^n` for n in -126..=127.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// Φ(x), the share of a normal distribution below x: `(1 + erf(x/√2)) / 2`, within 3e-7.
///
/// `Φ(-a) = exp(-a²/2) · t · p(t)` with `t = 1 / (1 + 0.28 a)`, for `a = |x|`; `Φ(a) = 1 - Φ(-a)`.
/// So the lower tail keeps its relative accuracy: within 1e-5 of the true value above -13.
pub fn normal_cdf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + CDF_T * a);
    let tail = exp((a * a) * -0.5) * (t * polynomial(&CDF, t));
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 997th float: both signs, all exponents.
    fn floats() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(997).map(f32::from_bits)
    }

    #[test]
    fn exp_is_within_one_ulp() {
        for x in floats().filter(|x| (EXP_MIN..=EXP_MAX).contains(x)) {
            let want = libm::exp(f64::from(x));
            let got = f64::from(exp(x));
            // Half an ulp is at least 2^-25 of the value, one at most 2^-23: the bound is one of the finer kind.
            let ulp = libm::scalbn(1.0, libm::ilogb(want) - 23);
            assert!((got - want).abs() <= ulp, "exp({x}) = {got}, not {want}");
        }
    }

    #[test]
    fn exp_is_total() {
        for x in floats() {
            let y = exp(x);
            assert!(y.is_nan() == x.is_nan(), "exp({x}) = {y}");
            assert!(x.is_nan() || y >= 0.0 && !y.is_subnormal(), "exp({x}) = {y}");
        }
        assert_eq!(exp(EXP_MIN.next_down()), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(EXP_MIN).is_normal());
        assert!(exp(EXP_MAX).is_finite());
        assert_eq!(exp(EXP_MAX.next_up()), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
    }

    #[test]
    fn normal_cdf_is_as_close_as_stated() {
        for x in floats().filter(|x| !x.is_nan()) {
            let want = 0.5 * libm::erfc(-f64::from(x) / core::f64::consts::SQRT_2);
            let got = f64::from(normal_cdf(x));
            assert!((got - want).abs() <= 3e-7, "normal_cdf({x}) = {got}, not {want}");
            assert!(
                !(-13.0..0.0).contains(&x) || (got / want - 1.0).abs() <= 1e-5,
                "normal_cdf({x}) = {got}, not {want}"
            );
        }
        assert!(normal_cdf(f32::NAN).is_nan());
    }
}
