//! Quants in the form that integer factors (quantized probabilities) multiply: 32 columns at a time.

use core::arch::aarch64::*;

use super::rows::{Quant, filled};
use crate::QK;
use crate::neon::bytes::{step_16, step_32};
use crate::neon::matmul::unit::{load, transpose};
use crate::scalar::QuantizedProbs;

/// Sums of 32 columns, in the order that [`WithProbs::next`] has them.
pub(super) type Sums = [[int32x4_t; 2]; 4];

/// Quants in the form that quantized probabilities multiply: 32 columns in any order, some of them times 16 or 256.
/// [`finish`](Self::finish) undoes both once, in the sums.
pub(super) trait WithProbs: Quant {
    /// Loads 32 columns and steps by `stride` bytes.
    ///
    /// # Safety
    /// The bytes of the 32 columns can be read.
    unsafe fn next(p: &mut *const u8, stride: usize) -> [int16x8_t; 4];

    /// Loads less than 32 columns, with any numbers behind them.
    fn last(bytes: &[Self]) -> [int16x8_t; 4];

    /// Start value of the sums.
    fn start(quantized: &QuantizedProbs) -> Sums;

    /// Sums of the columns, in order.
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
        // SAFETY: the caller vouches for the bytes; the target has NEON.
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
        // SAFETY: the caller vouches for the bytes; the target has NEON.
        unsafe { nibbles(step_16(p, stride)) }
    }

    #[inline]
    fn last(all: &[Self]) -> [int16x8_t; 4] {
        let all: [u8; QK / 2] = filled(all, 0);
        // SAFETY: the target has NEON; 16 readable bytes, and vector loads need no alignment.
        unsafe { nibbles(vld1q_s8(all.as_ptr().cast())) }
    }

    /// Subtracts the eight that the stored quants have: `-8 Σ_j w_j`, times the factor of the columns ([`TIMES`]).
    #[inline]
    fn start(quantized: &QuantizedProbs) -> Sums {
        let total: i32 = quantized.quants.iter().map(|&w| i32::from(w)).sum();
        // SAFETY: the target has NEON.
        TIMES.map(|times| [unsafe { vdupq_n_s32((-8 * times).wrapping_mul(total)) }; 2])
    }

    /// Wrapped sums come out exact: `|Σ_j w_j (q_j - 8)|` is at most `32 · 32767 · 8`, and 256 times that is less than 2^31, so
    /// a sum that wraps on the way is right at the end.
    #[inline]
    fn finish([a, b, c, d]: Sums) -> [int32x4_t; 8] {
        // SAFETY: the target has NEON.
        let [low, high] = [0, 1]
            .map(|half| unsafe { transpose([a[half], vshrq_n_s32::<4>(b[half]), vshrq_n_s32::<8>(c[half]), d[half]]) });
        let ([a, b, c, d], [e, f, g, h]) = (low, high);
        [a, b, c, d, e, f, g, h]
    }
}

/// Factors of the four nibbles of 16 bits: the first three stay in their place.
const TIMES: [i32; 4] = [1, 16, 256, 1];

/// Columns k, k + 4, k + 8, ... of 32, for k = 0 to 3: nibble k of each of eight words, times [`TIMES`].
#[target_feature(enable = "neon")]
#[inline]
fn nibbles(bytes: int8x16_t) -> [int16x8_t; 4] {
    let words = vreinterpretq_u16_s8(bytes);
    let [a, b, c] = [0x000f, 0x00f0, 0x0f00].map(|mask| vandq_u16(words, vdupq_n_u16(mask)));
    [a, b, c, vshrq_n_u16::<12>(words)].map(|x| vreinterpretq_s16_u16(x))
}
