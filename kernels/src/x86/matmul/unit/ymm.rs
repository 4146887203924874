//! Registers of 256 bits: AVX2, with or without AVX-VNNI.

use core::arch::x86_64::*;

use super::Unit;

/// AVX2 and F16C; with `FOURS` also AVX-VNNI.
#[derive(Clone, Copy)]
pub(in crate::x86::matmul) struct Ymm<const FOURS: bool>(());

impl<const FOURS: bool> Ymm<FOURS> {
    /// Makes the unit.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C, and AVX-VNNI if `FOURS`.
    #[inline(always)]
    pub(in crate::x86::matmul) unsafe fn new() -> Self {
        Self(())
    }
}

impl<const FOURS: bool> Unit for Ymm<FOURS> {
    const N: usize = 8;
    const FOURS: bool = FOURS;
    type I = __m256i;
    type F = __m256;

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> __m256i {
        // SAFETY: 32 readable bytes, as promised; the unit exists.
        unsafe { _mm256_loadu_si256(bytes.cast()) }
    }

    #[inline(always)]
    unsafe fn load_halves(self, bytes: *const u8) -> __m256 {
        // SAFETY: 16 readable bytes, as promised; the unit exists.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn load_integers(self, bytes: *const u8) -> __m256i {
        // SAFETY: 16 readable bytes, as promised; the unit exists.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: &[*const u8], at: usize) -> [__m256i; 4] {
        // SAFETY: 16 readable bytes of each row, as promised; the unit exists.
        unsafe {
            let mut v = [_mm256_setzero_si256(); 4];
            for r in 0..4 {
                let [low, high] =
                    [_mm_loadu_si128(rows[r].add(at).cast()), _mm_loadu_si128(rows[r + 4].add(at).cast())];
                v[r] = _mm256_set_m128i(high, low);
            }
            // Rows 0..4 are in the lower 128 bits, 4..8 in the upper: unpack two rows, then four.
            let [v0, v1, v2, v3] = v;
            let (a0, a1) = (_mm256_unpacklo_epi32(v0, v1), _mm256_unpackhi_epi32(v0, v1));
            let (b0, b1) = (_mm256_unpacklo_epi32(v2, v3), _mm256_unpackhi_epi32(v2, v3));
            [
                _mm256_unpacklo_epi64(a0, b0),
                _mm256_unpackhi_epi64(a0, b0),
                _mm256_unpacklo_epi64(a1, b1),
                _mm256_unpackhi_epi64(a1, b1),
            ]
        }
    }

    #[inline(always)]
    fn words(self, words: &[i32; 16]) -> __m256i {
        // SAFETY: 32 readable bytes; the unit exists.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; 16]) -> __m256 {
        // SAFETY: 16 readable bytes; the unit exists.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bits.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, x: __m256, out: &mut [f32]) {
        if let Some(eight) = out.first_chunk_mut::<8>() {
            // SAFETY: eight writable floats; the unit exists.
            return unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), x) };
        }
        let mut all = [0.0; 8];
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(all.as_mut_ptr(), x) };
        out.copy_from_slice(&all[..out.len()]);
    }

    #[inline(always)]
    fn load_floats(self, x: &[f32]) -> __m256 {
        let mut all = [0.0; 8];
        let eight = x.first_chunk().unwrap_or_else(|| {
            all[..x.len()].copy_from_slice(x);
            &all
        });
        // SAFETY: eight readable floats; the unit exists.
        unsafe { _mm256_loadu_ps(eight.as_ptr()) }
    }

    #[inline(always)]
    fn quads(self, [a, b, c, d]: [i32; 4]) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_setr_epi32(a, b, c, d, a, b, c, d) }
    }

    #[inline(always)]
    fn right_16<const N: i32>(self, x: __m256i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_srli_epi16::<N>(x) }
    }

    #[inline(always)]
    fn left_16<const N: i32>(self, x: __m256i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_slli_epi16::<N>(x) }
    }

    #[inline(always)]
    fn signed_right_16<const N: i32>(self, x: __m256i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_srai_epi16::<N>(x) }
    }

    #[inline(always)]
    fn upper(self, x: __m256i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_srai_epi32::<16>(x) }
    }

    #[inline(always)]
    fn if_set(self, x: __m256i, bit: __m256i, then: __m256i) -> __m256i {
        // SAFETY: the unit exists.
        unsafe { _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit), bit), then) }
    }

    #[inline(always)]
    fn dpbusd(self, acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
        debug_assert!(FOURS);
        // SAFETY: the unit exists, with AVX-VNNI if `FOURS`, which a caller has checked.
        unsafe { _mm256_dpbusd_avx_epi32(acc, a, b) }
    }

    #[inline(always)]
    fn dpwssd(self, acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
        debug_assert!(FOURS);
        // SAFETY: the unit exists, with AVX-VNNI if `FOURS`, which a caller has checked.
        unsafe { _mm256_dpwssd_avx_epi32(acc, a, b) }
    }

    #[inline(always)]
    fn negative(self, x: __m256) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_xor_ps(x, _mm256_set1_ps(-0.0)) }
    }

    intrinsics! {
        bytes(x: i8) -> __m256i = _mm256_set1_epi8;
        set(x: i32) -> __m256i = _mm256_set1_epi32;
        splat(x: f32) -> __m256 = _mm256_set1_ps;
        and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256;
        or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256;
        xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256;
        add_8(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi8;
        sub_8(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi8;
        add_16(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi16;
        add_32(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32;
        sub_32(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32;
        mul_32(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32;
        shuffle(x: __m256i, by: __m256i) -> __m256i = _mm256_shuffle_epi8;
        abs(x: __m256i) -> __m256i = _mm256_abs_epi8;
        with_sign(x: __m256i, sign: __m256i) -> __m256i = _mm256_sign_epi8;
        maddubs(a: __m256i, b: __m256i) -> __m256i = _mm256_maddubs_epi16;
        madd(a: __m256i, b: __m256i) -> __m256i = _mm256_madd_epi16;
        to_floats(x: __m256i) -> __m256 = _mm256_cvtepi32_ps;
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps;
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps;
    }
}
