//! Products of 16 bits, added in pairs: instructions of every aarch64.

use core::arch::aarch64::*;

use super::{Columns, Dot, Unit, add_wide, load, transpose_words};
use crate::block::Scaling;
use crate::neon::matmul::group::{Integers, Unpack, max_quant, min_quant, offset, offsets};
use crate::neon::matmul::rows::{QUARTERS, Quarter32};
use crate::{BlockQ8, Layout};

/// NEON without extensions.
pub(in crate::neon) struct Plain;

impl Unit for Plain {
    const NAME: &'static str = "neon";
    /// Plain rows. Interleaved ones take a few percent fewer instructions for one token and as many more for several: not worth
    /// a copy.
    const LAYOUT: Layout = Layout::Plain;
    const TOKENS: usize = 2;
    const FEW_WITH_PLAIN: usize = 4;
    const FEW_WITH_INTERLEAVED: usize = 2;

    type Dot = Self;

    /// Packs registers: registers `2 r` and `2 r + 1` have the columns of row r.
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
        let magnitude = magnitude(min_quant::<B>() - offset::<B>(), max_quant::<B>() - offset::<B>());
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

/// Computes `product` of four rows with each token, row by row: each row is loaded into registers only once.
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
    const BY_WORDS: bool = false;
    type Walk = ();

    fn start() {}

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dot<B: Unpack>(_: &mut (), quants: [[int8x16_t; 2]; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let magnitude = magnitude(min_quant::<B>(), max_quant::<B>());
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
            let magnitude = magnitude(min_quant::<B>(), max_quant::<B>());
            let from = |start, sum| if offset::<B>() == 0 { sum } else { vaddq_s32(start, sum) };
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

/// Sums of four columns of each of four rows: a register has the sums of two rows.
#[derive(Clone, Copy)]
struct Sums {
    /// Sums of the first 16 columns, or of all.
    first: [int16x8_t; 2],
    /// Sums of the last 16 columns, if they have a scale of their own.
    last: [int16x8_t; 2],
    /// Sums of all columns in 32 bits, if 16 bits fit no more than two products; a lane has the sum of two columns.
    wide: [int32x4_t; 2],
}

/// Adds the products of a quarter to `sums`.
#[target_feature(enable = "neon")]
#[inline]
fn add_words<B: Unpack>(sums: &mut [Sums; 2], quants: Quarter32, x: [int8x16_t; 2]) {
    for (sums, [first, last]) in sums.iter_mut().zip(quants) {
        if is_wide(magnitude(min_quant::<B>(), max_quant::<B>())) {
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

/// Repeats each four bytes four times.
#[target_feature(enable = "neon")]
#[inline]
fn fours(x: int8x16_t) -> [int8x16_t; 4] {
    let x = vreinterpretq_s32_s8(x);
    [vdupq_laneq_s32::<0>(x), vdupq_laneq_s32::<1>(x), vdupq_laneq_s32::<2>(x), vdupq_laneq_s32::<3>(x)]
        .map(|x| vreinterpretq_s8_s32(x))
}

/// `sums + q · x` of four columns of the first two rows, and of the last two rows.
#[target_feature(enable = "neon")]
#[inline]
fn add_products([low, high]: [int16x8_t; 2], q: int8x16_t, x: int8x16_t) -> [int16x8_t; 2] {
    [vmlal_s8(low, vget_low_s8(q), vget_low_s8(x)), vmlal_high_s8(high, q, x)]
}

/// Adds the four columns of each row, which are up to `magnitude · 127`.
#[target_feature(enable = "neon")]
#[inline]
fn add_columns([low, high]: [int16x8_t; 2], magnitude: i32) -> int32x4_t {
    if 2 * magnitude * 127 <= i32::from(i16::MAX) {
        vpaddlq_s16(vpaddq_s16(low, high))
    } else {
        vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high))
    }
}

/// Largest magnitude of numbers in `min..=max`.
const fn magnitude(min: i32, max: i32) -> i32 {
    if -min > max { -min } else { max }
}

/// Products of 16 columns, in eight sums of two.
#[target_feature(enable = "neon")]
#[inline]
fn half_product(q: int8x16_t, x: int8x16_t) -> int16x8_t {
    vmlal_high_s8(vmull_s8(vget_low_s8(q), vget_low_s8(x)), q, x)
}

/// True if 16 bits fit only two products (2 · 128 · 127 = 32 512), and not four.
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

/// Products of 32 columns, in four 32-bit sums of eight.
#[target_feature(enable = "neon")]
#[inline]
fn wide_product(q: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
    vpadalq_s16(vpaddlq_s16(half_product(q[0], x[0])), half_product(q[1], x[1]))
}

/// Adds the lanes of each register, which are up to `magnitude · 127`; in 16 bits as long as they fit.
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
