//! Super-blocks of 256 weights of eight rows: a lane holds four integer scales of its row.

use core::arch::aarch64::*;

use super::group::{Integers, Scales, Sink, Unpack};
use super::rows::{Quarter32, Rows, Words, high_nibbles};
use crate::block::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K};
use crate::neon::floats::Floats;

impl Unpack for BlockQ2_K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, by their offsets; the sink has room for its eight groups.
        unsafe {
            let mut tail = rows.at(80);
            let (d, m) = (tail.next_halves(), negative(tail.next_halves()));
            let scales = [(); 4].map(|()| rows.next_words());
            for n in 0..2 {
                let scales = |k: usize| {
                    let nibble = |i| field(scales[2 * n + k / 2], 16 * (k % 2) as i32 + 4 * i, 15);
                    Scales { d, sc: [nibble(0), nibble(2)], m, mn: [nibble(1), nibble(3)] }
                };
                sink.group::<Self>(&scales(0), |i| each(rows.load_32::<0>(i), |q| masked(q, 3)));
                sink.group::<Self>(&scales(1), |i| each(rows.load_32::<0>(i), |q| masked(right(q, 2), 3)));
                sink.group::<Self>(&scales(2), |i| each(rows.load_32::<0>(i), |q| masked(right(q, 4), 3)));
                sink.group::<Self>(&scales(3), |i| each(rows.next_32(i), |q| right(q, 6)));
            }
            *rows = tail;
        }
    }
}

impl Unpack for BlockQ3_K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, by their offsets; the sink has room for its eight groups.
        unsafe {
            let mut tail = rows.at(96);
            let scales = q3_scales([(); 3].map(|()| tail.next_words()));
            let d = tail.next_halves();
            *rows = rows.at(32);
            for n in 0..2 {
                let scales = |k: usize| {
                    let byte = |i| signed_byte(scales[2 * n + k / 2], 2 * (k % 2) + i);
                    Scales { sc: [byte(0), byte(1)], ..Scales::plain(d) }
                };
                let third =
                    |rows: &R, i, k| each(rows.at(-32 - 32 * n as isize).load_32::<0>(i), |q| bit(q, 4 * n + k));
                let join = |low, third| zip(low, third, |low, third| vsliq_n_s8::<2>(masked(low, 3), third));
                sink.group::<Self>(&scales(0), |i| join(rows.load_32::<0>(i), third(rows, i, 0)));
                sink.group::<Self>(&scales(1), |i| {
                    join(each(rows.load_32::<0>(i), |q| right(q, 2)), third(rows, i, 1))
                });
                sink.group::<Self>(&scales(2), |i| {
                    join(each(rows.load_32::<0>(i), |q| right(q, 4)), third(rows, i, 2))
                });
                sink.group::<Self>(&scales(3), |i| {
                    let third = third(rows, i, 3);
                    join(each(rows.next_32(i), |q| right(q, 6)), third)
                });
            }
            *rows = tail;
        }
    }
}

/// `sc - 32` of all columns: the four bytes of a lane are the scales of 64 columns.
#[target_feature(enable = "neon")]
#[inline]
fn q3_scales([a, b, c]: [Words; 3]) -> [Words; 4] {
    let join = |low: Words, low_shift, high_shift| {
        [0, 1].map(|quad| {
            let low = bytes(low[quad], low_shift, 15);
            let high = vshlq_n_u32::<4>(bytes(c[quad], high_shift, 3));
            let scale = vreinterpretq_u8_u32(vorrq_u32(low, high));
            vreinterpretq_u32_u8(vsubq_u8(scale, vdupq_n_u8(32)))
        })
    };
    [join(a, 0, 0), join(b, 0, 2), join(a, 4, 4), join(b, 4, 6)]
}

impl Unpack for BlockQ4_K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, in order; the sink has room for its eight groups.
        unsafe {
            let header = Header::next(rows);
            for half in 0..2 {
                let low = |rows: &R, i| each(rows.load_32::<0>(i), |q| masked(q, 15));
                let high = |rows: &mut R, i| each(rows.next_32(i), |q| high_nibbles(q));
                sink.group::<Self>(&header.group(half, 0), |i| low(rows, i));
                sink.group::<Self>(&header.group(half, 1), |i| high(rows, i));
                sink.group::<Self>(&header.group(half, 2), |i| low(rows, i));
                sink.group::<Self>(&header.group(half, 3), |i| high(rows, i));
            }
        }
    }
}

impl Unpack for BlockQ5_K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, in order; the sink has room for its eight groups.
        unsafe {
            let header = Header::next(rows);
            *rows = rows.at(32);
            for half in 0..2 {
                // The fifth bits lie before the nibbles, which `rows` has stepped along: 32 bytes for each pair of groups
                // before this one.
                let fifth = |rows: &R, i, k: usize| {
                    let fifth = rows.at(-((32 + 64 * half + k / 2 * 32) as isize));
                    each(fifth.load_32::<0>(i), |q| bit(q, 4 * half + k))
                };
                let low =
                    |rows: &R, i, k| zip(rows.load_32::<0>(i), fifth(rows, i, k), |q, fifth| vsliq_n_s8::<4>(q, fifth));
                let high = |rows: &mut R, i, k| {
                    let fifth = fifth(rows, i, k);
                    zip(rows.next_32(i), fifth, |q, fifth| vsliq_n_s8::<4>(high_nibbles(q), fifth))
                };
                sink.group::<Self>(&header.group(half, 0), |i| low(rows, i, 0));
                sink.group::<Self>(&header.group(half, 1), |i| high(rows, i, 1));
                sink.group::<Self>(&header.group(half, 2), |i| low(rows, i, 2));
                sink.group::<Self>(&header.group(half, 3), |i| high(rows, i, 3));
            }
        }
    }
}

/// Scales of a block of Q4_K or Q5_K. The four bytes of a lane belong to four groups, the first or the last.
struct Header {
    d: Floats,
    m: Floats,
    scales: [Words; 2],
    minimums: [Words; 2],
}

impl Header {
    /// Unpacks `d`, `dmin` and the packed scales of eight rows, in the order of [`crate::block::scale_and_minimum`].
    ///
    /// # Safety
    /// Each row has 16 readable bytes from here on.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn next(rows: &mut impl Rows) -> Self {
        // SAFETY: reads 2, 2 and 12 bytes of each row, which the caller vouches for.
        let (d, m, [sc, mn, rest]) = unsafe {
            let (d, m) = (rows.next_halves(), negative(rows.next_halves()));
            (d, m, [(); 3].map(|()| rows.next_words()))
        };
        let first = |low: Words| low.map(|low| bytes(low, 0, 63));
        // Scales of the last four groups: low four bits, and the two highest bits of the first four's bytes.
        let last =
            |shift, high: Words| [0, 1].map(|quad| vorrq_u32(bytes(rest[quad], shift, 15), bytes(high[quad], 2, 0x30)));
        Self { d, m, scales: [first(sc), last(0, sc)], minimums: [first(mn), last(4, mn)] }
    }

    /// Makes the scales of group `4 half + k`.
    #[target_feature(enable = "neon")]
    #[inline]
    fn group(&self, half: usize, k: usize) -> Scales {
        let sc = field(self.scales[half], 8 * k as i32, 255);
        let mn = field(self.minimums[half], 8 * k as i32, 255);
        Scales { d: self.d, sc: [sc; 2], m: self.m, mn: [mn; 2] }
    }
}

impl Unpack for BlockQ6_K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, by their offsets; the sink has room for its eight groups.
        unsafe {
            let mut tail = rows.at(192);
            let scales = [(); 4].map(|()| tail.next_words());
            let d = tail.next_halves();
            for n in 0..2 {
                let scales = |k: usize| {
                    let byte = |i| signed_byte(scales[2 * n + k / 2], 2 * (k % 2) + i);
                    Scales { sc: [byte(0), byte(1)], ..Scales::plain(d) }
                };
                // `qh` lies 128 bytes behind `ql`, and steps half as far.
                let high = |i| rows.at(128 - 32 * n as isize).load_32::<0>(i);
                let join = |low, high: Quarter32, shift: i32| {
                    zip(low, high, |low, high| vsliq_n_s8::<4>(low, masked(right(high, shift), 3)))
                };
                sink.group::<Self>(&scales(0), |i| join(rows.load_32::<0>(i), high(i), 0));
                sink.group::<Self>(&scales(1), |i| join(rows.load_32::<32>(i), high(i), 2));
                sink.group::<Self>(&scales(2), |i| join(each(rows.load_32::<0>(i), |q| high_nibbles(q)), high(i), 4));
                sink.group::<Self>(&scales(3), |i| join(each(rows.load_32::<32>(i), |q| high_nibbles(q)), high(i), 6));
                *rows = rows.at(64);
            }
            *rows = tail;
        }
    }
}

/// Keeps the bits of `mask` in each byte.
#[target_feature(enable = "neon")]
#[inline]
fn masked(x: int8x16_t, mask: i8) -> int8x16_t {
    vandq_s8(x, vdupq_n_s8(mask))
}

/// Shifts bytes right, with zeros from the left. The shift is a vector, which the compiler makes a constant if `n` is one.
#[target_feature(enable = "neon")]
#[inline]
fn right(x: int8x16_t, n: i32) -> int8x16_t {
    vreinterpretq_s8_u8(vshlq_u8(vreinterpretq_u8_s8(x), vdupq_n_s8(-n as i8)))
}

/// Bit `n` of each byte, as 0 or 1.
#[target_feature(enable = "neon")]
#[inline]
fn bit(x: int8x16_t, n: usize) -> int8x16_t {
    masked(right(x, n as i32), 1)
}

/// Applies `f` to each register.
#[inline(always)]
fn each(x: Quarter32, f: impl Fn(int8x16_t) -> int8x16_t) -> Quarter32 {
    x.map(|two| two.map(&f))
}

/// Applies `f` to each register of `a` with that of `b`.
#[inline(always)]
fn zip(a: Quarter32, b: Quarter32, f: impl Fn(int8x16_t, int8x16_t) -> int8x16_t) -> Quarter32 {
    let two = |a: [int8x16_t; 2], b: [int8x16_t; 2]| [f(a[0], b[0]), f(a[1], b[1])];
    [two(a[0], b[0]), two(a[1], b[1])]
}

/// Shifts lanes right, and keeps the bits of `mask` in each of their bytes.
#[target_feature(enable = "neon")]
#[inline]
fn bytes(x: uint32x4_t, shift: i32, mask: u32) -> uint32x4_t {
    vandq_u32(vshlq_u32(x, vdupq_n_s32(-shift)), vdupq_n_u32(mask * 0x0101_0101))
}

/// Shifts lanes right, and keeps the bits of `mask`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn field(x: Words, shift: i32, mask: u32) -> Integers {
    x.map(|x| vreinterpretq_s32_u32(vandq_u32(vshlq_u32(x, vdupq_n_s32(-shift)), vdupq_n_u32(mask))))
}

/// Byte `i` of each lane, with its sign.
#[target_feature(enable = "neon")]
#[inline]
fn signed_byte(x: Words, i: usize) -> Integers {
    x.map(|x| vshrq_n_s32::<24>(vshlq_s32(vreinterpretq_s32_u32(x), vdupq_n_s32(24 - 8 * i as i32))))
}

#[target_feature(enable = "neon")]
#[inline]
fn negative(x: Floats) -> Floats {
    x.map(|x| vnegq_f32(x))
}
