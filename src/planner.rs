//! Fits rings into a budget: chooses how many keys each KV head keeps, so that the bound on what is cut off is as small as
//! possible.
//!
//! Each head has a bound on the share that its ring cuts off, which falls with the ring's length: the bound below, from the
//! bias alone, or a measured one. The largest bound over all heads is made as small as the bytes allow. Every head gets the
//! blocks that bring its bound down to a common level, the lowest one that fits. The bytes that are left go, block by block, to
//! the head with the largest bound. Blocks of all heads cost the same, so none would do better elsewhere.
//!
//! **The bound from the bias alone.** A key at distance `D` or beyond takes part in a softmax with the factor `exp(-m D)`. If
//! no key that is cut off fits the query better than the query's own key, all of them together are at most
//!
//! ```text
//!   Σ_{D ≤ i < n} exp(-m i) = exp(-m D) (1 - exp(-m (n - D))) / (1 - exp(-m))
//! ```
//!
//! of the denominator, which contains the own key's 1. If they fit better by up to `x` in the exponent, the share is up to
//! `exp(x)` times as large. The slopes do not tell `x`; it is at most `2 |q| |k| scale`, with the largest norms that occur.

use nearfield_kernels::KV_BLOCK;

use crate::alibi;
use crate::config::{PlanError, Ring, SessionConfig};
use crate::plan::MemoryPlan;
use crate::ring::HeadRing;
use crate::shape::Shape;

/// Planned ring of a KV head, in each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadPlan {
    /// Greatest number of keys that a query sees, without sinks.
    pub n_seen: usize,
    /// Number of keys that fit, including sinks.
    pub n_rows: usize,
    /// [`bias_cut`] of the ring.
    pub bias_cut: f32,
}

impl HeadPlan {
    /// Plans the ring of KV head `head`, which is below [`Shape::n_head_kv`].
    ///
    /// # Errors
    /// Errors of [`MemoryPlan::new`].
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

/// Natural logarithm of the largest share of a softmax denominator that KV head `head` loses with a ring of `n_blocks` (from 1
/// on) blocks of 32 keys, if no key that is cut off fits a query better than the query's own; minus infinity if nothing is cut
/// off.
///
/// The flattest of the query heads that share the KV head loses the most.
pub fn bias_cut(shape: &Shape, config: &SessionConfig, head: usize, n_blocks: usize) -> f32 {
    // The first query of a block sees only its own key of the newest block.
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

/// Writes the number of keys that each KV head keeps to `keys` (`[n_head_kv]`, for [`Ring::Heads`]), so that the cache (the
/// parts [`kv_cache`](MemoryPlan::kv_cache) and [`key_norms`](MemoryPlan::key_norms) of the plan) takes no more than `budget`
/// bytes and the largest bound is as small as possible. `n_ctx` stands for all keys. The ring in `config` is ignored.
///
/// `bound(head, n_blocks)` is the bound on the share that a ring of `n_blocks` blocks of 32 keys cuts off, from 1 block to
/// those of the context. It must not be NaN, nor rise with the length of the ring. Most callers use [`bias_cut`]. A measured
/// share is passed as its logarithm, which tells small shares apart.
///
/// # Errors
/// [`PlanError::Budget`] if one block for each head is too much; [`PlanError::RingHeads`] if `keys` has another length;
/// otherwise the errors of [`MemoryPlan::new`].
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
        // A ring with room for all keys keeps all.
        let is_all = ring.n_blocks == planner.all || !config.endless && ring.n_slots == config.n_ctx - ring.first;
        *n_blocks = if is_all { config.n_ctx } else { ring.n_blocks * KV_BLOCK } as u32;
    }
    Ok(())
}

struct Planner<'p, B> {
    shape: &'p Shape,
    config: &'p SessionConfig,
    /// Number of blocks of the context.
    all: usize,
    bound: B,
}

impl<B: Fn(usize, usize) -> f32> Planner<'_, B> {
    /// Bytes of the cache with rings of these numbers of blocks.
    fn bytes(&self, blocks: impl Iterator<Item = usize>) -> Result<usize, PlanError> {
        let (mut rows, mut norms) = (0, 0);
        for n_blocks in blocks {
            let ring = HeadRing::with(Some(n_blocks), self.config);
            rows += self.config.n_sinks + ring.n_slots;
            norms += self.config.n_sinks.div_ceil(KV_BLOCK) + ring.n_slot_blocks();
        }
        let plan = MemoryPlan::of_rows(self.shape, self.config, rows, norms)?;
        Ok(plan.kv_cache + plan.key_norms)
    }

    /// Blocks of the shortest ring of a head whose bound is no higher than `level`, or else of the whole context.
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

    /// Lowest level to which the budget brings all heads.
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

    /// Head with the largest bound among those for which one more block fits; `None` if none fits or all bounds are minus
    /// infinity.
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

/// Ordinal of a float among all floats that are numbers, by size.
fn ordinal(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Float of an ordinal.
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
