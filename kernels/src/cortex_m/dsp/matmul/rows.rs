//! Products of four rows of weights with activations that were split for them: whole loops in assembly, in which every register
//! counts. Compilers spill when they are given one instruction at a time.
//!
//! A split block ([`crate::cortex_m::dsp::split`]) begins with the start value of the sums (if quants have an offset) and the
//! scale; then follow pairs of i16, in the order in which the loop reads them.
//!
//! Each loop exists for plain rows, and `tiled` for four neighbouring rows of a row tile ([`crate::layout`]): there a word of each row
//! lies beside the next, and the next word of a row 64 bytes further.
//!
//! Registers of each loop: `r0` weights of row 0, `r1` activations, `r2` and `r3` once and three times the stride; `r4`..`r7`
//! sums; `r8`..`r11` activations; `r12` weights, `lr` pairs of them; `s0`..`s3` scales, `s8`..`s11` the rows' results.

use core::arch::asm;

/// Adds to `acc[r]` the products of the blocks of four rows, which lie `stride` bytes apart, with split activations. Of tiled rows, `w`
/// points at the scale of the first, and `stride` is the distance from there to the first row's word.
///
/// # Safety
/// `x..x_end` are one or more whole split blocks, and each of the four rows from `w` on holds as many blocks.
pub(super) type Rows = unsafe fn(w: *const u8, x: *const u32, stride: usize, x_end: *const u32, acc: &mut [f32; 4]);

/// Function around a loop over four rows: `r3` comes as the end of the activations and `r12` as the results.
macro_rules! rows {
    ($(#[$doc:meta])* $name:ident: $($text:expr,)*) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The promises of [`Rows`] hold.
        pub(super) unsafe fn $name(
            w: *const u8,
            x: *const u32,
            stride: usize,
            x_end: *const u32,
            acc: &mut [f32; 4],
        ) {
            // SAFETY: reads the rows and the activations as the caller promises, writes `acc`, and names the registers that it
            // leaves changed.
            unsafe {
                asm!(
                    "push {{r3-r12}}
                    vldmia r12, {{s8-s11}}
                    add r3, r2, r2, lsl #1
                    2:",
                    $($text,)*
                    "ldr r12, [sp]
                    cmp r1, r12
                    bne 2b
                    ldr r12, [sp, #36]
                    vstmia r12, {{s8-s11}}
                    pop {{r3-r12}}",
                    inout("r0") w => _,
                    inout("r1") x => _,
                    in("r2") stride,
                    in("r3") x_end,
                    in("r12") acc,
                    out("lr") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _,
                    out("s6") _, out("s7") _, out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                )
            }
        }
    };
}

/// Loads the head of a split block and the rows' scales; multiplies these with the activations' scale.
macro_rules! head {
    (plain, $load:literal) => {
        concat!(
            $load,
            "
            ldrh r8, [r0, r2]
            ldrh r9, [r0, r2, lsl #1]
            ldrh r10, [r0, r3]
            ldrh r11, [r0], #2
            vmov s4, r5
            vmov s0, s1, r11, r8
            vmov s2, s3, r9, r10
            vcvtb.f32.f16 s0, s0
            vcvtb.f32.f16 s1, s1
            vcvtb.f32.f16 s2, s2
            vcvtb.f32.f16 s3, s3",
            head!(scale)
        )
    };
    (tiled, $load:literal) => {
        concat!(
            $load,
            "
            ldr r8, [r0]
            ldr r9, [r0, #4]
            add r0, r0, r2
            vmov s4, r5
            vmov s2, s3, r8, r9
            vcvtb.f32.f16 s0, s2
            vcvtt.f32.f16 s1, s2
            vcvtb.f32.f16 s2, s3
            vcvtt.f32.f16 s3, s3",
            head!(scale)
        )
    };
    (scale) => {
        "
            vmul.f32 s0, s0, s4
            vmul.f32 s1, s1, s4
            vmul.f32 s2, s2, s4
            vmul.f32 s3, s3, s4"
    };
}

/// Steps from the last word of a block to the scale of the next.
macro_rules! next {
    (plain) => {
        ""
    };
    (tiled) => {
        "
            sub r0, r0, r2
            add r0, r0, #32"
    };
}

/// `acc += scale * (sum / 2^bits)`; `bits` is an operand of the conversion.
macro_rules! tail {
    ($convert:literal) => {
        concat!(
            "
            vmov s4, s5, r4, r5
            vmov s6, s7, r6, r7
            vcvt.f32.s32 s4, s4",
            $convert,
            "
            vcvt.f32.s32 s5, s5",
            $convert,
            "
            vcvt.f32.s32 s6, s6",
            $convert,
            "
            vcvt.f32.s32 s7, s7",
            $convert,
            "
            vmul.f32 s4, s0, s4
            vmul.f32 s5, s1, s5
            vmul.f32 s6, s2, s6
            vmul.f32 s7, s3, s7
            vadd.f32 s8, s8, s4
            vadd.f32 s9, s9, s5
            vadd.f32 s10, s10, s6
            vadd.f32 s11, s11, s7"
        )
    };
}

/// Step over all four rows, `$row!(address, sum, begin)`; the last row moves on by a word.
macro_rules! four_rows {
    (plain, $row:ident, $begin:tt) => {
        concat!(
            $row!("[r0, r2]", "r5", $begin),
            $row!("[r0, r2, lsl #1]", "r6", $begin),
            $row!("[r0, r3]", "r7", $begin),
            $row!("[r0], #4", "r4", $begin),
        )
    };
    (plain, $row:ident) => {
        concat!(
            $row!("[r0, r2]", "r5", "r5"),
            $row!("[r0, r2, lsl #1]", "r6", "r6"),
            $row!("[r0, r3]", "r7", "r7"),
            $row!("[r0], #4", "r4", "r4"),
        )
    };
    (tiled, $row:ident, $begin:tt) => {
        concat!(
            $row!("[r0, #4]", "r5", $begin),
            $row!("[r0, #8]", "r6", $begin),
            $row!("[r0, #12]", "r7", $begin),
            $row!("[r0], #64", "r4", $begin),
        )
    };
    (tiled, $row:ident) => {
        concat!(
            $row!("[r0, #4]", "r5", "r5"),
            $row!("[r0, #8]", "r6", "r6"),
            $row!("[r0, #12]", "r7", "r7"),
            $row!("[r0], #64", "r4", "r4"),
        )
    };
}

/// Four columns of a row, the first ones of a block: their products begin the sums.
#[rustfmt::skip]
macro_rules! q8_first {
    ($load:literal, $sum:literal, $begin:literal) => {
        concat!(
            "\n ldr r12, ", $load,
            "\n sxtb16 lr, r12",
            "\n smuad ", $sum, ", lr, r8",
            "\n sxtb16 r12, r12, ror #8",
            "\n smlad ", $sum, ", r12, r9, ", $sum,
        )
    };
}

#[rustfmt::skip]
macro_rules! q8_even {
    ($load:literal, $sum:literal, $begin:literal) => {
        concat!(
            "\n ldr r12, ", $load,
            "\n sxtb16 lr, r12",
            "\n smlad ", $sum, ", lr, r8, ", $sum,
            "\n sxtb16 r12, r12, ror #8",
            "\n smlad ", $sum, ", r12, r9, ", $sum,
        )
    };
}

#[rustfmt::skip]
macro_rules! q8_odd {
    ($load:literal, $sum:literal, $begin:literal) => {
        concat!(
            "\n ldr r12, ", $load,
            "\n sxtb16 lr, r12",
            "\n smlad ", $sum, ", lr, r10, ", $sum,
            "\n sxtb16 r12, r12, ror #8",
            "\n smlad ", $sum, ", r12, r11, ", $sum,
        )
    };
}

macro_rules! q8_0 {
    ($layout:ident) => {
        concat!(
            head!($layout, "ldr r5, [r1], #4"),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q8_first, "r4"),
            four_rows!($layout, q8_odd),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q8_even),
            four_rows!($layout, q8_odd),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q8_even),
            four_rows!($layout, q8_odd),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q8_even),
            four_rows!($layout, q8_odd),
            next!($layout),
            tail!(""),
        )
    };
}

rows! {
    /// Multiplies Q8_0. Pairs: columns `4k, 4k + 2`, then `4k + 1, 4k + 3`.
    q8_0: q8_0!(plain),
}

rows! {
    /// Multiplies tiled rows of Q8_0, as [`q8_0`] does.
    q8_0_tiled: q8_0!(tiled),
}

/// Four bytes of a row: columns `4k..4k + 4` in the low halves `l`, `4k + 16..4k + 20` in the high halves `h`.
///
/// A pair of bytes is `l + 16 h`, and `l` after an `and`: with the activations `x_h` and `16 x_l - x_h` they give
/// `16 (l x_l + h x_h)`.
#[rustfmt::skip]
macro_rules! q4_row {
    ($load:literal, $sum:literal, $begin:literal) => {
        concat!(
            "\n ldr r12, ", $load,
            "\n uxtb16 lr, r12, ror #8",
            "\n smlad ", $sum, ", lr, r8, ", $begin,
            "\n and lr, lr, #0x000f000f",
            "\n smlad ", $sum, ", lr, r9, ", $sum,
            "\n uxtb16 r12, r12",
            "\n smlad ", $sum, ", r12, r10, ", $sum,
            "\n and r12, r12, #0x000f000f",
            "\n smlad ", $sum, ", r12, r11, ", $sum,
        )
    };
}

/// Four steps over 16 bytes of nibbles, `$first` the first of them.
macro_rules! nibbles {
    ($layout:ident, $first:expr) => {
        concat!(
            "\n ldmia r1!, {{r8-r11}}",
            $first,
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q4_row),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q4_row),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, q4_row),
        )
    };
}

macro_rules! q4_0 {
    ($layout:ident) => {
        concat!(
            head!($layout, "ldmia r1!, {{r4, r5}}"),
            nibbles!($layout, four_rows!($layout, q4_row, "r4")),
            next!($layout),
            tail!(", #4"),
        )
    };
}

rows! {
    /// Multiplies Q4_0, with sums times 16. Pairs: those of [`crate::cortex_m::dsp::split::nibbles`].
    q4_0: q4_0!(plain),
}

rows! {
    /// Multiplies tiled rows of Q4_0, as [`q4_0`] does.
    q4_0_tiled: q4_0!(tiled),
}

/// Fifth bits of four columns of a row and of the columns 16 behind: bit i of a pair is a quant times `2^i`, which the
/// activations make up for.
#[rustfmt::skip]
macro_rules! bits_row {
    ($extract:literal, $masks:tt, $load:literal, $sum:literal, $begin:literal) => {
        bits_row!(@ $extract, $masks, $load, $sum, $begin)
    };
    (@ $extract:literal, [$a:literal $b:literal $c:literal $d:literal], $load:literal, $sum:literal, $begin:literal) => {
        concat!(
            "\n ldr r12, ", $load, $extract,
            "\n and lr, r12, #", $a,
            "\n smlad ", $sum, ", lr, r8, ", $begin,
            "\n and lr, r12, #", $b,
            "\n smlad ", $sum, ", lr, r9, ", $sum,
            "\n and lr, r12, #", $c,
            "\n smlad ", $sum, ", lr, r10, ", $sum,
            "\n and lr, r12, #", $d,
            "\n smlad ", $sum, ", lr, r11, ", $sum,
        )
    };
}

macro_rules! bits_0 {
    ($load:literal, $sum:literal, $begin:literal) => {
        bits_row!("", ["0x00010001" "0x00020002" "0x00040004" "0x00080008"], $load, $sum, $begin)
    };
}

macro_rules! bits_4 {
    ($load:literal, $sum:literal, $begin:literal) => {
        bits_row!("", ["0x00100010" "0x00200020" "0x00400040" "0x00800080"], $load, $sum, $begin)
    };
}

#[rustfmt::skip]
macro_rules! bits_8 {
    ($load:literal, $sum:literal, $begin:literal) => {
        bits_row!("\n uxtb16 r12, r12, ror #8", ["0x00010001" "0x00020002" "0x00040004" "0x00080008"], $load, $sum, $begin)
    };
}

#[rustfmt::skip]
macro_rules! bits_12 {
    ($load:literal, $sum:literal, $begin:literal) => {
        bits_row!("\n uxtb16 r12, r12, ror #8", ["0x00100010" "0x00200020" "0x00400040" "0x00800080"], $load, $sum, $begin)
    };
}

/// Step over the bits of four rows, `$row!(address, sum, begin)`, which stays at their word.
macro_rules! four_rows_of_bits {
    (plain, $row:ident, $begin:literal) => {
        concat!(
            $row!("[r0, r2]", "r5", $begin),
            $row!("[r0, r2, lsl #1]", "r6", $begin),
            $row!("[r0, r3]", "r7", $begin),
            $row!("[r0]", "r4", $begin),
        )
    };
    (plain, $row:ident) => {
        concat!(
            $row!("[r0, r2]", "r5", "r5"),
            $row!("[r0, r2, lsl #1]", "r6", "r6"),
            $row!("[r0, r3]", "r7", "r7"),
            $row!("[r0]", "r4", "r4"),
        )
    };
    (tiled, $row:ident, $begin:literal) => {
        concat!(
            $row!("[r0, #4]", "r5", $begin),
            $row!("[r0, #8]", "r6", $begin),
            $row!("[r0, #12]", "r7", $begin),
            $row!("[r0]", "r4", $begin),
        )
    };
    (tiled, $row:ident) => {
        concat!(
            $row!("[r0, #4]", "r5", "r5"),
            $row!("[r0, #8]", "r6", "r6"),
            $row!("[r0, #12]", "r7", "r7"),
            $row!("[r0]", "r4", "r4"),
        )
    };
}

macro_rules! q5_0 {
    ($layout:ident) => {
        concat!(
            head!($layout, "ldmia r1!, {{r4, r5}}"),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows_of_bits!($layout, bits_0, "r4"),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows_of_bits!($layout, bits_4),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows_of_bits!($layout, bits_8),
            "\n ldmia r1!, {{r8-r11}}",
            four_rows!($layout, bits_12),
            nibbles!($layout, four_rows!($layout, q4_row)),
            next!($layout),
            tail!(", #4"),
        )
    };
}

rows! {
    /// Multiplies Q5_0, with sums times 16. Pairs: those of the fifth bits ([`crate::cortex_m::dsp::split::fifth_bits`]), then
    /// those of [`q4_0`].
    q5_0: q5_0!(plain),
}

rows! {
    /// Multiplies tiled rows of Q5_0, as [`q5_0`] does.
    q5_0_tiled: q5_0!(tiled),
}
