//! Ring of each KV head: the number of keys that its horizon needs.
//!
//! Keys carry no position, so a key whose bias makes it negligible can make room for a new one, and the distances of all others
//! stay the same. The slope of a head, which ALiBi fixes before any training, determines how far back it looks. Query heads
//! that share a KV head need the ring of the flattest of them.
//!
//! A ring is made of blocks of [`KV_BLOCK`] positions, and a query sees whole blocks: its own up to its position, and the ones
//! before, up to the length of the ring. So the keys that it sees depend only on its position and the ring, not on how a text
//! is cut into chunks.

use nearfield_kernels::KV_BLOCK;

use crate::alibi;
use crate::config::{PlanError, Ring, SessionConfig};
use crate::const_math::{exp2, ln};
use crate::shape::Shape;

impl Ring {
    /// Number of blocks that KV head `head` of a model keeps at least; `None` for all.
    const fn n_blocks(&self, shape: &Shape, config: &SessionConfig, head: usize) -> Option<usize> {
        match *self {
            Self::Full => None,
            Self::Keys(n) => Some(n.div_ceil(KV_BLOCK)),
            Self::Bias(eps) => match distance(alibi::flattest_exponent(shape, config, head), eps) {
                // One block more, since a query may see only one key of the newest block.
                Some(n) => Some(n.div_ceil(KV_BLOCK) + 1),
                None => None,
            },
            Self::Heads(keys) if head < keys.len() => Some((keys[head] as usize).div_ceil(KV_BLOCK)),
            Self::Heads(_) => None,
        }
    }

    /// Checks that the setting is valid for a model of this shape.
    pub(crate) const fn check(&self, shape: &Shape) -> Result<(), PlanError> {
        match *self {
            Self::Full | Self::Keys(1..) => Ok(()),
            Self::Bias(eps) if eps > 0.0 && eps < 1.0 => Ok(()),
            Self::Heads(keys) if keys.len() != shape.n_head_kv => {
                Err(PlanError::RingHeads { found: keys.len(), n_head_kv: shape.n_head_kv })
            }
            Self::Heads(mut keys) => {
                while let [n, rest @ ..] = keys {
                    if *n == 0 {
                        return Err(PlanError::Ring);
                    }
                    keys = rest;
                }
                Ok(())
            }
            Self::Keys(_) | Self::Bias(_) => Err(PlanError::Ring),
        }
    }
}

/// Ring of one KV head, in each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRing {
    /// Number of keys that fit: whole blocks, or the context.
    pub(crate) n_slots: usize,
    /// Number of blocks that a query sees, its own included.
    pub(crate) n_blocks: usize,
    /// First position that has a slot. Positions before lie in a [`Prefix`](crate::Prefix), in whole blocks.
    pub(crate) first: usize,
}

impl HeadRing {
    pub(crate) const fn new(shape: &Shape, config: &SessionConfig, head: usize) -> Self {
        Self::with(config.ring.n_blocks(shape, config, head), config)
    }

    /// Ring of `n_blocks`, or of all blocks.
    pub(crate) const fn with(n_blocks: Option<usize>, config: &SessionConfig) -> Self {
        let all = config.n_ctx.div_ceil(KV_BLOCK);
        match n_blocks {
            Some(n_blocks) if n_blocks < all => Self::of_blocks(n_blocks, config),
            _ if config.endless => Self::of_blocks(all, config),
            _ => {
                let first = config.first_of_arena();
                Self { n_slots: config.n_ctx.saturating_sub(first), n_blocks: all, first }
            }
        }
    }

    const fn of_blocks(n_blocks: usize, config: &SessionConfig) -> Self {
        let n_slots = n_blocks.saturating_add(config.blocks_ahead()).saturating_mul(KV_BLOCK);
        let first = config.first_of_arena();
        let n_left = config.n_ctx.saturating_sub(first);
        let is_context = !config.endless && n_left < n_slots;
        Self { n_slots: if is_context { n_left } else { n_slots }, n_blocks, first }
    }

    /// Number of blocks that fit.
    pub(crate) const fn n_slot_blocks(&self) -> usize {
        self.n_slots.div_ceil(KV_BLOCK)
    }

    /// Oldest position that a query at `pos` sees.
    pub(crate) const fn oldest(&self, pos: usize) -> usize {
        (pos / KV_BLOCK + 1).saturating_sub(self.n_blocks) * KV_BLOCK
    }

    /// Oldest position whose key is still in its slot, after all positions before `written` were stored.
    pub(crate) const fn oldest_kept(&self, written: usize) -> usize {
        written.saturating_sub(self.n_slots)
    }

    /// True if `n` keys that are stored behind any position leave those that a query there sees in their slots, in a text of
    /// `n_ctx` positions or without end.
    pub(crate) fn has_room_behind(&self, n: usize, n_ctx: Option<usize>) -> bool {
        let holds_all = n_ctx.is_some_and(|n_ctx| self.first + self.n_slots >= n_ctx);
        holds_all || self.n_slots >= self.n_blocks * KV_BLOCK + n
    }

    /// Slot of the key of `pos`; `None` before the first position.
    pub(crate) fn slot(&self, pos: usize) -> Option<usize> {
        pos.checked_sub(self.first)?.checked_rem(self.n_slots)
    }

    /// Slot of the norm of a block; `None` before the first position.
    pub(crate) fn slot_block(&self, block: usize) -> Option<usize> {
        block.checked_sub(self.first / KV_BLOCK)?.checked_rem(self.n_slot_blocks())
    }
}

/// Smallest distance from which on `exp(-slope * distance)` with the slope `2^-exponent` adds up to `eps` at most; `None`
/// without a slope.
const fn distance(exponent: Option<f64>, eps: f32) -> Option<usize> {
    let Some(exponent) = exponent else { return None };
    let slope = exp2(-(exponent as f32));
    // The share is 1 - exp(-slope), without cancellation for small slopes.
    let share = if slope < 0.02 { slope - slope * slope / 2.0 } else { 1.0 - exp2(-slope * core::f32::consts::LOG2_E) };
    let distance = -(ln(eps) + ln(share)) / slope;
    // A negative quotient becomes 1, an infinite one or a NaN the greatest context.
    Some(if distance < SessionConfig::MAX_CONTEXT as f32 { distance as usize + 1 } else { SessionConfig::MAX_CONTEXT })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_leaves_what_it_may_and_is_the_first_that_does() {
        for exponent in [0.0, 0.625, 1.0, 3.0, 5.0, 5.7, 8.0, 9.3, 14.6, 16.0] {
            for eps in [0.5, 1e-2, 1.0 / (1 << 24) as f32, 1e-12] {
                let slope = libm::exp2(-exponent);
                let rest = |n: usize| libm::exp(-slope * n as f64) / -libm::expm1(-slope);
                let n = distance(Some(exponent), eps).unwrap();
                assert!(rest(n) <= f64::from(eps) * 1.0001, "slope {slope}, eps {eps}: {n} leaves {}", rest(n));
                assert!(n < 2 || rest(n - 1) > f64::from(eps) * 0.9999, "slope {slope}, eps {eps}: {n} is too many");
            }
        }
        assert_eq!(distance(None, 0.5), None);
        assert_eq!(distance(Some(100.0), 0.5), Some(SessionConfig::MAX_CONTEXT));
        // Scaled slopes may be very steep or very flat.
        assert_eq!([distance(Some(-128.0), 0.5), distance(Some(-2.0), 1e-7)], [Some(1), Some(5)]);
        assert_eq!(distance(Some(160.0), 0.5), Some(SessionConfig::MAX_CONTEXT));
    }

    #[test]
    fn a_query_sees_its_own_block_and_whole_ones_before() {
        let ring = HeadRing { n_slots: 96, n_blocks: 3, first: 0 };
        for (pos, oldest) in [(0, 0), (31, 0), (95, 0), (96, 32), (127, 32), (128, 64), (1000, 928)] {
            assert_eq!(ring.oldest(pos), oldest, "{pos}");
        }
        assert_eq!([ring.slot(95), ring.slot(96), ring.slot(1000)], [Some(95), Some(0), Some(40)]);
        let room =
            |n| [ring.has_room_behind(n, None), ring.has_room_behind(n, Some(97)), ring.has_room_behind(n, Some(96))];
        assert_eq!([room(0), room(1)], [[true; 3], [false, false, true]]);
        let behind_a_prefix = HeadRing { first: 64, ..ring };
        assert_eq!([63, 64, 159, 160].map(|pos| behind_a_prefix.slot(pos)), [None, Some(0), Some(95), Some(0)]);
        assert_eq!([1, 2, 4, 5].map(|block| behind_a_prefix.slot_block(block)), [None, Some(0), Some(2), Some(0)]);
    }
}
