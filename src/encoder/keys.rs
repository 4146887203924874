//! Keys and values of a document in one layer, stored twice: in the order of the text, and in reverse (the mirror).
//!
//! A walk goes from the newest key to the oldest, but a query of an encoder has keys on both sides. In the reversed text, the
//! keys after the query are those before it: a second walk over the mirror continues with the maximum and sums of the first,
//! and uses the same kernels. So memory grows with the length of the document, and each side has a horizon of its own.
//!
//! Position `p` is `end - 1 - p` in the mirror, with `end` a whole number of blocks of [`KV_BLOCK`]: a block of the text is a
//! block of the mirror, and queries that share the one share the other. The first positions of the mirror may be empty.

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvBlock};

use super::plan::Lengths;
use crate::cache::{Block, Store};
use crate::heads::Heads;
use crate::planned::Planned;
use crate::shape::Shape;

/// Keys and values in one order.
#[derive(Debug)]
struct Side<'a> {
    /// `[n_head_kv, n_slots, head_dim]`: the keys.
    keys: Store<'a>,
    values: Store<'a>,
    /// `[n_head_kv, n_slots / KV_BLOCK]`: largest norm of any key in a block; after [`Keys::seal`], of any key up to the end of
    /// the block.
    norms: &'a mut [f32],
}

/// Keys and values of a document in one layer, in both orders.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    /// Settings of attention over the keys.
    pub(crate) heads: Heads,
    text: Side<'a>,
    mirror: Side<'a>,
    head_dim: usize,
    /// Number of positions that fit: whole blocks.
    n_slots: usize,
    /// Number of positions of the document.
    n: usize,
}

impl<'a> Keys<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, s: &Shape, n: &Lengths, heads: Heads) -> Option<Self> {
        let mut side = || -> Option<Side<'a>> {
            let (keys, values) = (Store::take(arena, &n.keys)?, Store::take(arena, &n.values)?);
            Some(Side { keys, values, norms: arena.take(n.key_norms)? })
        };
        Some(Self { heads, text: side()?, mirror: side()?, head_dim: s.head_dim, n_slots: n.n_slots, n: 0 })
    }

    /// Begins a layer of a document of `n` tokens.
    pub(crate) fn begin(&mut self, n: usize) {
        self.n = n;
        self.text.norms.fill(0.0);
        self.mirror.norms.fill(0.0);
    }

    /// Stores the keys and values of one position: `[n_head_kv, head_dim]` each. `None` if there is no room, which the plan
    /// rules out.
    pub(crate) fn store(&mut self, kernels: &dyn Kernels, pos: usize, keys: &[f32], values: &[f32]) -> Planned {
        // A head has at least eight columns.
        let (width, mirrored) = (self.head_dim.max(1), self.mirrored(pos));
        for (head, (key, value)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            for (side, pos) in [(&mut self.text, pos), (&mut self.mirror, mirrored)] {
                let row = head * self.n_slots + pos;
                kernels.store_kv(key, side.keys.row_mut(row, self.head_dim)?);
                kernels.store_kv(value, side.values.row_mut(row, self.head_dim)?);
                let norm =
                    libm::sqrtf(kernels.sum_squares(side.keys.rows(row..row + 1, self.head_dim)?, self.head_dim));
                // A key with a NaN has no bound: no key behind it may be left out.
                let norm = if norm.is_nan() { f32::INFINITY } else { norm };
                let of_block = side.norms.get_mut(row / KV_BLOCK)?;
                *of_block = of_block.max(norm);
            }
        }
        Some(())
    }

    /// Ends the storing of keys: each norm becomes the largest up to the end of its block.
    pub(crate) fn seal(&mut self) {
        let n_blocks = (self.n_slots / KV_BLOCK).max(1);
        for norms in [&mut self.text.norms, &mut self.mirror.norms] {
            for norms in norms.chunks_exact_mut(n_blocks) {
                norms.iter_mut().fold(0f32, |before, norm| {
                    *norm = norm.max(before);
                    *norm
                });
            }
        }
    }

    /// End of the mirror: one past its last position.
    fn end(&self) -> usize {
        self.n.next_multiple_of(KV_BLOCK)
    }

    /// Position in the mirror of a position in the text, or the other way round.
    pub(crate) fn mirrored(&self, pos: usize) -> usize {
        self.end().saturating_sub(pos + 1)
    }

    /// Iterates over the blocks of the text up to position `last`, from the newest to the oldest.
    pub(crate) fn up_to(&self, head: usize, last: usize) -> Blocks<'_> {
        Blocks { keys: self, side: &self.text, head, end: last + 1, first: 0 }
    }

    /// Iterates over the blocks of the mirror before the block of position `pos` there, from the newest to the oldest.
    pub(crate) fn behind(&self, head: usize, pos: usize) -> Blocks<'_> {
        self.mirror_up_to(head, pos / KV_BLOCK * KV_BLOCK)
    }

    /// Keys before position `pos` in its block of the mirror; maybe none.
    pub(crate) fn own(&self, head: usize, pos: usize) -> Option<Block<'_>> {
        let blocks = self.mirror_up_to(head, pos);
        blocks.block(blocks.first.max(pos / KV_BLOCK * KV_BLOCK))
    }

    fn mirror_up_to(&self, head: usize, end: usize) -> Blocks<'_> {
        Blocks { keys: self, side: &self.mirror, head, end, first: self.end().saturating_sub(self.n) }
    }
}

/// Iterator over the blocks of one KV head in one order.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'k> {
    keys: &'k Keys<'k>,
    side: &'k Side<'k>,
    head: usize,
    /// End of the keys: one past the newest.
    end: usize,
    /// Position of the oldest key.
    first: usize,
}

impl<'k> Blocks<'k> {
    /// Block of the keys `start..end`, which lie in one block of positions.
    fn block(&self, start: usize) -> Option<Block<'k>> {
        let (head_dim, first_row) = (self.keys.head_dim, self.head * self.keys.n_slots);
        let rows = first_row + start..first_row + self.end;
        let older_norm = match (start / KV_BLOCK).checked_sub(1) {
            Some(older) => *self.side.norms.get(first_row / KV_BLOCK + older)?,
            None => 0.0,
        };
        let keys = self.side.keys.rows(rows.clone(), head_dim)?;
        let values = self.side.values.rows(rows, head_dim)?;
        Some(Block { kv: KvBlock { keys, values, start, end: self.end }, n_older: start - self.first, older_norm })
    }
}

impl<'k> Iterator for Blocks<'k> {
    type Item = Block<'k>;

    fn next(&mut self) -> Option<Block<'k>> {
        let newest = self.end.checked_sub(1).filter(|&newest| newest >= self.first)?;
        let start = self.first.max(newest / KV_BLOCK * KV_BLOCK);
        let block = self.block(start)?;
        self.end = start;
        Some(block)
    }
}
