//! Products of rows of weights with the activations of one token: whole loops in assembly.
//!
//! `vmladav` leaves the integer sum of a row in a register; sums of four rows become the lanes of a vector, whose scales
//! are gathered from the rows. Low-overhead loops count blocks in `lr`.
//!
//! Helium flushes subnormals to zero. None can occur here: scales of activations are zero or at least 2^-71
//! (`scalar::AMAX_MIN`), those of weights, in half precision, zero or at least 2^-24, so all products, and sums of them, are
//! zero or normal.

use core::arch::asm;

use crate::BlockQ8;
use crate::block::{BlockIQ4_NL, BlockQ4_0, BlockQ5_0, BlockQ8_0, IQ4_VALUES};

/// Weight type with a loop over `R` rows.
pub(super) trait Rows<const R: usize>: crate::block::Block {
    /// Offset of a block's scale from a row's address once the block is read.
    const SCALE: i32;

    /// Multiplies `R` rows, which lie `stride` bytes apart from `w` on, with `x`; the products go to `out`.
    ///
    /// # Safety
    /// Each row holds `x.len()` blocks, at least one. `offsets` are those of [`offsets`].
    unsafe fn rows(w: *const u8, stride: usize, offsets: &[u32; 4], x: &[BlockQ8], out: &mut [f32; R]);

    /// Multiplies four neighbouring rows of a row tile ([`crate::layout`]) with `x`; the products go to `out`. In the first block,
    /// `scales` points at the scale of the first row and `words` at its first word.
    ///
    /// # Safety
    /// Each row holds `x.len()` blocks, at least one.
    unsafe fn tiled(scales: *const u8, words: *const u8, x: &[BlockQ8], out: &mut [f32; 4]);
}

/// `SCALE + r * stride`: offset of the scale of row `r` of four from the first row's address.
pub(super) fn offsets<B: Rows<R>, const R: usize>(stride: usize) -> [u32; 4] {
    [0, 1, 2, 3].map(|r| (stride as u32).wrapping_mul(r).wrapping_add(B::SCALE as u32))
}

/// Products of two rows of a block of Q8_0, to lanes.
#[rustfmt::skip]
macro_rules! q8_rows {
    ($a:literal, $b:literal, $lanes:literal) => {
        concat!(
            "vldrb.u8 q2, [", $a, "], #16",
            "\n vmladav.s8 r0, q2, q0",
            "\n vldrb.u8 q2, [", $a, "], #18",
            "\n vmladava.s8 r0, q2, q1",
            "\n vldrb.u8 q2, [", $b, "], #16",
            "\n vmladav.s8 r2, q2, q0",
            "\n vldrb.u8 q2, [", $b, "], #18",
            "\n vmladava.s8 r2, q2, q1",
            "\n vmov ", $lanes, ", r0, r2",
        )
    };
}

/// `acc += (scales * d_x) * sums`, with the sums in `$sums`, the first row's address in `$first` and `d_x` in `$d`.
#[rustfmt::skip]
macro_rules! add_products {
    ($sums:literal, $first:literal, $offsets:literal, $d:literal, $acc:literal) => {
        concat!(
            "vldrh.u32 q2, [", $first, ", ", $offsets, "]",
            "\n vcvt.f32.s32 ", $sums, ", ", $sums,
            "\n vcvtb.f32.f16 q2, q2",
            "\n vmul.f32 q2, q2, ", $d,
            "\n vmul.f32 q2, q2, ", $sums,
            "\n vadd.f32 ", $acc, ", ", $acc, ", q2",
        )
    };
}

/// Offsets of four words of a row in a row tile.
static WORDS: [u32; 4] = [0, 64, 128, 192];

/// Loop over four neighbouring rows of a row tile: a gather loads 16 bytes of a row. `$bytes` is the size of a block of the tile; the
/// other operands are those of [`four_rows`]. The first word to gather lies `$first` bytes behind the row's first.
#[rustfmt::skip]
macro_rules! four_tiled_rows {
    ($row:ident, $bytes:literal, $first:literal, offset $offset:literal) => {
        four_tiled_rows!(
            $row, $bytes, $first, $offset * 0x1_0001,
            "vmov.i8 q7, #15",
            "ldrd r9, r10, [r8], #8\n smuad r10, r10, r11",
            "vsub.i32 q4, q4, r10"
        );
    };
    ($row:ident, $bytes:literal, $first:literal, table $table:expr) => {
        four_tiled_rows!($row, $bytes, $first, $table.as_ptr(), "", "ldr r9, [r8], #8", "");
    };
    ($row:ident, $bytes:literal, $first:literal, $r11:expr, $before:literal, $head:literal, $centre:literal) => {
        #[inline]
        unsafe fn tiled(scales: *const u8, words: *const u8, x: &[BlockQ8], out: &mut [f32; 4]) {
            // SAFETY: reads the blocks and activations that the caller promises, and the offsets; writes `out`. The registers
            // that it changes are pushed or named.
            unsafe {
                asm!(
                    "push {{r6}}",
                    "mov r6, r2",
                    "vldrw.u32 q6, [r0]",
                    concat!("mov r0, #", $first),
                    "vadd.i32 q6, q6, r0",
                    "vmov.i32 q5, #0",
                    $before,
                    "dls lr, r10",
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
                    "vldrh.u32 q2, [r6]",
                    "vcvt.f32.s32 q4, q4",
                    "vcvtb.f32.f16 q2, q2",
                    "vmul.f32 q2, q2, r9",
                    "vmul.f32 q2, q2, q4",
                    "vadd.f32 q5, q5, q2",
                    concat!("add r1, r1, #", $bytes),
                    concat!("add r3, r3, #", $bytes),
                    concat!("add r4, r4, #", $bytes),
                    concat!("add r5, r5, #", $bytes),
                    concat!("add r6, r6, #", $bytes),
                    "le lr, 2b",
                    "vstrw.32 q5, [r12]",
                    "pop {{r6}}",
                    inout("r0") &WORDS => _,
                    inout("r1") words => _,
                    inout("r2") scales => _,
                    inout("r3") words.add(4) => _,
                    inout("r4") words.add(8) => _,
                    inout("r5") words.add(12) => _,
                    inout("r8") x.as_ptr() => _,
                    inout("r10") x.len() => _,
                    in("r11") $r11,
                    in("r12") out,
                    out("r9") _, out("lr") _,
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

impl Rows<8> for BlockQ8_0 {
    four_tiled_rows!(q8_tiled_row, 544, 0, 256, "vadd.i32 q7, q6, r11", "ldr r9, [r8], #8", "");

    const SCALE: i32 = -36;

    #[inline]
    unsafe fn rows(w: *const u8, stride: usize, offsets: &[u32; 4], x: &[BlockQ8], out: &mut [f32; 8]) {
        // SAFETY: reads the blocks and activations that the caller promises, and `offsets`; writes `out`. The registers that it
        // changes are pushed or named.
        unsafe {
            asm!(
                "push {{r6, r7}}",
                "vldrw.u32 q5, [r0]",
                "vmov.i32 q4, #0",
                "vmov.i32 q6, #0",
                "add r3, r1, r2",
                "add r4, r3, r2",
                "add r5, r4, r2",
                "add r6, r5, r2",
                "add r7, r6, r2",
                "add r8, r7, r2",
                "add r9, r8, r2",
                "dls lr, r11",
                "2:",
                "ldr r11, [r10], #8",
                "vldrb.u8 q0, [r10], #16",
                "vldrb.u8 q1, [r10], #16",
                q8_rows!("r1", "r4", "q3[2], q3[0]"),
                q8_rows!("r3", "r5", "q3[3], q3[1]"),
                add_products!("q3", "r1", "q5", "r11", "q4"),
                q8_rows!("r6", "r8", "q3[2], q3[0]"),
                q8_rows!("r7", "r9", "q3[3], q3[1]"),
                add_products!("q3", "r6", "q5", "r11", "q6"),
                "le lr, 2b",
                "vstrw.32 q4, [r12]",
                "vstrw.32 q6, [r12, #16]",
                "pop {{r6, r7}}",
                inout("r0") offsets => _,
                inout("r1") w.add(2) => _,
                inout("r2") stride => _,
                inout("r10") x.as_ptr() => _,
                inout("r11") x.len() => _,
                in("r12") out,
                out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _,
            )
        }
    }
}

/// Loop over four rows of blocks whose quants `$row!(plain, address, sum)` unpacks. `$at` is the distance from a block's start to the
/// first byte that `$row!` reads, `$scale` from the address behind the last byte to the block's scale; then follows the quants'
/// offset, or the table of their values.
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
        const SCALE: i32 = $scale;

        #[inline]
        unsafe fn rows(w: *const u8, stride: usize, offsets: &[u32; 4], x: &[BlockQ8], out: &mut [f32; 4]) {
            // SAFETY: reads the blocks and activations that the caller promises, and `offsets`; writes `out`. The registers
            // that it changes are named.
            unsafe {
                let w = w.add($at);
                asm!(
                    "vldrw.u32 q6, [r0]",
                    "vmov.i32 q5, #0",
                    $before,
                    "dls lr, r10",
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
                    add_products!("q4", "r1", "q6", "r9", "q5"),
                    "le lr, 2b",
                    "vstrw.32 q5, [r12]",
                    inout("r0") offsets => _,
                    inout("r1") w => _,
                    inout("r3") w.add(stride) => _,
                    inout("r4") w.add(2 * stride) => _,
                    inout("r5") w.add(3 * stride) => _,
                    inout("r8") x.as_ptr() => _,
                    inout("r10") x.len() => _,
                    in("r11") $r11,
                    in("r12") out,
                    out("r2") _, out("r9") _, out("lr") _,
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
    four_tiled_rows!(q4_row, 288, 0, offset 8);
}

/// Quants of five bits: the bits of 16 columns are the predicate of an addition of 16 (`r11` has 16 in its lowest byte, too).
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
            "ldr ", $sum, ", [", $p, "]",
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
    four_tiled_rows!(q5_row, 352, 64, offset 16);
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
    four_tiled_rows!(iq4_row, 288, 0, table VALUES);
}
