//! The KV cache: for each layer and KV head a ring of keys and one of values, `[n_slots, head_dim]` each, in the arena.
//!
//! Keys carry no position: that of position `pos` lies in slot `pos % n_slots`, and takes the place of a forgotten one.
//! Beside them stands, for each block of [`KV_BLOCK`] positions, the largest norm of any key up to the end of the block:
//! what the horizon of [`crate::attention`] needs to know of the keys it has not seen. Keys that are forgotten stay in it,
//! so a bound may be too careful, and never too bold.
//!
//! Sinks, the first few keys of the text, have rows and norms of their own before those of the ring. For a query they lie
//! right behind the oldest key of its ring: their distance is counted in keys that it sees (StreamingLLM: Xiao et al. 2023,
//! arXiv 2309.17453, section 3.2).

use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, Q4Built, QK};

use crate::plan::{KvType, Lengths, SessionConfig, StoreLengths};
use crate::ring::HeadRing;
use crate::shape::Shape;

/// Keys or values.
#[derive(Debug)]
pub(crate) enum Store<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
    Q8_0 { qs: &'a mut [i8], d: &'a mut [u16] },
    Q4_0 { qs: &'a mut [u8], d: &'a mut [u16], built: Q4Built },
}

impl<'a> Store<'a> {
    /// Room for so many.
    pub(crate) fn take(arena: &mut Arena<'a>, n: &StoreLengths) -> Option<Self> {
        Some(match n.ty {
            KvType::F32 => Self::F32(arena.take(n.elements)?),
            KvType::F16 => Self::F16(arena.take(n.elements)?),
            KvType::Q8_0 => Self::Q8_0 { qs: arena.take(n.elements)?, d: arena.take(n.scales)? },
            KvType::Q4_0 => {
                let built = Q4Built::PROOF?;
                Self::Q4_0 { qs: arena.take(n.elements)?, d: arena.take(n.scales)?, built }
            }
        })
    }

    /// Consecutive rows of `head_dim`; `None` if they are not all there.
    pub(crate) fn rows(&self, rows: Range<usize>, head_dim: usize) -> Option<KvRows<'_>> {
        let n_d = head_dim.div_ceil(QK);
        let columns = rows.start * head_dim..rows.end * head_dim;
        Some(match self {
            Self::F32(x) => KvRows::F32(x.get(columns)?),
            Self::F16(x) => KvRows::F16(x.get(columns)?),
            Self::Q8_0 { qs, d } => KvRows::Q8_0 { qs: qs.get(columns)?, d: d.get(rows.start * n_d..rows.end * n_d)? },
            Self::Q4_0 { qs, d, built } => {
                let n_bytes = head_dim.div_ceil(2);
                let qs = qs.get(rows.start * n_bytes..rows.end * n_bytes)?;
                KvRows::Q4_0 { qs, d: d.get(rows.start * n_d..rows.end * n_d)?, built: *built }
            }
        })
    }

    pub(crate) fn row_mut(&mut self, row: usize, head_dim: usize) -> Option<KvRowsMut<'_>> {
        let n_d = head_dim.div_ceil(QK);
        let columns = row * head_dim..(row + 1) * head_dim;
        Some(match self {
            Self::F32(x) => KvRowsMut::F32(x.get_mut(columns)?),
            Self::F16(x) => KvRowsMut::F16(x.get_mut(columns)?),
            Self::Q8_0 { qs, d } => {
                KvRowsMut::Q8_0 { qs: qs.get_mut(columns)?, d: d.get_mut(row * n_d..(row + 1) * n_d)? }
            }
            Self::Q4_0 { qs, d, built } => {
                let n_bytes = head_dim.div_ceil(2);
                let qs = qs.get_mut(row * n_bytes..(row + 1) * n_bytes)?;
                KvRowsMut::Q4_0 { qs, d: d.get_mut(row * n_d..(row + 1) * n_d)?, built: *built }
            }
        })
    }
}

/// Where a KV head's keys and norms lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    ring: HeadRing,
    /// First row in the stores: that of the first sink.
    first_sink: usize,
    /// First row of the ring.
    first_row: usize,
    /// First norm: that of the first block of sinks.
    first_sink_norm: usize,
    /// First norm of the ring.
    first_norm: usize,
}

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct KvCache<'a> {
    keys: Store<'a>,
    values: Store<'a>,
    /// `[n_layer]` times the blocks of each KV head.
    key_norms: &'a mut [f32],
    /// Of each KV head, in the first layer: slots, blocks that are seen, first row, first norm. `[n_head_kv, 4]`
    places: &'a mut [u64],
    head_dim: usize,
    n_sinks: usize,
    /// Rows of a layer.
    n_rows: usize,
    /// Norms of a layer.
    n_norms: usize,
}

/// Words of a place.
pub(crate) const PLACE: usize = 4;

impl<'a> KvCache<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, s: &Shape, config: &SessionConfig, n: &Lengths) -> Option<Self> {
        let (keys, values) = (Store::take(arena, &n.keys)?, Store::take(arena, &n.values)?);
        let (key_norms, places) = (arena.take(n.key_norms)?, arena.take::<u64>(n.places)?);
        let (mut n_rows, mut n_norms) = (0, 0);
        for (head, place) in places.as_chunks_mut::<PLACE>().0.iter_mut().enumerate() {
            let ring = HeadRing::new(s, config, head);
            *place = [ring.n_slots, ring.n_blocks, n_rows, n_norms].map(|n| n as u64);
            n_rows += config.n_sinks + ring.n_slots;
            n_norms += config.n_sinks.div_ceil(KV_BLOCK) + ring.n_slot_blocks();
        }
        let n_sinks = config.n_sinks;
        Some(Self { keys, values, key_norms, places, head_dim: s.head_dim, n_sinks, n_rows, n_norms })
    }

    /// The rings of the KV heads, the same in each layer.
    pub(crate) fn rings(&self) -> impl Iterator<Item = HeadRing> {
        self.places
            .as_chunks::<PLACE>()
            .0
            .iter()
            .map(|&[n_slots, n_blocks, ..]| HeadRing { n_slots: n_slots as usize, n_blocks: n_blocks as usize })
    }

    fn place(&self, layer: usize, head: usize) -> Option<Place> {
        let &[n_slots, n_blocks, first_row, first_norm] = self.places.as_chunks::<PLACE>().0.get(head)?;
        let first_sink = layer * self.n_rows + first_row as usize;
        let first_sink_norm = layer * self.n_norms + first_norm as usize;
        Some(Place {
            ring: HeadRing { n_slots: n_slots as usize, n_blocks: n_blocks as usize },
            first_sink,
            first_row: first_sink + self.n_sinks,
            first_sink_norm,
            first_norm: first_sink_norm + self.n_sinks.div_ceil(KV_BLOCK),
        })
    }

    /// Stores the keys and values of one position: `[n_head_kv, head_dim]` each. `None` if there is no room, which the
    /// plan rules out.
    pub(crate) fn store(
        &mut self,
        kernels: &dyn Kernels,
        layer: usize,
        pos: usize,
        keys: &[f32],
        values: &[f32],
    ) -> Option<()> {
        // A head has at least eight columns.
        let width = self.head_dim.max(1);
        for (head, (key, value)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            let place = self.place(layer, head)?;
            let sink = (pos < self.n_sinks).then_some(place.first_sink + pos);
            for row in [Some(place.first_row + place.ring.slot(pos)?), sink].into_iter().flatten() {
                kernels.store_kv(key, self.keys.row_mut(row, self.head_dim)?);
                kernels.store_kv(value, self.values.row_mut(row, self.head_dim)?);
            }
            self.raise_key_norm(kernels, place, pos)?;
        }
        Some(())
    }

    /// Goes back to `pos`: the norm of its block becomes that of the keys before it, in every layer.
    pub(crate) fn rewind(&mut self, kernels: &dyn Kernels, n_layer: usize, pos: usize) -> Option<()> {
        for layer in 0..n_layer {
            for head in 0..self.places.len() / PLACE {
                let place = self.place(layer, head)?;
                (pos - pos % KV_BLOCK..pos).try_for_each(|pos| self.raise_key_norm(kernels, place, pos))?;
            }
        }
        Some(())
    }

    /// Takes the stored key's norm into the running maximum of its block, which begins with that of the block before.
    fn raise_key_norm(&mut self, kernels: &dyn Kernels, place: Place, pos: usize) -> Option<()> {
        let row = place.first_row + place.ring.slot(pos)?;
        let norm = libm::sqrtf(kernels.sum_squares(self.keys.rows(row..row + 1, self.head_dim)?, self.head_dim));
        let at = |block: usize| Some(place.first_norm + block.checked_rem(place.ring.n_slot_blocks())?);
        let block = pos / KV_BLOCK;
        let before = match (pos % KV_BLOCK, block) {
            (0, 0) => 0.0,
            (0, _) => *self.key_norms.get(at(block - 1)?)?,
            _ => *self.key_norms.get(at(block)?)?,
        };
        // A key that is not a number has no bound: nothing older may be left out any more.
        let norm = before.max(if norm.is_nan() { f32::INFINITY } else { norm });
        *self.key_norms.get_mut(at(block)?)? = norm;
        if pos < self.n_sinks {
            *self.key_norms.get_mut(place.first_sink_norm + block)? = norm;
        }
        Some(())
    }

    /// The blocks of one layer and KV head that a query at `pos` sees, from the newest to the oldest.
    pub(crate) fn blocks(&self, layer: usize, head: usize, pos: usize) -> Blocks<'_> {
        let place = self.place(layer, head);
        let oldest = place.map_or(0, |place| place.ring.oldest(pos));
        Blocks { cache: self, place, end: pos + 1, oldest, first: oldest - self.n_sinks.min(oldest) }
    }
}

/// A block of keys and values, and what is known of the older ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'c> {
    pub(crate) kv: KvBlock<'c>,
    /// Keys in the blocks that follow, which are older.
    pub(crate) n_older: usize,
    /// At least as large as the norm of any of them.
    pub(crate) older_norm: f32,
}

/// See [`KvCache::blocks`].
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'c> {
    cache: &'c KvCache<'c>,
    place: Option<Place>,
    /// One past the next block.
    end: usize,
    /// Position of the oldest key in the ring.
    oldest: usize,
    /// Position that the first sink takes; `oldest` without any.
    first: usize,
}

impl Blocks<'_> {
    /// At least as large as the norm of each key older than `start`.
    fn older_norm(&self, place: &Place, start: usize) -> Option<f32> {
        let norm = match (start.checked_sub(self.first)?, start / KV_BLOCK) {
            (0, _) => return Some(0.0),
            // The ring's block before may have made room already: what is older are the sinks.
            (n_older, _) if start <= self.oldest => place.first_sink_norm + (n_older - 1) / KV_BLOCK,
            (_, block) => place.first_norm + (block - 1).checked_rem(place.ring.n_slot_blocks())?,
        };
        self.cache.key_norms.get(norm).copied()
    }
}

impl<'c> Iterator for Blocks<'c> {
    type Item = Block<'c>;

    fn next(&mut self) -> Option<Block<'c>> {
        let (place, end) = (self.place?, self.end);
        let (start, first_row) = if end > self.oldest {
            let start = (end - 1) / KV_BLOCK * KV_BLOCK;
            (start, place.first_row + place.ring.slot(start)?)
        } else if end > self.first {
            let start = self.first.max(end.saturating_sub(KV_BLOCK));
            (start, place.first_sink + (start - self.first))
        } else {
            return None;
        };
        let rows = first_row..first_row + (end - start);
        let older_norm = self.older_norm(&place, start)?;
        self.end = start;
        let keys = self.cache.keys.rows(rows.clone(), self.cache.head_dim)?;
        let values = self.cache.values.rows(rows, self.cache.head_dim)?;
        Some(Block { kv: KvBlock { keys, values, start, end }, n_older: start - self.first, older_norm })
    }
}
