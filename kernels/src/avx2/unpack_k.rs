//! Super-blocks of 256 weights, eight rows at a time: four integer scales of a row share a lane, too.

use core::arch::x86_64::*;

use super::group::{Group, Quants, ROWS, halves, load, transpose, transpose_32, transpose_registers};
use super::quantized::Unpack;
use crate::block::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K};

impl Unpack for BlockQ2_K {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let (d, m) = (halves(rows.map(|row| row.d.0)), negative(halves(rows.map(|row| row.dmin.0))));
        let both = transpose(rows.map(|row| &row.scales));
        for n in 0..2 {
            let mut bits = transpose_32(rows.map(|row| chunk(&row.qs, n)));
            for k in 0..4 {
                let g = 4 * n + k;
                let scales = _mm256_and_si256(both[g / 2], _mm256_set1_epi8(15));
                let minimums = _mm256_and_si256(_mm256_srli_epi16::<4>(both[g / 2]), _mm256_set1_epi8(15));
                let q = bits.map(|bits| _mm256_and_si256(bits, _mm256_set1_epi8(3)));
                let sc = half_scales(scales, g);
                sink(&Group { q, d, sc, m, mn: both_halves::<8>(minimums, g), offset: _mm256_setzero_si256() });
                bits = bits.map(|bits| _mm256_srli_epi16::<2>(bits));
            }
        }
    }
}

impl Unpack for BlockQ3_K {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = true;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let (scales, d) = q3_scales(rows);
        let mut high = transpose_32(rows.map(|row| &row.hmask));
        for n in 0..2 {
            let mut low = transpose_32(rows.map(|row| chunk(&row.qs, n)));
            for k in 0..4 {
                let g = 4 * n + k;
                let q = core::array::from_fn(|i| {
                    let third = _mm256_and_si256(_mm256_slli_epi16::<2>(high[i]), _mm256_set1_epi8(4));
                    _mm256_or_si256(_mm256_and_si256(low[i], _mm256_set1_epi8(3)), third)
                });
                // Quants are too large by 4.
                let offset = both_halves::<6>(scales[g / 2], g);
                sink(&Group { sc: half_scales(scales[g / 2], g), offset, ..Group::plain(q, d) });
                low = low.map(|bits| _mm256_srli_epi16::<2>(bits));
                high = high.map(|bits| _mm256_srli_epi16::<1>(bits));
            }
        }
    }
}

/// `sc - 32` of the 16 columns `4 i..4 i + 4`, a byte each, and the scales `d`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q3_scales(rows: [&BlockQ3_K; ROWS]) -> ([__m256i; 4], __m256) {
    let bytes = rows.map(|row| {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&row.scales);
        load(&bytes)
    });
    let [a, b, c, _] = transpose_registers(bytes);
    let scales = [
        (a, c),
        (b, _mm256_srli_epi16::<2>(c)),
        (_mm256_srli_epi16::<4>(a), _mm256_srli_epi16::<4>(c)),
        (_mm256_srli_epi16::<4>(b), _mm256_srli_epi16::<6>(c)),
    ];
    let scales = scales.map(|(low, high)| {
        let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
        let high = _mm256_and_si256(high, _mm256_set1_epi8(3));
        _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16::<4>(high)), _mm256_set1_epi8(32))
    });
    (scales, halves(rows.map(|row| row.d.0)))
}

impl Unpack for BlockQ4_K {
    const QUANTS: Quants = Quants::U4;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let header = Header::new(rows.map(|row| [row.d.0, row.dmin.0]), rows.map(|row| &row.scales));
        for pair in 0..4 {
            let both = transpose_32(rows.map(|row| chunk(&row.qs, pair)));
            for odd in 0..2 {
                let q = both.map(|both| nibble(both, odd));
                sink(&header.group(2 * pair + odd, q));
            }
        }
    }
}

impl Unpack for BlockQ5_K {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let header = Header::new(rows.map(|row| [row.d.0, row.dmin.0]), rows.map(|row| &row.scales));
        let mut high = transpose_32(rows.map(|row| &row.qh));
        for pair in 0..4 {
            let both = transpose_32(rows.map(|row| chunk(&row.qs, pair)));
            for odd in 0..2 {
                let q = core::array::from_fn(|i| {
                    let fifth = _mm256_and_si256(_mm256_slli_epi16::<4>(high[i]), _mm256_set1_epi8(16));
                    _mm256_or_si256(nibble(both[i], odd), fifth)
                });
                sink(&header.group(2 * pair + odd, q));
                high = high.map(|bits| _mm256_srli_epi16::<1>(bits));
            }
        }
    }
}

/// What Q4_K and Q5_K say about their scales. Bytes of a lane: four groups of a row.
struct Header {
    d: __m256,
    m: __m256,
    scales: [__m256i; 2],
    minimums: [__m256i; 2],
}

impl Header {
    /// From `d`, `dmin` and the packed scales of eight rows; see [`crate::block::scale_and_minimum`].
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn new(d: [[[u8; 2]; 2]; ROWS], scales: [&[u8; 12]; ROWS]) -> Self {
        let bytes = scales.map(|scales| {
            let mut bytes = [0; 16];
            bytes[..12].copy_from_slice(scales);
            load(&bytes)
        });
        let [sc, mn, rest, _] = transpose_registers(bytes);
        let six = |bits| _mm256_and_si256(bits, _mm256_set1_epi8(63));
        let last = |low, high| {
            let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
            // The highest two bits, moved to bits 4 and 5.
            _mm256_or_si256(low, _mm256_and_si256(_mm256_srli_epi16::<2>(high), _mm256_set1_epi8(0x30)))
        };
        Self {
            d: halves(d.map(|[d, _]| d)),
            m: negative(halves(d.map(|[_, dmin]| dmin))),
            scales: [six(sc), last(rest, sc)],
            minimums: [six(mn), last(_mm256_srli_epi16::<4>(rest), mn)],
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn group(&self, g: usize, q: [__m256i; 8]) -> Group {
        let twice = select(g % 4, g % 4, true);
        let sc = _mm256_shuffle_epi8(self.scales[g / 4], twice);
        let mn = _mm256_shuffle_epi8(self.minimums[g / 4], twice);
        Group { q, d: self.d, sc: [sc; 2], m: self.m, mn, offset: _mm256_setzero_si256() }
    }
}

impl Unpack for BlockQ6_K {
    const QUANTS: Quants = Quants::U6;
    const OFFSET: bool = true;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let d = halves(rows.map(|row| row.d.0));
        let scales = transpose(rows.map(|row| row.scales.map(|sc| sc as u8)).each_ref());
        for n in 0..2 {
            let low = [0, 1].map(|k| transpose_32(rows.map(|row| chunk(&row.ql, 2 * n + k))));
            let mut high = transpose_32(rows.map(|row| chunk(&row.qh, n)));
            for k in 0..4 {
                let g = 4 * n + k;
                let q = core::array::from_fn(|i| {
                    let upper = _mm256_and_si256(_mm256_slli_epi16::<4>(high[i]), _mm256_set1_epi8(0x30));
                    _mm256_or_si256(nibble(low[k % 2][i], k / 2), upper)
                });
                // Quants are too large by 32.
                let offset = both_halves::<3>(scales[g / 2], g);
                sink(&Group { sc: half_scales(scales[g / 2], g), offset, ..Group::plain(q, d) });
                high = high.map(|bits| _mm256_srli_epi16::<2>(bits));
            }
        }
    }
}

/// The low or the high half of each byte.
#[target_feature(enable = "avx2")]
#[inline]
fn nibble(both: __m256i, high: usize) -> __m256i {
    let bits = if high == 0 { both } else { _mm256_srli_epi16::<4>(both) };
    _mm256_and_si256(bits, _mm256_set1_epi8(15))
}

#[target_feature(enable = "avx2")]
#[inline]
fn negative(x: __m256) -> __m256 {
    _mm256_xor_ps(x, _mm256_set1_ps(-0.0))
}

/// Bytes `32 n..32 n + 32`.
#[inline]
fn chunk<const N: usize>(bytes: &[u8; N], n: usize) -> &[u8; 32] {
    &bytes.as_chunks().0[n]
}

/// For [`_mm256_shuffle_epi8`]: bytes `low` and `high` of each 32-bit lane as its two 16-bit halves: in their lower bytes
/// (`unsigned`), or in their upper ones.
#[target_feature(enable = "avx2")]
#[inline]
fn select(low: usize, high: usize, unsigned: bool) -> __m256i {
    let lane = |first: usize| {
        let [low, high] = [low + first, high + first].map(|byte| byte as u32);
        let pair = if unsigned { 0x8000_8000 | low | high << 16 } else { 0x0080_0080 | low << 8 | high << 24 };
        pair as i32
    };
    let [a, b, c, d] = [0, 4, 8, 12].map(lane);
    _mm256_setr_epi32(a, b, c, d, a, b, c, d)
}

/// Signed scales of the two halves of group g, a pair of i16 each: bytes `2 (g % 2)` and the next of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn half_scales(scales: __m256i, g: usize) -> [__m256i; 2] {
    let byte = 2 * (g % 2);
    [byte, byte + 1].map(|byte| {
        let upper = _mm256_shuffle_epi8(scales, select(byte, byte, false));
        _mm256_srai_epi16::<8>(upper)
    })
}

/// The same two scales as one pair, times `2^(8 - SHIFT)`.
#[target_feature(enable = "avx2")]
#[inline]
fn both_halves<const SHIFT: i32>(scales: __m256i, g: usize) -> __m256i {
    let byte = 2 * (g % 2);
    _mm256_srai_epi16::<SHIFT>(_mm256_shuffle_epi8(scales, select(byte, byte + 1, false)))
}
