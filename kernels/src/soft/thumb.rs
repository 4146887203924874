//! Sums and products in assembly for ARMv6-M: it has few registers, and compilers spill.
//!
//! Both keep the high registers, which loops over weights use. Numbers that are not normal go to functions in Rust, at whose calls the
//! stack pointer is a multiple of 8 (AAPCS32, "Stack constraints at a public interface").

use core::arch::naked_asm;

/// Adds `r1` to `r0`, changes `r2`, `r3` and `lr`, and returns by the address on the stack, which lies alone above a multiple of 8 bytes.
///
/// The way of [`crate::soft::arithmetic::add`]: `r0` becomes the larger magnitude, `r3` the distance of the exponents, `r2` the whole part
/// of the smaller significand and `r1` its fraction.
macro_rules! sum {
    () => {
        "
        lsls r2, r0, #1
        lsls r3, r1, #1
        cmp r2, r3
        blo 10f
        lsrs r2, r2, #24
        lsrs r3, r3, #24
        beq 30f
        cmp r2, #254
        bhs 30f
        subs r3, r2, r3
    11: // Exponent in r2, flags of the distance.
        beq 40f
        cmp r3, #24
        bhi 35f
        mov lr, r2
        mov r2, r0
        eors r2, r1
        bmi 50f
        lsls r1, r1, #8
        movs r2, #128
        lsls r2, r2, #24
        orrs r1, r2
        movs r2, #24
        subs r2, r2, r3
        adds r3, #8
        mov lr, r1
        lsls r1, r2
        mov r2, lr
        lsrs r2, r3
        adds r2, r2, r0
        eors r0, r2
        lsls r0, r0, #8
        bmi 20f
        lsls r1, r1, #1
        bcc 12f
        beq 13f
        adds r2, #1
    12: mov r0, r2
        pop {{pc}}
    13: adds r2, #1
        lsrs r2, r2, #1
        lsls r0, r2, #1
        pop {{pc}}

    10: // The second is the larger one.
        lsrs r3, r3, #24
        lsrs r2, r2, #24
        beq 30f
        cmp r3, #254
        bhs 30f
        eors r0, r1
        eors r1, r0
        eors r0, r1
        mov lr, r3
        subs r3, r3, r2
        mov r2, lr
        b 11b

    20: // The next exponent: the last place becomes the half.
        lsrs r3, r2, #23
        lsls r3, r3, #23
        lsls r2, r2, #9
        lsrs r2, r2, #10
        bcc 21f
        adds r2, #1
        cmp r1, #0
        bne 21f
        lsrs r2, r2, #1
        lsls r2, r2, #1
    21: adds r0, r3, r2
        pop {{pc}}

    30: // Zero, or not normal.
        lsls r2, r0, #1
        lsls r3, r1, #1
        bne 31f
        cmp r2, #0
        beq 33f
        pop {{pc}}
    31: cmp r2, #0
        bne 33f
        mov r0, r1
        pop {{pc}}
    33: mov r2, r12
        push {{r2}}
        bl {sum}
        pop {{r2}}
        mov r12, r2
    34: pop {{pc}}
    35: // Less than half of the last place, which moves a power of two alone, and only downwards.
        cmp r3, #25
        bne 34b
        mov r2, r0
        eors r2, r1
        bpl 34b
        lsls r2, r0, #9
        bne 34b
        b 33b

    40: // One exponent.
        mov r3, r0
        eors r3, r1
        bmi 45f
        lsls r1, r1, #9
        lsrs r1, r1, #9
        lsrs r2, r0, #23
        lsls r2, r2, #23
        subs r0, r0, r2
        movs r3, #1
        lsls r3, r3, #23
        adds r2, r2, r3
        adds r0, r0, r1
        lsrs r0, r0, #1
        bcc 41f
        adds r0, #1
        lsrs r0, r0, #1
        lsls r0, r0, #1
    41: adds r0, r0, r2
        pop {{pc}}
    45: cmp r2, #26
        blo 33b
        lsls r1, r1, #9
        lsrs r1, r1, #9
        lsls r3, r0, #9
        lsrs r3, r3, #9
        lsrs r0, r0, #23
        lsls r0, r0, #23
        subs r3, r3, r1
        bne 60f
        movs r0, #0
        pop {{pc}}

    50: // A difference.
        mov r2, lr
        cmp r2, #26
        blo 33b
        lsls r1, r1, #8
        movs r2, #128
        lsls r2, r2, #24
        orrs r1, r2
        movs r2, #24
        subs r2, r2, r3
        adds r3, #8
        mov lr, r1
        lsls r1, r2
        mov r2, lr
        lsrs r2, r3
        rsbs r1, r1, #0
        mov r3, r0
        sbcs r0, r2
        eors r3, r0
        lsls r3, r3, #8
        bmi 55f
    51: lsls r1, r1, #1
        bcc 52f
        beq 53f
        adds r0, #1
    52: pop {{pc}}
    53: adds r0, #1
        lsrs r0, r0, #1
        lsls r0, r0, #1
        pop {{pc}}
    55: // A place is missing at least.
        lsrs r2, r0, #23
        lsls r2, r2, #23
        subs r0, r0, r2
        adds r1, r1, r1
        adcs r0, r0
        lsrs r3, r0, #23
        beq 57f
        adds r0, r0, r2
        movs r3, #1
        lsls r3, r3, #23
        subs r0, r0, r3
        b 51b
    57: mov r3, r0
        mov r0, r2

    60: // Exact: places of r3 up to bit 23 are missing.
        movs r2, #0
        lsrs r1, r3, #8
        bne 61f
        lsls r3, r3, #16
        adds r2, #16
    61: lsrs r1, r3, #16
        bne 62f
        lsls r3, r3, #8
        adds r2, #8
    62: lsrs r1, r3, #20
        bne 63f
        lsls r3, r3, #4
        adds r2, #4
    63: lsrs r1, r3, #22
        bne 64f
        lsls r3, r3, #2
        adds r2, #2
    64: lsrs r1, r3, #23
        bne 65f
        lsls r3, r3, #1
        adds r2, #1
    65: lsls r2, r2, #23
        subs r0, r0, r2
        adds r0, r0, r3
        movs r1, #1
        lsls r1, r1, #23
        subs r0, r0, r1
        pop {{pc}}"
    };
}

pub(crate) use sum;

/// `a + b`.
#[unsafe(naked)]
pub(crate) extern "C" fn add(a: f32, b: f32) -> f32 {
    naked_asm!("push {{lr}}", sum!(), sum = sym slow_sum)
}

/// Sum of numbers that are not normal.
pub(crate) extern "C" fn slow_sum(a: f32, b: f32) -> f32 {
    a + b
}

/// `a * b`.
///
/// Significands `r0`, `r4` and `r1`, `r5` of 16 and 8 bits; the product is `r3` with 16 more bits, eight in `r0` and eight in `r4`. `r2` is
/// the exponent, `r12` the sign.
#[unsafe(naked)]
pub(crate) extern "C" fn multiply(a: f32, b: f32) -> f32 {
    naked_asm!(
        "push {{r4, r5, lr}}
        mov r2, r0
        eors r2, r1
        mov r12, r2
        lsls r2, r0, #1
        lsrs r2, r2, #24
        beq 5f
        cmp r2, #255
        beq 5f
        lsls r3, r1, #1
        lsrs r3, r3, #24
        beq 5f
        cmp r3, #255
        beq 5f
        adds r2, r2, r3
        subs r2, #128
        // Whatever the significands, the result is normal.
        cmp r2, #253
        bhs 5f
        uxtb r4, r0
        uxtb r5, r1
        movs r3, #128
        lsls r3, r3, #8
        lsls r0, r0, #9
        lsrs r0, r0, #17
        adds r0, r0, r3
        lsls r1, r1, #9
        lsrs r1, r1, #17
        adds r1, r1, r3
        mov r3, r0
        muls r3, r1, r3
        muls r0, r5, r0
        muls r1, r4, r1
        adds r0, r0, r1
        muls r4, r5, r4
        lsrs r1, r4, #8
        adds r0, r0, r1
        lsrs r1, r0, #8
        adds r3, r3, r1
        bpl 2f
        adds r2, #1
    1:  lsrs r1, r3, #8
        bcc 3f
        adds r1, #1
        lsls r3, r3, #25
        lsls r0, r0, #24
        orrs r3, r0
        lsls r4, r4, #24
        orrs r3, r4
        bne 3f
        lsrs r1, r1, #1
        lsls r1, r1, #1
    3:  lsls r2, r2, #23
        adds r2, r2, r1
        mov r0, r12
        lsrs r0, r0, #31
        lsls r0, r0, #31
        orrs r0, r2
        pop {{r4, r5, pc}}
    2:  adds r3, r3, r3
        b 1b
    5:  sub sp, #4
        bl {product}
        add sp, #4
        pop {{r4, r5, pc}}",
        product = sym slow_product,
    )
}

/// Product of numbers that are not normal.
extern "C" fn slow_product(a: f32, b: f32) -> f32 {
    a * b
}
