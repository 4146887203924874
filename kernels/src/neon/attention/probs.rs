//! Quants as they are multiplied with quantized probabilities, in integers: 32 columns at a time.

use core::arch::aarch64::*;

use super::rows::{Quant, filled};
use crate::QK;
use crate::neon::bytes::{step_16, step_32};
use crate::neon::matmul::unit::{load, transpose};
use crate::scalar::QuantizedProbs;

/// Sums of 32 columns, in the order of their factors.
pub(super) type Sums = [[int32x4_t; 2]; 4];

/// Quants as they are multiplied with quantized probabilities: 32 columns in any order, and what is easily undone in the sums left undone.
pub(super) trait WithProbs: Quant {
    /// 32 columns, and a step of `stride` bytes.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn next(p: &mut *const u8, stride: usize) -> [int16x8_t; 4];

    /// Less than 32 columns, anything behind them.
    fn last(bytes: &[Self]) -> [int16x8_t; 4];

    /// What the sums begin with.
    fn start(quantized: &QuantizedProbs) -> Sums;

    /// The columns' sums, in order.
    fn finish(sums: Sums) -> [int32x4_t; 8];
}

/// Adds 32 products with lane `LANE` of `w`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add_products<const LANE: i32>(sums: &mut Sums, factors: [int16x8_t; 4], w: int16x4_t) {
    for ([low, high], factors) in sums.iter_mut().zip(factors) {
        *low = vmlal_lane_s16::<LANE>(*low, vget_low_s16(factors), w);
        *high = vmlal_high_lane_s16::<LANE>(*high, factors, w);
    }
}

impl WithProbs for i8 {
    #[inline(always)]
    unsafe fn next(p: &mut *const u8, stride: usize) -> [int16x8_t; 4] {
        // SAFETY: by the caller; the target has NEON.
        unsafe { bytes(step_32(p, stride)) }
    }

    #[inline]
    fn last(all: &[Self]) -> [int16x8_t; 4] {
        // SAFETY: the target has NEON.
        unsafe { bytes(load(&filled(all, 0))) }
    }

    #[inline]
    fn start(_: &QuantizedProbs) -> Sums {
        // SAFETY: the target has NEON.
        [[unsafe { vdupq_n_s32(0) }; 2]; 4]
    }

    #[inline]
    fn finish([[a, b], [c, d], [e, f], [g, h]]: Sums) -> [int32x4_t; 8] {
        [a, b, c, d, e, f, g, h]
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn bytes([first, last]: [int8x16_t; 2]) -> [int16x8_t; 4] {
    [vmovl_s8(vget_low_s8(first)), vmovl_high_s8(first), vmovl_s8(vget_low_s8(last)), vmovl_high_s8(last)]
}

impl WithProbs for u8 {
    #[inline(always)]
    unsafe fn next(p: &mut *const u8, stride: usize) -> [int16x8_t; 4] {
        // SAFETY: by the caller; the target has NEON.
        unsafe { nibbles(step_16(p, stride)) }
    }

    #[inline]
    fn last(all: &[Self]) -> [int16x8_t; 4] {
        let all: [u8; QK / 2] = filled(all, 0);
        // SAFETY: the target has NEON; 16 readable bytes, and vector loads need no alignment.
        unsafe { nibbles(vld1q_s8(all.as_ptr().cast())) }
    }

    /// Takes the eight off: `-8 Σ_j w_j`, as many times as much as the columns are.
    #[inline]
    fn start(quantized: &QuantizedProbs) -> Sums {
        let total: i32 = quantized.quants.iter().map(|&w| i32::from(w)).sum();
        // SAFETY: the target has NEON.
        TIMES.map(|times| [unsafe { vdupq_n_s32((-8 * times).wrapping_mul(total)) }; 2])
    }

    /// `|Σ_j w_j (q_j - 8)|` is at most `32 · 32767 · 8`, and 256 times as much is less than 2^31: on the way there a sum may wrap
    /// around, at the end it is exact.
    #[inline]
    fn finish([a, b, c, d]: Sums) -> [int32x4_t; 8] {
        // SAFETY: the target has NEON.
        let [low, high] = [0, 1]
            .map(|half| unsafe { transpose([a[half], vshrq_n_s32::<4>(b[half]), vshrq_n_s32::<8>(c[half]), d[half]]) });
        let ([a, b, c, d], [e, f, g, h]) = (low, high);
        [a, b, c, d, e, f, g, h]
    }
}

/// How many times as much the factors of a nibble are: the first three stay where they are in 16 bits.
const TIMES: [i32; 4] = [1, 16, 256, 1];

/// Columns k, k + 4, k + 8, ... of 32: a nibble each of eight words.
#[target_feature(enable = "neon")]
#[inline]
fn nibbles(bytes: int8x16_t) -> [int16x8_t; 4] {
    let words = vreinterpretq_u16_s8(bytes);
    let [a, b, c] = [0x000f, 0x00f0, 0x0f00].map(|mask| vandq_u16(words, vdupq_n_u16(mask)));
    [a, b, c, vshrq_n_u16::<12>(words)].map(|x| vreinterpretq_s16_u16(x))
}
