//! The KV cache: for each layer and KV head a ring of keys and one of values, `[n_slots, head_dim]` each, in the arena.
//!
//! Keys carry no position: that of position `pos` lies in slot `pos % n_slots`, and takes the place of a forgotten one.
//! Beside them stands, for each block of [`KV_BLOCK`] positions, the largest norm of any key up to the end of the block:
//! what the horizon of [`crate::attention`] needs to know of the keys it has not seen. Keys that are forgotten stay in it,
//! so a bound may be too careful, and never too bold.

use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, QK};

use crate::plan::{KvType, Lengths, SessionConfig};
use crate::ring::HeadRing;
use crate::shape::Shape;

/// Keys or values.
#[derive(Debug)]
enum Store<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
    Q8_0 { qs: &'a mut [i8], d: &'a mut [u16] },
}

impl<'a> Store<'a> {
    fn take(arena: &mut Arena<'a>, kv: KvType, n: &Lengths) -> Option<Self> {
        Some(match kv {
            KvType::F32 => Self::F32(arena.take(n.kv)?),
            KvType::F16 => Self::F16(arena.take(n.kv)?),
            KvType::Q8_0 => Self::Q8_0 { qs: arena.take(n.kv)?, d: arena.take(n.kv_scales)? },
        })
    }

    /// Consecutive rows of `head_dim`; `None` if they are not all there.
    fn rows(&self, rows: Range<usize>, head_dim: usize) -> Option<KvRows<'_>> {
        let n_d = head_dim.div_ceil(QK);
        let columns = rows.start * head_dim..rows.end * head_dim;
        Some(match self {
            Self::F32(x) => KvRows::F32(x.get(columns)?),
            Self::F16(x) => KvRows::F16(x.get(columns)?),
            Self::Q8_0 { qs, d } => KvRows::Q8_0 { qs: qs.get(columns)?, d: d.get(rows.start * n_d..rows.end * n_d)? },
        })
    }

    fn row_mut(&mut self, row: usize, head_dim: usize) -> Option<KvRowsMut<'_>> {
        let n_d = head_dim.div_ceil(QK);
        let columns = row * head_dim..(row + 1) * head_dim;
        Some(match self {
            Self::F32(x) => KvRowsMut::F32(x.get_mut(columns)?),
            Self::F16(x) => KvRowsMut::F16(x.get_mut(columns)?),
            Self::Q8_0 { qs, d } => {
                KvRowsMut::Q8_0 { qs: qs.get_mut(columns)?, d: d.get_mut(row * n_d..(row + 1) * n_d)? }
            }
        })
    }
}

/// Where a KV head's keys and norms lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    ring: HeadRing,
    /// First row in the stores.
    first_row: usize,
    /// First block in the norms.
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
    /// Rows of a layer.
    n_rows: usize,
    /// Norms of a layer.
    n_norms: usize,
}

/// Words of a place.
pub(crate) const PLACE: usize = 4;

impl<'a> KvCache<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, s: &Shape, config: &SessionConfig, n: &Lengths) -> Option<Self> {
        let (keys, values) = (Store::take(arena, config.kv, n)?, Store::take(arena, config.kv, n)?);
        let (key_norms, places) = (arena.take(n.key_norms)?, arena.take::<u64>(n.places)?);
        let (mut n_rows, mut n_norms) = (0, 0);
        for (head, place) in places.as_chunks_mut::<PLACE>().0.iter_mut().enumerate() {
            let ring = HeadRing::new(s, config, head);
            *place = [ring.n_slots, ring.n_blocks, n_rows, n_norms].map(|n| n as u64);
            n_rows += ring.n_slots;
            n_norms += ring.n_slot_blocks();
        }
        Some(Self { keys, values, key_norms, places, head_dim: s.head_dim, n_rows, n_norms })
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
        Some(Place {
            ring: HeadRing { n_slots: n_slots as usize, n_blocks: n_blocks as usize },
            first_row: layer * self.n_rows + first_row as usize,
            first_norm: layer * self.n_norms + first_norm as usize,
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
            let row = place.first_row + place.ring.slot(pos)?;
            kernels.store_kv(key, self.keys.row_mut(row, self.head_dim)?);
            kernels.store_kv(value, self.values.row_mut(row, self.head_dim)?);
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
        let norm = if norm.is_nan() { f32::INFINITY } else { norm };
        *self.key_norms.get_mut(at(block)?)? = before.max(norm);
        Some(())
    }

    /// The blocks of one layer and KV head that a query at `pos` sees, from the newest to the oldest.
    pub(crate) fn blocks(&self, layer: usize, head: usize, pos: usize) -> Blocks<'_> {
        let place = self.place(layer, head);
        let oldest = place.map_or(0, |place| place.ring.oldest(pos));
        Blocks { cache: self, place, end: pos + 1, oldest }
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
    oldest: usize,
}

impl<'c> Iterator for Blocks<'c> {
    type Item = Block<'c>;

    fn next(&mut self) -> Option<Block<'c>> {
        if self.end <= self.oldest {
            return None;
        }
        let place = self.place?;
        let (block, end) = ((self.end - 1) / KV_BLOCK, self.end);
        let start = block * KV_BLOCK;
        let first = place.first_row + place.ring.slot(start)?;
        let rows = first..first + (end - start);
        let older_norm = match block.checked_sub(1) {
            Some(older) => {
                let norm = place.first_norm + older.checked_rem(place.ring.n_slot_blocks())?;
                *self.cache.key_norms.get(norm)?
            }
            None => 0.0,
        };
        self.end = start;
        let keys = self.cache.keys.rows(rows.clone(), self.cache.head_dim)?;
        let values = self.cache.values.rows(rows, self.cache.head_dim)?;
        Some(Block { kv: KvBlock { keys, values, start, end }, n_older: start - self.oldest, older_norm })
    }
}
