//! Elementary functions of four numbers: the operations of `scalar::math`. Numbers so small or so large that a result on the
//! way could be subnormal, infinite or NaN are left to the kernels of the DSP extension.

use core::arch::asm;
use core::f32::consts::LOG2_E;

use crate::scalar::constants::*;
use crate::scalar::strided_sum;
use crate::vfp;

/// Magnitudes below this may lead to subnormals.
const SMALL: f32 = 1.0 / (1u128 << 64) as f32;

/// Least magnitude that is not zero (zero if there is none), and the largest; a NaN is larger than all others.
fn magnitudes(x: &[f32]) -> [u32; 2] {
    let (least, largest): (u32, u32);
    // SAFETY: reads `x`.
    unsafe {
        asm!(
            "wlstp.32 lr, r1, 3f",
            "2:",
            "vldrw.u32 q0, [r2], #16",
            // The shift drops the sign; minus one, so that zero becomes the largest number.
            "vshl.i32 q0, q0, #1",
            "vmaxv.u32 r4, q0",
            "vsub.i32 q0, q0, r3",
            "vminv.u32 r0, q0",
            "letp lr, 2b",
            "3:",
            inout("r0") u32::MAX => least, inout("r4") 0 => largest,
            in("r1") x.len(), inout("r2") x.as_ptr() => _, in("r3") 1, out("lr") _,
            out("d0") _, out("d1") _,
            options(readonly, nostack),
        )
    }
    [least.wrapping_add(1) >> 1, largest >> 1]
}

/// True if every number is zero or at least 2^-64 in magnitude: then its products with half-precision numbers (at least 2^-24)
/// and integers are zero or at least 2^-88, and multiples of 2^-111, and so are their sums.
pub(super) fn flushes_nothing(x: &[f32]) -> bool {
    let [least, _] = magnitudes(x);
    // The least magnitude is zero if all numbers are.
    least == 0 || least >= SMALL.to_bits()
}

/// `exp` of numbers in ±87.3, whose results are normal.
fn exp(x: &mut [f32]) {
    static NUMBERS: [f32; 11] =
        [LOG2_E, ROUND, LN_2_HIGH, LN_2_LOW, EXP[0], EXP[1], EXP[2], EXP[3], EXP[4], EXP[5], 1.0];
    // SAFETY: reads and writes `x`, reads `NUMBERS`; the registers that it changes are pushed or named.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "mov r11, r0",
            "wlstp.32 lr, r1, 3f",
            "ldmia r12, {{r0-r10}}",
            "2:",
            "vldrw.u32 q0, [r11]",
            "vmul.f32 q1, q0, r0",
            "vadd.f32 q1, q1, r1",
            "vsub.f32 q2, q1, r1",
            "vmul.f32 q3, q2, r2",
            "vsub.f32 q0, q0, q3",
            "vmul.f32 q3, q2, r3",
            "vsub.f32 q0, q0, q3",
            "vmul.f32 q2, q0, r9",
            "vadd.f32 q2, q2, r8",
            "vmul.f32 q2, q2, q0",
            "vadd.f32 q2, q2, r7",
            "vmul.f32 q2, q2, q0",
            "vadd.f32 q2, q2, r6",
            "vmul.f32 q2, q2, q0",
            "vadd.f32 q2, q2, r5",
            "vmul.f32 q2, q2, q0",
            "vadd.f32 q2, q2, r4",
            "vmul.f32 q3, q0, q0",
            "vmul.f32 q3, q3, q2",
            "vadd.f32 q3, q0, q3",
            "vadd.f32 q3, q3, r10",
            // Multiplies by 2^n: the low bits of the rounded product are n.
            "vshl.i32 q1, q1, #23",
            "vadd.i32 q3, q3, q1",
            "vstrw.32 q3, [r11], #16",
            "letp lr, 2b",
            "3:",
            "pop {{r6, r7}}",
            inout("r0") x.as_mut_ptr() => _, inout("r1") x.len() => _, in("r12") &NUMBERS,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
        )
    }
}

/// Implements [`Kernels::exp_block`](crate::Kernels::exp_block).
///
/// A flushed difference, or a flushed product inside `exp`, is too small to show beside 1.
pub(super) fn exp_block(scores: &mut [f32], max: f32) -> f32 {
    if scores.len() < 2 {
        return vfp::math::exp_block(scores, max);
    }
    let largest: u32;
    // SAFETY: reads and writes `scores`.
    unsafe {
        asm!(
            "dlstp.32 lr, r1",
            "2:",
            "vldrw.u32 q0, [r2]",
            "vsub.f32 q0, q0, r3",
            "vstrw.32 q0, [r2], #16",
            "vshl.i32 q0, q0, #1",
            "vmaxv.u32 r0, q0",
            "letp lr, 2b",
            inout("r0") 0 => largest, in("r1") scores.len(), inout("r2") scores.as_mut_ptr() => _,
            in("r3") max.to_bits(), out("lr") _,
            out("d0") _, out("d1") _,
            options(nostack),
        )
    }
    if largest >> 1 > (-EXP_MIN).to_bits() {
        return vfp::math::exp_block(scores, 0.0);
    }
    exp(scores);
    strided_sum(scores.iter().copied())
}

/// Numbers that [`gelu_erf`] keeps intermediate results of at a time.
const CHUNK: usize = 32;

/// Implements [`Kernels::gelu_erf`](crate::Kernels::gelu_erf).
///
/// For numbers in ±12, neither `Φ(-a)` nor its product with the number is subnormal.
pub(super) fn gelu_erf(x: &mut [f32]) {
    for x in x.chunks_mut(CHUNK) {
        let [least, largest] = magnitudes(x);
        if (least == 0 || least >= SMALL.to_bits()) && largest <= 12.0f32.to_bits() {
            gelu_erf_within(x);
        } else {
            vfp::math::gelu_erf(x);
        }
    }
}

fn gelu_erf_within(x: &mut [f32]) {
    static NUMBERS: [f32; 10] = [CDF_T, CDF[0], CDF[1], CDF[2], CDF[3], CDF[4], CDF[5], CDF[6], CDF[7], CDF[8]];
    // `t p(t)` of each number, then `-a²/2` of each.
    let mut both = [[0.0f32; CHUNK]; 2];
    let n = x.len().min(CHUNK);
    // SAFETY: reads `x` and `NUMBERS`, writes `both`; the registers that it changes are pushed or named.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "vmov.f32 q7, #1.0",
            "vmov.f32 q6, #-0.5",
            "wlstp.32 lr, r0, 3f",
            "ldmia r12, {{r0, r2-r10}}",
            "2:",
            "vldrw.u32 q0, [r1], #16",
            "vabs.f32 q0, q0",
            "vmul.f32 q1, q0, r0",
            "vadd.f32 q1, q1, q7",
            "vdiv.f32 s4, s28, s4",
            "vdiv.f32 s5, s28, s5",
            "vdiv.f32 s6, s28, s6",
            "vdiv.f32 s7, s28, s7",
            "vmul.f32 q2, q1, r10",
            "vadd.f32 q2, q2, r9",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r8",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r7",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r6",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r5",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r4",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r3",
            "vmul.f32 q2, q2, q1",
            "vadd.f32 q2, q2, r2",
            "vmul.f32 q2, q1, q2",
            "vmul.f32 q0, q0, q0",
            "vmul.f32 q0, q0, q6",
            "vstrw.32 q0, [r11, #128]",
            "vstrw.32 q2, [r11], #16",
            "letp lr, 2b",
            "3:",
            "pop {{r6, r7}}",
            inout("r0") n => _, inout("r1") x.as_ptr() => _, inout("r11") &mut both => _,
            in("r12") &NUMBERS,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d12") _, out("d13") _,
            out("d14") _, out("d15") _,
        )
    }
    let [tails, exponents] = &mut both;
    exp(&mut exponents[..n]);
    // SAFETY: reads and writes `x`, reads as many tails and exponents.
    unsafe {
        asm!(
            "vmov.f32 q7, #1.0",
            "wlstp.32 lr, r0, 3f",
            "2:",
            "vldrw.u32 q0, [r2], #16",
            "vldrw.u32 q1, [r3], #16",
            "vmul.f32 q0, q1, q0",
            "vldrw.u32 q1, [r1]",
            "vcmp.f32 gt, q1, zr",
            "vpst",
            "vsubt.f32 q0, q7, q0",
            "vmul.f32 q0, q1, q0",
            "vstrw.32 q0, [r1], #16",
            "letp lr, 2b",
            "3:",
            in("r0") n, inout("r1") x.as_mut_ptr() => _, inout("r2") tails.as_ptr() => _,
            inout("r3") exponents.as_ptr() => _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d14") _, out("d15") _,
            options(nostack),
        )
    }
}
