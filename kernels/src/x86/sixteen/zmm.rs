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

    /// Upper eight floats.
    #[inline(always)]
    fn upper(self, a: __m512) -> __m256 {
        // SAFETY: the unit exists. (The float form would be AVX-512 DQ.)
        unsafe { _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a))) }
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
    fn negative(self, a: __m512) -> __m512 {
        // SAFETY: the unit exists. (The float form would be AVX-512 DQ.)
        unsafe { self.of_bits(_mm512_xor_si512(self.bits(a), self.splat_integer(i32::MIN))) }
    }

    #[inline(always)]
    fn select(self, m: __mmask16, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_mask_blend_ps(m, no, yes) }
    }

    #[inline(always)]
    fn drop(self, m: __mmask16, a: __m512) -> __m512 {
        self.keep(!m, a)
    }

    #[inline(always)]
    fn sum_halves(self, a: __m512) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_add_ps(_mm512_castps512_ps256(a), self.upper(a)) }
    }

    #[inline(always)]
    fn max_halves(self, a: __m512) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_ps(_mm512_castps512_ps256(a), self.upper(a)) }
    }

    #[inline(always)]
    fn max_integer_halves(self, a: __m512i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a)) }
    }

    #[inline(always)]
    fn add_products(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
    }

    intrinsics! {
        splat(x: f32) -> __m512 = _mm512_set1_ps;
        splat_integer(x: i32) -> __m512i = _mm512_set1_epi32;
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps;
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps;
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps;
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps;
        fused(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps;
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps;
        magnitude(a: __m512) -> __m512 = _mm512_abs_ps;
        less(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>;
        keep(m: __mmask16, a: __m512) -> __m512 = _mm512_maskz_mov_ps;
        add_integers(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32;
        sub_integers(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32;
        max_integers(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32;
        to_exponent(a: __m512i) -> __m512i = _mm512_slli_epi32::<23>;
        half(a: __m512i) -> __m512i = _mm512_srai_epi32::<1>;
        words(a: __m512i) -> __m256i = _mm512_cvtepi32_epi16;
        to_floats(a: __m512i) -> __m512 = _mm512_cvtepi32_ps;
        rounded(a: __m512) -> __m512i = _mm512_cvtps_epi32;
        bits(a: __m512) -> __m512i = _mm512_castps_si512;
        of_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps;
    }
}
