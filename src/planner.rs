//! Rings for a budget: how many keys each KV head keeps, so that what is cut off is as little as can be.
//!
//! For each head there is a bound on what its ring cuts off, which falls with its length: the one below, from the bias
//! alone, or a measured one. The largest over all heads is made as small as the bytes allow. Every head gets the blocks
//! that bring it down to a common level; the level sinks until no lower one fits; what is left goes, block by block, to the head
//! whose bound is the largest. A block of one head costs what one of another does, so none would do better elsewhere.
//!
//! **What the bias alone says.** A key at distance `D` or beyond takes part in a softmax with the factor `exp(-m D)`. If none of those
//! that are cut off fits the query better than its own key does, they are at most
//!
//! ```text
//!   Σ_{D ≤ i < n} exp(-m i) = exp(-m D) (1 - exp(-m (n - D))) / (1 - exp(-m))
//! ```
//!
//! of the denominator, which has that key's 1 in it; if they fit better by up to `x` in the exponent, `exp(x)` times as much.
//! That `x` cannot be known from the slopes; it is at most `2 |q| |k| scale`, with the largest norms that there are.

use nearfield_kernels::KV_BLOCK;

use crate::alibi;
use crate::config::{PlanError, Ring, SessionConfig};
use crate::plan::{Lengths, MemoryPlan};
use crate::ring::HeadRing;
use crate::shape::Shape;

/// What the ring of a KV head comes to, in each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadPlan {
    /// Keys that a query sees at most, the sinks left out.
    pub n_seen: usize,
    /// Keys that there is room for, the sinks included.
    pub n_rows: usize,
    /// See [`bias_cut`].
    pub bias_cut: f32,
}

impl HeadPlan {
    /// Of KV head `head`, which is below the model's number of them.
    ///
    /// # Errors
    /// As [`MemoryPlan::new`].
    pub fn new(shape: &Shape, config: &SessionConfig, head: usize) -> Result<Self, PlanError> {
        MemoryPlan::new(shape, config)?;
        let ring = HeadRing::new(shape, config, head);
        Ok(Self {
            n_seen: config.n_ctx.min(ring.n_blocks.saturating_mul(KV_BLOCK)),
            n_rows: config.n_sinks + ring.n_slots,
            bias_cut: bias_cut(shape, config, head, ring.n_blocks),
        })
    }
}

/// Natural logarithm of the largest share of a softmax denominator that KV head `head` loses with a ring of `n_blocks` (from 1 on)
/// blocks of 32 keys, if no key that is cut off fits a query better than the query's own; minus infinity if nothing is cut off.
///
/// It is the flattest of the query heads that share the KV head that loses the most.
pub fn bias_cut(shape: &Shape, config: &SessionConfig, head: usize, n_blocks: usize) -> f32 {
    // The first query of a block sees no more than its own key of the newest block.
    let nearest = n_blocks.saturating_sub(1).saturating_mul(KV_BLOCK).saturating_add(1);
    let n_cut = if config.endless { f32::INFINITY } else { config.n_ctx.saturating_sub(nearest) as f32 };
    if !config.endless && n_blocks >= config.n_ctx.div_ceil(KV_BLOCK) {
        return f32::NEG_INFINITY;
    }
    match alibi::flattest_exponent(shape, config, head) {
        None => libm::logf(n_cut),
        Some(exponent) => {
            let slope = libm::exp2(-exponent) as f32;
            libm::logf(libm::expm1f(-slope * n_cut) / libm::expm1f(-slope)) - slope * nearest as f32
        }
    }
}

/// Writes to `keys` (`[n_head_kv]`, for [`Ring::Heads`]) how many keys each KV head keeps so that the cache (the parts
/// [`kv_cache`](MemoryPlan::kv_cache) and [`key_norms`](MemoryPlan::key_norms) of the plan) takes no more than `budget` bytes
/// and the largest bound on what is cut off is as small as it can be. `n_ctx` stands for all. The configuration's own ring does not count.
///
/// `bound(head, n_blocks)` is that bound for a ring of `n_blocks` blocks of 32 keys, 1 to those of the context: never a NaN, and no
/// larger for a longer ring. Most will use [`bias_cut`]. Whoever hands in what was measured takes its logarithm, since small
/// shares are told apart by it.
///
/// # Errors
/// [`PlanError::Budget`] when one block for each head is too much; [`PlanError::RingHeads`] when `keys` is of another length; else as
/// [`MemoryPlan::new`].
pub fn fit_rings(
    shape: &Shape,
    config: &SessionConfig,
    budget: usize,
    keys: &mut [u32],
    bound: impl Fn(usize, usize) -> f32,
) -> Result<(), PlanError> {
    if keys.len() != shape.n_head_kv {
        return Err(PlanError::RingHeads { found: keys.len(), n_head_kv: shape.n_head_kv });
    }
    MemoryPlan::new(shape, &SessionConfig { ring: Ring::Full, ..*config })?;
    let planner = Planner { shape, config, all: config.n_ctx.div_ceil(KV_BLOCK), bound };
    let need = planner.bytes((0..keys.len()).map(|_| 1))?;
    if need > budget {
        return Err(PlanError::Budget { need, budget });
    }
    let level = planner.level(keys.len(), budget)?;
    for (head, n_blocks) in keys.iter_mut().enumerate() {
        *n_blocks = planner.blocks_down_to(head, level) as u32;
    }
    while let Some(head) = planner.next(keys, budget)? {
        if let Some(n_blocks) = keys.get_mut(head) {
            *n_blocks += 1;
        }
    }
    for n_blocks in keys {
        let ring = HeadRing::with(Some(*n_blocks as usize), config);
        // Where there is room for all, all are kept.
        let is_all = ring.n_blocks == planner.all || !config.endless && ring.n_slots == config.n_ctx - ring.first;
        *n_blocks = if is_all { config.n_ctx } else { ring.n_blocks * KV_BLOCK } as u32;
    }
    Ok(())
}

struct Planner<'p, B> {
    shape: &'p Shape,
    config: &'p SessionConfig,
    /// Blocks of the context.
    all: usize,
    bound: B,
}

impl<B: Fn(usize, usize) -> f32> Planner<'_, B> {
    /// Bytes of the cache with rings of so many blocks.
    fn bytes(&self, blocks: impl Iterator<Item = usize>) -> Result<usize, PlanError> {
        let (mut rows, mut norms) = (0, 0);
        for n_blocks in blocks {
            let ring = HeadRing::with(Some(n_blocks), self.config);
            rows += self.config.n_sinks + ring.n_slots;
            norms += self.config.n_sinks.div_ceil(KV_BLOCK) + ring.n_slot_blocks();
        }
        let lengths = Lengths::of_rows(self.shape, self.config, rows, norms)?;
        let plan = MemoryPlan::of(self.shape, &lengths)?;
        Ok(plan.kv_cache + plan.key_norms)
    }

    /// The shortest ring of a head whose bound is no higher than `level`, or the whole context.
    fn blocks_down_to(&self, head: usize, level: f32) -> usize {
        let (mut low, mut high) = (1, self.all);
        while low < high {
            let middle = low.midpoint(high);
            if (self.bound)(head, middle) <= level {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The lowest level to which the budget brings all heads.
    fn level(&self, n_heads: usize, budget: usize) -> Result<f32, PlanError> {
        let (mut low, mut high) = (ordinal(f32::NEG_INFINITY), ordinal(f32::INFINITY));
        while low < high {
            let middle = low.midpoint(high);
            let level = float(middle);
            if self.bytes((0..n_heads).map(|head| self.blocks_down_to(head, level)))? <= budget {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(float(low))
    }

    /// The head with the largest bound among those for which one more block fits, if that is worth anything.
    fn next(&self, blocks: &[u32], budget: usize) -> Result<Option<usize>, PlanError> {
        let mut found: Option<(usize, f32)> = None;
        for (head, &n_blocks) in blocks.iter().enumerate() {
            let n_blocks = n_blocks as usize;
            let bound = (self.bound)(head, n_blocks);
            if n_blocks == self.all || found.map_or(f32::NEG_INFINITY, |(_, most)| most) >= bound {
                continue;
            }
            let more = blocks.iter().enumerate().map(|(i, &n)| n as usize + usize::from(i == head));
            if self.bytes(more)? <= budget {
                found = Some((head, bound));
            }
        }
        Ok(found.map(|(head, _)| head))
    }
}

/// The place of a float among all floats that are numbers, by size.
fn ordinal(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The float at a place.
fn float(ordinal: u32) -> f32 {
    f32::from_bits(if ordinal >> 31 == 1 { ordinal & !(1 << 31) } else { !ordinal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_in_their_order() {
        let floats = [f32::NEG_INFINITY, -1e30, -1.0, -1e-40, 0.0, 1e-40, 1.0, 2.0, f32::INFINITY];
        assert!(floats.map(ordinal).is_sorted());
        assert_eq!(floats.map(|x| float(ordinal(x))), floats);
    }
}
