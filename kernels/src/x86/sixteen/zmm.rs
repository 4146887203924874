//! Registers of 512 bits: AVX-512 F and BW.

use core::arch::x86_64::*;

use super::Sixteen;

/// AVX-512 F and BW, with AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(in crate::x86) struct Zmm(());

impl Zmm {
    /// Makes the unit, in a function that is compiled for it.
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
    #[inline]
    pub(in crate::x86) fn new() -> Self {
        Self(())
    }
}

impl Sixteen for Zmm {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m512 {
        // SAFETY: sixteen readable floats, as promised; the unit exists.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store(self, x: __m512, to: *mut f32) {
        // SAFETY: sixteen writable floats, as promised; the unit exists.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn splat_integer(self, x: i32) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_set1_epi32(x) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fused(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn negative(self, a: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { self.of_bits(_mm512_xor_si512(self.bits(a), self.splat_integer(i32::MIN))) }
    }

    #[inline(always)]
    fn magnitude(self, a: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the unit exists.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, m: __mmask16, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_mask_blend_ps(m, no, yes) }
    }

    #[inline(always)]
    fn keep(self, m: __mmask16, a: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_maskz_mov_ps(m, a) }
    }

    #[inline(always)]
    fn drop(self, m: __mmask16, a: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_maskz_mov_ps(!m, a) }
    }

    #[inline(always)]
    fn sum_halves(self, a: __m512) -> __m256 {
        // SAFETY: the unit exists.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            _mm256_add_ps(_mm512_castps512_ps256(a), upper)
        }
    }

    #[inline(always)]
    fn max_halves(self, a: __m512) -> __m256 {
        // SAFETY: the unit exists.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            _mm256_max_ps(_mm512_castps512_ps256(a), upper)
        }
    }

    #[inline(always)]
    fn max_integer_halves(self, a: __m512i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a)) }
    }

    #[inline(always)]
    fn add_integers(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_integers(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn max_integers(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_max_epi32(a, b) }
    }

    #[inline(always)]
    fn add_products(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn to_exponent(self, a: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_slli_epi32::<23>(a) }
    }

    #[inline(always)]
    fn half(self, a: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_srai_epi32::<1>(a) }
    }

    #[inline(always)]
    fn words(self, a: __m512i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm512_cvtepi32_epi16(a) }
    }

    #[inline(always)]
    fn to_floats(self, a: __m512i) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn rounded(self, a: __m512) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_cvtps_epi32(a) }
    }

    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_castps_si512(a) }
    }

    #[inline(always)]
    fn of_bits(self, a: __m512i) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_castsi512_ps(a) }
    }
}
