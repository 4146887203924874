//! Blocks of 32 weights, eight rows at a time.

use core::arch::x86_64::*;

use super::group::{Group, Quants, ROWS, halves, transpose, transpose_32};
use super::quantized::Unpack;
use crate::block::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, QK};

impl Unpack for BlockQ4_0 {
    const QUANTS: Quants = Quants::U4;
    const OFFSET: bool = true;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let group = Group::plain(nibbles(rows.map(|row| &row.qs)), halves(rows.map(|row| row.d.0)));
        sink(&Group { offset: _mm256_set1_epi16(8), ..group });
    }
}

impl Unpack for BlockQ4_1 {
    const QUANTS: Quants = Quants::U4;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let group = Group::plain(nibbles(rows.map(|row| &row.qs)), halves(rows.map(|row| row.d.0)));
        sink(&Group { m: halves(rows.map(|row| row.m.0)), ..group });
    }
}

impl Unpack for BlockQ5_0 {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = true;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let q = with_fifth_bits(nibbles(rows.map(|row| &row.qs)), rows.map(|row| row.qh));
        let group = Group::plain(q, halves(rows.map(|row| row.d.0)));
        sink(&Group { offset: _mm256_set1_epi16(16), ..group });
    }
}

impl Unpack for BlockQ5_1 {
    const QUANTS: Quants = Quants::U5;
    const OFFSET: bool = false;
    const MIN: bool = true;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        let q = with_fifth_bits(nibbles(rows.map(|row| &row.qs)), rows.map(|row| row.qh));
        let group = Group::plain(q, halves(rows.map(|row| row.d.0)));
        sink(&Group { m: halves(rows.map(|row| row.m.0)), ..group });
    }
}

impl Unpack for BlockQ8_0 {
    const QUANTS: Quants = Quants::I8;
    const OFFSET: bool = false;
    const MIN: bool = false;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn unpack(rows: [&Self; ROWS], mut sink: impl FnMut(&Group)) {
        sink(&Group::plain(signed(rows.map(|row| &row.qs)), halves(rows.map(|row| row.d.0))));
    }
}

/// Signed quants of eight rows.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn signed(rows: [&[i8; QK]; ROWS]) -> [__m256i; 8] {
    // SAFETY: `[i8; 32]` and `[u8; 32]` have the same layout, and any bytes are a value of both.
    transpose_32(rows.map(|row| unsafe { &*core::ptr::from_ref(row).cast::<[u8; QK]>() }))
}

/// Low halves of the bytes: columns 0..16; high halves: columns 16..32.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn nibbles(rows: [&[u8; 16]; ROWS]) -> [__m256i; 8] {
    let both = transpose(rows);
    let mask = _mm256_set1_epi8(15);
    core::array::from_fn(|k| {
        let bits = if k < 4 { both[k] } else { _mm256_srli_epi16::<4>(both[k - 4]) };
        _mm256_and_si256(bits, mask)
    })
}

/// Adds 16 where the bit of a column is set.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn with_fifth_bits(q: [__m256i; 8], qh: [[u8; 4]; ROWS]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = qh.map(i32::from_le_bytes);
    let qh = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    core::array::from_fn(|k| {
        // Byte k / 2 of a row's four holds the bits of columns 4 k..4 k + 4.
        let byte = (k / 2) as i32 * 0x0101_0101;
        let within_half =
            _mm256_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c, 0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c);
        let copies = _mm256_shuffle_epi8(qh, _mm256_add_epi8(within_half, _mm256_set1_epi32(byte)));
        let bit = _mm256_set1_epi32(if k % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(copies, bit), bit);
        _mm256_or_si256(q[k], _mm256_and_si256(set, _mm256_set1_epi8(16)))
    })
}
