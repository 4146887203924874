//! Quants of a stored row: one in a byte, or two. Also the sum of squares of a row.

use core::arch::aarch64::*;

use crate::kv::KvQuant;
use crate::neon::bytes::{next_16, next_32, widen_one};
use crate::neon::floats::{Floats, add, add_tail, sum, to_lanes, tree};
use crate::neon::matmul::unit::load;
use crate::neon::norm::square;
use crate::scalar::{LANES, assert_rows};
use crate::{KvRows, QK};

/// Byte of a stored row.
pub(super) trait Quant: KvQuant {
    /// Loads 32 columns and steps behind them.
    ///
    /// # Safety
    /// The bytes of the 32 columns can be read.
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2];

    /// Loads up to 32 columns, with zeros behind them.
    fn group(bytes: &[Self]) -> [int8x16_t; 2];
}

impl Quant for i8 {
    #[inline(always)]
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2] {
        // SAFETY: the caller vouches for the 32 bytes.
        unsafe { next_32(p) }
    }

    #[inline]
    fn group(bytes: &[Self]) -> [int8x16_t; 2] {
        // SAFETY: the target has NEON.
        unsafe { load(&filled(bytes, Self::ZERO)) }
    }
}

impl Quant for u8 {
    #[inline(always)]
    unsafe fn next_group(p: &mut *const u8) -> [int8x16_t; 2] {
        // SAFETY: the caller vouches for the 16 bytes; the target has NEON.
        unsafe { unpack(vreinterpretq_u8_s8(next_16(p))) }
    }

    #[inline]
    fn group(bytes: &[Self]) -> [int8x16_t; 2] {
        let all: [u8; QK / 2] = filled(bytes, Self::ZERO);
        // SAFETY: the target has NEON; 16 readable bytes, and vector loads need no alignment.
        unsafe { unpack(vld1q_u8(all.as_ptr())) }
    }
}

/// Unpacks two quants of each byte, that of the low half first.
#[target_feature(enable = "neon")]
#[inline]
fn unpack(bytes: uint8x16_t) -> [int8x16_t; 2] {
    let eight = vdupq_n_s8(u8::OFFSET as i8);
    let low = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), eight);
    let high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes)), eight);
    [vzip1q_s8(low, high), vzip2q_s8(low, high)]
}

/// First `N` elements; if there are fewer, `rest` behind them.
#[inline]
pub(super) fn filled<T: Copy, const N: usize>(bytes: &[T], rest: T) -> [T; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut all = [rest; N];
        all.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = byte);
        all
    })
}

/// Implements [`Kernels::sum_squares`](crate::Kernels::sum_squares).
#[target_feature(enable = "neon")]
pub(in super::super) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::F32(x) => sum(x, |x| squares(x)),
        KvRows::F16(x) => sum(x, |x| squares(x)),
        KvRows::Q8_0 { qs, d } => sum_quants(qs, d, head_dim),
        KvRows::Q4_0 { qs, d, .. } => sum_quants(qs, d, head_dim),
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn squares(x: Floats) -> Floats {
    x.map(|x| square(x))
}

/// `Σ (d · q)²`, in 16 strided sums and the tree.
#[target_feature(enable = "neon")]
#[inline]
fn sum_quants<Q: Quant>(qs: &[Q], d: &[u16], head_dim: usize) -> f32 {
    let mut sums = [[vdupq_n_f32(0.0); 2]; 2];
    let mut rest = head_dim;
    for (qs, &d) in qs.chunks(QK / Q::COLUMNS).zip(d) {
        let d = widen_one(d);
        for quants in Q::group(qs) {
            let halves = [vmovl_s8(vget_low_s8(quants)), vmovl_high_s8(quants)];
            let terms = halves.map(|q| {
                let q = [vmovl_s16(vget_low_s16(q)), vmovl_high_s16(q)];
                squares(q.map(|q| vmulq_n_f32(vcvtq_f32_s32(q), d)))
            });
            // Columns past the end must add no terms: a scale that is not finite would make them NaN.
            sums = if rest >= LANES {
                [add(sums[0], terms[0]), add(sums[1], terms[1])]
            } else {
                add_tail(sums, to_lanes(terms).into_iter().take(rest))
            };
            rest = rest.saturating_sub(LANES);
        }
    }
    tree(sums)
}
