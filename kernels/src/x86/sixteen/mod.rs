//! Sixteen numbers at a time: in two registers of AVX2, or in one of AVX-512. Attention and exponentials are written once for both.
//!
//! - [`Ymm`]: registers of 256 bits
//! - [`Zmm`]: registers of 512 bits
//!
//! (The units of `matmul/unit/` hold as many rows of weights as a register has lanes, 8 or 16.)

mod ymm;
mod zmm;

use core::arch::x86_64::{__m256, __m256i};

pub(super) use ymm::Ymm;
pub(super) use zmm::Zmm;

/// Vector unit. A value exists only if the unit's instructions were detected, so its methods are safe to call.
///
/// Every method is inlined into a function that is compiled for the unit.
pub(super) trait Sixteen: Copy {
    /// Sixteen floats.
    type F: Copy;
    /// Sixteen integers of 32 bits, or pairs of 16 bits.
    type I: Copy;
    /// Sixteen choices.
    type M: Copy;
    /// True for 32 registers instead of 16: the products with all keys of a block, or the values of four queries, then stay in
    /// registers. Otherwise those with half of the keys do, or those of two queries.
    const WIDE: bool;

    /// Loads sixteen floats.
    ///
    /// # Safety
    /// Sixteen readable floats from `x` on, of any alignment.
    unsafe fn load(self, x: *const f32) -> Self::F;
    /// Stores sixteen floats.
    ///
    /// # Safety
    /// Sixteen writable floats from `to` on, of any alignment.
    unsafe fn store(self, x: Self::F, to: *mut f32);
    /// Sets each float to `x`.
    fn splat(self, x: f32) -> Self::F;
    /// Sets each integer to `x`.
    fn splat_integer(self, x: i32) -> Self::I;

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fused(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` if it is greater, else `b`, also for a NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` with the other sign.
    fn negative(self, a: Self::F) -> Self::F;
    /// `a` without its sign.
    fn magnitude(self, a: Self::F) -> Self::F;

    /// `a < b`; false for a NaN.
    fn less(self, a: Self::F, b: Self::F) -> Self::M;
    /// `yes` where `m`, else `no`.
    fn select(self, m: Self::M, yes: Self::F, no: Self::F) -> Self::F;
    /// `a` where `m`, else zero.
    fn keep(self, m: Self::M, a: Self::F) -> Self::F;
    /// Zero where `m`, else `a`.
    fn drop(self, m: Self::M, a: Self::F) -> Self::F;

    /// Adds the upper eight floats to the lower eight.
    fn sum_halves(self, a: Self::F) -> __m256;
    /// The greater of each of the lower eight floats and that above it.
    fn max_halves(self, a: Self::F) -> __m256;
    /// The greater, as integers, of each of the lower eight and that above it.
    fn max_integer_halves(self, a: Self::I) -> __m256i;

    /// `a + b`
    fn add_integers(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`
    fn sub_integers(self, a: Self::I, b: Self::I) -> Self::I;
    /// The greater of `a` and `b`.
    fn max_integers(self, a: Self::I, b: Self::I) -> Self::I;
    /// `sum` and the products of both 16-bit integers of `a` and `b`.
    fn add_products(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// `a << 23`
    fn to_exponent(self, a: Self::I) -> Self::I;
    /// `a >> 1`, with the sign.
    fn half(self, a: Self::I) -> Self::I;
    /// Low 16 bits of each integer, which fits them.
    fn words(self, a: Self::I) -> __m256i;
    /// Integers as floats.
    fn to_floats(self, a: Self::I) -> Self::F;
    /// Nearest integers, half to even.
    fn rounded(self, a: Self::F) -> Self::I;
    /// Bits of floats as integers.
    fn bits(self, a: Self::F) -> Self::I;
    /// Floats of these bits.
    fn of_bits(self, a: Self::I) -> Self::F;

    /// Loads up to sixteen floats; the others are zero.
    #[inline(always)]
    fn load_some(self, x: &[f32]) -> Self::F {
        let mut all = [0.0; 16];
        let sixteen = x.first_chunk().unwrap_or_else(|| {
            all[..x.len()].copy_from_slice(x);
            &all
        });
        // SAFETY: sixteen readable floats.
        unsafe { self.load(sixteen.as_ptr()) }
    }

    /// Stores the first floats, as many as `to` holds (up to sixteen).
    #[inline(always)]
    fn store_some(self, x: Self::F, to: &mut [f32]) {
        if let Some(sixteen) = to.first_chunk_mut::<16>() {
            // SAFETY: sixteen writable floats.
            return unsafe { self.store(x, sixteen.as_mut_ptr()) };
        }
        let mut all = [0.0; 16];
        // SAFETY: as above.
        unsafe { self.store(x, all.as_mut_ptr()) };
        to.copy_from_slice(&all[..to.len()]);
    }
}
