//! Unpacking of blocks of 32 weights of eight rows.

use core::arch::aarch64::*;

use super::group::{Scales, Sink, Unpack};
use super::rows::{Quarter16, Quarter32, Rows, high_nibbles};
use crate::block::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};

impl Unpack for BlockQ4_0 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(rows.next_halves());
            sink.group::<Self>(&scales, |quarter| nibbles(rows.next_16(quarter)));
        }
    }
}

impl Unpack for BlockQ4_1 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d, m and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(rows.next_halves());
            let scales = Scales { m: rows.next_halves(), ..scales };
            sink.group::<Self>(&scales, |quarter| nibbles(rows.next_16(quarter)));
        }
    }
}

impl Unpack for BlockQ5_0 {
    const LESS: i32 = 16;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d, qh and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(rows.next_halves());
            sink.group::<Self>(&scales, |quarter| rows.next_five_bits(quarter));
        }
    }
}

impl Unpack for BlockQ5_1 {
    const LESS: i32 = 16;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d, m, qh and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(rows.next_halves());
            let scales = Scales { m: rows.next_halves(), ..scales };
            sink.group::<Self>(&scales, |quarter| rows.next_five_bits(quarter));
        }
    }
}

impl Unpack for BlockQ8_0 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d and qs of each block; the sink has room for its group.
        unsafe {
            let scales = Scales::plain(rows.next_halves());
            sink.group::<Self>(&scales, |quarter| rows.next_32(quarter));
        }
    }
}

/// Quants: the low halves of the bytes are columns 0..16, the high halves columns 16..32.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn nibbles(both: Quarter16) -> Quarter32 {
    both.map(|both| [vandq_s8(both, vdupq_n_s8(15)), high_nibbles(both)])
}
