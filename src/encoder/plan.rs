//! Memory plan of an encoder: the bytes that it needs, before it runs.

use core::mem::size_of;

use nearfield_kernels::{Arena, KV_BLOCK, Line};

use super::config::EncoderConfig;
use super::documents::WORDS;
use crate::config::PlanError;
use crate::const_math::{attempt, max, sum, times};
use crate::lengths::{PassLengths, StoreLengths, VisitedLengths, bytes, fits, tokenizer_bytes};
use crate::shape::Shape;

/// Lengths, in elements, of everything in an encoder's arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// Rows of a pass, a token each.
    pub(crate) n_rows: usize,
    /// Positions of the keys, in whole blocks.
    pub(crate) n_slots: usize,
    /// Keys of a layer, in one order.
    pub(crate) keys: StoreLengths,
    /// Values of a layer, in one order.
    pub(crate) values: StoreLengths,
    /// Norms of the keys, one for each KV head and block.
    pub(crate) key_norms: usize,
    pub(crate) pass: PassLengths,
    pub(crate) visited: VisitedLengths,
    /// `[n_rows, n_embd]`: rows of the documents.
    pub(crate) document: usize,
    /// `[n_documents, WORDS]`: lengths of the documents.
    pub(crate) table: usize,
    /// `[n_batch, n_ff]`: feed-forward, or values.
    pub(crate) ffn: usize,
    /// `[n_documents, n_embd]`: the vectors.
    pub(crate) output: usize,
}

impl Lengths {
    pub(crate) const fn new(s: &Shape, config: &EncoderConfig) -> Result<Self, PlanError> {
        attempt!(config.check());
        let (batch, n_rows) = (config.chunk(), config.n_rows());
        // Each document may leave all slots but one of its last block empty.
        let n_empty = fits!(times(config.n_documents, KV_BLOCK - 1));
        let n_slots = fits!(sum([n_rows, n_empty])) / KV_BLOCK * KV_BLOCK;
        let kv_rows = fits!(times(n_slots, s.n_head_kv));
        Ok(Self {
            n_rows,
            n_slots,
            keys: attempt!(StoreLengths::new(config.kv.keys, kv_rows, s.head_dim)),
            values: attempt!(StoreLengths::new(config.kv.values, kv_rows, s.head_dim)),
            key_norms: kv_rows / KV_BLOCK,
            pass: attempt!(PassLengths::new(s, batch)),
            visited: attempt!(VisitedLengths::new(s)),
            document: fits!(times(n_rows, s.n_embd)),
            table: fits!(times(config.n_documents, WORDS)),
            ffn: fits!(times(batch, max(s.n_ff, s.n_embd_kv()))),
            output: fits!(times(config.n_documents, s.n_embd)),
        })
    }
}

/// Bytes of each part of the arena, which the encoder and the tokenizer share. The sum is linear in the length of the longest
/// document, and in the number of documents of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EncoderPlan {
    /// Keys and values of one layer, in both orders, with the keys' norms.
    pub keys: usize,
    /// Places of the layers' tensors.
    pub layer_table: usize,
    /// A row for each token of a pass ([`EncoderConfig::n_rows`]), the tokens, and the lengths of the documents.
    pub document: usize,
    /// Projections, feed-forward, their quantized forms, attention's counts, and a result for each document.
    pub activations: usize,
    /// Index of the tokenizer; 0 for a file without a tokenizer.
    pub tokenizer: usize,
}

impl EncoderPlan {
    /// Plans the memory for a model of this shape.
    ///
    /// # Errors
    /// [`PlanError`] if a setting is out of range or the memory cannot be addressed.
    pub const fn new(shape: &Shape, config: &EncoderConfig) -> Result<Self, PlanError> {
        let n = attempt!(Lengths::new(shape, config));
        let side = fits!(sum([attempt!(n.keys.bytes()), attempt!(n.values.bytes()), bytes!(f32, n.key_norms)]));
        let plan = Self {
            keys: fits!(times(2, side)),
            layer_table: attempt!(n.pass.layer_table_bytes()),
            document: fits!(sum([bytes!(f32, n.document), bytes!(u32, n.n_rows), bytes!(u32, n.table)])),
            activations: fits!(sum([
                attempt!(n.pass.buffer_bytes()),
                attempt!(n.visited.bytes()),
                bytes!(f32, n.ffn),
                bytes!(f32, n.output),
            ])),
            tokenizer: attempt!(tokenizer_bytes(shape)),
        };
        fits!(sum([plan.keys, plan.layer_table, plan.document, plan.activations, plan.tokenizer]));
        Ok(plan)
    }

    /// Bytes of the whole arena: a multiple of [`Line::BYTES`].
    pub const fn total(&self) -> usize {
        self.encoder() + self.tokenizer
    }

    /// Bytes of the arena that the encoder takes, without the tokenizer.
    pub const fn encoder(&self) -> usize {
        // `new` checked that the sum does not overflow.
        self.keys + self.layer_table + self.document + self.activations
    }

    /// Lines of the arena.
    pub const fn n_lines(&self) -> usize {
        self.total() / size_of::<Line>()
    }
}
