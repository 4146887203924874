//! The KV cache: for each layer and KV head a ring of keys and one of values, `[n_slots, head_dim]` each, in the arena.
//!
//! Keys carry no position: the key of position `pos` lies in slot `pos % n_slots`, and takes the place of a forgotten one. For
//! each block of [`KV_BLOCK`] positions the cache has the largest norm of any key up to the end of the block, from which
//! [`crate::attention`] computes the horizon. Norms of forgotten keys stay in the maximum, so a bound may be too high, but
//! never too low.
//!
//! Sinks, the first few keys of the text, have rows and norms of their own before those of the ring. For a query the sinks lie
//! right behind the oldest key of its ring: distances count the keys that it sees (StreamingLLM: Xiao et al. 2023, arXiv
//! 2309.17453, section 3.2).
//!
//! A text may begin with a [`Prefix`], whose keys and values lie elsewhere and are never written. Its whole blocks are read
//! there, and the rings hold the positions after them. The positions of its last, partial block and its sinks are copied into
//! the cache.

mod head;

use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, Q4Built};

use crate::config::SessionConfig;
use crate::kv_type::KvType;
use crate::lengths::{PLACE, StoreLengths};
use crate::plan::SequenceLengths;
use crate::planned::Planned;
use crate::ring::HeadRing;
use crate::shape::Shape;
use crate::snapshot::{Keeps, Kept, Prefix};

use head::HeadsMut;

/// Takes room for keys or values from `arena`; `None` if it is too small, or if Q4_0 is not built in.
pub(crate) fn take<'a>(arena: &mut Arena<'a>, n: &StoreLengths) -> Option<KvRowsMut<'a>> {
    Some(match n.ty {
        KvType::F32 => KvRowsMut::F32(arena.take(n.elements)?),
        KvType::F16 => KvRowsMut::F16(arena.take(n.elements)?),
        KvType::Q8_0 => KvRowsMut::Q8_0 { qs: arena.take(n.elements)?, d: arena.take(n.scales)? },
        KvType::Q4_0 => {
            let built = Q4Built::PROOF?;
            KvRowsMut::Q4_0 { qs: arena.take(n.elements)?, d: arena.take(n.scales)?, built }
        }
    })
}

/// Place of a KV head's keys and norms in a layer.
#[derive(Clone, Copy, Debug)]
struct Place {
    ring: HeadRing,
    /// Row of the first sink in the stores, before those of the ring.
    first_sink: usize,
    /// First row of the ring.
    first_row: usize,
    /// Norm of the first block of sinks, before those of the ring.
    first_sink_norm: usize,
    /// First norm of the ring.
    first_norm: usize,
    /// Place of the prefix's keys and norms.
    kept: Option<Kept>,
}

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct KvCache<'a> {
    /// Keys of all layers.
    keys: KvRowsMut<'a>,
    values: KvRowsMut<'a>,
    /// `[n_layer]` times the blocks of each KV head: largest norms of the keys.
    key_norms: &'a mut [f32],
    /// `[n_head_kv, 4]`: of each KV head, in the first layer, slots, blocks that a query sees, first row, first norm.
    places: &'a mut [u64],
    prefix: Option<Prefix<'a>>,
    /// First position in the rings, as in [`HeadRing`].
    first: usize,
    head_dim: usize,
    n_sinks: usize,
    /// Rows of a layer.
    n_rows: usize,
    /// Norms of a layer.
    n_norms: usize,
}

impl<'a> KvCache<'a> {
    /// Takes room for a text from `arena`; `None` if it is too small. [`begin`](Self::begin) then makes the text begin with
    /// `prefix`, whose length `config` has.
    pub(crate) fn take(
        arena: &mut Arena<'a>,
        s: &Shape,
        config: &SessionConfig,
        n: &SequenceLengths,
        prefix: Option<Prefix<'a>>,
    ) -> Option<Self> {
        let (keys, values) = (take(arena, &n.keys)?, take(arena, &n.values)?);
        let (key_norms, places) = (arena.take(n.key_norms)?, arena.take::<u64>(n.places)?);
        let (mut n_rows, mut n_norms) = (0, 0);
        for (head, place) in places.as_chunks_mut::<PLACE>().0.iter_mut().enumerate() {
            let ring = HeadRing::new(s, config, head);
            *place = [ring.n_slots, ring.n_blocks, n_rows, n_norms].map(|n| n as u64);
            n_rows += config.n_sinks + ring.n_slots;
            n_norms += config.n_sinks.div_ceil(KV_BLOCK) + ring.n_slot_blocks();
        }
        let (n_sinks, first) = (config.n_sinks, config.first_of_arena());
        Some(Self { keys, values, key_norms, places, prefix, first, head_dim: s.head_dim, n_sinks, n_rows, n_norms })
    }

    /// Rings of the KV heads, the same in each layer.
    pub(crate) fn rings(&self) -> impl Iterator<Item = HeadRing> {
        self.places.as_chunks::<PLACE>().0.iter().map(|&[n_slots, n_blocks, ..]| self.ring(n_slots, n_blocks))
    }

    fn ring(&self, n_slots: u64, n_blocks: u64) -> HeadRing {
        HeadRing { n_slots: n_slots as usize, n_blocks: n_blocks as usize, first: self.first }
    }

    fn place(&self, layer: usize, head: usize) -> Option<Place> {
        let &[n_slots, n_blocks, first_row, first_norm] = self.places.as_chunks::<PLACE>().0.get(head)?;
        let first_sink = layer * self.n_rows + first_row as usize;
        let first_sink_norm = layer * self.n_norms + first_norm as usize;
        Some(Place {
            ring: self.ring(n_slots, n_blocks),
            first_sink,
            first_row: first_sink + self.n_sinks,
            first_sink_norm,
            first_norm: first_sink_norm + self.n_sinks.div_ceil(KV_BLOCK),
            kept: self.prefix.and_then(|prefix| prefix.kept(layer, head)),
        })
    }

    /// Iterates over the KV heads of a layer, to be written.
    pub(crate) fn heads_mut(&mut self, layer: usize) -> Option<HeadsMut<'_>> {
        let Self { head_dim, n_sinks, n_rows, n_norms, first, .. } = *self;
        let of = |n: usize| layer * n..(layer + 1) * n;
        Some(HeadsMut {
            keys: self.keys.reborrow().rows(of(n_rows), head_dim),
            values: self.values.reborrow().rows(of(n_rows), head_dim),
            norms: self.key_norms.get_mut(of(n_norms))?,
            places: self.places.as_chunks().0.iter().enumerate(),
            prefix: self.prefix.as_ref(),
            layer,
            first,
            head_dim,
            n_sinks,
        })
    }

    /// Begins, or begins again, with the prefix: copies the positions that are not read in place.
    pub(crate) fn begin(&mut self, kernels: &dyn Kernels, n_layer: usize) -> Planned {
        if self.prefix.is_none() {
            return Some(());
        }
        (0..n_layer).try_for_each(|layer| self.heads_mut(layer)?.try_for_each(|mut head| head.begin(kernels)))
    }

    /// Goes back to `pos`: in every layer, the norm of its block becomes that of the keys before `pos`.
    pub(crate) fn rewind(&mut self, kernels: &dyn Kernels, n_layer: usize, pos: usize) -> Planned {
        (0..n_layer).try_for_each(|layer| self.heads_mut(layer)?.try_for_each(|mut head| head.rewind(kernels, pos)))
    }

    /// Positions that a snapshot of the first `n_tokens` keeps of a head: those that a query behind them sees.
    pub(crate) fn keeps(&self, head: usize, n_tokens: usize) -> Option<Keeps> {
        let from = self.place(0, head)?.ring.oldest(n_tokens).min(n_tokens);
        Some(Keeps { n_tokens, from, n_sinks: self.n_sinks.min(from) })
    }

    /// Passes the rows that a snapshot keeps of a head in a layer to `each`: sinks kept apart, then all positions, a block at a
    /// time.
    pub(crate) fn each_kept(
        &self,
        layer: usize,
        head: usize,
        n_tokens: usize,
        each: &mut dyn FnMut([KvRows<'_>; 2]) -> Planned,
    ) -> Planned {
        let (place, Keeps { from, n_sinks, .. }) = (self.place(layer, head)?, self.keeps(head, n_tokens)?);
        each(self.rows_at(place.first_sink, n_sinks)?)?;
        (from..n_tokens)
            .step_by(KV_BLOCK)
            .try_for_each(|start| each(self.rows(&place, start..n_tokens.min(start + KV_BLOCK))?))
    }

    /// Passes the norms that a snapshot keeps of a head in a layer to `each`.
    pub(crate) fn each_kept_norm(
        &self,
        layer: usize,
        head: usize,
        n_tokens: usize,
        each: &mut dyn FnMut(f32) -> Planned,
    ) -> Planned {
        let (place, keeps) = (self.place(layer, head)?, self.keeps(head, n_tokens)?);
        let blocks = keeps.first_block()..keeps.first_block() + keeps.n_norms();
        blocks.into_iter().try_for_each(|block| each(self.key_norm(&place, block)?))
    }

    /// Bound on the norms of all keys up to the end of a block, which were all stored.
    fn key_norm(&self, place: &Place, block: usize) -> Option<f32> {
        match place.ring.slot_block(block) {
            Some(slot) => self.key_norms.get(place.first_norm + slot).copied(),
            None => self.prefix?.norm(&place.kept?, block),
        }
    }

    /// Keys and values at `positions`, which lie in one block and are not forgotten.
    fn rows(&self, place: &Place, positions: Range<usize>) -> Option<[KvRows<'_>; 2]> {
        match place.ring.slot(positions.start) {
            Some(slot) => self.rows_at(place.first_row + slot, positions.len()),
            None => {
                let row = place.kept?.row(positions.start)?;
                self.prefix.as_ref()?.rows(row..row + positions.len())
            }
        }
    }

    /// Keys and values of `n` rows in the arena, from `row` on.
    fn rows_at(&self, row: usize, n: usize) -> Option<[KvRows<'_>; 2]> {
        let rows = row..row + n;
        let [keys, values] = [&self.keys, &self.values].map(KvRowsMut::as_rows);
        Some([keys.rows(rows.clone(), self.head_dim)?, values.rows(rows, self.head_dim)?])
    }

    /// Iterates over the blocks of one layer and KV head that a query at `pos` sees, from the newest to the oldest.
    pub(crate) fn blocks(&self, layer: usize, head: usize, pos: usize) -> Blocks<'_> {
        let place = self.place(layer, head);
        let oldest = place.map_or(0, |place| place.ring.oldest(pos));
        Blocks { cache: self, place, end: pos + 1, oldest, first: oldest - self.n_sinks.min(oldest) }
    }
}

/// A block of keys and values, with the number of older keys and a bound on their norms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'c> {
    pub(crate) kv: KvBlock<'c>,
    /// Number of keys in the following blocks, which are older.
    pub(crate) n_older: usize,
    /// Bound on the norms of all older keys.
    pub(crate) older_norm: f32,
}

/// Iterator of [`KvCache::blocks`].
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'c> {
    cache: &'c KvCache<'c>,
    place: Option<Place>,
    /// End of the next block: one past its last position.
    end: usize,
    /// Position of the oldest key in the ring.
    oldest: usize,
    /// Position that the first sink takes; `oldest` without sinks.
    first: usize,
}

impl Blocks<'_> {
    /// Bound on the norms of all keys older than `start`.
    fn older_norm(&self, place: &Place, start: usize) -> Option<f32> {
        let norm = match (start.checked_sub(self.first)?, start / KV_BLOCK) {
            (0, _) => return Some(0.0),
            // All older keys are sinks. The norm of the ring's block before may be overwritten already.
            (n_older, _) if start <= self.oldest => place.first_sink_norm + (n_older - 1) / KV_BLOCK,
            (_, block) => return self.cache.key_norm(place, block - 1),
        };
        self.cache.key_norms.get(norm).copied()
    }
}

impl<'c> Iterator for Blocks<'c> {
    type Item = Block<'c>;

    fn next(&mut self) -> Option<Block<'c>> {
        let (place, end) = (self.place?, self.end);
        let (start, [keys, values]) = if end > self.oldest {
            let start = (end - 1) / KV_BLOCK * KV_BLOCK;
            (start, self.cache.rows(&place, start..end)?)
        } else if end > self.first {
            let start = self.first.max(end.saturating_sub(KV_BLOCK));
            (start, self.cache.rows_at(place.first_sink + (start - self.first), end - start)?)
        } else {
            return None;
        };
        let older_norm = self.older_norm(&place, start)?;
        self.end = start;
        Some(Block { kv: KvBlock { keys, values, start, end }, n_older: start - self.first, older_norm })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Length of the key at `pos` of KV head `head`: all differ, and in the second head they fall.
    fn length(head: usize, pos: usize) -> f32 {
        if head == 0 { 1.0 + pos as f32 } else { 1e6 - pos as f32 }
    }

    /// Guards against bounds of another block or head, which would end walks too early or too late.
    #[test]
    fn each_block_knows_the_largest_norm_before_it() {
        const RING: usize = 3 * KV_BLOCK;
        for n_sinks in [0, 1, 31, 32, 33, 63, 64] {
            let (n_rows, n_norms) = (n_sinks + RING, n_sinks.div_ceil(KV_BLOCK) + RING / KV_BLOCK);
            let rows = 2 * n_rows;
            let (mut keys, mut values) = (vec![0.0; rows], vec![0.0; rows]);
            let mut key_norms = vec![0.0; 2 * n_norms];
            let mut places: Vec<u64> = Vec::new();
            for head in 0..2 {
                let blocks = RING / KV_BLOCK - 1;
                places.extend([RING, blocks, head * n_rows, head * n_norms].map(|n| n as u64));
            }
            let mut cache = KvCache {
                keys: KvRowsMut::F32(&mut keys),
                values: KvRowsMut::F32(&mut values),
                key_norms: &mut key_norms,
                places: &mut places,
                prefix: None,
                first: 0,
                head_dim: 1,
                n_sinks,
                n_rows: 2 * n_rows,
                n_norms: 2 * n_norms,
            };
            let kernels = nearfield_kernels::best();
            for pos in 0..300 {
                for (head, mut of_head) in cache.heads_mut(0).unwrap().enumerate() {
                    let row = [length(head, pos)];
                    of_head.store(kernels, pos, &row, &row).unwrap();
                }
                for head in 0..2 {
                    let mut n_blocks = 0;
                    for block in cache.blocks(0, head, pos) {
                        let KvRows::F32(keys) = block.kv.keys else { panic!("keys are F32") };
                        // A position that a sink takes has the sink's key.
                        let oldest = (pos / KV_BLOCK + 1).saturating_sub(2) * KV_BLOCK;
                        let first = oldest - n_sinks.min(oldest);
                        let stored = |at: usize| length(head, if at < oldest { at - first } else { at });
                        let want: Vec<f32> = (block.kv.start..block.kv.end).map(stored).collect();
                        assert_eq!(keys, want, "{n_sinks} sinks, position {pos}, head {head}");
                        assert_eq!(block.n_older, block.kv.start - first);
                        let largest = (first..block.kv.start).map(stored).fold(0.0, f32::max);
                        // Norms of the ring cover the whole text before, including forgotten keys.
                        let before = (0..block.kv.start).map(|pos| length(head, pos)).fold(0.0, f32::max);
                        let want = match block.kv.start {
                            start if start == first => 0.0,
                            start if start <= oldest => {
                                // Norms of sinks cover whole blocks of them.
                                let n = ((start - first).next_multiple_of(KV_BLOCK)).min(n_sinks);
                                (0..n).map(|pos| length(head, pos)).fold(0.0, f32::max)
                            }
                            _ => before,
                        };
                        assert_eq!(block.older_norm, want, "{n_sinks} sinks, position {pos}, head {head}");
                        assert!(block.older_norm >= largest);
                        n_blocks += 1;
                    }
                    assert!(n_blocks > 0);
                }
            }
        }
    }
}
