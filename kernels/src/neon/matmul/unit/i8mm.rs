//! `FEAT_I8MM`: products of two rows with two tokens, eight columns at a time.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{Columns, DotProd, Unit, halves, load};
use crate::neon::matmul::group::{Integers, Unpack};
use crate::neon::matmul::rows::{QUARTERS, Quarter32};
use crate::{BlockQ8, Layout};

/// `FEAT_I8MM`: Cortex-A510, A710, Apple M2 and later. All of these have [`DotProd`], which is as good for one token.
pub(in crate::neon) struct I8mm;

impl Unit for I8mm {
    const NAME: &'static str = "i8mm";
    const LAYOUT: Layout = Layout::Interleaved;
    const TOKENS: usize = 4;
    const FEW_WITH_PLAIN: usize = 2;
    const FEW_WITH_INTERLEAVED: usize = 4;

    type Dot = DotProd;

    /// Packs registers: register `4 k + pair` has columns `8 k..8 k + 8` of two rows.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        core::array::from_fn(|i| {
            let (k, pair) = (i / 4, i % 4);
            // SAFETY: the target has NEON.
            unsafe {
                let [a, b] = [0, 1].map(|row| vreinterpretq_s64_s8(quants[pair][row][k / 2]));
                vreinterpretq_s8_s64(if k % 2 == 0 { vzip1q_s64(a, b) } else { vzip2q_s64(a, b) })
            }
        })
    }

    fn pack_words(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        core::array::from_fn(|i| {
            let (k, pair) = (i / 4, i % 4);
            // SAFETY: the target has NEON.
            unsafe {
                let [a, b] = [0, 1].map(|word| vreinterpretq_s32_s8(quants[2 * k % 4 + word][pair / 2][k / 2]));
                vreinterpretq_s8_s32(if pair % 2 == 0 { vzip1q_s32(a, b) } else { vzip2q_s32(a, b) })
            }
        })
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn products<B: Unpack, const T: usize>(
        quants: &[int8x16_t; 16],
        x: [&BlockQ8; T],
        columns: Columns,
    ) -> [Integers; T] {
        const { assert!(T.is_multiple_of(2)) };
        // Sums of two tokens with four pairs of rows: [r, t], [r, t + 1], [r + 1, t], [r + 1, t + 1]. Places with an odd t are
        // idle.
        let mut squares = [[vdupq_n_s32(0); 4]; T];
        for half in halves(columns) {
            let x = x.map(|x| vreinterpretq_s64_s8(load(&x.qs)[half]));
            let q = &quants[8 * half..8 * half + 8];
            for k in 0..2 {
                for t in (0..T).step_by(2) {
                    let pair = if k == 0 { vzip1q_s64(x[t], x[t + 1]) } else { vzip2q_s64(x[t], x[t + 1]) };
                    for (square, &q) in squares[t].iter_mut().zip(&q[4 * k..]) {
                        // SAFETY: the processor has the ISA (the caller).
                        *square = unsafe { smmla(*square, q, vreinterpretq_s8_s64(pair)) };
                    }
                }
            }
        }
        core::array::from_fn(|t| {
            let [a, b, c, d] = squares[t / 2 * 2];
            if t % 2 == 0 { [vuzp1q_s32(a, b), vuzp1q_s32(c, d)] } else { [vuzp2q_s32(a, b), vuzp2q_s32(c, d)] }
        })
    }

    const PRODUCTS: u64 = 32;

    #[inline(always)]
    unsafe fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the processor has the ISA (the caller).
        unsafe { smmla(sum, a, b) }
    }
}

/// Adds to lane `2 i + j` of `sum` the products of the eight bytes i of `a` with the eight bytes j of `b`.
///
/// # Safety
/// The processor has `FEAT_I8MM`.
#[inline(always)]
unsafe fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor has the instruction (the caller).
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
