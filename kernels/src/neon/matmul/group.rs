//! Thirty-two columns of eight rows: how a weight type unpacks them, and how their integer sums are scaled.

use core::arch::aarch64::*;
use core::mem::offset_of;

use super::rows::{Quarter32, Rows};
use crate::BlockQ8;
use crate::block::{Quantized, Scaling};
use crate::neon::floats::Floats;

/// Number of each of the eight rows.
pub(in crate::neon) type Integers = [int32x4_t; 2];

/// Scales and minimums of a group of eight rows.
#[derive(Clone, Copy)]
pub(in crate::neon) struct Scales {
    /// Scale.
    pub(super) d: Floats,
    /// Integer scales of the first and the last 16 columns; a scale of all 32 is in the first place.
    pub(super) sc: [Integers; 2],
    /// Scale of the minimums, as it is added.
    pub(super) m: Floats,
    /// Integer minimums, in the places of the integer scales; for [`Scaling::None`] they are one.
    pub(super) mn: [Integers; 2],
}

impl Scales {
    /// Makes the scales of a group that has a scale alone.
    #[target_feature(enable = "neon")]
    #[inline]
    pub(super) fn plain(d: Floats) -> Self {
        let zero = [vdupq_n_s32(0); 2];
        Self { d, sc: [zero; 2], m: [vdupq_n_f32(0.0); 2], mn: [zero; 2] }
    }
}

/// Weight type whose blocks can be unpacked.
pub(in crate::neon) trait Unpack: Quantized {
    /// Number that unpacking has already subtracted from the stored quants.
    const LESS: i32 = 0;

    /// Hands the groups of a block of eight rows to `sink`, in column order, and steps `rows` to the next block.
    ///
    /// # Safety
    /// Each of `rows` has a readable block, and the sink is made for rows of this type and has room for the block's groups.
    unsafe fn unpack<R: Rows>(rows: &mut R, sink: &mut impl Sink);
}

/// Least of the quants as they are unpacked.
pub(super) const fn min_quant<B: Unpack>() -> i32 {
    B::MIN_QUANT - B::LESS
}

/// Largest of the quants as they are unpacked.
pub(super) const fn max_quant<B: Unpack>() -> i32 {
    B::MAX_QUANT - B::LESS
}

/// Number that unpacked quants are still too large by.
pub(super) const fn offset<B: Unpack>() -> i32 {
    B::OFFSET - B::LESS
}

/// Receiver of groups.
pub(in crate::neon) trait Sink {
    /// Takes one group. `quants(i)` returns its quarter i, and is called once for each, in order.
    ///
    /// # Safety
    /// The sink has room for this group (or activations to multiply it with).
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, quants: impl FnMut(usize) -> Quarter32);
}

/// Scale (the first two lanes) and sums (the last two) of a block of activations, by one load.
#[target_feature(enable = "neon")]
#[inline]
fn head(x: &BlockQ8) -> int16x4_t {
    const { assert!(offset_of!(BlockQ8, d) == 0 && offset_of!(BlockQ8, sums) == 4) };
    // SAFETY: the first eight bytes of a block, which are initialized and as aligned as `u32`.
    vreinterpret_s16_u32(unsafe { vld1_u32((&raw const *x).cast()) })
}

/// Sums of the first and of the last 16 activations, in the last two lanes.
#[target_feature(enable = "neon")]
#[inline]
fn half_sums(x: &BlockQ8) -> int32x4_t {
    vmovl_s16(head(x))
}

/// Sum of 32 activations, in the last lane.
#[target_feature(enable = "neon")]
#[inline]
fn whole_sum(x: &BlockQ8) -> int32x2_t {
    vpaddl_s16(head(x))
}

/// `Σ_j (q - offset) · x` of four rows: subtracts the offsets from the sum of all columns, or from that of each half.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn centred<B: Unpack>([first, last]: [int32x4_t; 2], x: &BlockQ8) -> [int32x4_t; 2] {
    let less = vdupq_n_s32(offset::<B>());
    if offset::<B>() == 0 {
        [first, last]
    } else if B::SCALING == Scaling::Halves {
        let sums = half_sums(x);
        [vmlsq_laneq_s32::<2>(first, less, sums), vmlsq_laneq_s32::<3>(last, less, sums)]
    } else {
        [vmlsq_lane_s32::<1>(first, less, whole_sum(x)), last]
    }
}

/// Start values of the sums of all columns, or of each half: -offset * sum(x), so that nothing is subtracted later.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn offsets<B: Unpack>(x: &BlockQ8) -> [int32x4_t; 2] {
    if offset::<B>() == 0 {
        [vdupq_n_s32(0); 2]
    } else if B::SCALING == Scaling::Halves {
        let (more, sums) = (vdupq_n_s32(-offset::<B>()), half_sums(x));
        [vmulq_laneq_s32::<2>(more, sums), vmulq_laneq_s32::<3>(more, sums)]
    } else {
        [vmulq_lane_s32::<1>(vdupq_n_s32(-offset::<B>()), whole_sum(x)), vdupq_n_s32(0)]
    }
}

/// `Σ_h sc_h · sum_h`
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn scaled<B: Unpack>([first, last]: [Integers; 2], scales: &Scales) -> Integers {
    [0, 1].map(|quad| scaled_quad::<B>([first[quad], last[quad]], scales, quad))
}

/// [`scaled`], of four rows.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn scaled_quad<B: Unpack>([first, last]: [int32x4_t; 2], scales: &Scales, quad: usize) -> int32x4_t {
    match B::SCALING {
        Scaling::None => first,
        Scaling::Group => vmulq_s32(first, scales.sc[0][quad]),
        Scaling::Halves => vmlaq_s32(vmulq_s32(first, scales.sc[0][quad]), last, scales.sc[1][quad]),
    }
}

/// `acc += (d · d_x) · sum`, then, with a minimum, `acc += (m · d_x) · Σ_h mn_h · Σ_j x`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add_terms<B: Unpack>(acc: &mut Floats, scales: &Scales, sum: Integers, x: &BlockQ8) {
    *acc = [0, 1].map(|quad| add_product(acc[quad], scales.d[quad], x, sum[quad]));
    if B::MINIMUM {
        *acc = [0, 1].map(|quad| add_product(acc[quad], scales.m[quad], x, minimums::<B>(scales, x, quad)));
    }
}

/// [`add_terms`], of four rows.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add_terms_quad<B: Unpack>(
    acc: float32x4_t,
    scales: &Scales,
    sum: int32x4_t,
    x: &BlockQ8,
    quad: usize,
) -> float32x4_t {
    let acc = add_product(acc, scales.d[quad], x, sum);
    if B::MINIMUM { add_product(acc, scales.m[quad], x, minimums::<B>(scales, x, quad)) } else { acc }
}

/// `acc + (d · d_x) · sum`
#[target_feature(enable = "neon")]
#[inline]
fn add_product(acc: float32x4_t, d: float32x4_t, x: &BlockQ8, sum: int32x4_t) -> float32x4_t {
    let d_x = vreinterpret_f32_s16(head(x));
    vaddq_f32(acc, vmulq_f32(vmulq_lane_f32::<0>(d, d_x), vcvtq_f32_s32(sum)))
}

/// `Σ_h mn_h · Σ_j x` of four rows.
#[target_feature(enable = "neon")]
#[inline]
fn minimums<B: Unpack>(scales: &Scales, x: &BlockQ8, quad: usize) -> int32x4_t {
    match B::SCALING {
        Scaling::None => vdupq_lane_s32::<1>(whole_sum(x)),
        Scaling::Group => vmulq_lane_s32::<1>(scales.mn[0][quad], whole_sum(x)),
        Scaling::Halves => {
            let sums = half_sums(x);
            let first = vmulq_laneq_s32::<2>(scales.mn[0][quad], sums);
            vmlaq_laneq_s32::<3>(first, scales.mn[1][quad], sums)
        }
    }
}

/// `acc + (d · d_x) · sum`
#[target_feature(enable = "neon")]
#[inline]
pub(in crate::neon) fn add_scaled(acc: float32x4_t, d: float32x4_t, d_x: f32, sum: int32x4_t) -> float32x4_t {
    vaddq_f32(acc, vmulq_f32(vmulq_n_f32(d, d_x), vcvtq_f32_s32(sum)))
}
