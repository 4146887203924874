//! Keys and values of one KV head in one layer, to be written: heads share nothing, so workers can take one each.

use core::iter::Enumerate;
use core::slice::Iter;

use nearfield_kernels::{KV_BLOCK, Kernels, KvRowsMut};

use crate::lengths::PLACE;
use crate::planned::Planned;
use crate::ring::HeadRing;
use crate::snapshot::{Kept, Prefix};

/// Iterator of [`KvCache::heads_mut`](super::KvCache::heads_mut).
pub(crate) struct HeadsMut<'c> {
    /// Rows of the heads that follow.
    pub(super) keys: Option<KvRowsMut<'c>>,
    pub(super) values: Option<KvRowsMut<'c>>,
    pub(super) norms: &'c mut [f32],
    pub(super) places: Enumerate<Iter<'c, [u64; PLACE]>>,
    pub(super) prefix: Option<&'c Prefix<'c>>,
    pub(super) layer: usize,
    /// First position in the rings.
    pub(super) first: usize,
    pub(super) head_dim: usize,
    pub(super) n_sinks: usize,
}

impl<'c> Iterator for HeadsMut<'c> {
    type Item = HeadMut<'c>;

    /// Takes the next head; `None` also where the cache is shorter than planned.
    fn next(&mut self) -> Option<HeadMut<'c>> {
        let (head, &[n_slots, n_blocks, ..]) = self.places.next()?;
        let ring = HeadRing { n_slots: n_slots as usize, n_blocks: n_blocks as usize, first: self.first };
        let (n_rows, n_sink_norms) = (self.n_sinks + ring.n_slots, self.n_sinks.div_ceil(KV_BLOCK));
        let (keys, rest_keys) = self.keys.take()?.split(n_rows, self.head_dim)?;
        let (values, rest_values) = self.values.take()?.split(n_rows, self.head_dim)?;
        (self.keys, self.values) = (Some(rest_keys), Some(rest_values));
        let (norms, rest) =
            core::mem::take(&mut self.norms).split_at_mut_checked(n_sink_norms + ring.n_slot_blocks())?;
        self.norms = rest;
        let (sink_norms, norms) = norms.split_at_mut_checked(n_sink_norms)?;
        let kept = self.prefix.and_then(|prefix| Some((prefix, prefix.kept(self.layer, head)?)));
        Some(HeadMut { keys, values, sink_norms, norms, ring, kept, head_dim: self.head_dim, n_sinks: self.n_sinks })
    }
}

/// Keys and values of one KV head in one layer: the sinks, then the ring.
pub(crate) struct HeadMut<'c> {
    keys: KvRowsMut<'c>,
    values: KvRowsMut<'c>,
    sink_norms: &'c mut [f32],
    norms: &'c mut [f32],
    ring: HeadRing,
    /// Prefix, and the place of the head in it.
    kept: Option<(&'c Prefix<'c>, Kept)>,
    head_dim: usize,
    n_sinks: usize,
}

impl HeadMut<'_> {
    /// Stores the key and the value of one position: `[head_dim]` each. `None` if there is no room, which the plan rules out.
    pub(crate) fn store(&mut self, kernels: &dyn Kernels, pos: usize, key: &[f32], value: &[f32]) -> Planned {
        let sink = (pos < self.n_sinks).then_some(pos);
        for row in [Some(self.n_sinks + self.ring.slot(pos)?), sink].into_iter().flatten() {
            kernels.store_kv(key, self.keys.reborrow().rows(row..row + 1, self.head_dim)?);
            kernels.store_kv(value, self.values.reborrow().rows(row..row + 1, self.head_dim)?);
        }
        self.raise_norm(kernels, pos)
    }

    /// Copies the positions of the prefix that are not read in place: the last ones, and the sinks.
    pub(super) fn begin(&mut self, kernels: &dyn Kernels) -> Planned {
        let (prefix, kept) = self.kept?;
        let (n_tokens, first) = (prefix.n_tokens(), self.ring.first);
        for pos in first..n_tokens {
            self.copy_row(prefix, kept.row(pos)?, self.n_sinks + self.ring.slot(pos)?)?;
        }
        if first < n_tokens {
            let block = first / KV_BLOCK;
            *self.norms.get_mut(self.ring.slot_block(block)?)? = prefix.norm(&kept, block)?;
        }
        let mut norm = 0f32;
        for pos in 0..self.n_sinks.min(n_tokens) {
            self.copy_row(prefix, kept.row(pos)?, pos)?;
            norm = norm.max(self.norm_of_row(kernels, pos)?);
            *self.sink_norms.get_mut(pos / KV_BLOCK)? = norm;
        }
        Some(())
    }

    fn copy_row(&mut self, prefix: &Prefix<'_>, from: usize, to: usize) -> Planned {
        let [keys, values] = prefix.rows(from..from + 1)?;
        self.keys.reborrow().rows(to..to + 1, self.head_dim)?.copy(keys)?;
        self.values.reborrow().rows(to..to + 1, self.head_dim)?.copy(values)
    }

    /// Goes back to `pos`, which lies behind the prefix: the norm of its block becomes that of the keys before `pos`.
    pub(super) fn rewind(&mut self, kernels: &dyn Kernels, pos: usize) -> Planned {
        let mut start = pos - pos % KV_BLOCK;
        if let Some((prefix, kept)) = self.kept.filter(|(prefix, _)| start < prefix.n_tokens()) {
            // The prefix has the norm up to its last key. That of the block before may be dropped.
            let block = start / KV_BLOCK;
            *self.norms.get_mut(self.ring.slot_block(block)?)? = prefix.norm(&kept, block)?;
            start = prefix.n_tokens();
        }
        (start..pos).try_for_each(|pos| self.raise_norm(kernels, pos))
    }

    /// Raises the running maximum of a block to the norm of the stored key at `pos`. The maximum of a block begins with that of
    /// the block before.
    fn raise_norm(&mut self, kernels: &dyn Kernels, pos: usize) -> Planned {
        let norm = self.norm_of_row(kernels, self.n_sinks + self.ring.slot(pos)?)?;
        let block = pos / KV_BLOCK;
        let before = match (pos % KV_BLOCK, block) {
            (0, 0) => 0.0,
            (0, _) => self.norm(block - 1)?,
            _ => self.norm(block)?,
        };
        let norm = before.max(norm);
        *self.norms.get_mut(self.ring.slot_block(block)?)? = norm;
        if pos < self.n_sinks {
            *self.sink_norms.get_mut(block)? = norm;
        }
        Some(())
    }

    /// Norm of a stored key.
    fn norm_of_row(&self, kernels: &dyn Kernels, row: usize) -> Option<f32> {
        let key = self.keys.as_rows().rows(row..row + 1, self.head_dim)?;
        let norm = libm::sqrtf(kernels.sum_squares(key, self.head_dim));
        // A key with a NaN has no bound: from then on no older key may be left out.
        Some(if norm.is_nan() { f32::INFINITY } else { norm })
    }

    /// Bound on the norms of all keys up to the end of a block, which were all stored.
    fn norm(&self, block: usize) -> Option<f32> {
        match self.ring.slot_block(block) {
            Some(slot) => self.norms.get(slot).copied(),
            None => {
                let (prefix, kept) = self.kept?;
                prefix.norm(&kept, block)
            }
        }
    }
}
