//! Products of four rows of weights with activations that were split for them: whole loops in assembly.
//!
//! # Two products in one multiplication
//!
//! [`crate::soft::pairs`] says how, and what a sum of lower halves may be:
//!
//! - Q4_0: 16 of them, `Σ a y` in ±15·127·16 = ±30 480; with the offset taken off, which the start value does, `Σ (q - 8) x` lies in
//!   ±32 512.
//! - Q5_0: the low four bits as Q4_0's; the fifth bits as `Σ (2 bit - 1) x`, in ±4 064, times 8.
//!
//! # Words
//!
//! A Cortex-M0 loads words from multiples of four alone. Blocks have 18, 22 or 34 bytes, so every other one begins in the middle of a word.
//! There the quants do: a word is made of their first two and last two bytes, and activations were split in this order.
//!
//! # Registers
//!
//! `r0` the word at which a block of a row begins, or in which it does; `r1` a mask; `r2` weights; `r3` some of them; `r4`..`r7` activations;
//! `r8`..`r11` sums; `r12` the distance of rows, and `lr` the way back from the fourth to the first. Branches over a block's code are
//! `bl`, which alone reaches so far.
//!
//! On the stack: activations and their end, sums of floats, `r0`, `r12` and `lr`, the mask; Q5_0's sums of low bits and its fifth bits.
//! With the registers of the caller these are 96 bytes, so that calls find the stack pointer at a multiple of 8.

use core::arch::naked_asm;

use crate::cortex_m::armv6m::contribution::{contribute, slow_contribution};

/// End of the activations, and results of four rows.
#[repr(C)]
pub(super) struct Results {
    /// Word behind the last split block.
    pub x_end: *const u32,
    /// Sums that the products of each row are added to.
    pub acc: [f32; 4],
}

/// Adds to `results.acc[r]` the products of the blocks of four rows, which lie `stride` bytes apart, with split activations.
///
/// # Safety
/// `x..results.x_end` are one or more whole split blocks, the first split for a block at `w`, and each of the four rows from `w` on holds
/// as many blocks. `w` is a multiple of 2, `stride` one of 4.
pub(super) type Rows = unsafe extern "C" fn(w: *const u8, x: *const u32, stride: usize, results: &mut Results);

/// Loads weights of a row to `r2`.
macro_rules! load {
    (word $at:literal) => {
        concat!("\n ldr r2, [r0, #", $at, "]")
    };
    (halves $low:literal $high:literal) => {
        concat!("\n ldrh r2, [r0, #", $low, "]\n ldrh r3, [r0, #", $high, "]\n lsls r3, r3, #16\n orrs r2, r3")
    };
}

/// Multiplies the pairs of nibbles of `r2`.
macro_rules! nibbles {
    ($sum:literal) => {
        concat!(
            "\n lsrs r3, r2, #4\n ands r3, r1\n muls r3, r5, r3\n add ",
            $sum,
            ", r3",
            "\n lsrs r3, r2, #8\n ands r3, r1\n muls r3, r6, r3\n add ",
            $sum,
            ", r3",
            "\n lsrs r3, r2, #12\n ands r3, r1\n muls r3, r7, r3\n add ",
            $sum,
            ", r3",
            "\n ands r2, r1\n muls r2, r4, r2\n add ",
            $sum,
            ", r2",
        )
    };
}

/// Multiplies the four bytes of `r2`.
macro_rules! bytes {
    ($sum:literal) => {
        concat!(
            "\n sxtb r3, r2\n muls r3, r4, r3\n add ",
            $sum,
            ", r3",
            "\n lsls r3, r2, #16\n asrs r3, r3, #24\n muls r3, r5, r3\n add ",
            $sum,
            ", r3",
            "\n lsls r3, r2, #8\n asrs r3, r3, #24\n muls r3, r6, r3\n add ",
            $sum,
            ", r3",
            "\n asrs r2, r2, #24\n muls r2, r7, r2\n add ",
            $sum,
            ", r2",
        )
    };
}

/// Loads four words of activations.
macro_rules! activations {
    () => {
        "\n ldr r3, [sp]\n ldmia r3!, {{r4-r7}}\n str r3, [sp]"
    };
}

/// A word of each of four rows.
macro_rules! step {
    ($products:ident, $($from:tt)*) => {
        concat!(
            activations!(),
            load!($($from)*), $products!("r8"), "\n add r0, r12",
            load!($($from)*), $products!("r9"), "\n add r0, r12",
            load!($($from)*), $products!("r10"), "\n add r0, r12",
            load!($($from)*), $products!("r11"), "\n add r0, lr",
        )
    };
}

/// Multiplies pairs of bits of `r2` from `$a` on.
macro_rules! bits {
    ($row:literal, $sum:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "\n ldr r2, [sp, #",
            $row,
            "]",
            "\n lsrs r3, r2, #",
            $b,
            "\n ands r3, r1\n muls r3, r5, r3\n add ",
            $sum,
            ", r3",
            "\n lsrs r3, r2, #",
            $c,
            "\n ands r3, r1\n muls r3, r6, r3\n add ",
            $sum,
            ", r3",
            "\n lsrs r3, r2, #",
            $d,
            "\n ands r3, r1\n muls r3, r7, r3\n add ",
            $sum,
            ", r3",
            $a,
            "\n ands r2, r1\n muls r2, r4, r2\n add ",
            $sum,
            ", r2",
        )
    };
}

/// Four fifth bits, and those 16 behind, of four rows.
macro_rules! bits_step {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            activations!(),
            bits!("44", "r8", $a $b $c $d),
            bits!("48", "r9", $a $b $c $d),
            bits!("52", "r10", $a $b $c $d),
            bits!("56", "r11", $a $b $c $d),
        )
    };
}

/// Start values from the activations.
macro_rules! start {
    () => {
        "
        ldr r3, [sp]
        ldmia r3!, {{r4}}
        str r3, [sp]
        mov r8, r4
        mov r9, r4
        mov r10, r4
        mov r11, r4"
    };
}

/// Registers that a contribution changed.
macro_rules! registers {
    () => {
        "
        ldr r1, [sp, #16]
        mov r12, r1
        ldr r1, [sp, #20]
        mov lr, r1
        ldr r1, [sp, #24]"
    };
}

/// Adds the contribution of the sum in `r3` of a row, whose scale lies `$at` behind `r0`.
macro_rules! row {
    ($at:literal, $acc:literal) => {
        concat!(
            "\n ldrh r1, [r0, #",
            $at,
            "]",
            "\n ldr r7, [sp, #8]",
            "\n ldr r0, [r7, #",
            $acc,
            "]",
            "\n ldr r2, [sp]",
            "\n bl {contribute}",
            "\n ldr r7, [sp, #8]",
            "\n str r0, [r7, #",
            $acc,
            "]",
        )
    };
}

/// Adds the contributions of four rows, and steps to the next block.
macro_rules! contribute {
    ($sum:ident, $at:literal, $next:literal) => {
        concat!(
            "\n str r0, [sp, #12]",
            $sum!("r8", "28"),
            row!($at, "0"),
            "\n ldr r0, [sp, #12]\n add r0, r12\n str r0, [sp, #12]",
            $sum!("r9", "32"),
            row!($at, "4"),
            "\n ldr r0, [sp, #12]\n add r0, r12\n str r0, [sp, #12]",
            $sum!("r10", "36"),
            row!($at, "8"),
            "\n ldr r0, [sp, #12]\n add r0, r12\n str r0, [sp, #12]",
            $sum!("r11", "40"),
            row!($at, "12"),
            "\n ldr r0, [sp, #12]\n ldr r1, [sp, #20]\n adds r0, r0, r1\n adds r0, #",
            $next,
            "\n ldr r3, [sp]\n adds r3, #16\n str r3, [sp]",
            "\n ldr r4, [sp, #4]\n cmp r3, r4",
        )
    };
}

macro_rules! upper_half {
    ($sum:literal, $low:literal) => {
        concat!("\n mov r3, ", $sum, "\n asrs r3, r3, #16")
    };
}

macro_rules! whole {
    ($sum:literal, $low:literal) => {
        concat!("\n mov r3, ", $sum)
    };
}

/// Sum of low bits, and eight times that of fifth bits.
macro_rules! five_bits {
    ($sum:literal, $low:literal) => {
        concat!(
            "\n mov r3, ",
            $sum,
            "\n asrs r3, r3, #16\n lsls r3, r3, #3\n ldr r2, [sp, #",
            $low,
            "]\n adds r3, r3, r2"
        )
    };
}

/// Puts the sums of low bits and the fifth bits of four rows on the stack.
macro_rules! fifth_bits {
    ($($from:tt)*) => {
        concat!(
            "\n mov r4, r8\n asrs r4, r4, #16\n str r4, [sp, #28]",
            "\n mov r4, r9\n asrs r4, r4, #16\n str r4, [sp, #32]",
            "\n mov r4, r10\n asrs r4, r4, #16\n str r4, [sp, #36]",
            "\n mov r4, r11\n asrs r4, r4, #16\n str r4, [sp, #40]",
            load!($($from)*), "\n str r2, [sp, #44]\n add r0, r12",
            load!($($from)*), "\n str r2, [sp, #48]\n add r0, r12",
            load!($($from)*), "\n str r2, [sp, #52]\n add r0, r12",
            load!($($from)*), "\n str r2, [sp, #56]\n add r0, lr",
            start!(),
            "\n movs r1, #1\n lsls r3, r1, #16\n orrs r1, r3",
            bits_step!("" "1" "2" "3"),
            bits_step!("\n lsrs r2, r2, #4" "5" "6" "7"),
            bits_step!("\n lsrs r2, r2, #8" "9" "10" "11"),
            bits_step!("\n lsrs r2, r2, #12" "13" "14" "15"),
        )
    };
}

/// Function around loops over blocks at words and in the middle of words.
macro_rules! rows {
    ($(#[$doc:meta])* $name:ident, $contribute:ident, $at_word:expr, $in_word:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The promises of [`Rows`] hold.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(w: *const u8, x: *const u32, stride: usize, results: &mut Results) {
            naked_asm!(
                "push {{r4-r7, lr}}
                mov r4, r8
                mov r5, r9
                mov r6, r10
                mov r7, r11
                push {{r4-r7}}
                sub sp, #60
                str r1, [sp]
                ldmia r3!, {{r4}}
                str r4, [sp, #4]
                str r3, [sp, #8]
                str r2, [sp, #16]
                lsls r4, r2, #1
                adds r4, r4, r2
                rsbs r4, r4, #0
                str r4, [sp, #20]
                movs r4, #15
                lsls r5, r4, #16
                orrs r4, r5
                str r4, [sp, #24]
                lsls r4, r0, #31
                bcc 102f
                subs r0, #2
                bl 103f
            102:",
                registers!(),
                $at_word,
                "
                bne 103f
                bl 104f
            103:",
                registers!(),
                $in_word,
                "
                beq 104f
                bl 102b
            104:
                add sp, #60
                pop {{r4-r7}}
                mov r8, r4
                mov r9, r5
                mov r10, r6
                mov r11, r7
                pop {{r4-r7, pc}}",
                contribute = sym $contribute,
            )
        }
    };
}

rows! {
    /// Multiplies Q4_0.
    q4_0, contribute,
    concat!(
        start!(),
        step!(nibbles, halves "2" "16"),
        step!(nibbles, word "4"),
        step!(nibbles, word "8"),
        step!(nibbles, word "12"),
        contribute!(upper_half, "0", "16"),
    ),
    concat!(
        start!(),
        step!(nibbles, word "4"),
        step!(nibbles, word "8"),
        step!(nibbles, word "12"),
        step!(nibbles, word "16"),
        contribute!(upper_half, "2", "20"),
    )
}

rows! {
    /// Multiplies Q5_0.
    q5_0, contribute,
    concat!(
        start!(),
        step!(nibbles, halves "6" "20"),
        step!(nibbles, word "8"),
        step!(nibbles, word "12"),
        step!(nibbles, word "16"),
        fifth_bits!(halves "2" "4"),
        contribute!(five_bits, "0", "20"),
    ),
    concat!(
        start!(),
        step!(nibbles, word "8"),
        step!(nibbles, word "12"),
        step!(nibbles, word "16"),
        step!(nibbles, word "20"),
        fifth_bits!(word "4"),
        contribute!(five_bits, "2", "24"),
    )
}

rows! {
    /// Multiplies Q8_0.
    q8_0, contribute_large,
    concat!(
        start!(),
        step!(bytes, halves "2" "32"),
        step!(bytes, word "4"),
        step!(bytes, word "8"),
        step!(bytes, word "12"),
        step!(bytes, word "16"),
        step!(bytes, word "20"),
        step!(bytes, word "24"),
        step!(bytes, word "28"),
        contribute!(whole, "0", "32"),
    ),
    concat!(
        start!(),
        step!(bytes, word "4"),
        step!(bytes, word "8"),
        step!(bytes, word "12"),
        step!(bytes, word "16"),
        step!(bytes, word "20"),
        step!(bytes, word "24"),
        step!(bytes, word "28"),
        step!(bytes, word "32"),
        contribute!(whole, "2", "36"),
    )
}

/// [`contribute`] for sums of more than 16 bits: keeps the high registers of the loops.
#[unsafe(naked)]
extern "C" fn contribute_large() {
    naked_asm!(
        "push {{r4, lr}}
        mov r4, r12
        bl {slow}
        mov r12, r4
        pop {{r4, pc}}",
        slow = sym slow_contribution,
    )
}
