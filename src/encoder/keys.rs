//! Keys and values of the documents of a pass in one layer, stored twice: in the order of the text, and in reverse (the mirror).
//!
//! A walk goes from the newest key to the oldest, but a query of an encoder has keys on both sides. In the reversed text, the
//! keys after the query are those before it: a second walk over the mirror continues with the maximum and sums of the first,
//! and uses the same kernels. So memory grows with the length of the document, and each side has a horizon of its own.
//!
//! Position `p` of a document is `end - 1 - p` in its mirror, with `end` a whole number of blocks of [`KV_BLOCK`]: a block of the
//! text is a block of the mirror, and queries that share the one share the other. The first positions of the mirror may be empty.
//! Each document has whole blocks of slots, so its keys are cut into the blocks that they would have alone.

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvBlock, KvRowsMut};

use super::documents::{Document, Documents};
use super::plan::Lengths;
use crate::cache::{Block, take};
use crate::heads::Heads;
use crate::planned::Planned;
use crate::shape::Shape;

/// Keys and values in one order.
#[derive(Debug)]
struct Side<'a> {
    /// `[n_head_kv, n_slots, head_dim]`: the keys.
    keys: KvRowsMut<'a>,
    values: KvRowsMut<'a>,
    /// `[n_head_kv, n_slots / KV_BLOCK]`: largest norm of any key in a block; after [`Keys::seal`], of any key of the document up
    /// to the end of the block.
    norms: &'a mut [f32],
}

impl Side<'_> {
    /// Iterates over the KV heads, `n_slots` rows of `head_dim` columns each.
    fn heads_mut(&mut self, n_slots: usize, head_dim: usize) -> impl Iterator<Item = Side<'_>> {
        let (mut keys, mut values) = (Some(self.keys.reborrow()), Some(self.values.reborrow()));
        self.norms.chunks_exact_mut((n_slots / KV_BLOCK).max(1)).map_while(move |norms| {
            let (of_head, rest_keys) = keys.take()?.split(n_slots, head_dim)?;
            let (values_of_head, rest_values) = values.take()?.split(n_slots, head_dim)?;
            (keys, values) = (Some(rest_keys), Some(rest_values));
            Some(Side { keys: of_head, values: values_of_head, norms })
        })
    }
}

/// Keys and values of one KV head, to be written.
pub(crate) struct HeadMut<'k> {
    text: Side<'k>,
    mirror: Side<'k>,
    head_dim: usize,
}

impl HeadMut<'_> {
    /// Stores the key and the value of one position of a document: `[head_dim]` each. `None` if there is no room, which the plan
    /// rules out.
    pub(crate) fn store(
        &mut self,
        kernels: &dyn Kernels,
        document: &Document,
        pos: usize,
        key: &[f32],
        value: &[f32],
    ) -> Planned {
        let head_dim = self.head_dim;
        for (side, pos) in [(&mut self.text, pos), (&mut self.mirror, mirrored(document, pos))] {
            let slot = document.slot + pos;
            kernels.store_kv(key, side.keys.reborrow().rows(slot..slot + 1, head_dim)?);
            kernels.store_kv(value, side.values.reborrow().rows(slot..slot + 1, head_dim)?);
            let norm = libm::sqrtf(kernels.sum_squares(side.keys.as_rows().rows(slot..slot + 1, head_dim)?, head_dim));
            // A key with a NaN has no bound: no key behind it may be left out.
            let norm = if norm.is_nan() { f32::INFINITY } else { norm };
            let of_block = side.norms.get_mut(slot / KV_BLOCK)?;
            *of_block = of_block.max(norm);
        }
        Some(())
    }
}

/// Keys and values of the documents of a pass in one layer, in both orders.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    /// Settings of attention over the keys.
    pub(crate) heads: Heads,
    text: Side<'a>,
    mirror: Side<'a>,
    head_dim: usize,
    /// Number of positions that fit: whole blocks.
    n_slots: usize,
}

impl<'a> Keys<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, s: &Shape, n: &Lengths, heads: Heads) -> Option<Self> {
        let mut side = || -> Option<Side<'a>> {
            let (keys, values) = (take(arena, &n.keys)?, take(arena, &n.values)?);
            Some(Side { keys, values, norms: arena.take(n.key_norms)? })
        };
        Some(Self { heads, text: side()?, mirror: side()?, head_dim: s.head_dim, n_slots: n.n_slots })
    }

    /// Begins a layer.
    pub(crate) fn begin(&mut self) {
        self.text.norms.fill(0.0);
        self.mirror.norms.fill(0.0);
    }

    /// Iterates over the KV heads, to be written: heads share nothing, so workers can take one each.
    pub(crate) fn heads_mut(&mut self) -> impl Iterator<Item = HeadMut<'_>> {
        let (head_dim, n_slots) = (self.head_dim, self.n_slots);
        let [text, mirror] = [&mut self.text, &mut self.mirror].map(|side| side.heads_mut(n_slots, head_dim));
        text.zip(mirror).map(move |(text, mirror)| HeadMut { text, mirror, head_dim })
    }

    /// Ends the storing of keys: each norm becomes the largest of its document up to the end of its block.
    pub(crate) fn seal(&mut self, documents: &Documents<'_>) -> Planned {
        let n_blocks = (self.n_slots / KV_BLOCK).max(1);
        for norms in [&mut self.text.norms, &mut self.mirror.norms] {
            for norms in norms.chunks_exact_mut(n_blocks) {
                for document in documents.iter() {
                    let blocks = document.slot / KV_BLOCK..(document.slot + end(&document)) / KV_BLOCK;
                    norms.get_mut(blocks)?.iter_mut().fold(0f32, |before, norm| {
                        *norm = norm.max(before);
                        *norm
                    });
                }
            }
        }
        Some(())
    }

    /// Keys of one document.
    pub(crate) fn of(&self, document: Document) -> DocumentKeys<'_> {
        DocumentKeys { keys: self, document }
    }
}

/// End of a document's mirror: one past its last position.
fn end(document: &Document) -> usize {
    document.n_tokens.next_multiple_of(KV_BLOCK)
}

/// Position in the mirror of a position in the text, or the other way round.
fn mirrored(document: &Document, pos: usize) -> usize {
    end(document).saturating_sub(pos + 1)
}

/// Keys and values of one document in one layer. Positions are those of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DocumentKeys<'k> {
    keys: &'k Keys<'k>,
    document: Document,
}

impl<'k> DocumentKeys<'k> {
    /// Position in the mirror of a position in the text, or the other way round.
    pub(crate) fn mirrored(&self, pos: usize) -> usize {
        mirrored(&self.document, pos)
    }

    /// Iterates over the blocks of the text up to position `last`, from the newest to the oldest.
    pub(crate) fn up_to(&self, head: usize, last: usize) -> Blocks<'k> {
        self.blocks(&self.keys.text, head, last + 1, 0)
    }

    /// Iterates over the blocks of the mirror before the block of position `pos` there, from the newest to the oldest.
    pub(crate) fn behind(&self, head: usize, pos: usize) -> Blocks<'k> {
        self.mirror_up_to(head, pos / KV_BLOCK * KV_BLOCK)
    }

    /// Keys before position `pos` in its block of the mirror; maybe none.
    pub(crate) fn own(&self, head: usize, pos: usize) -> Option<Block<'k>> {
        let blocks = self.mirror_up_to(head, pos);
        blocks.block(blocks.first.max(pos / KV_BLOCK * KV_BLOCK))
    }

    fn mirror_up_to(&self, head: usize, to: usize) -> Blocks<'k> {
        self.blocks(&self.keys.mirror, head, to, end(&self.document).saturating_sub(self.document.n_tokens))
    }

    fn blocks(&self, side: &'k Side<'k>, head: usize, end: usize, first: usize) -> Blocks<'k> {
        let first_row = head * self.keys.n_slots + self.document.slot;
        Blocks { side, head_dim: self.keys.head_dim, first_row, end, first }
    }
}

/// Iterator over the blocks of one KV head of a document in one order.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'k> {
    side: &'k Side<'k>,
    head_dim: usize,
    /// Row of position 0.
    first_row: usize,
    /// End of the keys: one past the newest.
    end: usize,
    /// Position of the oldest key.
    first: usize,
}

impl<'k> Blocks<'k> {
    /// Block of the keys `start..end`, which lie in one block of positions.
    fn block(&self, start: usize) -> Option<Block<'k>> {
        let (head_dim, first_row) = (self.head_dim, self.first_row);
        let rows = first_row + start..first_row + self.end;
        let older_norm = match (start / KV_BLOCK).checked_sub(1) {
            Some(older) => *self.side.norms.get(first_row / KV_BLOCK + older)?,
            None => 0.0,
        };
        let keys = self.side.keys.as_rows().rows(rows.clone(), head_dim)?;
        let values = self.side.values.as_rows().rows(rows, head_dim)?;
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
