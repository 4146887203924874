//! What the three ISAs differ in: integer sums of products of bytes.
//!
//! Instructions that not every aarch64 has are `asm!`: their intrinsics are unstable. `.arch_extension` makes them known
//! to the assembler without a target feature, so that one generic text serves, and is inlined into, all three.

use core::arch::aarch64::*;
use core::arch::asm;

use super::group::{Integers, Scaling, Unpack, offsets};
use super::rows::{QUARTERS, Quarter32};
use crate::{BlockQ8, Layout, QK};

/// Columns that a sum is over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Columns {
    /// All 32.
    All,
    /// The first 16.
    First,
    /// The last 16.
    Last,
}

/// An ISA's sums of products.
pub(super) trait Isa: Sync + 'static {
    /// See [`crate::Kernels::name`].
    const NAME: &'static str;
    /// See [`crate::Kernels::layout`].
    const LAYOUT: Layout;
    /// Tokens that are multiplied with a register of weights: 2 or 4.
    const TOKENS: usize;

    /// What it does with one token.
    type Dot: Dot;

    /// Quants of eight rows as [`products`](Self::products) takes them: from quarters that are two rows each.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16];

    /// The same from quarters that are words of all rows.
    fn pack_words(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16];

    /// `Σ_j q[j] · x[j]` of eight rows with each token; the quants are centred: less [`Unpack::OFFSET`].
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn products<B: Unpack, const T: usize>(
        quants: &[int8x16_t; 16],
        x: [&BlockQ8; T],
        columns: Columns,
    ) -> [Integers; T];

    /// Products of [`multiply_add`](Self::multiply_add).
    const PRODUCTS: u64;

    /// `sum` and the products of bytes of `a` and `b`, added in the way of the ISA: what its peak is measured with.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;
}

/// The sums for one token, as the rows are unpacked.
pub(super) trait Dot {
    /// What a walk along four rows keeps from group to group.
    type Walk: Copy;

    /// Before the first group.
    fn start() -> Self::Walk;

    /// `Σ_j q[j] · x[j]` of four rows, a lane each: of all columns (and nothing), or of each half where `B` has scales of
    /// halves.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dot<B: Unpack>(walk: &mut Self::Walk, quants: [[int8x16_t; 2]; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2];

    /// `Σ_j (q[j] - offset) · x[j]` of eight rows in the same way, from quarters that are words of all rows.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dot_words<B: Unpack>(quants: impl FnMut(usize) -> Quarter32, x: &BlockQ8) -> [Integers; 2];
}

/// What every aarch64 has: products of 16 bits, added in pairs.
pub(super) struct Plain;

impl Isa for Plain {
    const NAME: &'static str = "neon";
    /// Interleaved rows take a few percent fewer instructions of one token and as many more of several: not worth a copy.
    const LAYOUT: Layout = Layout::Plain;
    const TOKENS: usize = 2;

    type Dot = Self;

    /// Registers `2 r` and `2 r + 1`: the columns of row r.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        core::array::from_fn(|i| quants[i / 4][i / 2 % 2][i % 2])
    }

    fn pack_words(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        let rows = [0, 1].map(|quad| [0, 1].map(|half| transpose_words(quants.map(|words| words[quad][half]))));
        core::array::from_fn(|i| rows[i / 8][i % 2][i / 2 % 4])
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn products<B: Unpack, const T: usize>(
        quants: &[int8x16_t; 16],
        x: [&BlockQ8; T],
        columns: Columns,
    ) -> [Integers; T] {
        let magnitude = magnitude(B::MIN_QUANT - B::OFFSET, B::MAX_QUANT - B::OFFSET);
        let x = x.map(|x| load(&x.qs));
        let [first, last] = [0, 8].map(|quad| {
            let q: &[[int8x16_t; 2]] = quants[quad..quad + 8].as_chunks().0;
            match columns {
                Columns::All if is_wide(magnitude) => {
                    each_row(q, x, |q, x| wide_product(q, x)).map(|sums| add_wide(sums))
                }
                Columns::All => each_row(q, x, |q, x| product(q, x)).map(|sums| add_four(sums, 4 * magnitude)),
                Columns::First => {
                    each_row(q, x, |q, x| half_product(q[0], x[0])).map(|sums| add_four(sums, 2 * magnitude))
                }
                Columns::Last => {
                    each_row(q, x, |q, x| half_product(q[1], x[1])).map(|sums| add_four(sums, 2 * magnitude))
                }
            }
        });
        core::array::from_fn(|t| [first[t], last[t]])
    }

    const PRODUCTS: u64 = 8;

    #[inline(always)]
    unsafe fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the target has NEON.
        unsafe { vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b))) }
    }
}

/// `product` of four rows with each token, row by row: a row is in registers but once.
#[target_feature(enable = "neon")]
#[inline]
fn each_row<V: Copy, const T: usize>(
    quants: &[[int8x16_t; 2]],
    x: [[int8x16_t; 2]; T],
    product: impl Fn([int8x16_t; 2], [int8x16_t; 2]) -> V,
) -> [[V; 4]; T] {
    let rows = [0, 1, 2, 3].map(|r| x.map(|x| product(quants[r], x)));
    core::array::from_fn(|t| rows.map(|row| row[t]))
}

impl Dot for Plain {
    type Walk = ();

    fn start() {}

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dot<B: Unpack>(_: &mut (), quants: [[int8x16_t; 2]; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let magnitude = magnitude(B::MIN_QUANT, B::MAX_QUANT);
        if B::SCALING == Scaling::Halves {
            [0, 1].map(|half| add_four(quants.map(|q| half_product(q[half], x[half])), 2 * magnitude))
        } else {
            let sum = if is_wide(magnitude) {
                add_wide(quants.map(|q| wide_product(q, x)))
            } else {
                add_four(quants.map(|q| product(q, x)), 4 * magnitude)
            };
            [sum, vdupq_n_s32(0)]
        }
    }

    #[inline(always)]
    unsafe fn dot_words<B: Unpack>(mut quants: impl FnMut(usize) -> Quarter32, x: &BlockQ8) -> [Integers; 2] {
        // SAFETY: the target has NEON.
        unsafe {
            let (x, start) = (load(&x.qs), offsets::<B>(x));
            let x = [fours(x[0]), fours(x[1])];
            let mut sums =
                [Sums { first: [vdupq_n_s16(0); 2], last: [vdupq_n_s16(0); 2], wide: [vdupq_n_s32(0); 2] }; 2];
            add_words::<B>(&mut sums, quants(0), [x[0][0], x[1][0]]);
            add_words::<B>(&mut sums, quants(1), [x[0][1], x[1][1]]);
            add_words::<B>(&mut sums, quants(2), [x[0][2], x[1][2]]);
            add_words::<B>(&mut sums, quants(3), [x[0][3], x[1][3]]);
            let magnitude = magnitude(B::MIN_QUANT, B::MAX_QUANT);
            let from = |start, sum| if B::OFFSET == 0 { sum } else { vaddq_s32(start, sum) };
            if is_wide(magnitude) {
                [sums.map(|sums| from(start[0], vpaddq_s32(sums.wide[0], sums.wide[1]))), [start[1]; 2]]
            } else if B::SCALING == Scaling::Halves {
                let each = |start, sums: [int16x8_t; 2]| from(start, add_columns(sums, 4 * magnitude));
                [sums.map(|sums| each(start[0], sums.first)), sums.map(|sums| each(start[1], sums.last))]
            } else {
                [sums.map(|sums| from(start[0], add_columns(sums.first, 8 * magnitude))), [start[1]; 2]]
            }
        }
    }
}

/// Sums of four columns of each of four rows: a register has those of two.
#[derive(Clone, Copy)]
struct Sums {
    /// Of the first 16 columns, or of all.
    first: [int16x8_t; 2],
    /// Of the last 16, where they have a scale of their own.
    last: [int16x8_t; 2],
    /// Of all, two by two, where 16 bits fit no more than two products.
    wide: [int32x4_t; 2],
}

/// Adds the products of a quarter.
#[target_feature(enable = "neon")]
#[inline]
fn add_words<B: Unpack>(sums: &mut [Sums; 2], quants: Quarter32, x: [int8x16_t; 2]) {
    for (sums, [first, last]) in sums.iter_mut().zip(quants) {
        if is_wide(magnitude(B::MIN_QUANT, B::MAX_QUANT)) {
            let [low, high] = add_products(add_products([vdupq_n_s16(0); 2], first, x[0]), last, x[1]);
            sums.wide = [vpadalq_s16(sums.wide[0], low), vpadalq_s16(sums.wide[1], high)];
        } else if B::SCALING == Scaling::Halves {
            sums.first = add_products(sums.first, first, x[0]);
            sums.last = add_products(sums.last, last, x[1]);
        } else {
            sums.first = add_products(add_products(sums.first, first, x[0]), last, x[1]);
        }
    }
}

/// Each four bytes, four times.
#[target_feature(enable = "neon")]
#[inline]
fn fours(x: int8x16_t) -> [int8x16_t; 4] {
    let x = vreinterpretq_s32_s8(x);
    [vdupq_laneq_s32::<0>(x), vdupq_laneq_s32::<1>(x), vdupq_laneq_s32::<2>(x), vdupq_laneq_s32::<3>(x)]
        .map(|x| vreinterpretq_s8_s32(x))
}

/// `sums + q · x` of four columns of the first two rows, and of the last two.
#[target_feature(enable = "neon")]
#[inline]
fn add_products([low, high]: [int16x8_t; 2], q: int8x16_t, x: int8x16_t) -> [int16x8_t; 2] {
    [vmlal_s8(low, vget_low_s8(q), vget_low_s8(x)), vmlal_high_s8(high, q, x)]
}

/// The sum of the four columns of each row, which are up to `magnitude · 127`.
#[target_feature(enable = "neon")]
#[inline]
fn add_columns([low, high]: [int16x8_t; 2], magnitude: i32) -> int32x4_t {
    if 2 * magnitude * 127 <= i32::from(i16::MAX) {
        vpaddlq_s16(vpaddq_s16(low, high))
    } else {
        vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high))
    }
}

/// The largest magnitude of numbers in `min..=max`.
const fn magnitude(min: i32, max: i32) -> i32 {
    if -min > max { -min } else { max }
}

/// Products of 16 columns, in eight sums of two.
#[target_feature(enable = "neon")]
#[inline]
fn half_product(q: int8x16_t, x: int8x16_t) -> int16x8_t {
    vmlal_high_s8(vmull_s8(vget_low_s8(q), vget_low_s8(x)), q, x)
}

/// Whether only two products fit 16 bits (2 · 128 · 127 = 32 512), and not four.
const fn is_wide(magnitude: i32) -> bool {
    4 * magnitude * 127 > i16::MAX as i32
}

/// Products of 32 columns, in eight sums of four.
#[target_feature(enable = "neon")]
#[inline]
fn product(q: [int8x16_t; 2], x: [int8x16_t; 2]) -> int16x8_t {
    let first = half_product(q[0], x[0]);
    vmlal_high_s8(vmlal_s8(first, vget_low_s8(q[1]), vget_low_s8(x[1])), q[1], x[1])
}

/// The same in four sums of eight, in 32 bits.
#[target_feature(enable = "neon")]
#[inline]
fn wide_product(q: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
    vpadalq_s16(vpaddlq_s16(half_product(q[0], x[0])), half_product(q[1], x[1]))
}

/// The sum of the lanes of each.
#[target_feature(enable = "neon")]
#[inline]
fn add_wide([a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

/// The sum of the lanes of each, which are up to `magnitude · 127`; in 16 bits as long as they fit.
#[target_feature(enable = "neon")]
#[inline]
fn add_four([a, b, c, d]: [int16x8_t; 4], magnitude: i32) -> int32x4_t {
    let fits = i32::from(i16::MAX) / (magnitude * 127);
    if fits >= 4 {
        vpaddlq_s16(vpaddq_s16(vpaddq_s16(a, b), vpaddq_s16(c, d)))
    } else if fits >= 2 {
        vpaddq_s32(vpaddlq_s16(vpaddq_s16(a, b)), vpaddlq_s16(vpaddq_s16(c, d)))
    } else {
        add_wide([a, b, c, d].map(|sums| vpaddlq_s16(sums)))
    }
}

/// `FEAT_DotProd`: Cortex-A55, A75, A76 (Raspberry Pi 5) and later.
pub(super) struct DotProd;

/// Sums that begin at zero once: what a group adds is the difference, exact however often 32 bits wrap around. It saves
/// setting four registers to zero.
#[derive(Clone, Copy)]
pub(super) struct Running {
    /// Of each row; its lanes hold sums of columns.
    rows: [int32x4_t; 4],
    /// The sum of the lanes of each row.
    total: int32x4_t,
}

impl Running {
    /// How much the sums of the rows have grown.
    #[target_feature(enable = "neon")]
    #[inline]
    fn growth(&mut self) -> int32x4_t {
        let total = add_wide(self.rows);
        vsubq_s32(total, core::mem::replace(&mut self.total, total))
    }
}

impl Dot for DotProd {
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
                // SAFETY: the processor has the ISA.
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
        // SAFETY: the processor has the ISA.
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

/// Adds the products of quarter `I`: those of the last 16 columns to `last`, where they have a scale of their own.
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
        // SAFETY: as promised.
        unsafe {
            first[quad] = sdot_lane::<I>(first[quad], quants[quad][0], x[0]);
            let rest = if B::SCALING == Scaling::Halves { &mut *last } else { &mut *first };
            rest[quad] = sdot_lane::<I>(rest[quad], quants[quad][1], x[1]);
        }
    }
}

impl Isa for DotProd {
    const NAME: &'static str = "dotprod";
    const LAYOUT: Layout = Layout::Interleaved;
    const TOKENS: usize = 4;

    type Dot = Self;

    /// Register `2 k + quad`: columns `4 k..4 k + 4` of four rows.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        let words = [0, 1].map(|half| {
            [0, 2].map(|i| {
                let ([a, b], [c, d]) = (quants[i], quants[i + 1]);
                transpose_words([a, b, c, d].map(|row| row[half]))
            })
        });
        core::array::from_fn(|i| words[i / 8][i % 2][i / 2 % 4])
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
                    // SAFETY: the processor has the ISA.
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
        // SAFETY: the processor has the ISA.
        unsafe { sdot(sum, a, b) }
    }
}

/// `FEAT_I8MM`: Cortex-A510, A710, Apple M2 and later. All of them have [`DotProd`], which is as good for one token.
pub(super) struct I8mm;

impl Isa for I8mm {
    const NAME: &'static str = "i8mm";
    const LAYOUT: Layout = Layout::Interleaved;
    const TOKENS: usize = 4;

    type Dot = DotProd;

    /// Register `4 k + pair`: columns `8 k..8 k + 8` of two rows.
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
        // Of two tokens, four pairs of rows: [r, t], [r, t + 1], [r + 1, t], [r + 1, t + 1]. Places with an odd t are idle.
        let mut squares = [[vdupq_n_s32(0); 4]; T];
        for half in halves(columns) {
            let x = x.map(|x| vreinterpretq_s64_s8(load(&x.qs)[half]));
            let q = &quants[8 * half..8 * half + 8];
            for k in 0..2 {
                for t in (0..T).step_by(2) {
                    let pair = if k == 0 { vzip1q_s64(x[t], x[t + 1]) } else { vzip2q_s64(x[t], x[t + 1]) };
                    for (square, &q) in squares[t].iter_mut().zip(&q[4 * k..]) {
                        // SAFETY: the processor has the ISA.
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
        // SAFETY: the processor has the ISA.
        unsafe { smmla(sum, a, b) }
    }
}

/// The halves that `columns` are.
#[inline]
fn halves(columns: Columns) -> core::ops::Range<usize> {
    match columns {
        Columns::All => 0..2,
        Columns::First => 0..1,
        Columns::Last => 1..2,
    }
}

/// Thirty-two quants.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn load(x: &[i8; QK]) -> [int8x16_t; 2] {
    // SAFETY: 32 readable bytes; vector loads need no alignment.
    unsafe { [vld1q_s8(x.as_ptr()), vld1q_s8(x.as_ptr().add(16))] }
}

/// Register k: lanes k of each.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn transpose([a, b, c, d]: [int32x4_t; 4]) -> [int32x4_t; 4] {
    let wide = |x| vreinterpretq_s64_s32(x);
    let [ab0, ab1] = [vtrn1q_s32(a, b), vtrn2q_s32(a, b)].map(wide);
    let [cd0, cd1] = [vtrn1q_s32(c, d), vtrn2q_s32(c, d)].map(wide);
    [vtrn1q_s64(ab0, cd0), vtrn1q_s64(ab1, cd1), vtrn2q_s64(ab0, cd0), vtrn2q_s64(ab1, cd1)]
        .map(|x| vreinterpretq_s32_s64(x))
}

/// The same of registers of bytes: four bytes of each.
fn transpose_words(words: [int8x16_t; 4]) -> [int8x16_t; 4] {
    // SAFETY: the target has NEON.
    unsafe { transpose(words.map(|x| vreinterpretq_s32_s8(x))).map(|x| vreinterpretq_s8_s32(x)) }
}

/// To each lane, the products of its four bytes.
///
/// # Safety
/// The processor has `FEAT_DotProd`.
#[inline(always)]
unsafe fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor knows the instruction.
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

/// The same with four bytes of `b` for all lanes.
///
/// # Safety
/// The processor has `FEAT_DotProd`.
#[inline(always)]
unsafe fn sdot_lane<const LANE: usize>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor knows the instruction.
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

/// To lane `2 i + j`, the products of eight bytes i of `a` with eight bytes j of `b`.
///
/// # Safety
/// The processor has `FEAT_I8MM`.
#[inline(always)]
unsafe fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the processor knows the instruction.
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
