//! Quants of stored keys and values: one in a byte, or two.

use core::arch::x86_64::*;

use super::floats::Element;
use crate::QK;

/// What a stored row of quants consists of.
pub(super) trait Quant: Copy {
    /// Columns of each.
    const COLUMNS: usize;
    /// What [`products`](Self::products) adds to each quant.
    const OFFSET: i32;

    /// Products of columns `32 g..32 g + 32` of a row, `OFFSET` added to each, with numbers in ±127: pairs of them as 16-bit sums.
    /// Past the end of the row the numbers are zeros.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i;

    /// Eight columns as floats.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn widen_eight(eight: &[Self]) -> __m256;

    /// Column `c` of a row.
    fn column(row: &[Self], c: usize) -> f32;
}

/// A quant of 8 bits.
impl Quant for i8 {
    const COLUMNS: usize = 1;
    const OFFSET: i32 = 0;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i {
        let key = load(&group(&row[g * QK..], 0));
        // Products of magnitudes (up to 128) with numbers of that sign (±127): pairs fit 16 bits.
        _mm256_maddubs_epi16(_mm256_abs_epi8(key), _mm256_sign_epi8(x, key))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn widen_eight(eight: &[Self]) -> __m256 {
        // SAFETY: this function has the features.
        unsafe { <Self as Element>::widen(&group(eight, 0)) }
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> f32 {
        row[c].into()
    }
}

/// Two quants of 4 bits, eight added to each.
impl Quant for u8 {
    const COLUMNS: usize = 2;
    const OFFSET: i32 = 8;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn products(row: &[Self], g: usize, x: __m256i) -> __m256i {
        let bytes: [u8; QK / 2] = group(&row[g * QK / 2..], 0);
        // SAFETY: 16 readable bytes; `loadu` needs no alignment.
        let words = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
        // The high half moves to the next byte. Pairs are at most 2 · 15 · 127.
        let nibbles = _mm256_or_si256(words, _mm256_slli_epi16::<4>(words));
        _mm256_maddubs_epi16(_mm256_and_si256(nibbles, _mm256_set1_epi8(15)), x)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn widen_eight(eight: &[Self]) -> __m256 {
        // Eight less, as a number of 4 bits with a sign: the uppermost bit turned.
        let quants = u32::from_le_bytes(group(eight, 0)) ^ 0x8888_8888;
        let shifts = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
        let tops = _mm256_sllv_epi32(_mm256_set1_epi32(quants as i32), shifts);
        _mm256_cvtepi32_ps(_mm256_srai_epi32::<28>(tops))
    }

    #[inline]
    fn column(row: &[Self], c: usize) -> f32 {
        ((row[c / 2] >> (c % 2 * 4) & 15) as i8 - 8).into()
    }
}

/// The first `N`; `fill` behind them if there are fewer.
#[inline(always)]
fn group<T: Copy, const N: usize>(row: &[T], fill: T) -> [T; N] {
    row.first_chunk().copied().unwrap_or_else(|| {
        let mut all = [fill; N];
        all[..row.len()].copy_from_slice(row);
        all
    })
}

/// 32 columns.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn load(group: &[i8; QK]) -> __m256i {
    // SAFETY: 32 readable bytes; `loadu` needs no alignment.
    unsafe { _mm256_loadu_si256(group.as_ptr().cast()) }
}

/// 16 columns, two in a byte, as 16-bit integers.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn unpack_sixteen(pairs: &[u8; 8]) -> __m256i {
    // SAFETY: 8 readable bytes.
    let words = _mm_cvtepu8_epi16(unsafe { _mm_loadl_epi64(pairs.as_ptr().cast()) });
    let nibbles = _mm_and_si128(_mm_or_si128(words, _mm_slli_epi16::<4>(words)), _mm_set1_epi8(15));
    _mm256_cvtepi8_epi16(_mm_sub_epi8(nibbles, _mm_set1_epi8(8)))
}
