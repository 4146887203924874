//! `FEAT_DotProd`: four products of bytes for each lane.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{Columns, Dot, Unit, add_wide, halves, load, words_of_rows};
use crate::block::Scaling;
use crate::neon::matmul::group::{Integers, Unpack, offsets};
use crate::neon::matmul::rows::{QUARTERS, Quarter32};
use crate::{BlockQ8, Layout};

/// `FEAT_DotProd`: Cortex-A55, A75, A76 (Raspberry Pi 5) and later.
pub(in crate::neon) struct DotProd;

/// Sums that are set to zero only once. A group adds the difference, which is exact however often 32 bits wrap around; so no
/// four registers need to be zeroed for each group.
#[derive(Clone, Copy)]
pub(in crate::neon) struct Running {
    /// Sums of each row; the lanes hold sums of columns.
    rows: [int32x4_t; 4],
    /// Sum of the lanes of each row.
    total: int32x4_t,
}

impl Running {
    /// Growth of the sums of the rows since the last call.
    #[target_feature(enable = "neon")]
    #[inline]
    fn growth(&mut self) -> int32x4_t {
        let total = add_wide(self.rows);
        vsubq_s32(total, core::mem::replace(&mut self.total, total))
    }
}

impl Dot for DotProd {
    const BY_WORDS: bool = true;
    type Walk = Running;

    fn start() -> Running {
        // SAFETY: the target has NEON.
        let zero = unsafe { vdupq_n_s32(0) };
        Running { rows: [zero; 4], total: zero }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dot<B: Unpack>(walk: &mut Running, quants: [[int8x16_t; 2]; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let add = |walk: &mut Running, half: usize| {
            for (sum, q) in walk.rows.iter_mut().zip(quants) {
                // SAFETY: the processor has the ISA (the caller).
                *sum = unsafe { sdot(*sum, q[half], x[half]) };
            }
        };
        add(walk, 0);
        if B::SCALING == Scaling::Halves {
            let first = walk.growth();
            add(walk, 1);
            [first, walk.growth()]
        } else {
            add(walk, 1);
            [walk.growth(), vdupq_n_s32(0)]
        }
    }

    #[inline(always)]
    unsafe fn dot_words<B: Unpack>(mut quants: impl FnMut(usize) -> Quarter32, x: &BlockQ8) -> [Integers; 2] {
        // SAFETY: the processor has the ISA (the caller).
        unsafe {
            let [mut first, mut last] = offsets::<B>(x).map(|start| [start; 2]);
            let x = load(&x.qs);
            add_quarter::<B, 0>(&mut first, &mut last, quants(0), x);
            add_quarter::<B, 1>(&mut first, &mut last, quants(1), x);
            add_quarter::<B, 2>(&mut first, &mut last, quants(2), x);
            add_quarter::<B, 3>(&mut first, &mut last, quants(3), x);
            [first, last]
        }
    }
}

/// Adds the products of quarter `I`: those of the last 16 columns to `last`, if they have a scale of their own.
///
/// # Safety
/// The processor has `FEAT_DotProd`.
#[inline(always)]
unsafe fn add_quarter<B: Unpack, const I: usize>(
    first: &mut Integers,
    last: &mut Integers,
    quants: Quarter32,
    x: [int8x16_t; 2],
) {
    for quad in 0..2 {
        // SAFETY: the processor has `FEAT_DotProd` (the caller).
        unsafe {
            first[quad] = sdot_lane::<I>(first[quad], quants[quad][0], x[0]);
            let rest = if B::SCALING == Scaling::Halves { &mut *last } else { &mut *first };
            rest[quad] = sdot_lane::<I>(rest[quad], quants[quad][1], x[1]);
        }
    }
}

impl Unit for DotProd {
    const NAME: &'static str = "dotprod";
    const LAYOUT: Layout = Layout::Interleaved;
    const TOKENS: usize = 4;
    const FEW_WITH_PLAIN: usize = 4;
    const FEW_WITH_INTERLEAVED: usize = 4;

    type Dot = Self;

    /// Packs registers: register `2 k + quad` has columns `4 k..4 k + 4` of four rows.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        Self::pack_words(&words_of_rows(*quants))
    }

    fn pack_words(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        core::array::from_fn(|i| quants[i / 2 % 4][i % 2][i / 8])
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn products<B: Unpack, const T: usize>(
        quants: &[int8x16_t; 16],
        x: [&BlockQ8; T],
        columns: Columns,
    ) -> [Integers; T] {
        let mut sums = [[vdupq_n_s32(0); 2]; T];
        for half in halves(columns) {
            let x = x.map(|x| load(&x.qs)[half]);
            let q = &quants[8 * half..8 * half + 8];
            for quad in 0..2 {
                for t in 0..T {
                    let sum = &mut sums[t][quad];
                    // SAFETY: the processor has the ISA (the caller).
                    unsafe {
                        *sum = sdot_lane::<0>(*sum, q[quad], x[t]);
                        *sum = sdot_lane::<1>(*sum, q[2 + quad], x[t]);
                        *sum = sdot_lane::<2>(*sum, q[4 + quad], x[t]);
                        *sum = sdot_lane::<3>(*sum, q[6 + quad], x[t]);
                    }
                }
            }
        }
        sums
    }

    const PRODUCTS: u64 = 16;

    #[inline(always)]
    unsafe fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the processor has the ISA (the caller).
        unsafe { sdot(sum, a, b) }
    }
}

/// Adds to each lane of `sum` the products of its four bytes of `a` and `b`.
///
/// # Safety
/// The processor has `FEAT_DotProd`.
#[inline(always)]
unsafe fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor has the instruction (the caller).
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds to each lane of `sum` the products of its four bytes of `a` with the four bytes `LANE` of `b`.
///
/// # Safety
/// The processor has `FEAT_DotProd`.
#[inline(always)]
unsafe fn sdot_lane<const LANE: usize>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor has the instruction (the caller).
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
