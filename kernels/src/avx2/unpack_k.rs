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
            let bits = transpose_32(rows.map(|row| chunk(&row.qs, n)));
            sink(&q2_group::<0>(bits, both[2 * n], d, m));
            sink(&q2_group::<1>(bits, both[2 * n], d, m));
            sink(&q2_group::<2>(bits, both[2 * n + 1], d, m));
            sink(&q2_group::<3>(bits, both[2 * n + 1], d, m));
        }
    }
}

/// Group `4 n + K`; `both`: scales and minimums of two groups.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q2_group<const K: i32>(bits: [__m256i; 8], both: __m256i, d: __m256, m: __m256) -> Group {
    let q = bits.map(|bits| masked(right(bits, 2 * K), 3));
    let mn = halves_of_group::<K>(masked(right(both, 4), 15), 0);
    Group { q, d, sc: scales_of_group::<K>(masked(both, 15)), m, mn, offset: _mm256_setzero_si256() }
}

impl Unpack for BlockQ3_K {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = true;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let scales = q3_scales(rows.map(|row| &row.scales));
        let d = halves(rows.map(|row| row.d.0));
        let mut high = transpose_32(rows.map(|row| &row.hmask));
        for n in 0..2 {
            let low = transpose_32(rows.map(|row| chunk(&row.qs, n)));
            sink(&q3_group::<0>(low, high, scales[2 * n], d));
            sink(&q3_group::<1>(low, high, scales[2 * n], d));
            sink(&q3_group::<2>(low, high, scales[2 * n + 1], d));
            sink(&q3_group::<3>(low, high, scales[2 * n + 1], d));
            high = high.map(|bits| right(bits, 4));
        }
    }
}

/// Group `4 n + K`; bit `K` of each byte of `high` is the quant's third.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q3_group<const K: i32>(low: [__m256i; 8], high: [__m256i; 8], scales: __m256i, d: __m256) -> Group {
    let mut q = low.map(|bits| masked(right(bits, 2 * K), 3));
    for (q, high) in q.iter_mut().zip(high) {
        *q = _mm256_or_si256(*q, masked(left(high, 2 - K), 4));
    }
    // Quants are too large by 4 = 2^2.
    Group { sc: scales_of_group::<K>(scales), offset: halves_of_group::<K>(scales, 2), ..Group::plain(q, d) }
}

/// `sc - 32` of all columns: the four bytes of a lane are those of 64 columns.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q3_scales(scales: [&[u8; 12]; ROWS]) -> [__m256i; 4] {
    let [a, b, c, _] = transpose_registers(scales.map(|scales| load_12(scales)));
    [(a, c), (b, right(c, 2)), (right(a, 4), right(c, 4)), (right(b, 4), right(c, 6))].map(|(low, high)| {
        let scale = _mm256_or_si256(masked(low, 15), left(masked(high, 3), 4));
        _mm256_sub_epi8(scale, _mm256_set1_epi8(32))
    })
}

impl Unpack for BlockQ4_K {
    const QUANTS: Quants = Quants::U4;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let header = Header::new(rows.map(|row| [row.d.0, row.dmin.0]), rows.map(|row| &row.scales));
        for half in 0..2 {
            let both = transpose_32(rows.map(|row| chunk(&row.qs, 2 * half)));
            sink(&header.group::<0>(half, both.map(|both| masked(both, 15))));
            sink(&header.group::<1>(half, both.map(|both| masked(right(both, 4), 15))));
            let both = transpose_32(rows.map(|row| chunk(&row.qs, 2 * half + 1)));
            sink(&header.group::<2>(half, both.map(|both| masked(both, 15))));
            sink(&header.group::<3>(half, both.map(|both| masked(right(both, 4), 15))));
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
        for half in 0..2 {
            let both = transpose_32(rows.map(|row| chunk(&row.qs, 2 * half)));
            sink(&header.group::<0>(half, q5_quants::<0>(both, high)));
            sink(&header.group::<1>(half, q5_quants::<1>(both, high)));
            let both = transpose_32(rows.map(|row| chunk(&row.qs, 2 * half + 1)));
            sink(&header.group::<2>(half, q5_quants::<2>(both, high)));
            sink(&header.group::<3>(half, q5_quants::<3>(both, high)));
            high = high.map(|bits| right(bits, 4));
        }
    }
}

/// Quants of group `4 n + K`; bit `K` of each byte of `high` is the quant's fifth.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q5_quants<const K: i32>(both: [__m256i; 8], high: [__m256i; 8]) -> [__m256i; 8] {
    let mut q = both.map(|both| masked(right(both, K % 2 * 4), 15));
    for (q, high) in q.iter_mut().zip(high) {
        *q = _mm256_or_si256(*q, masked(left(high, 4 - K), 16));
    }
    q
}

/// What Q4_K and Q5_K say about their scales. The four bytes of a lane: those of four groups, first or last.
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
        let [sc, mn, rest, _] = transpose_registers(scales.map(|scales| load_12(scales)));
        // Of the last four groups: low four bits, and the two highest bits of the first four's bytes.
        let last = |low, high| _mm256_or_si256(masked(low, 15), masked(right(high, 2), 0x30));
        Self {
            d: halves(d.map(|[d, _]| d)),
            m: negative(halves(d.map(|[_, dmin]| dmin))),
            scales: [masked(sc, 63), last(rest, sc)],
            minimums: [masked(mn, 63), last(right(rest, 4), mn)],
        }
    }

    /// Group `4 half + K`.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn group<const K: i32>(&self, half: usize, q: [__m256i; 8]) -> Group {
        let twice = select(K, K, true);
        let sc = _mm256_shuffle_epi8(self.scales[half], twice);
        let mn = _mm256_shuffle_epi8(self.minimums[half], twice);
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
            let high = transpose_32(rows.map(|row| chunk(&row.qh, n)));
            let low = transpose_32(rows.map(|row| chunk(&row.ql, 2 * n)));
            let next = transpose_32(rows.map(|row| chunk(&row.ql, 2 * n + 1)));
            sink(&q6_group::<0>(low, high, scales[2 * n], d));
            sink(&q6_group::<1>(next, high, scales[2 * n], d));
            sink(&q6_group::<2>(low, high, scales[2 * n + 1], d));
            sink(&q6_group::<3>(next, high, scales[2 * n + 1], d));
        }
    }
}

/// Group `4 n + K`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q6_group<const K: i32>(low: [__m256i; 8], high: [__m256i; 8], scales: __m256i, d: __m256) -> Group {
    let mut q = low.map(|both| masked(right(both, K / 2 * 4), 15));
    for (q, high) in q.iter_mut().zip(high) {
        *q = _mm256_or_si256(*q, masked(left(high, 4 - 2 * K), 0x30));
    }
    // Quants are too large by 32 = 2^5.
    Group { sc: scales_of_group::<K>(scales), offset: halves_of_group::<K>(scales, 5), ..Group::plain(q, d) }
}

/// The bits of `mask`, in each byte.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn masked(x: __m256i, mask: i8) -> __m256i {
    _mm256_and_si256(x, _mm256_set1_epi8(mask))
}

/// Words shifted right: a [`masked`] byte is the byte shifted, as long as the mask has no bit that came from its neighbour.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn right(x: __m256i, n: i32) -> __m256i {
    _mm256_srl_epi16(x, _mm_cvtsi32_si128(n))
}

/// Words shifted left, or right for a negative number.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn left(x: __m256i, n: i32) -> __m256i {
    if n < 0 { right(x, -n) } else { _mm256_sll_epi16(x, _mm_cvtsi32_si128(n)) }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn negative(x: __m256) -> __m256 {
    _mm256_xor_ps(x, _mm256_set1_ps(-0.0))
}

/// Bytes `32 n..32 n + 32`.
#[inline]
fn chunk<const N: usize>(bytes: &[u8; N], n: usize) -> &[u8; 32] {
    &bytes.as_chunks().0[n]
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn load_12(bytes: &[u8; 12]) -> __m128i {
    let mut all = [0; 16];
    all[..12].copy_from_slice(bytes);
    load(&all)
}

/// For [`_mm256_shuffle_epi8`]: bytes `low` and `high` of each 32-bit lane as its two 16-bit halves: in their lower bytes
/// (`unsigned`), or in their upper ones.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn select(low: i32, high: i32, unsigned: bool) -> __m256i {
    let lane = |first: i32| {
        let (low, high) = (low + first, high + first);
        let empty = if unsigned { 0x8000_8000_u32 } else { 0x0080_0080 } as i32;
        empty | (low | high << 16) << if unsigned { 0 } else { 8 }
    };
    let [a, b, c, d] = [0, 4, 8, 12].map(lane);
    _mm256_setr_epi32(a, b, c, d, a, b, c, d)
}

/// Signed scales of the two halves of group `K`, a pair of i16 each: bytes `2 (K % 2)` and the next of each lane.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn scales_of_group<const K: i32>(scales: __m256i) -> [__m256i; 2] {
    [K % 2 * 2, K % 2 * 2 + 1].map(|byte| {
        let upper = _mm256_shuffle_epi8(scales, select(byte, byte, false));
        _mm256_srai_epi16::<8>(upper)
    })
}

/// The same two numbers as one pair, times `2^log`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn halves_of_group<const K: i32>(scales: __m256i, log: i32) -> __m256i {
    let upper = _mm256_shuffle_epi8(scales, select(K % 2 * 2, K % 2 * 2 + 1, false));
    _mm256_sra_epi16(upper, _mm_cvtsi32_si128(8 - log))
}
