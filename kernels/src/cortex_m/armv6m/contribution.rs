//! Contribution of a block of weights to a sum of floats, in assembly.
//!
//! The high registers that the loops over weights use stay as they are.

use core::arch::naked_asm;

use crate::soft::arithmetic::{from_f16, from_int};
use crate::soft::thumb::{slow_sum, sum};
use crate::soft::word::ZEROS;
use crate::soft::{add, multiply};

/// Scale of a block of activations, taken to pieces.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Scale {
    /// Significand without its last three bits.
    high: u32,
    /// Last three bits of the significand.
    low: u32,
    /// Exponent as the float holds it, plus one.
    exponent: u32,
    d: f32,
}

impl Scale {
    /// Words of a scale.
    pub const WORDS: usize = 4;

    /// Takes a scale to pieces; `None` unless it lies in 2^-100..2^60, where no product with a normal half-precision number and an integer
    /// of 16 bits leaves the normal numbers.
    pub fn pieces(d: f32) -> Option<[u32; Self::WORDS]> {
        let (exponent, significand) = (d.to_bits() >> 23, d.to_bits() & 0x7f_ffff | 0x80_0000);
        let small = (127 - 100..127 + 60).contains(&exponent);
        small.then(|| [significand >> 3, significand & 7, exponent + 1, d.to_bits()])
    }

    /// Any scale, for [`slow_contribution`] alone.
    pub fn whole(d: f32) -> [u32; Self::WORDS] {
        [0, 0, 0, d.to_bits()]
    }
}

/// Adds to `acc` the contribution of a block, `(d · scale) · sum`, for `sum` in ±65535: `r0` to `r3` in this order, result in `r0`.
/// Not a function for Rust: it changes `r4` to `r7` as well. The stack pointer is a multiple of 8, as for any function.
///
/// `r4` is the significand of `d`, then the product's is `r1` with three more bits in `r6`, and rounded `r5`. The sum is shifted up to 16
/// bits in `r3`, so that the product has 32 bits in `r5` and eight more in `r4`. `r7` is the exponent, `lr` the sign.
#[unsafe(naked)]
pub(super) extern "C" fn contribute(acc: f32, d: u32, scale: &Scale, sum: i32) -> f32 {
    naked_asm!(
        "push {{lr}}
        lsls r4, r1, #17
        lsrs r5, r4, #27
        beq 70f
        cmp r5, #31
        beq 70f
        lsls r4, r4, #5
        lsrs r4, r4, #22
        movs r6, #1
        lsls r6, r6, #10
        adds r4, r4, r6
        asrs r6, r3, #31
        eors r3, r6
        subs r3, r3, r6
        beq 71f
        lsls r1, r1, #16
        eors r6, r1
        mov lr, r6
        ldmia r2!, {{r1, r6, r7}}
        adds r7, r7, r5
        muls r6, r4, r6
        muls r1, r4, r1
        lsrs r5, r6, #3
        adds r1, r1, r5
        bmi 1f
        adds r1, r1, r1
        subs r7, #1
    1:  lsrs r5, r1, #8
        bcc 3f
        adds r5, #1
        lsls r1, r1, #25
        lsls r6, r6, #29
        orrs r1, r6
        bne 3f
        lsrs r5, r5, #1
        lsls r5, r5, #1
    3:  lsrs r4, r3, #8
        bne 4f
        lsls r3, r3, #8
        subs r7, #8
        lsrs r4, r3, #8
    4:  ldr r6, 72f
        ldrb r4, [r6, r4]
        lsls r3, r4
        subs r7, r7, r4
        uxtb r4, r5
        lsrs r5, r5, #8
        muls r4, r3, r4
        muls r5, r3, r5
        lsrs r6, r4, #8
        adds r5, r5, r6
        bmi 5f
        adds r5, r5, r5
        subs r7, #1
    5:  lsrs r3, r5, #8
        bcc 6f
        adds r3, #1
        lsls r5, r5, #25
        lsls r4, r4, #24
        orrs r5, r4
        bne 6f
        lsrs r3, r3, #1
        lsls r3, r3, #1
    6:  lsls r7, r7, #23
        adds r1, r7, r3
        mov r4, lr
        lsrs r4, r4, #31
        lsls r4, r4, #31
        orrs r1, r4
        b 73f
    70: mov r4, r12
        sub sp, #4
        bl {slow}
        add sp, #4
        mov r12, r4
    71: pop {{pc}}
        .balign 4
    72: .word {zeros}
    73:",
        sum!(),
        slow = sym slow_contribution,
        sum = sym slow_sum,
        zeros = sym ZEROS,
    )
}

/// [`contribute`] for any numbers, as a function for Rust.
pub(super) extern "C" fn slow_contribution(acc: f32, d: u32, scale: &Scale, sum: i32) -> f32 {
    add(acc, multiply(multiply(from_f16(d as u16), scale.d), from_int(sum)))
}
