//! Thirty-two columns of eight rows, a 32-bit lane each row, and their products with activations.

use core::arch::x86_64::*;

use super::quantized::Unpack;
use crate::BlockQ8;

/// Rows that are worked on together.
pub(super) const ROWS: usize = 8;

/// How the products of a weight type fit 16 bits.
///
/// `maddubs` multiplies unsigned quants with the activations (±127) and adds them in pairs, to 16 bits.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Quants {
    /// Up to 15: eight such pairs fit 16 bits (8 · 2 · 15 · 127 = 30 480).
    U4,
    /// Up to 31: four (31 496). Also fewer bits with a scale for each 16 columns.
    U5,
    /// Up to 63: two (32 004).
    U6,
    /// Signed, also -128: one (32 512), with the weight's sign moved to the activation, which is why that may not be -128.
    I8,
}

/// Thirty-two columns of eight rows, unpacked.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// Bytes `4 r..4 r + 4` of register k: columns `4 k..4 k + 4` of row r.
    pub(super) q: [__m256i; 8],
    /// Scale of each row.
    pub(super) d: __m256,
    /// Integer scale of the first and the last 16 columns: the same i16 twice for each row.
    pub(super) sc: [__m256i; 2],
    /// What the unsigned quants are too large by, times `sc`: a pair of i16 for each row, one for each 16 columns.
    pub(super) offset: __m256i,
    /// Scale of the minimums, as it is added.
    pub(super) m: __m256,
    /// Integer minimums: a pair of i16 for each row, one for each 16 columns.
    pub(super) mn: __m256i,
}

impl Group {
    /// A group without integer scales, offset or minimum.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    pub(super) fn plain(q: [__m256i; 8], d: __m256) -> Self {
        let one = _mm256_set1_epi16(1);
        Self { q, d, sc: [one; 2], offset: _mm256_setzero_si256(), m: _mm256_setzero_ps(), mn: one }
    }
}

/// Adds the products of a group with the same columns of `T` tokens: the lanes of `acc[t]` are the rows.
///
/// `acc += (d · d_x) · (Σ_h sc_h Σ_j q x - Σ_h offset_h Σ_j x)`, then, with a minimum, `acc += (m · d_x) · Σ_h mn_h Σ_j x`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn accumulate<B: Unpack, const T: usize>(group: &Group, x: [&BlockQ8; T], acc: &mut [__m256; T]) {
    let sums = match B::QUANTS {
        Quants::U4 => scaled_products::<T, 8>(group, x),
        Quants::U5 => scaled_products::<T, 4>(group, x),
        Quants::U6 => scaled_products::<T, 2>(group, x),
        Quants::I8 => signed_products(&group.q, x),
    };
    for t in 0..T {
        let d_x = _mm256_set1_ps(x[t].d);
        let x_sums = _mm256_set1_epi32(i32::from(x[t].sums[0]) & 0xffff | i32::from(x[t].sums[1]) << 16);
        let mut sum = sums[t];
        if B::OFFSET {
            sum = _mm256_sub_epi32(sum, _mm256_madd_epi16(group.offset, x_sums));
        }
        acc[t] = add_scaled(acc[t], group.d, d_x, sum);
        if B::MIN {
            acc[t] = add_scaled(acc[t], group.m, d_x, _mm256_madd_epi16(group.mn, x_sums));
        }
    }
}

/// `acc + (d · d_x) · sum`
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn add_scaled(acc: __m256, d: __m256, d_x: __m256, sum: __m256i) -> __m256 {
    _mm256_add_ps(acc, _mm256_mul_ps(_mm256_mul_ps(d, d_x), _mm256_cvtepi32_ps(sum)))
}

/// `Σ_h sc_h Σ_j q x` of unsigned quants; `RUN` of the eight registers are added in 16 bits.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn scaled_products<const T: usize, const RUN: usize>(group: &Group, x: [&BlockQ8; T]) -> [__m256i; T] {
    let mut sums = [_mm256_setzero_si256(); T];
    for run in 0..8 / RUN {
        let mut pairs = [_mm256_setzero_si256(); T];
        for k in run * RUN..run * RUN + RUN {
            for t in 0..T {
                let product = _mm256_maddubs_epi16(group.q[k], four_columns(x[t], k));
                pairs[t] = if k == run * RUN { product } else { _mm256_add_epi16(pairs[t], product) };
            }
        }
        let sc = group.sc[run * RUN / 4];
        for t in 0..T {
            let scaled = _mm256_madd_epi16(pairs[t], sc);
            sums[t] = if run == 0 { scaled } else { _mm256_add_epi32(sums[t], scaled) };
        }
    }
    sums
}

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

/// Sixteen bytes of each of eight rows: bytes `4 r..4 r + 4` of register k are bytes `4 k..4 k + 4` of row r.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn transpose(rows: [&[u8; 16]; ROWS]) -> [__m256i; 4] {
    transpose_registers(rows.map(|row| load(row)))
}

/// The same of rows in registers.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn transpose_registers(rows: [__m128i; ROWS]) -> [__m256i; 4] {
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

/// Thirty-two bytes of each of eight rows, as in [`transpose`].
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn transpose_32(rows: [&[u8; 32]; ROWS]) -> [__m256i; 8] {
    let low = transpose(rows.map(|row| row.first_chunk().expect("32 bytes")));
    let high = transpose(rows.map(|row| row.last_chunk().expect("32 bytes")));
    core::array::from_fn(|k| if k < 4 { low[k] } else { high[k - 4] })
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
