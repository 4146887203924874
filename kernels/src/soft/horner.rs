//! Polynomials in assembly for ARMv6-M: no number is put together between the first product and the last sum, which halves the
//! instructions.

use core::arch::naked_asm;

use super::{add, multiply};

/// Coefficient of a polynomial, taken to pieces.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Coefficient {
    significand: u32,
    /// Bits as the float holds them.
    exponent: u32,
    /// All ones if negative.
    sign: u32,
}

impl Coefficient {
    /// Takes a normal number to pieces.
    const fn new(c: f32) -> Self {
        let bits = c.to_bits();
        let sign = if bits >> 31 == 0 { 0 } else { u32::MAX };
        Self { significand: bits & 0x7f_ffff | 0x80_0000, exponent: bits << 1 >> 24, sign }
    }

    fn value(self) -> f32 {
        let magnitude = ((self.exponent - 1) << 23) + self.significand;
        f32::from_bits(self.sign << 31 | magnitude)
    }
}

/// Coefficients of a polynomial, the highest power first.
pub(crate) const fn coefficients<const N: usize>(c: [f32; N]) -> [Coefficient; N] {
    let mut out = [Coefficient::new(1.0); N];
    let mut i = 0;
    while i < N {
        out[i] = Coefficient::new(c[N - 1 - i]);
        i += 1;
    }
    out
}

/// Polynomial by Horner's rule, each product and each sum rounded; coefficients of magnitudes in 2^-20..1.
#[inline(always)]
pub(crate) fn polynomial<const N: usize>(c: &[Coefficient; N], x: f32) -> f32 {
    let c = c.as_ptr_range();
    // SAFETY: the range is that of an array, which is not empty.
    unsafe { horner(x, c.start, c.end) }
}

/// Computes [`polynomial`] of the coefficients in `c..end`.
///
/// Numbers stay taken to pieces: `r0` significand, `r1` exponent and `r7` sign of the sum so far; `r8` and `r9` 16 and 8 bits of the
/// significand of `x`, `r10` its exponent less 126, `r11` its sign; `r6` the coefficient, `r12` their end.
///
/// # Safety
/// `c..end` are coefficients, one at least.
#[unsafe(naked)]
unsafe extern "C" fn horner(x: f32, c: *const Coefficient, end: *const Coefficient) -> f32 {
    naked_asm!(
        "push {{r0-r2, r4-r7, lr}}
        mov r4, r8
        mov r5, r9
        mov r6, r10
        mov r7, r11
        push {{r4-r7}}
        mov r12, r2
        asrs r2, r0, #31
        mov r11, r2
        lsls r2, r0, #1
        lsrs r2, r2, #24
        // Exponents of magnitudes in 2^-20..2.
        mov r3, r2
        subs r3, #107
        cmp r3, #20
        bhi 9f
        subs r2, #126
        mov r10, r2
        uxtb r2, r0
        mov r9, r2
        lsls r0, r0, #9
        lsrs r0, r0, #17
        movs r2, #128
        lsls r2, r2, #8
        adds r0, r0, r2
        mov r8, r0
        mov r6, r1
        ldmia r6!, {{r0, r1, r7}}
        b 8f
    9:  b 90f
    1:  // The product.
        uxtb r2, r0
        lsrs r0, r0, #8
        mov r3, r8
        mov r4, r9
        mov r5, r0
        muls r5, r3, r5
        muls r0, r4, r0
        muls r3, r2, r3
        adds r0, r0, r3
        muls r4, r2, r4
        lsrs r2, r4, #8
        adds r0, r0, r2
        lsrs r2, r0, #8
        adds r5, r5, r2
        bmi 2f
        adds r5, r5, r5
        subs r1, #1
    2:  lsrs r2, r5, #8
        bcc 4f
        adds r2, #1
        lsls r5, r5, #25
        lsls r0, r0, #24
        orrs r5, r0
        lsls r4, r4, #24
        orrs r5, r4
        bne 3f
        lsrs r2, r2, #1
        lsls r2, r2, #1
    3:  lsrs r3, r2, #24
        beq 4f
        lsrs r2, r2, #1
        adds r1, #1
    4:  add r1, r10
        mov r3, r11
        eors r7, r3
        // The sum with a coefficient: `r3` the larger, `r4` the distance of exponents, `r7` that signs differ, `r5` the sign.
        ldmia r6!, {{r3-r5}}
        eors r7, r5
        subs r4, r4, r1
        blt 20f
        adds r1, r1, r4
    5:  cmp r4, #24
        bhi 9b
        movs r0, #32
        subs r0, r0, r4
        mov lr, r2
        lsls r2, r0
        mov r0, lr
        lsrs r0, r4
        cmp r7, #0
        mov r7, r5
        bne 30f
        adds r0, r0, r3
        lsrs r3, r0, #24
        bne 25f
    6:  lsls r2, r2, #1
        bcc 8f
        bne 7f
        // A tie: one is added to odd numbers alone.
        lsrs r3, r0, #1
        bcc 8f
    7:  adds r0, #1
        lsrs r3, r0, #24
        beq 8f
        lsrs r0, r0, #1
        adds r1, #1
    8:  cmp r6, r12
        bne 1b
        subs r1, #1
        lsls r1, r1, #23
        adds r0, r0, r1
        lsls r7, r7, #31
        orrs r0, r7
        pop {{r4-r7}}
        mov r8, r4
        mov r9, r5
        mov r10, r6
        mov r11, r7
        add sp, #12
        pop {{r4-r7, pc}}

    20: // The product is the larger one.
        rsbs r4, r4, #0
        eors r5, r7
        mov r0, r2
        mov r2, r3
        mov r3, r0
        b 5b
    25: adds r1, #1
        lsrs r0, r0, #1
        bcc 8b
        cmp r2, #0
        bne 7b
        lsrs r3, r0, #1
        bcc 8b
        b 7b
    30: // A difference.
        rsbs r2, r2, #0
        sbcs r3, r0
        bcc 90f
        mov r0, r3
        lsrs r3, r0, #23
        bne 6b
    31: adds r2, r2, r2
        adcs r0, r0
        beq 90f
        subs r1, #1
        lsrs r3, r0, #23
        beq 31b
        b 6b
    90: // Any other numbers.
        pop {{r4-r7}}
        mov r8, r4
        mov r9, r5
        mov r10, r6
        mov r11, r7
        pop {{r0-r2, r4-r7}}
        sub sp, #4
        bl {slow}
        add sp, #4
        pop {{pc}}",
        slow = sym slow_horner,
    )
}

/// Polynomial of any number; the coefficients are those of [`horner`].
extern "C" fn slow_horner(x: f32, c: *const Coefficient, end: *const Coefficient) -> f32 {
    // SAFETY: `c..end` are coefficients.
    let all = unsafe { core::slice::from_raw_parts(c, (end.addr() - c.addr()) / size_of::<Coefficient>()) };
    let (first, rest) = all.split_first().map_or((0.0, all), |(first, rest)| (first.value(), rest));
    rest.iter().fold(first, |y, c| add(multiply(y, x), c.value()))
}
