//! Weights: probabilities as integers, whose sums are exact in any order.

use nearfield_kernels::exp;

/// Weight of the highest logit.
pub(super) const ONE: f32 = (1u64 << 39) as f32;

/// Weight `exp(distance)` in units of 2^-39, rounded down. Fewer than 2^24 weights add up without overflow.
///
/// - `distance`: logit minus the highest logit, at most 0
pub(super) fn weight(distance: f32) -> u64 {
    // exp(-27.04) is 2^-39: smaller weights are 0, and need no `exp`.
    if distance < -28.0 { 0 } else { (exp(distance) * ONE) as u64 }
}

/// `share` (0 to 1) of `total`, rounded up.
pub(super) fn share_of(total: u64, share: f32) -> u64 {
    // A float times a power of two is exact. Bits below 2^-40 are dropped.
    let share = (share * (1u64 << 40) as f32) as u128;
    ((u128::from(total) * share).div_ceil(1 << 40)) as u64
}

/// The least number that is more than `share` (below 1) of `total`.
pub(super) fn more_than_share_of(total: u64, share: f32) -> u64 {
    let share = (share * (1u64 << 40) as f32) as u128;
    (((u128::from(total) * share) >> 40) as u64).saturating_add(1)
}
