//! Eight rows of int8, a 32-bit lane each, and their products with activations.

use core::arch::x86_64::*;

use crate::{BlockQ8, QK};

/// Rows that are worked on together.
pub(super) const ROWS: usize = 8;

/// `Σ_j q x` of signed quants.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn signed_products<const T: usize>(q: &[__m256i; 8], x: [&BlockQ8; T]) -> [__m256i; T] {
    let mut sums = [_mm256_setzero_si256(); T];
    for (k, &q) in q.iter().enumerate() {
        let magnitude = _mm256_abs_epi8(q);
        for t in 0..T {
            let signed = _mm256_sign_epi8(four_columns(x[t], k), q);
            let pairs = _mm256_maddubs_epi16(magnitude, signed);
            sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
    sums
}

/// Activations of columns `4 k..4 k + 4`, for every row.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn four_columns(x: &BlockQ8, k: usize) -> __m256i {
    let four = x.qs.as_chunks::<4>().0[k];
    _mm256_set1_epi32(i32::from_le_bytes(four.map(|q| q as u8)))
}

/// Signed quants of eight rows.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn signed(rows: [&[i8; QK]; ROWS]) -> [__m256i; 8] {
    // SAFETY: `[i8; 32]` and `[u8; 32]` have the same layout, and any bytes are a value of both.
    transpose_32(rows.map(|row| unsafe { &*core::ptr::from_ref(row).cast::<[u8; QK]>() }))
}

/// Thirty-two bytes of each of eight rows, as in [`transpose`].
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn transpose_32(rows: [&[u8; 32]; ROWS]) -> [__m256i; 8] {
    let low = transpose(rows.map(|row| row.first_chunk().expect("32 bytes")));
    let high = transpose(rows.map(|row| row.last_chunk().expect("32 bytes")));
    core::array::from_fn(|k| if k < 4 { low[k] } else { high[k - 4] })
}

/// Sixteen bytes of each of eight rows: bytes `4 r..4 r + 4` of register k are bytes `4 k..4 k + 4` of row r.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn transpose(rows: [&[u8; 16]; ROWS]) -> [__m256i; 4] {
    let rows = rows.map(|row| load(row));
    let [v0, v1, v2, v3] = [0, 1, 2, 3].map(|r| _mm256_set_m128i(rows[r + 4], rows[r]));
    // Two rows, then four, in each half.
    let (a0, a1) = (_mm256_unpacklo_epi32(v0, v1), _mm256_unpackhi_epi32(v0, v1));
    let (b0, b1) = (_mm256_unpacklo_epi32(v2, v3), _mm256_unpackhi_epi32(v2, v3));
    [
        _mm256_unpacklo_epi64(a0, b0),
        _mm256_unpackhi_epi64(a0, b0),
        _mm256_unpacklo_epi64(a1, b1),
        _mm256_unpackhi_epi64(a1, b1),
    ]
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; `loadu` needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Eight halves as singles.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn halves(bits: [[u8; 2]; ROWS]) -> __m256 {
    // Four to a general register, which is idle here: the vector units have enough to do.
    let four = |at: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|r| u64::from(u16::from_le_bytes(bits[at + r])));
        (a | b << 16 | c << 32 | d << 48) as i64
    };
    _mm256_cvtph_ps(_mm_set_epi64x(four(4), four(0)))
}
