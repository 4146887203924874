//! Floats whose operators are made of integers.

use core::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use super::arithmetic::divide;
use super::{add, multiply};
use crate::scalar::{CHAINS, LANES};

/// Float of single precision: `Float(x) * Float(y)` has the bits of `x * y`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Float(pub f32);

impl Float {
    pub const ONE: Self = Self(1.0);
}

impl Add for Float {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(add(self.0, other.0))
    }
}

impl Sub for Float {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(add(self.0, -other.0))
    }
}

impl Mul for Float {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(multiply(self.0, other.0))
    }
}

impl Div for Float {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(divide(self.0, other.0))
    }
}

impl Neg for Float {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Float {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl MulAssign for Float {
    #[inline(always)]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

/// Computes [`crate::scalar::strided_sum`].
#[inline]
pub(crate) fn strided_sum(terms: impl Iterator<Item = Float>) -> Float {
    let mut lanes = [Float(0.0); LANES];
    for (i, term) in terms.enumerate() {
        lanes[i % LANES] += term;
    }
    let (lower, upper) = lanes.split_at(LANES / 2);
    let mut half = [Float(0.0); CHAINS];
    half.iter_mut().zip(lower.iter().zip(upper)).for_each(|(half, (&lower, &upper))| *half = lower + upper);
    tree_of_chains(half)
}

/// Computes [`crate::scalar::tree_of_chains`].
#[inline]
pub(crate) fn tree_of_chains([a, b, c, d, e, f, g, h]: [Float; CHAINS]) -> Float {
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    (a + c) + (b + d)
}
