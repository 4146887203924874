//! The peak of 8-bit arithmetic: products of unsigned and signed bytes, added in pairs, then added in 16 bits.

use core::arch::asm;
use core::arch::x86_64::*;
use core::hint::black_box;

/// Registers of activations and of weights: each of the one kind is multiplied with each of the other.
const X: usize = 2;
const W: usize = 4;

/// See [`crate::Kernels::int8_peak`]. Sums wrap.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn int8_peak(rounds: u32) -> u64 {
    let mut x = [1, 2].map(|x| _mm256_set1_epi8(x));
    let w = black_box([1, 2, 3, 4]).map(|w| _mm256_set1_epi8(w));
    let mut sums = [[_mm256_setzero_si256(); W]; X];
    for _ in 0..rounds {
        for (x, sums) in x.iter_mut().zip(&mut sums) {
            // SAFETY: an empty text changes nothing; all it says is that `x` may be another one now, so that the products
            // are made again in each round.
            unsafe { asm!("/* {0} */", inout(ymm_reg) * x, options(nomem, nostack, preserves_flags)) };
            for (w, sum) in w.iter().zip(sums) {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*x, *w));
            }
        }
    }
    black_box(sums);
    u64::from(rounds) * (X * W * size_of::<__m256i>()) as u64
}
