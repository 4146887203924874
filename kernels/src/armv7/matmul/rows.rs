//! Products of four rows of blocks of 32 weights with one token, where the blocks lie.
//!
//! Registers beside those of [`super::super::products`]: `r4`..`r7` the next bytes of the four rows, `q6` and `q7` constants of the type.

use core::arch::naked_asm;

use super::k::TABLE;
use super::panel::{FourRows, Group, PANEL, ROWS, each};
use crate::BlockQ8;
use crate::armv7::products::{add_four, add_lanes, multiply_two, two_rows};
use crate::block::*;
use crate::contract::require;
use crate::vfp::unit;

/// Adds to `acc[r]` the products of `n` blocks of row r with as many blocks of activations.
///
/// # Safety
/// `n` is not zero. Each row has `n` blocks and `x` as many, and the processor NEON with VFPv4.
type Rows = unsafe extern "C" fn(
    rows: &[*const u8; ROWS],
    x: *const BlockQ8,
    n: usize,
    acc: &mut [f32; ROWS],
    constants: &[[u8; 16]; 2],
);

/// Function around the loop: `$head` loads the rows' scales, `$row!(pointer, registers)` the quants of a row, `$minimum` adds the
/// terms of minimums.
macro_rules! rows {
    ($name:ident, $head:expr, $row:ident, $minimum:literal) => {
        /// # Safety
        /// The promises of [`Rows`] hold.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(
            rows: &[*const u8; ROWS],
            x: *const BlockQ8,
            n: usize,
            acc: &mut [f32; ROWS],
            constants: &[[u8; 16]; 2],
        ) {
            naked_asm!(
                unit!(),
                "ldr r12, [sp]
                push {{r4-r7}}
                vpush {{d8-d15}}
                ldm r0, {{r4-r7}}
                vld1.8 {{d12-d15}}, [r12]
                vld1.32 {{d0-d1}}, [r3]
                2:
                vld1.32 {{d2}}, [r1]!
                vld1.8 {{d4-d7}}, [r1]!",
                $head,
                $row!("r4", "16" "17" "18" "19" "8" "9", "24" "25" "26" "27" "12" "13"),
                $row!("r5", "20" "21" "22" "23" "10" "11", "24" "25" "26" "27" "12" "13"),
                two_rows!("d3"),
                $row!("r6", "16" "17" "18" "19" "8" "9", "24" "25" "26" "27" "12" "13"),
                $row!("r7", "20" "21" "22" "23" "10" "11", "24" "25" "26" "27" "12" "13"),
                two_rows!("d25"),
                add_four!(),
                $minimum,
                "subs r2, r2, #1
                bne 2b
                vst1.32 {{d0-d1}}, [r3]
                vpop {{d8-d15}}
                pop {{r4-r7}}
                bx lr",
            )
        }
    };
}

/// Scales `d · d_x`.
macro_rules! scales {
    () => {
        "vld1.16 {{d8[0]}}, [r4]!
        vld1.16 {{d8[1]}}, [r5]!
        vld1.16 {{d8[2]}}, [r6]!
        vld1.16 {{d8[3]}}, [r7]!
        vcvt.f32.f16 q4, d8
        vmul.f32 q4, q4, d2[0]"
    };
}

/// Scales `d · d_x`, and terms of the minimums `(m · d_x) · Σ x`.
macro_rules! scales_and_minimums {
    () => {
        "vld1.32 {{d8[0]}}, [r4]!
        vld1.32 {{d8[1]}}, [r5]!
        vld1.32 {{d9[0]}}, [r6]!
        vld1.32 {{d9[1]}}, [r7]!
        vuzp.16 d8, d9
        vcvt.f32.f16 q5, d9
        vcvt.f32.f16 q4, d8
        vpaddl.s16 d3, d2
        vcvt.f32.s32 d3, d3
        vmul.f32 q5, q5, d2[0]
        vmul.f32 q4, q4, d2[0]
        vmul.f32 q5, q5, d3[1]"
    };
}

macro_rules! bytes {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal, $($free:literal)*) => {
        concat!("vld1.8 {{d", $a, "-d", $d, "}}, [", $p, "]!")
    };
}

/// Nibbles, less the offset in `q7`; `q6` is 15.
#[rustfmt::skip]
macro_rules! centred_nibbles {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal, $($free:literal)*) => {
        concat!(
            nibbles!($p, $a $b $c $d $first $last, $($free)*),
            "\n vsub.i8 q", $first, ", q", $first, ", q7",
            "\n vsub.i8 q", $last, ", q", $last, ", q7",
        )
    };
}

/// Nibbles; `q6` is 15.
#[rustfmt::skip]
macro_rules! nibbles {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal, $($free:literal)*) => {
        concat!(
            "vld1.8 {{d", $a, "-d", $b, "}}, [", $p, "]!",
            "\n vshr.u8 q", $last, ", q", $first, ", #4",
            "\n vand q", $first, ", q", $first, ", q6",
        )
    };
}

/// Quants of five bits less 16: the upper four bits of a nibble's byte become the inverse of the fifth bit, four times. `q6` has the
/// bits of eight columns.
#[rustfmt::skip]
macro_rules! five_bits {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal,
        $e:literal $f:literal $g:literal $h:literal $bits:literal $last_bits:literal) => {
        concat!(
            "vld1.32 {{d", $a, "[]}}, [", $p, "]!",
            "\n vmvn d", $a, ", d", $a,
            "\n vdup.8 d", $e, ", d", $a, "[0]",
            "\n vdup.8 d", $f, ", d", $a, "[1]",
            "\n vdup.8 d", $g, ", d", $a, "[2]",
            "\n vdup.8 d", $h, ", d", $a, "[3]",
            "\n vld1.8 {{d", $a, "-d", $b, "}}, [", $p, "]!",
            "\n vtst.8 q", $bits, ", q", $bits, ", q6",
            "\n vtst.8 q", $last_bits, ", q", $last_bits, ", q6",
            "\n vshr.u8 q", $last, ", q", $first, ", #4",
            "\n vsli.8 q", $first, ", q", $bits, ", #4",
            "\n vsli.8 q", $last, ", q", $last_bits, ", #4",
        )
    };
}

/// Quants of five bits; `q7` is 16.
#[rustfmt::skip]
macro_rules! unsigned_five_bits {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal, $($free:literal)*) => {
        concat!(
            five_bits!($p, $a $b $c $d $first $last, $($free)*),
            "\n vadd.i8 q", $first, ", q", $first, ", q7",
            "\n vadd.i8 q", $last, ", q", $last, ", q7",
        )
    };
}

/// Values of nibbles in the table `q7`; `q6` is 15.
#[rustfmt::skip]
macro_rules! indexed {
    ($p:literal, $a:literal $b:literal $c:literal $d:literal $first:literal $last:literal, $($free:literal)*) => {
        concat!(
            nibbles!($p, $a $b $c $d $first $last, $($free)*),
            "\n vtbl.8 d", $a, ", {{d14, d15}}, d", $a,
            "\n vtbl.8 d", $b, ", {{d14, d15}}, d", $b,
            "\n vtbl.8 d", $c, ", {{d14, d15}}, d", $c,
            "\n vtbl.8 d", $d, ", {{d14, d15}}, d", $d,
        )
    };
}

rows!(q8_0, scales!(), bytes, "");
rows!(q4_0, scales!(), centred_nibbles, "");
rows!(q4_1, scales_and_minimums!(), nibbles, "vadd.f32 q0, q0, q5");
rows!(q5_0, scales!(), five_bits, "");
rows!(q5_1, scales_and_minimums!(), unsigned_five_bits, "vadd.f32 q0, q0, q5");
rows!(iq4_nl, scales!(), indexed, "");

/// Bit of each of eight columns, twice.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
macro_rules! four_rows {
    ($($block:ident $name:ident $constants:expr;)*) => { $(
        impl FourRows for $block {
            type Panel<'p> = [&'p [Self]; ROWS];

            #[inline]
            fn panel<'p>(rows: [&'p [Self]; ROWS], _: &'p mut [Group; PANEL]) -> Self::Panel<'p> {
                rows
            }

            #[inline]
            fn add(rows: &Self::Panel<'_>, x: &[BlockQ8], acc: &mut [f32; ROWS]) {
                let [a, b, c, d] = each(|r| rows[r].len() == x.len());
                require(a && b && c && d && !x.is_empty(), "a block for each block of activations");
                let function: Rows = $name;
                // SAFETY: each row has as many blocks as `x`, one at least (just checked); `detect` saw NEON with VFPv4.
                unsafe { function(&each(|r| rows[r].as_ptr().cast()), x.as_ptr(), x.len(), acc, &$constants) }
            }
        }
    )* };
}

four_rows! {
    BlockQ8_0 q8_0 [[0; 16]; 2];
    BlockQ4_0 q4_0 [[15; 16], [8; 16]];
    BlockQ4_1 q4_1 [[15; 16]; 2];
    BlockQ5_0 q5_0 [BITS; 2];
    BlockQ5_1 q5_1 [BITS, [16; 16]];
    BlockIQ4_NL iq4_nl [[15; 16], TABLE];
}
