//! Peak of 8-bit arithmetic, as the compiler makes it.

use core::hint::black_box;

use crate::QK;

/// Products of a round: those of a block.
const PRODUCTS: usize = QK;

/// Implements [`Kernels::int8_peak`](crate::Kernels::int8_peak).
pub fn int8_peak(rounds: u32) -> u64 {
    let (x, w) = black_box(([1_i8; PRODUCTS], [2_i8; PRODUCTS]));
    let mut sums = [0_i32; PRODUCTS];
    for _ in 0..rounds {
        // Hides that `x` stays the same, else one product would do for all rounds.
        let x = black_box(x);
        for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
            *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
        }
    }
    black_box(sums);
    u64::from(rounds) * PRODUCTS as u64
}
