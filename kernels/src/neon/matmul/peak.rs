//! Peak of 8-bit arithmetic: the ISA's products of registers, added to twelve independent sums, which hide the latency.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use super::unit::Unit;

/// Implements [`Kernels::int8_peak`](crate::Kernels::int8_peak). Sums wrap.
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(in crate::neon) unsafe fn int8_peak<I: Unit>(rounds: u32) -> u64 {
    let (mut x, w) = (vdupq_n_s8(1), vdupq_n_s8(black_box(2)));
    // The sums differ, else the compiler could make one for all.
    let mut sums = black_box([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).map(|sum| vdupq_n_s32(sum));
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: an empty text changes nothing. The compiler only has to assume that `x` changes, so that the product is
            // made again each time. The processor has the ISA (the caller).
            *sum = unsafe {
                asm!("/* {0:v} */", inout(vreg) x, options(nomem, nostack, preserves_flags));
                I::multiply_add(*sum, x, w)
            };
        }
    }
    black_box(sums);
    u64::from(rounds) * 12 * I::PRODUCTS
}
