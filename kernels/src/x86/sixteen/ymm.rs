//! Registers of 256 bits, in pairs: AVX2, FMA and F16C.

use core::arch::x86_64::*;

use super::Sixteen;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(in crate::x86) struct Ymm(());

impl Ymm {
    /// Makes the unit, in a function that is compiled for it.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(in crate::x86) fn new() -> Self {
        Self(())
    }
}

/// Applies a function to the first and to the second register of pairs.
macro_rules! each {
    ($function:path, $($pair:ident),+) => {
        [$function($($pair[0]),+), $function($($pair[1]),+)]
    };
}

impl Sixteen for Ymm {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type M = [__m256; 2];
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> [__m256; 2] {
        // SAFETY: sixteen readable floats, as promised; the unit exists.
        unsafe { [_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(8))] }
    }

    #[inline(always)]
    unsafe fn store(self, x: [__m256; 2], to: *mut f32) {
        // SAFETY: sixteen writable floats, as promised; the unit exists.
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn splat_integer(self, x: i32) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_add_ps, a, b) }
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_sub_ps, a, b) }
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_mul_ps, a, b) }
    }

    #[inline(always)]
    fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_div_ps, a, b) }
    }

    #[inline(always)]
    fn fused(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_fmadd_ps, a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_max_ps, a, b) }
    }

    #[inline(always)]
    fn negative(self, a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe {
            let sign = self.splat(-0.0);
            each!(_mm256_xor_ps, a, sign)
        }
    }

    #[inline(always)]
    fn magnitude(self, a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe {
            let sign = self.splat(-0.0);
            each!(_mm256_andnot_ps, sign, a)
        }
    }

    #[inline(always)]
    fn less(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_cmp_ps::<_CMP_LT_OQ>, a, b) }
    }

    #[inline(always)]
    fn select(self, m: [__m256; 2], yes: [__m256; 2], no: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_blendv_ps, no, yes, m) }
    }

    #[inline(always)]
    fn keep(self, m: [__m256; 2], a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_and_ps, m, a) }
    }

    #[inline(always)]
    fn drop(self, m: [__m256; 2], a: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_andnot_ps, m, a) }
    }

    #[inline(always)]
    fn sum_halves(self, a: [__m256; 2]) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_add_ps(a[0], a[1]) }
    }

    #[inline(always)]
    fn max_halves(self, a: [__m256; 2]) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_ps(a[0], a[1]) }
    }

    #[inline(always)]
    fn max_integer_halves(self, a: [__m256i; 2]) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_epi32(a[0], a[1]) }
    }

    #[inline(always)]
    fn add_integers(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_add_epi32, a, b) }
    }

    #[inline(always)]
    fn sub_integers(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_sub_epi32, a, b) }
    }

    #[inline(always)]
    fn max_integers(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_max_epi32, a, b) }
    }

    #[inline(always)]
    fn add_products(self, sum: [__m256i; 2], a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe {
            let products = each!(_mm256_madd_epi16, a, b);
            each!(_mm256_add_epi32, sum, products)
        }
    }

    #[inline(always)]
    fn to_exponent(self, a: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_slli_epi32::<23>, a) }
    }

    #[inline(always)]
    fn half(self, a: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_srai_epi32::<1>, a) }
    }

    #[inline(always)]
    fn words(self, a: [__m256i; 2]) -> __m256i {
        // SAFETY: the unit exists.
        unsafe {
            // Packing alternates 128 bits of both; the permutation puts them in order.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a[0], a[1]))
        }
    }

    #[inline(always)]
    fn to_floats(self, a: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_cvtepi32_ps, a) }
    }

    #[inline(always)]
    fn rounded(self, a: [__m256; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_cvtps_epi32, a) }
    }

    #[inline(always)]
    fn bits(self, a: [__m256; 2]) -> [__m256i; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_castps_si256, a) }
    }

    #[inline(always)]
    fn of_bits(self, a: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: the unit exists.
        unsafe { each!(_mm256_castsi256_ps, a) }
    }
}
