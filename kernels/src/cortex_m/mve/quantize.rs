//! Conversion of floats to integers, four at a time.

use core::arch::asm;

use crate::contract::require;
use crate::scalar::AMAX_MIN;
use crate::vfp;
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
        let mut padded = [0.0; QK];
        padded.iter_mut().zip(rest).for_each(|(padded, x)| *padded = *x);
        quantize_block(&padded, out);
    }
}

/// Quantizes a block of 32 columns as [`crate::scalar::quantize_block`] does. Numbers that are flushed are far below the half
/// that rounds to one.
fn quantize_block(x: &[f32; QK], out: &mut BlockQ8) {
    let largest: u32;
    // SAFETY: reads `x`.
    unsafe {
        asm!(
            "dls lr, r1",
            "2:",
            "vldrw.u32 q0, [r2], #16",
            // The shift drops the sign.
            "vshl.i32 q0, q0, #1",
            "vmaxv.u32 r0, q0",
            "le lr, 2b",
            inout("r0") 0 => largest, in("r1") QK / 4, inout("r2") x => _, out("lr") _, out("d0") _, out("d1") _,
            options(readonly, nostack),
        )
    }
    let amax = f32::from_bits(largest >> 1);
    if !(AMAX_MIN..=f32::MAX).contains(&amax) {
        *out = vfp::quantize::quantize_block(x);
        return;
    }
    out.d = amax / 127.0;
    let id = 127.0 / amax;
    let (first, last): (i32, i32);
    // SAFETY: reads `x` and writes the 32 quants.
    unsafe {
        asm!(
            "dls lr, r1",
            "2:",
            "vldrw.u32 q0, [r2], #16",
            "vmul.f32 q0, q0, r3",
            "vcvtn.s32.f32 q0, q0",
            "vaddva.s32 r0, q0",
            "vstrb.32 q0, [r4], #4",
            "le lr, 2b",
            "dls lr, r1",
            "2:",
            "vldrw.u32 q0, [r2], #16",
            "vmul.f32 q0, q0, r3",
            "vcvtn.s32.f32 q0, q0",
            "vaddva.s32 r8, q0",
            "vstrb.32 q0, [r4], #4",
            "le lr, 2b",
            inout("r0") 0 => first, inout("r8") 0 => last, in("r1") QK / 8, inout("r2") x => _, in("r3") id.to_bits(),
            inout("r4") &mut out.qs => _, out("lr") _, out("d0") _, out("d1") _,
            options(nostack),
        )
    }
    out.sums = [first as i16, last as i16];
}
