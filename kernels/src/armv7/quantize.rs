//! Conversion of floats to int8, 32 at a time.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::contract::require;
use crate::scalar::AMAX_MIN;
use crate::vfp::{self, unit};
use crate::{BlockQ8, QK};

/// Implements [`Kernels::quantize_q8`](crate::Kernels::quantize_q8).
pub(super) fn quantize_q8(x: &[f32], out: &mut [BlockQ8]) {
    require(out.len() == x.len().div_ceil(QK), "a block for each 32 columns");
    let (whole, rest) = x.as_chunks::<QK>();
    let mut out = out.iter_mut();
    for (x, out) in whole.iter().zip(&mut out) {
        quantize_block(x, out);
    }
    if let Some(out) = out.next() {
        vfp::quantize::quantize_q8(rest, core::slice::from_mut(out));
    }
}

/// Quantizes a block of 32 columns as [`crate::scalar::quantize_block`] does. Numbers that are flushed are far below the half that
/// rounds to one.
fn quantize_block(x: &[f32; QK], out: &mut BlockQ8) {
    // SAFETY: `detect` saw NEON.
    let amax = f32::from_bits(unsafe { largest(x) });
    if !(AMAX_MIN..=f32::MAX).contains(&amax) {
        *out = vfp::quantize::quantize_block(x);
        return;
    }
    out.d = amax / 127.0;
    let id: f32 = 127.0 / amax;
    // SAFETY: `detect` saw NEON.
    unsafe { round(x, id.to_bits(), out) }
}

/// Largest magnitude, as bits.
///
/// # Safety
/// The processor has NEON.
#[unsafe(naked)]
unsafe extern "C" fn largest(x: &[f32; QK]) -> u32 {
    naked_asm!(
        unit!(),
        "vld1.32 {{d0-d3}}, [r0]!
        vld1.32 {{d4-d7}}, [r0]!
        vld1.32 {{d16-d19}}, [r0]!
        vld1.32 {{d20-d23}}, [r0]
        vabs.f32 q0, q0
        vabs.f32 q1, q1
        vabs.f32 q2, q2
        vabs.f32 q3, q3
        vabs.f32 q8, q8
        vabs.f32 q9, q9
        vabs.f32 q10, q10
        vabs.f32 q11, q11
        vmax.u32 q0, q0, q1
        vmax.u32 q2, q2, q3
        vmax.u32 q8, q8, q9
        vmax.u32 q10, q10, q11
        vmax.u32 q0, q0, q2
        vmax.u32 q8, q8, q10
        vmax.u32 q0, q0, q8
        vpmax.u32 d0, d0, d1
        vpmax.u32 d0, d0, d0
        vmov.32 r0, d0[0]
        bx lr",
    )
}

const _: () = assert!(offset_of!(BlockQ8, sums) == 4 && offset_of!(BlockQ8, qs) == 8);

/// Rounds the columns, times the float `id`, to quants, and sums these. A sum with 1.5 · 2^23 has the nearest integer in its low bits.
///
/// # Safety
/// The processor has NEON.
#[unsafe(naked)]
unsafe extern "C" fn round(x: &[f32; QK], id: u32, out: &mut BlockQ8) {
    naked_asm!(
        unit!(),
        "vld1.32 {{d16-d19}}, [r0]!
        vld1.32 {{d20-d23}}, [r0]!
        vld1.32 {{d24-d27}}, [r0]!
        vld1.32 {{d28-d31}}, [r0]
        vdup.32 q0, r1
        vmov.i32 q1, #0x4b000000
        vorr.i32 q1, #0x400000
        vmul.f32 q8, q8, q0
        vmul.f32 q9, q9, q0
        vmul.f32 q10, q10, q0
        vmul.f32 q11, q11, q0
        vmul.f32 q12, q12, q0
        vmul.f32 q13, q13, q0
        vmul.f32 q14, q14, q0
        vmul.f32 q15, q15, q0
        vadd.f32 q8, q8, q1
        vadd.f32 q9, q9, q1
        vadd.f32 q10, q10, q1
        vadd.f32 q11, q11, q1
        vadd.f32 q12, q12, q1
        vadd.f32 q13, q13, q1
        vadd.f32 q14, q14, q1
        vadd.f32 q15, q15, q1
        vmovn.i32 d16, q8
        vmovn.i32 d17, q9
        vmovn.i32 d18, q10
        vmovn.i32 d19, q11
        vmovn.i32 d20, q12
        vmovn.i32 d21, q13
        vmovn.i32 d22, q14
        vmovn.i32 d23, q15
        vmovn.i16 d16, q8
        vmovn.i16 d17, q9
        vmovn.i16 d18, q10
        vmovn.i16 d19, q11
        vpaddl.s8 q0, q8
        vpaddl.s8 q1, q9
        vpadd.i16 d0, d0, d1
        vpadd.i16 d1, d2, d3
        vpadd.i16 d0, d0, d1
        vpadd.i16 d0, d0, d0
        add r2, r2, #4
        vst1.32 {{d0[0]}}, [r2]!
        vst1.8 {{d16-d19}}, [r2]
        bx lr",
    )
}
