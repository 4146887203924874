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

/// Two registers of floats.
type F = [__m256; 2];
/// Two registers of integers.
type I = [__m256i; 2];

/// Methods of [`Sixteen`] that are an instruction for each of two registers.
macro_rules! pairs {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $intrinsic:path;)*) => { $(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` exists, so the processor has the instruction.
            unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
        }
    )* };
}

impl Sixteen for Ymm {
    type F = F;
    type I = I;
    type M = F;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> F {
        // SAFETY: sixteen readable floats, as promised; the unit exists.
        unsafe { [_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(8))] }
    }

    #[inline(always)]
    unsafe fn store(self, x: F, to: *mut f32) {
        // SAFETY: sixteen writable floats, as promised; the unit exists.
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        // SAFETY: the unit exists.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn splat_integer(self, x: i32) -> I {
        // SAFETY: the unit exists.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }

    #[inline(always)]
    fn negative(self, a: F) -> F {
        self.xor(self.splat(-0.0), a)
    }

    #[inline(always)]
    fn magnitude(self, a: F) -> F {
        self.drop(self.splat(-0.0), a)
    }

    #[inline(always)]
    fn select(self, m: F, yes: F, no: F) -> F {
        self.blend(no, yes, m)
    }

    #[inline(always)]
    fn sum_halves(self, a: F) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_add_ps(a[0], a[1]) }
    }

    #[inline(always)]
    fn max_halves(self, a: F) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_ps(a[0], a[1]) }
    }

    #[inline(always)]
    fn max_integer_halves(self, a: I) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_epi32(a[0], a[1]) }
    }

    #[inline(always)]
    fn add_products(self, sum: I, a: I, b: I) -> I {
        self.add_integers(sum, self.products(a, b))
    }

    #[inline(always)]
    fn words(self, a: I) -> __m256i {
        // Packing alternates 128 bits of both; the permutation puts them in order.
        // SAFETY: the unit exists.
        unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a[0], a[1])) }
    }

    pairs! {
        add(a: F, b: F) -> F = _mm256_add_ps;
        sub(a: F, b: F) -> F = _mm256_sub_ps;
        mul(a: F, b: F) -> F = _mm256_mul_ps;
        div(a: F, b: F) -> F = _mm256_div_ps;
        fused(a: F, b: F, c: F) -> F = _mm256_fmadd_ps;
        max(a: F, b: F) -> F = _mm256_max_ps;
        less(a: F, b: F) -> F = _mm256_cmp_ps::<_CMP_LT_OQ>;
        keep(m: F, a: F) -> F = _mm256_and_ps;
        drop(m: F, a: F) -> F = _mm256_andnot_ps;
        add_integers(a: I, b: I) -> I = _mm256_add_epi32;
        sub_integers(a: I, b: I) -> I = _mm256_sub_epi32;
        max_integers(a: I, b: I) -> I = _mm256_max_epi32;
        to_exponent(a: I) -> I = _mm256_slli_epi32::<23>;
        half(a: I) -> I = _mm256_srai_epi32::<1>;
        to_floats(a: I) -> F = _mm256_cvtepi32_ps;
        rounded(a: F) -> I = _mm256_cvtps_epi32;
        bits(a: F) -> I = _mm256_castps_si256;
        of_bits(a: I) -> F = _mm256_castsi256_ps;
    }
}

impl Ymm {
    pairs! {
        blend(no: F, yes: F, m: F) -> F = _mm256_blendv_ps;
        products(a: I, b: I) -> I = _mm256_madd_epi16;
        xor(a: F, b: F) -> F = _mm256_xor_ps;
    }
}
