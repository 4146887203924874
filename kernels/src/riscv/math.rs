//! Exponentials and activations: the operations of `scalar::math` on numbers in parts, for arguments of usual magnitudes.

use super::parts::{Factor, Parts};
use crate::scalar::constants::{CDF, CDF_T};
use crate::soft::arithmetic::add;
use crate::soft::float::{Float, strided_sum};
use crate::soft::math as soft;

/// Magnitudes whose powers of e are normal numbers, and so is each number on the way there: `2^-60..87`.
fn is_usual_exponent(bits: u32) -> bool {
    const LEAST: u32 = (127 - 60) << 23;
    const MOST: u32 = 87.0_f32.to_bits();
    (LEAST..MOST).contains(&(bits & 0x7fff_ffff))
}

/// Computes [`crate::scalar::exp`].
pub(crate) fn exp(x: f32) -> f32 {
    if is_usual_exponent(x.to_bits())
        && let Some(y) = Parts::new(x).exp()
    {
        return y.float();
    }
    soft::exp(Float(x)).0
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
pub(super) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    for score in scores.iter_mut() {
        *score = exp(add(*score, -max));
    }
    strided_sum(scores.iter().map(|&x| Float(x))).0
}

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
pub(super) fn gelu_erf(x: &mut [f32]) {
    for x in x {
        // Magnitudes in 2^-28..8.
        if (99..130).contains(&(x.to_bits() << 1 >> 24))
            && let Some(product) = x_normal_cdf(Factor::new(*x))
        {
            *x = product;
        } else {
            soft::gelu_erf(core::slice::from_mut(x));
        }
    }
}

/// `x · Φ(x)`, with the operations of [`crate::scalar::normal_cdf`]; `None` where a number between is zero.
#[inline(always)]
fn x_normal_cdf(x: Factor) -> Option<f32> {
    const T: Factor = Factor::new(CDF_T);
    const C: [Parts; 9] = Parts::all(CDF);
    let a = Parts { sign: 0, exponent: x.exponent, top: x.top >> 2 };
    let t = Parts::ONE.plus_alike(a.times(T)).reciprocal();
    let by_t = t.factor();
    // The signs of the coefficients: positive but for this one, which is larger than the product that it is added to.
    let y = (-C[7]).minus_alike(C[8].times(by_t))?;
    let y = C[6].minus_alike(y.times(by_t))?;
    let y = C[5].plus_alike(y.times(by_t));
    let y = C[4].plus_alike(y.times(by_t));
    let y = C[3].plus_alike(y.times(by_t));
    let y = C[2].plus_alike(y.times(by_t));
    let y = C[1].plus_alike(y.times(by_t));
    let y = C[0].plus_alike(y.times(by_t));
    let e = a.times(a.factor()).times_power(-1);
    let tail = (-e).exp()?.times(y.times(by_t).factor());
    // The tail is at most a half.
    let cdf = if x.sign == 0 { Parts::ONE.plus_small(-tail) } else { tail };
    Some(cdf.times(x).float())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[track_caller]
    fn check(what: &str, x: f32, want: f32, got: f32) {
        let same = want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
        assert!(same, "{what} of {x:e}: {got:e}, not {want:e}");
    }

    /// Every 449th float: both signs, all exponents; and all floats next to the ends of the usual ones.
    fn floats() -> impl Iterator<Item = f32> {
        let ends = [2.0_f32.powi(-60), 2.0_f32.powi(-28), 0.3, 8.0, 87.0, 87.3, 88.722_83];
        let near = ends
            .into_iter()
            .flat_map(|end| (end.to_bits() - 2000..end.to_bits() + 2000).flat_map(|x| [x, x | 1 << 31]));
        (0..=u32::MAX).step_by(449).chain(near).map(f32::from_bits)
    }

    #[test]
    fn exponentials_have_the_bits_of_the_definition() {
        for x in floats() {
            check("exp", x, scalar::exp(x), exp(x));
        }
        let mut scores: [f32; 32] = core::array::from_fn(|i| i as f32 * -0.37);
        let mut want = scores;
        let sums = [scalar::exp_block(&mut want, 0.25), exp_block(&mut scores, 0.25)];
        assert_eq!((want, sums[0].to_bits()), (scores, sums[1].to_bits()));
    }

    #[test]
    fn gelu_has_the_bits_of_the_definition() {
        for x in floats() {
            let [mut want, mut got] = [[x]; 2];
            scalar::gelu_erf(&mut want);
            gelu_erf(&mut got);
            check("GELU", x, want[0], got[0]);
        }
    }
}
