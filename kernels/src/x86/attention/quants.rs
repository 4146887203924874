//! Quants of stored keys and values: one in a byte, or two.

use core::arch::x86_64::*;

use crate::QK;
use crate::kv::KvQuant;

/// Element of a stored row of quants.
pub(super) trait Quant: KvQuant {
    /// Products of columns `32 g..32 g + 32` of a row, `OFFSET` added to each column, with the numbers `x` in ±127: sums of
    /// pairs in 16 bits. Past the end of the row `x` has zeros.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i;

    /// Eight columns as floats.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    unsafe fn widen_eight(eight: &[Self]) -> __m256;

    /// 16 columns from `at` on, as 16-bit integers.
    ///
    /// # Safety
    /// The columns can be read; the processor has AVX2, FMA and F16C.
    unsafe fn sixteen(at: *const Self) -> __m256i;

    /// Quant of column `c` of a row.
    fn column(row: &[Self], c: usize) -> i32;
}

/// Quant of 8 bits.
impl Quant for i8 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i {
        let key = load(&group(&row[g * QK..], Self::ZERO));
        // Products of magnitudes (up to 128) with numbers that took the quants' signs (±127): pairs fit 16 bits.
        _mm256_maddubs_epi16(_mm256_abs_epi8(key), _mm256_sign_epi8(x, key))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen_eight(eight: &[Self]) -> __m256 {
        let eight: [i8; 8] = group(eight, Self::ZERO);
        // SAFETY: 8 readable bytes.
        let bytes = unsafe { _mm_loadl_epi64(eight.as_ptr().cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn sixteen(at: *const Self) -> __m256i {
        // SAFETY: 16 bytes, by the caller; `loadu` needs no alignment.
        _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> i32 {
        row[c].into()
    }
}

/// Two quants of 4 bits, eight added to each.
impl Quant for u8 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i {
        let bytes: [u8; QK / 2] = group(&row[g * QK / 2..], Self::ZERO);
        // SAFETY: 16 readable bytes; `loadu` needs no alignment.
        let words = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
        // The high half moves to the next byte. Pairs are at most 2 · 15 · 127.
        let nibbles = _mm256_or_si256(words, _mm256_slli_epi16::<4>(words));
        _mm256_maddubs_epi16(_mm256_and_si256(nibbles, _mm256_set1_epi8(15)), x)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen_eight(eight: &[Self]) -> __m256 {
        // Turning the uppermost of the 4 bits makes each quant a signed number, eight less.
        let quants = u32::from_le_bytes(group(eight, Self::ZERO)) ^ 0x8888_8888;
        let shifts = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
        let tops = _mm256_sllv_epi32(_mm256_set1_epi32(quants as i32), shifts);
        _mm256_cvtepi32_ps(_mm256_srai_epi32::<28>(tops))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn sixteen(at: *const Self) -> __m256i {
        // SAFETY: 8 bytes, by the caller; `loadl` needs no alignment.
        let words = _mm_cvtepu8_epi16(unsafe { _mm_loadl_epi64(at.cast()) });
        let nibbles = _mm_and_si128(_mm_or_si128(words, _mm_slli_epi16::<4>(words)), _mm_set1_epi8(15));
        _mm256_cvtepi8_epi16(_mm_sub_epi8(nibbles, _mm_set1_epi8(8)))
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> i32 {
        i32::from(row[c / 2] >> (c % 2 * 4) & 15) - Self::OFFSET
    }
}

/// First `N` elements of a row; if it has fewer, `fill` behind them.
#[inline(always)]
fn group<T: Copy, const N: usize>(row: &[T], fill: T) -> [T; N] {
    row.first_chunk().copied().unwrap_or_else(|| {
        let mut all = [fill; N];
        all[..row.len()].copy_from_slice(row);
        all
    })
}

/// Loads 32 columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load(group: &[i8; QK]) -> __m256i {
    // SAFETY: 32 readable bytes; `loadu` needs no alignment.
    unsafe { _mm256_loadu_si256(group.as_ptr().cast()) }
}

/// Reorders the numbers of eight rows, `G` groups each, row after row: register g gets the eight numbers of group g.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn by_group<const G: usize>(x: [__m256; G]) -> [__m256; G] {
    let mut groups = x;
    match (&x[..], &mut groups[..]) {
        (&[a, b], [even, odd]) => {
            let order = |x: __m256| {
                // Rows 0 1 4 5, 2 3 6 7.
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(x)))
            };
            *even = order(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            *odd = order(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
        }
        (&[a, b, c, d], groups) => {
            // First two groups of two rows each, of the first and of the last four rows; then the last two groups.
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab_2, cd_2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let lower = |x, y| _mm256_shuffle_ps::<0b01_00_01_00>(x, y);
            let upper = |x, y| _mm256_shuffle_ps::<0b11_10_11_10>(x, y);
            for (group, x) in
                groups.iter_mut().zip([lower(ab, cd), upper(ab, cd), lower(ab_2, cd_2), upper(ab_2, cd_2)])
            {
                // Rows 0 2 4 6, 1 3 5 7.
                *group = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            }
        }
        _ => const { assert!(G == 1 || G == 2 || G == 4) },
    }
    groups
}
