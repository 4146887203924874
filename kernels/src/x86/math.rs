//! Elementary functions of sixteen numbers: the operations of `scalar::math`, with its constants.

use core::f32::consts::LOG2_E;

use super::floats::sum;
use super::sixteen::{Sixteen, Ymm, Zmm};
use crate::scalar::constants::*;

/// Computes [`crate::scalar::exp`] in each lane.
#[inline(always)]
fn exp<U: Sixteen>(u: U, x: U::F) -> U::F {
    let (y, n) = reduced_exp(u, x);
    let half = u.half(n);
    let y = u.mul(u.mul(y, power_of_two(u, half)), power_of_two(u, u.sub_integers(n, half)));
    // Outside of the range `y` is arbitrary and replaced; a NaN has stayed a NaN.
    let y = u.drop(u.less(x, u.splat(EXP_MIN)), y);
    u.select(u.less(u.splat(EXP_MAX), x), u.splat(f32::INFINITY), y)
}

/// Computes [`exp`] of lanes that are at most zero, or NaN: nothing becomes infinite, and `2^n` fits a float.
#[inline(always)]
pub(super) fn exp_down<U: Sixteen>(u: U, x: U::F) -> U::F {
    let (y, n) = reduced_exp(u, x);
    u.drop(u.less(x, u.splat(EXP_MIN)), u.mul(y, power_of_two(u, n)))
}

/// `y` and `n` such that `e^x` is `y 2^n`, in the range in which it is a normal number.
#[inline(always)]
fn reduced_exp<U: Sixteen>(u: U, x: U::F) -> (U::F, U::I) {
    let round = u.splat(ROUND);
    let rounded = u.add(u.mul(x, u.splat(LOG2_E)), round);
    let n = u.sub_integers(u.bits(rounded), u.bits(round));
    let steps = u.sub(rounded, round);
    let r = u.sub(x, u.mul(steps, u.splat(LN_2_HIGH)));
    let r = u.sub(r, u.mul(steps, u.splat(LN_2_LOW)));
    let y = u.mul(u.mul(r, r), polynomial(u, &EXP, r));
    (u.add(u.splat(1.0), u.add(r, y)), n)
}

/// Polynomial with the coefficients `c`, lowest first, by Horner's rule.
#[inline(always)]
fn polynomial<U: Sixteen, const N: usize>(u: U, c: &[f32; N], x: U::F) -> U::F {
    let mut y = u.splat(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = u.add(u.mul(y, x), u.splat(c[k]));
    }
    y
}

/// `2^n` for n in -126..=127.
#[inline(always)]
fn power_of_two<U: Sixteen>(u: U, n: U::I) -> U::F {
    u.of_bits(u.to_exponent(u.add_integers(n, u.splat_integer(127))))
}

/// Computes [`crate::scalar::normal_cdf`] in each lane.
#[inline(always)]
fn normal_cdf<U: Sixteen>(u: U, x: U::F) -> U::F {
    let one = u.splat(1.0);
    let a = u.magnitude(x);
    let t = u.div(one, u.add(one, u.mul(u.splat(CDF_T), a)));
    let density = exp(u, u.mul(u.mul(a, a), u.splat(-0.5)));
    let tail = u.mul(density, u.mul(t, polynomial(u, &CDF, t)));
    u.select(u.less(u.splat(0.0), x), u.sub(one, tail), tail)
}

/// `x = f(x)`, sixteen at a time, in order; `f` also gets the zeros that fill the last sixteen.
#[inline(always)]
pub(super) fn map<U: Sixteen>(u: U, x: &mut [f32], mut f: impl FnMut(U::F) -> U::F) {
    let (sixteens, rest) = x.as_chunks_mut::<16>();
    for sixteen in sixteens {
        u.store_some(f(u.load_some(sixteen)), sixteen);
    }
    u.store_some(f(u.load_some(rest)), rest);
}

/// Functions that implement the activations of [`Kernels`](crate::Kernels), compiled for a vector unit.
macro_rules! activations {
    ($(#[$doc:meta])* $module:ident, $features:literal, $unit:ident) => {
        $(#[$doc])*
        pub(super) mod $module {
            use super::*;

            /// Implements [`Kernels::gelu_tanh`](crate::Kernels::gelu_tanh).
            #[target_feature(enable = $features)]
            pub(in super::super) fn gelu_tanh(x: &mut [f32]) {
                let u = $unit::new();
                let one = u.splat(1.0);
                map(u, x, |x| {
                    let cubic = u.mul(u.mul(u.splat(GELU_CUBIC), x), x);
                    let u2 = u.mul(u.mul(u.splat(GELU_SLOPE), x), u.add(one, cubic));
                    u.div(x, u.add(one, exp(u, u.negative(u2))))
                });
            }

            /// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
            #[target_feature(enable = $features)]
            pub(in super::super) fn gelu_erf(x: &mut [f32]) {
                let u = $unit::new();
                map(u, x, |x| u.mul(x, normal_cdf(u, x)));
            }

            /// Implements [`Kernels::silu`](crate::Kernels::silu).
            #[target_feature(enable = $features)]
            pub(in super::super) fn silu(x: &mut [f32]) {
                let u = $unit::new();
                map(u, x, |x| u.div(x, u.add(u.splat(1.0), exp(u, u.negative(x)))));
            }
        }
    };
}

activations! {
    /// Activations with AVX2.
    avx2, "avx2,fma,f16c", Ymm
}
activations! {
    /// Activations with AVX-512.
    avx512, "avx2,fma,f16c,avx512f,avx512bw", Zmm
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    let u = Ymm::new();
    let shift = u.splat(max);
    map(u, scores, |score| exp(u, u.sub(score, shift)));
    sum(scores, |x| x)
}
