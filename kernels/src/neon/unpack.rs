//! Blocks of 32 weights of eight rows.

use core::arch::aarch64::*;

use super::bytes::{next_4, next_16, next_32, next_halves};
use super::group::{ROWS, Scales, Scaling, Sink, Unpack};
use crate::block::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};
use crate::contract::broken;

impl Unpack for BlockQ4_0 {
    const MIN_QUANT: i32 = 0;
    const MAX_QUANT: i32 = 15;
    const OFFSET: i32 = 8;
    const SCALING: Scaling = Scaling::None;
    const MIN: bool = false;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack(rows: &mut [*const u8; ROWS], sink: &mut impl Sink) {
        // SAFETY: reads d and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(next_halves(rows));
            sink.group::<Self>(&scales, |r| nibbles(next_16(&mut rows[r])));
        }
    }
}

impl Unpack for BlockQ4_1 {
    const MIN_QUANT: i32 = 0;
    const MAX_QUANT: i32 = 15;
    const OFFSET: i32 = 0;
    const SCALING: Scaling = Scaling::None;
    const MIN: bool = true;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack(rows: &mut [*const u8; ROWS], sink: &mut impl Sink) {
        // SAFETY: reads d, m and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(next_halves(rows));
            let scales = Scales { m: next_halves(rows), ..scales };
            sink.group::<Self>(&scales, |r| nibbles(next_16(&mut rows[r])));
        }
    }
}

impl Unpack for BlockQ5_0 {
    const MIN_QUANT: i32 = -16;
    const MAX_QUANT: i32 = 15;
    const OFFSET: i32 = 0;
    const SCALING: Scaling = Scaling::None;
    const MIN: bool = false;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack(rows: &mut [*const u8; ROWS], sink: &mut impl Sink) {
        // SAFETY: reads d, qh and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(next_halves(rows));
            sink.group::<Self>(&scales, |r| {
                let row = rows.get_mut(r).unwrap_or_else(|| broken("one of eight rows"));
                let qh = next_4(row);
                five_bits(next_16(row), qh)
            });
        }
    }
}

impl Unpack for BlockQ5_1 {
    const MIN_QUANT: i32 = -16;
    const MAX_QUANT: i32 = 15;
    const OFFSET: i32 = -16;
    const SCALING: Scaling = Scaling::None;
    const MIN: bool = true;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack(rows: &mut [*const u8; ROWS], sink: &mut impl Sink) {
        // SAFETY: reads d, m, qh and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(next_halves(rows));
            let scales = Scales { m: next_halves(rows), ..scales };
            sink.group::<Self>(&scales, |r| {
                let row = rows.get_mut(r).unwrap_or_else(|| broken("one of eight rows"));
                let qh = next_4(row);
                five_bits(next_16(row), qh)
            });
        }
    }
}

impl Unpack for BlockQ8_0 {
    const MIN_QUANT: i32 = -128;
    const MAX_QUANT: i32 = 127;
    const OFFSET: i32 = 0;
    const SCALING: Scaling = Scaling::None;
    const MIN: bool = false;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack(rows: &mut [*const u8; ROWS], sink: &mut impl Sink) {
        // SAFETY: reads d and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(next_halves(rows));
            sink.group::<Self>(&scales, |r| next_32(&mut rows[r]));
        }
    }
}

/// Low halves of the bytes: columns 0..16; high halves: columns 16..32.
#[target_feature(enable = "neon")]
#[inline]
fn nibbles(both: int8x16_t) -> [int8x16_t; 2] {
    [vandq_s8(both, vdupq_n_s8(15)), high_nibbles(both)]
}

#[target_feature(enable = "neon")]
#[inline]
pub(super) fn high_nibbles(both: int8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(vshrq_n_u8::<4>(vreinterpretq_u8_s8(both)))
}

/// Quants of five bits less 16: the upper four bits of a byte become the inverse of the fifth bit, four times.
#[target_feature(enable = "neon")]
#[inline]
fn five_bits(both: int8x16_t, qh: uint8x16_t) -> [int8x16_t; 2] {
    let clear = vmvnq_u8(qh);
    let bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    // Eight times the byte that holds the bits of eight columns.
    let byte = |first: u64, second: u64| {
        let times = 0x0101_0101_0101_0101;
        vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(first * times), vcreate_u64(second * times)))
    };
    let first = vreinterpretq_s8_u8(vtstq_u8(vqtbl1q_u8(clear, byte(0, 1)), bits));
    let last = vreinterpretq_s8_u8(vtstq_u8(vqtbl1q_u8(clear, byte(2, 3)), bits));
    [vsliq_n_s8::<4>(both, first), vsliq_n_s8::<4>(high_nibbles(both), last)]
}
