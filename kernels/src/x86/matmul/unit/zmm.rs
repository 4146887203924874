//! Registers of 512 bits: AVX-512 F and BW, with or without VNNI.

use core::arch::x86_64::*;

use super::Unit;

/// AVX-512 F and BW; with `FOURS` also VNNI.
#[derive(Clone, Copy)]
pub(in crate::x86::matmul) struct Zmm<const FOURS: bool>(());

impl<const FOURS: bool> Zmm<FOURS> {
    /// Makes the unit.
    ///
    /// # Safety
    /// The processor has AVX-512 F and BW, and VNNI if `FOURS`.
    #[inline(always)]
    pub(in crate::x86::matmul) unsafe fn new() -> Self {
        Self(())
    }
}

impl<const FOURS: bool> Unit for Zmm<FOURS> {
    const N: usize = 16;
    const FOURS: bool = FOURS;
    type I = __m512i;
    type F = __m512;

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> __m512i {
        // SAFETY: 64 readable bytes, as promised; the unit exists.
        unsafe { _mm512_loadu_si512(bytes.cast()) }
    }

    #[inline(always)]
    unsafe fn load_halves(self, bytes: *const u8) -> __m512 {
        // SAFETY: 32 readable bytes, as promised; the unit exists.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn load_integers(self, bytes: *const u8) -> __m512i {
        // SAFETY: 32 readable bytes, as promised; the unit exists.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: &[*const u8], at: usize) -> [__m512i; 4] {
        // SAFETY: 16 readable bytes of each row, as promised; the unit exists.
        unsafe {
            let mut v = [_mm512_setzero_si512(); 4];
            for r in 0..4 {
                let mut quarters = [_mm_setzero_si128(); 4];
                for i in 0..4 {
                    quarters[i] = _mm_loadu_si128(rows[r + 4 * i].add(at).cast());
                }
                let [a, b, c, d] = quarters;
                let (low, high) = (_mm256_set_m128i(b, a), _mm256_set_m128i(d, c));
                v[r] = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            }
            // Rows 4 i..4 i + 4 are in the i-th 128 bits: unpack two rows, then four.
            let [v0, v1, v2, v3] = v;
            let (a0, a1) = (_mm512_unpacklo_epi32(v0, v1), _mm512_unpackhi_epi32(v0, v1));
            let (b0, b1) = (_mm512_unpacklo_epi32(v2, v3), _mm512_unpackhi_epi32(v2, v3));
            [
                _mm512_unpacklo_epi64(a0, b0),
                _mm512_unpackhi_epi64(a0, b0),
                _mm512_unpacklo_epi64(a1, b1),
                _mm512_unpackhi_epi64(a1, b1),
            ]
        }
    }

    #[inline(always)]
    fn words(self, words: &[i32; 16]) -> __m512i {
        // SAFETY: 64 readable bytes; the unit exists.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; 16]) -> __m512 {
        // SAFETY: 32 readable bytes; the unit exists.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bits.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, x: __m512, out: &mut [f32]) {
        if let Some(sixteen) = out.first_chunk_mut::<16>() {
            // SAFETY: sixteen writable floats; the unit exists.
            return unsafe { _mm512_storeu_ps(sixteen.as_mut_ptr(), x) };
        }
        let mut all = [0.0; 16];
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(all.as_mut_ptr(), x) };
        out.copy_from_slice(&all[..out.len()]);
    }

    #[inline(always)]
    fn load_floats(self, x: &[f32]) -> __m512 {
        let mut all = [0.0; 16];
        let sixteen = x.first_chunk().unwrap_or_else(|| {
            all[..x.len()].copy_from_slice(x);
            &all
        });
        // SAFETY: sixteen readable floats; the unit exists.
        unsafe { _mm512_loadu_ps(sixteen.as_ptr()) }
    }

    #[inline(always)]
    fn quads(self, [a, b, c, d]: [i32; 4]) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_setr4_epi32(a, b, c, d) }
    }

    #[inline(always)]
    fn right_16<const N: i32>(self, x: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_srl_epi16(x, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    fn left_16<const N: i32>(self, x: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_sll_epi16(x, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    fn signed_right_16<const N: i32>(self, x: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_sra_epi16(x, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    fn upper(self, x: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_srai_epi32::<16>(x) }
    }

    #[inline(always)]
    fn if_set(self, x: __m512i, bit: __m512i, then: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(x, bit), then) }
    }

    #[inline(always)]
    fn with_sign(self, x: __m512i, sign: __m512i) -> __m512i {
        // SAFETY: the unit exists.
        unsafe { _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), x) }
    }

    #[inline(always)]
    fn dpbusd(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        debug_assert!(FOURS);
        // SAFETY: the unit exists, with VNNI if `FOURS`, which a caller has checked.
        unsafe { _mm512_dpbusd_epi32(acc, a, b) }
    }

    #[inline(always)]
    fn dpwssd(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        debug_assert!(FOURS);
        // SAFETY: the unit exists, with VNNI if `FOURS`, which a caller has checked.
        unsafe { _mm512_dpwssd_epi32(acc, a, b) }
    }

    #[inline(always)]
    fn negative(self, x: __m512) -> __m512 {
        // SAFETY: the unit exists. (The float form would be AVX-512 DQ.)
        unsafe { _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MIN))) }
    }

    intrinsics! {
        bytes(x: i8) -> __m512i = _mm512_set1_epi8;
        set(x: i32) -> __m512i = _mm512_set1_epi32;
        splat(x: f32) -> __m512 = _mm512_set1_ps;
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512;
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512;
        xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512;
        add_8(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi8;
        sub_8(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi8;
        add_16(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi16;
        add_32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32;
        sub_32(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32;
        mul_32(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32;
        shuffle(x: __m512i, by: __m512i) -> __m512i = _mm512_shuffle_epi8;
        abs(x: __m512i) -> __m512i = _mm512_abs_epi8;
        maddubs(a: __m512i, b: __m512i) -> __m512i = _mm512_maddubs_epi16;
        madd(a: __m512i, b: __m512i) -> __m512i = _mm512_madd_epi16;
        to_floats(x: __m512i) -> __m512 = _mm512_cvtepi32_ps;
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps;
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps;
    }
}
