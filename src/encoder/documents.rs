//! Documents of a pass: their tokens lie in consecutive rows, and the keys of each begin a block.

use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK};

use super::plan::Lengths;
use crate::planned::Planned;

/// Words of a document in the table: number of tokens, first token of the second type.
pub(crate) const WORDS: usize = 2;

/// A document of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document {
    /// Row of its first token.
    pub(crate) row: usize,
    /// Slot of its first key, a multiple of [`KV_BLOCK`].
    pub(crate) slot: usize,
    pub(crate) n_tokens: usize,
    /// First token of the second type; `n_tokens` if there is none.
    pub(crate) second: usize,
}

impl Document {
    /// Rows of the document.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.row..self.row + self.n_tokens
    }
}

/// Documents of a pass, in the arena.
#[derive(Debug)]
pub(crate) struct Documents<'a> {
    /// `[n_rows]`: tokens, document by document.
    tokens: &'a mut [u32],
    /// `[n_documents, WORDS]`
    table: &'a mut [u32],
    /// Number of documents.
    n: usize,
    /// Number of their tokens.
    n_rows: usize,
}

impl<'a> Documents<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, n: &Lengths) -> Option<Self> {
        Some(Self { tokens: arena.take(n.n_rows)?, table: arena.take(n.table)?, n: 0, n_rows: 0 })
    }

    /// Removes all documents.
    pub(crate) fn clear(&mut self) {
        (self.n, self.n_rows) = (0, 0);
    }

    /// Adds a document of at least one and at most 2^24 tokens. Returns false if the pass has no room for it.
    pub(crate) fn push(&mut self, tokens: &[u32], second: usize) -> bool {
        let rows = self.n_rows..self.n_rows.saturating_add(tokens.len());
        let words = self.table.as_chunks_mut::<WORDS>().0.get_mut(self.n);
        let (Some(rows), Some(words)) = (self.tokens.get_mut(rows), words) else { return false };
        rows.copy_from_slice(tokens);
        *words = [tokens.len() as u32, second.min(tokens.len()) as u32];
        (self.n, self.n_rows) = (self.n + 1, self.n_rows + tokens.len());
        true
    }

    /// Number of documents.
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    /// Number of tokens of all documents.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Tokens in these rows.
    pub(crate) fn tokens(&self, rows: Range<usize>) -> Planned<&[u32]> {
        self.tokens.get(rows)
    }

    /// Iterates over the documents.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Document> + Clone {
        let (mut row, mut slot) = (0, 0);
        self.table.as_chunks::<WORDS>().0.iter().take(self.n).map(move |&[n_tokens, second]| {
            let document = Document { row, slot, n_tokens: n_tokens as usize, second: second as usize };
            row += document.n_tokens;
            slot += document.n_tokens.next_multiple_of(KV_BLOCK);
            document
        })
    }

    /// Iterates over the documents that have tokens in `rows`, with the positions of these tokens in the document.
    pub(crate) fn within(&self, rows: Range<usize>) -> impl Iterator<Item = (Document, Range<usize>)> + Clone {
        self.iter()
            .skip_while(move |document| document.rows().end <= rows.start)
            .take_while(move |document| document.row < rows.end)
            .map(move |document| {
                let positions = rows.start.max(document.row)..rows.end.min(document.rows().end);
                (document, positions.start - document.row..positions.end - document.row)
            })
    }
}
