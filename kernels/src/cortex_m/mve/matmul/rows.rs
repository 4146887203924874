//! Products of rows of weights with the activations of one token: whole loops in assembly, along the blocks and along the rows.
//!
//! `vmladav` leaves the integer sum of a row in a register; sums of four rows become the lanes of a vector, whose scales
//! are gathered from the rows. Low-overhead loops count blocks in `lr`; what a loop along rows needs between its passes is pushed.
//!
//! Helium flushes subnormals to zero. None can occur here: scales of activations are zero or at least 2^-71
//! (`scalar::AMAX_MIN`), those of weights, in half precision, zero or at least 2^-24, so all products, and sums of them, are
//! zero or normal.

use core::arch::asm;

use crate::block::{BlockIQ4_NL, BlockQ4_0, BlockQ5_0, BlockQ8_0, IQ4_VALUES};
use crate::{BlockQ8, TILE_ROWS};

/// Weight type with a loop that takes `R` plain rows in a pass.
pub(super) trait Rows<const R: usize>: crate::block::Block {
    /// Bytes that a row may have: the scales of `R` rows are gathered by their distance from the first row.
    const MOST_BYTES: usize = usize::MAX;

    /// Multiplies rows, which lie `stride` bytes apart from `w` on, with `x`; the products go to `out`.
    ///
    /// # Safety
    /// There are as many rows as `out` has numbers, at least one `R`. Each holds `x.len()` blocks, at least one, in no more than
    /// [`MOST_BYTES`](Self::MOST_BYTES).
    unsafe fn rows(w: *const u8, stride: usize, x: &[BlockQ8], out: &mut [[f32; R]]);

    /// Multiplies the rows of a row tile ([`crate::layout`]) with `x`; the products go to `out`.
    ///
    /// # Safety
    /// The tile has `x.len()` blocks, at least one.
    unsafe fn tiled(tile: *const u8, x: &[BlockQ8], out: &mut [f32; TILE_ROWS]);
}

/// `acc += (scales * d_x) * sums`, with the sums in `$sums` and `d_x` in `$d`; `$load` and `$convert` bring the scales to `q2`.
#[rustfmt::skip]
macro_rules! add_products {
    ($load:literal, $convert:literal, $sums:literal, $d:literal, $acc:literal) => {
        concat!(
            $load,
            "\n vcvt.f32.s32 ", $sums, ", ", $sums,
            "\n ", $convert,
            "\n vmul.f32 q2, q2, ", $d,
            "\n vmul.f32 q2, q2, ", $sums,
            "\n vadd.f32 ", $acc, ", ", $acc, ", q2",
        )
    };
}

/// Offsets of four words of a row in a row tile.
static WORDS: [u32; 4] = [0, 64, 128, 192];

/// Loop over the rows of a row tile, four neighbouring ones in a pass: a gather loads 16 bytes of a row, whose offsets from the row's
/// first word are in `q6`. `$begin` makes the offsets of the first block, `$step` those of the next one (and leaves a block's bytes
/// in `r10`); the other operands are those of [`four_rows`].
#[rustfmt::skip]
macro_rules! tiled_rows {
    ($row:ident, $begin:literal, $step:literal, offset $offset:literal) => {
        tiled_rows!(
            $row, $begin, $step, $offset * 0x1_0001,
            "vmov.i8 q7, #15",
            "ldrd r9, r10, [r8], #8\n smuad r10, r10, r11",
            "vsub.i32 q4, q4, r10"
        );
    };
    ($row:ident, $begin:literal, $step:literal, table $table:expr) => {
        tiled_rows!($row, $begin, $step, $table.as_ptr(), "", "ldr r9, [r8], #8", "");
    };
    ($row:ident, $begin:literal, $step:literal, $r11:expr, $before:literal, $head:literal, $centre:literal) => {
        #[inline]
        unsafe fn tiled(tile: *const u8, x: &[BlockQ8], out: &mut [f32; TILE_ROWS]) {
            // SAFETY: reads the blocks and activations that the caller promises, and the offsets; writes `out`. The registers
            // that it changes are pushed or named.
            unsafe {
                asm!(
                    "push {{r6, r7}}",
                    // The offsets, the scales of four rows, the activations, the end of `out`, and the number of blocks.
                    "push {{r0, r1, r8, r9, r10}}",
                    "add r1, r1, #32",
                    "add r3, r1, #4",
                    "add r4, r1, #8",
                    "add r5, r1, #12",
                    $before,
                    "3:",
                    "ldrd r0, r6, [sp]",
                    "ldr r8, [sp, #8]",
                    "ldr lr, [sp, #16]",
                    "add r2, r6, #8",
                    "str r2, [sp, #4]",
                    "vldrw.u32 q6, [r0]",
                    "vmov.i32 q5, #0",
                    $begin,
                    "dls lr, lr",
                    "2:",
                    $head,
                    "vldrb.u8 q0, [r8], #16",
                    "vldrb.u8 q1, [r8], #16",
                    $row!(tiled, "r1", "r0"),
                    $row!(tiled, "r4", "r2"),
                    "vmov q4[2], q4[0], r0, r2",
                    $row!(tiled, "r3", "r0"),
                    $row!(tiled, "r5", "r2"),
                    "vmov q4[3], q4[1], r0, r2",
                    $centre,
                    add_products!("vldrh.u32 q2, [r6]", "vcvtb.f32.f16 q2, q2", "q4", "r9", "q5"),
                    $step,
                    "add r6, r6, r10",
                    "le lr, 2b",
                    "vstrw.32 q5, [r12], #16",
                    "add r1, r1, #16",
                    "add r3, r3, #16",
                    "add r4, r4, #16",
                    "add r5, r5, #16",
                    "ldr r0, [sp, #12]",
                    "cmp r12, r0",
                    "bne 3b",
                    "add sp, sp, #20",
                    "pop {{r6, r7}}",
                    inout("r0") &WORDS => _,
                    inout("r1") tile => _,
                    inout("r8") x.as_ptr() => _,
                    inout("r9") out.as_ptr_range().end => _,
                    inout("r10") x.len() => _,
                    in("r11") $r11,
                    inout("r12") out.as_mut_ptr() => _,
                    out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _,
                    out("d7") _, out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _,
                    out("d14") _, out("d15") _,
                )
            }
        }
    };
}

/// Columns 16 to 31 lie four words further: `q7` has their offsets.
#[rustfmt::skip]
macro_rules! q8_tiled_row {
    (tiled, $p:literal, $sum:literal) => {
        concat!(
            "vldrw.u32 q2, [", $p, ", q6]",
            "\n vmladav.s8 ", $sum, ", q2, q0",
            "\n vldrw.u32 q2, [", $p, ", q7]",
            "\n vmladava.s8 ", $sum, ", q2, q1",
        )
    };
}

/// Products of two rows of a block of Q8_0, to lanes; each address is 32 bytes before the block and moves to its quants.
#[rustfmt::skip]
macro_rules! q8_rows {
    ($a:literal, $b:literal, $lanes:literal) => {
        concat!(
            "vldrb.u8 q2, [", $a, ", #34]!",
            "\n vmladav.s8 r0, q2, q0",
            "\n vldrb.u8 q2, [", $a, ", #16]",
            "\n vmladava.s8 r0, q2, q1",
            "\n vldrb.u8 q2, [", $b, ", #34]!",
            "\n vmladav.s8 r2, q2, q0",
            "\n vldrb.u8 q2, [", $b, ", #16]",
            "\n vmladava.s8 r2, q2, q1",
            "\n vmov ", $lanes, ", r0, r2",
        )
    };
}

impl Rows<8> for BlockQ8_0 {
    tiled_rows!(
        q8_tiled_row,
        "vadd.i32 q7, q6, r11\n mov r10, #544",
        "vadd.i32 q6, q6, r10\n vadd.i32 q7, q7, r10",
        256,
        "",
        "ldr r9, [r8], #8",
        ""
    );

    /// The offset of the last row's scale has 16 bits.
    const MOST_BYTES: usize = (u16::MAX as usize - 32) / 7;

    #[inline]
    unsafe fn rows(w: *const u8, stride: usize, x: &[BlockQ8], out: &mut [[f32; 8]]) {
        // Scales of the rows from 32 bytes before the first one's: `vcvtb` takes every second one, `vcvtt` the others.
        let offsets = [0, 4, 1, 5, 2, 6, 3, 7].map(|r| (32 + r * stride) as u16);
        // SAFETY: reads the blocks and activations that the caller promises, and `offsets`; writes `out`. The registers that it
        // changes are pushed or named.
        unsafe {
            asm!(
                "vldrh.u16 q5, [r0]",
                "rsb r8, r2, r2, lsl #3",
                // The end of `out`, r6, r7, the distance from a row's end to the eighth row after it, the activations, and the
                // number of blocks.
                "push {{r3, r6, r7, r8, r10, r11}}",
                "add r3, r1, r2",
                "add r4, r3, r2",
                "add r5, r4, r2",
                "add r6, r5, r2",
                "add r7, r6, r2",
                "add r8, r7, r2",
                "add r9, r8, r2",
                "3:",
                "ldrd r10, lr, [sp, #16]",
                "vmov.i32 q4, #0",
                "vmov.i32 q6, #0",
                "dls lr, lr",
                "2:",
                "ldr r11, [r10], #8",
                "vldrb.u8 q0, [r10], #16",
                "vldrb.u8 q1, [r10], #16",
                "vldrh.u16 q7, [r1, q5]",
                q8_rows!("r1", "r4", "q3[2], q3[0]"),
                q8_rows!("r3", "r5", "q3[3], q3[1]"),
                add_products!("", "vcvtb.f32.f16 q2, q7", "q3", "r11", "q4"),
                q8_rows!("r6", "r8", "q3[2], q3[0]"),
                q8_rows!("r7", "r9", "q3[3], q3[1]"),
                add_products!("", "vcvtt.f32.f16 q2, q7", "q3", "r11", "q6"),
                "le lr, 2b",
                "vstrw.32 q4, [r12], #16",
                "vstrw.32 q6, [r12], #16",
                "ldr r2, [sp, #12]",
                "ldr r0, [sp]",
                "add r1, r1, r2",
                "add r3, r3, r2",
                "add r4, r4, r2",
                "add r5, r5, r2",
                "add r6, r6, r2",
                "add r7, r7, r2",
                "add r8, r8, r2",
                "add r9, r9, r2",
                "cmp r12, r0",
                "bne 3b",
                "pop {{r3, r6, r7, r8, r10, r11}}",
                inout("r0") &offsets => _,
                inout("r1") w.wrapping_sub(32) => _,
                inout("r2") stride => _,
                inout("r3") out.as_ptr_range().end => _,
                inout("r10") x.as_ptr() => _,
                inout("r11") x.len() => _,
                inout("r12") out.as_mut_ptr() => _,
                out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _, out("d15") _,
            )
        }
    }
}

/// Loop over rows, four in a pass, of blocks whose quants `$row!(plain, address, sum)` unpacks. `$at` is the distance from a block's
/// start to the first byte that `$row!` reads, `$scale` from the address behind the last byte to the block's scale; then follows the
/// quants' offset, or the table of their values.
#[rustfmt::skip]
macro_rules! four_rows {
    ($row:ident, $at:literal, $scale:literal, offset $offset:literal) => {
        // Loads the scale and both sums; the sums times the offset are what the rows' sums are too large by.
        four_rows!(
            $row, $at, $scale, $offset * 0x1_0001,
            "vmov.i8 q7, #15",
            "ldrd r9, r10, [r8], #8\n smuad r10, r10, r11",
            "vsub.i32 q4, q4, r10"
        );
    };
    ($row:ident, $at:literal, $scale:literal, table $table:expr) => {
        four_rows!($row, $at, $scale, $table.as_ptr(), "", "ldr r9, [r8], #8", "");
    };
    ($row:ident, $at:literal, $scale:literal, $r11:expr, $before:literal, $head:literal, $centre:literal) => {
        #[inline]
        unsafe fn rows(w: *const u8, stride: usize, x: &[BlockQ8], out: &mut [[f32; 4]]) {
            let offsets = [0, 1, 2, 3].map(|r| (stride as u32).wrapping_mul(r).wrapping_add_signed($scale));
            // SAFETY: reads the blocks and activations that the caller promises, and `offsets`; writes `out`. The registers
            // that it changes are named.
            unsafe {
                asm!(
                    "vldrw.u32 q6, [r0]",
                    "add r3, r1, r2",
                    "add r4, r3, r2",
                    "add r5, r4, r2",
                    "add r2, r2, r2, lsl #1",
                    // The distance from a row's end to the fourth row after it, the activations, the end of `out`, and the
                    // number of blocks.
                    "push {{r2, r8, r9, r10}}",
                    $before,
                    "3:",
                    "ldr lr, [sp, #12]",
                    "vmov.i32 q5, #0",
                    "dls lr, lr",
                    "2:",
                    $head,
                    "vldrb.u8 q0, [r8], #16",
                    "vldrb.u8 q1, [r8], #16",
                    $row!(plain, "r1", "r0"),
                    $row!(plain, "r4", "r2"),
                    "vmov q4[2], q4[0], r0, r2",
                    $row!(plain, "r3", "r0"),
                    $row!(plain, "r5", "r2"),
                    "vmov q4[3], q4[1], r0, r2",
                    $centre,
                    add_products!("vldrh.u32 q2, [r1, q6]", "vcvtb.f32.f16 q2, q2", "q4", "r9", "q5"),
                    "le lr, 2b",
                    "vstrw.32 q5, [r12], #16",
                    "ldrd r2, r8, [sp]",
                    "ldr r9, [sp, #8]",
                    "add r1, r1, r2",
                    "add r3, r3, r2",
                    "add r4, r4, r2",
                    "add r5, r5, r2",
                    "cmp r12, r9",
                    "bne 3b",
                    "add sp, sp, #16",
                    inout("r0") &offsets => _,
                    inout("r1") w.add($at) => _,
                    inout("r2") stride => _,
                    inout("r8") x.as_ptr() => _,
                    inout("r9") out.as_ptr_range().end => _,
                    inout("r10") x.len() => _,
                    in("r11") $r11,
                    inout("r12") out.as_mut_ptr() => _,
                    out("r3") _, out("r4") _, out("r5") _, out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _,
                    out("d7") _, out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _,
                    out("d14") _, out("d15") _,
                )
            }
        }
    };
}

#[rustfmt::skip]
macro_rules! q4_row {
    (plain, $p:literal, $sum:literal) => {
        concat!(
            "vldrb.u8 q2, [", $p, "], #18",
            q4_row!($sum),
        )
    };
    (tiled, $p:literal, $sum:literal) => {
        concat!(
            "vldrw.u32 q2, [", $p, ", q6]",
            q4_row!($sum),
        )
    };
    ($sum:literal) => {
        concat!(
            "\n vshr.u8 q3, q2, #4",
            "\n vand q2, q2, q7",
            "\n vmladav.s8 ", $sum, ", q2, q0",
            "\n vmladava.s8 ", $sum, ", q3, q1",
        )
    };
}

impl Rows<4> for BlockQ4_0 {
    four_rows!(q4_row, 2, -20, offset 8);
    tiled_rows!(q4_row, "", "mov r10, #288\n vadd.i32 q6, q6, r10", offset 8);
}

/// Quants of five bits: the bits of 16 columns are the predicate of an addition of 16 (`r11` has 16 in its lowest byte, too). In
/// a row tile `r7` is the offset of the block.
#[rustfmt::skip]
macro_rules! q5_row {
    (plain, $p:literal, $sum:literal) => {
        concat!(
            "ldr ", $sum, ", [", $p, "], #4",
            "\n vldrb.u8 q2, [", $p, "], #18",
            q5_row!($sum),
        )
    };
    (tiled, $p:literal, $sum:literal) => {
        concat!(
            "ldr ", $sum, ", [", $p, ", r7]",
            "\n vldrw.u32 q2, [", $p, ", q6]",
            q5_row!($sum),
        )
    };
    ($sum:literal) => {
        concat!(
            "\n vshr.u8 q3, q2, #4",
            "\n vand q2, q2, q7",
            "\n vmsr p0, ", $sum,
            "\n vpst",
            "\n vaddt.i8 q2, q2, r11",
            "\n lsr ", $sum, ", ", $sum, ", #16",
            "\n vmsr p0, ", $sum,
            "\n vpst",
            "\n vaddt.i8 q3, q3, r11",
            "\n vmladav.s8 ", $sum, ", q2, q0",
            "\n vmladava.s8 ", $sum, ", q3, q1",
        )
    };
}

impl Rows<4> for BlockQ5_0 {
    four_rows!(q5_row, 2, -24, offset 16);
    // The nibbles lie behind the fifth bits of sixteen rows.
    tiled_rows!(
        q5_row, "mov r7, #64\n vadd.i32 q6, q6, r7\n mov r7, #0",
        "mov r10, #352\n vadd.i32 q6, q6, r10\n add r7, r7, r10", offset 16
    );
}

/// Values of 16 indexes, gathered from the table (`r11`).
#[rustfmt::skip]
macro_rules! iq4_row {
    (plain, $p:literal, $sum:literal) => {
        concat!(
            "vldrb.u8 q2, [", $p, "], #18",
            iq4_row!($sum),
        )
    };
    (tiled, $p:literal, $sum:literal) => {
        concat!(
            "vldrw.u32 q2, [", $p, ", q6]",
            iq4_row!($sum),
        )
    };
    ($sum:literal) => {
        concat!(
            "\n vshl.i8 q3, q2, #4",
            "\n vshr.u8 q3, q3, #4",
            "\n vldrb.u8 q7, [r11, q3]",
            "\n vshr.u8 q2, q2, #4",
            "\n vmladav.s8 ", $sum, ", q7, q0",
            "\n vldrb.u8 q7, [r11, q2]",
            "\n vmladava.s8 ", $sum, ", q7, q1",
        )
    };
}

/// Table of the values in flash: a gather needs an address.
static VALUES: [i8; 16] = IQ4_VALUES;

impl Rows<4> for BlockIQ4_NL {
    four_rows!(iq4_row, 2, -20, table VALUES);
    tiled_rows!(iq4_row, "", "mov r10, #288\n vadd.i32 q6, q6, r10", table VALUES);
}
