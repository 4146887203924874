//! Blocks of eight rows whose nibbles are indexes of sixteen values: one table instruction looks up those of a register.

use core::arch::aarch64::*;

use super::group::{Integers, Scales, Sink, Unpack};
use super::k::field;
use super::legacy::nibbles;
use super::rows::{Quarter32, Rows, Words};
use crate::block::{BlockIQ4_NL, BlockIQ4_XS, IQ4_VALUES};

impl Unpack for BlockIQ4_NL {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads d and qs of each block; the sink has room for its group.
        unsafe {
            let (scales, table) = (Scales::plain(rows.next_halves()), table());
            sink.group::<Self>(&scales, |quarter| values(table, nibbles(rows.next_16(quarter))));
        }
    }
}

impl Unpack for BlockIQ4_XS {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink) {
        // SAFETY: reads the fields of each block, in order; the sink has room for its eight groups.
        unsafe {
            let (d, table) = (rows.next_halves(), table());
            let (high, low) = (rows.next_integers(), rows.next_words());
            for group in 0..8 {
                let scales = Scales { sc: [scale(low, high, group); 2], ..Scales::plain(d) };
                sink.group::<Self>(&scales, |quarter| values(table, nibbles(rows.next_16(quarter))));
            }
        }
    }
}

/// `sc - 32` of a group: four bits of `low`, and above them two of `high`.
#[target_feature(enable = "neon")]
#[inline]
fn scale(low: Words, high: Words, group: i32) -> Integers {
    let (low, high) = (field(low, 4 * group, 15), field(high, 2 * group, 3));
    [0, 1].map(|quad| vsubq_s32(vsliq_n_s32::<4>(low[quad], high[quad]), vdupq_n_s32(32)))
}

#[target_feature(enable = "neon")]
#[inline]
fn table() -> int8x16_t {
    // SAFETY: 16 readable bytes; vector loads need no alignment.
    unsafe { vld1q_s8(IQ4_VALUES.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn values(table: int8x16_t, indexes: Quarter32) -> Quarter32 {
    indexes.map(|two| two.map(|indexes| vqtbl1q_s8(table, vreinterpretq_u8_s8(indexes))))
}
