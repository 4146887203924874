//! How many bytes an encoder needs, before it runs.

use core::mem::size_of;

use nearfield_kernels::{Arena, BlockQ8, KV_BLOCK, Line, QK};

use crate::gguf::attempt;
use crate::model::LayerTable;
use crate::plan::{KvType, KvTypes, PlanError, SessionConfig, StoreLengths, bytes, max, sum, times};
use crate::shape::Shape;
use crate::tokenizer::Tokenizer;

/// What an encoder is to hold. Only `kv` and `horizon_eps` change bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncoderConfig {
    /// Tokens of the longest document.
    pub n_ctx: usize,
    /// Tokens that go through a layer together.
    pub n_batch: usize,
    /// How the keys and values of a layer are stored.
    pub kv: KvTypes,
    /// Attention stops, to either side, once all keys farther away on it add less than half this share of the softmax
    /// denominator; 0 visits every key.
    pub horizon_eps: f32,
}

impl EncoderConfig {
    /// [`Default`], for constants.
    pub const DEFAULT: Self =
        Self { n_ctx: 512, n_batch: 64, kv: KvTypes::both(KvType::F32), horizon_eps: SessionConfig::HORIZON_EPS };

    /// Tokens that go through a layer together at most.
    pub(crate) const fn chunk(&self) -> usize {
        if self.n_batch < self.n_ctx { self.n_batch } else { self.n_ctx }
    }

    /// What a session of the same numbers would be told.
    const fn check(&self) -> Result<(), PlanError> {
        let Self { n_ctx, n_batch, kv, horizon_eps } = *self;
        SessionConfig { n_ctx, n_batch, kv, horizon_eps, ..SessionConfig::DEFAULT }.check()
    }
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Lengths, in elements, of everything in an encoder's arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// Positions of the keys: whole blocks.
    pub(crate) n_slots: usize,
    /// Keys of a layer, in one order.
    pub(crate) keys: StoreLengths,
    /// Their values.
    pub(crate) values: StoreLengths,
    /// Norms of the keys, one each KV head and block.
    pub(crate) key_norms: usize,
    pub(crate) layer_table: usize,
    /// `[n_ctx, n_embd]`
    pub(crate) document: usize,
    /// `[n_batch, n_embd]`
    pub(crate) residual: usize,
    /// `[n_batch, n_ff]`, or values
    pub(crate) ffn: usize,
    /// `[n_batch, n_ff]`
    pub(crate) gate: usize,
    /// Quantized activations, or quantized queries.
    pub(crate) q8: usize,
    /// `[n_embd]`
    pub(crate) output: usize,
    pub(crate) n_head: usize,
    /// Keys visited: one each layer and head.
    pub(crate) visited: usize,
}

impl Lengths {
    pub(crate) const fn new(s: &Shape, config: &EncoderConfig) -> Result<Self, PlanError> {
        attempt!(config.check());
        let batch = config.chunk();
        // At most 2^24, a multiple of the block already.
        let n_slots = config.n_ctx.next_multiple_of(KV_BLOCK);
        let kv_rows = attempt!(times(n_slots, s.n_head_kv));
        let query_blocks = attempt!(times(s.n_head, s.head_dim.div_ceil(QK)));
        let q8_row = max(max(s.n_embd, s.n_ff).div_ceil(QK), query_blocks);
        Ok(Self {
            n_slots,
            keys: attempt!(StoreLengths::new(config.kv.keys, kv_rows, s.head_dim)),
            values: attempt!(StoreLengths::new(config.kv.values, kv_rows, s.head_dim)),
            key_norms: kv_rows / KV_BLOCK,
            layer_table: match LayerTable::len(s) {
                Some(n) => n,
                None => return Err(PlanError::TooLarge),
            },
            document: attempt!(times(config.n_ctx, s.n_embd)),
            residual: attempt!(times(batch, s.n_embd)),
            ffn: attempt!(times(batch, max(s.n_ff, s.n_embd_kv()))),
            gate: attempt!(times(batch, s.n_ff)),
            q8: attempt!(times(batch, q8_row)),
            output: s.n_embd,
            n_head: s.n_head,
            visited: attempt!(times(s.n_layer, s.n_head)),
        })
    }
}

/// Bytes of each part of the arena: the encoder's and the tokenizer's, which share it. Linear in the length of the longest
/// document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EncoderPlan {
    /// Keys and values of one layer, in both orders, with the keys' norms.
    pub keys: usize,
    /// Where the layers' tensors lie.
    pub layer_table: usize,
    /// A row for each token of the document.
    pub document: usize,
    /// Projections, feed-forward, their quantized forms, what attention counts, and the result.
    pub activations: usize,
    /// The tokenizer's index; 0 for a file without a tokenizer.
    pub tokenizer: usize,
}

impl EncoderPlan {
    /// The plan for a model of this shape.
    ///
    /// # Errors
    /// [`PlanError`] when the configuration makes no sense or its memory cannot be addressed.
    pub const fn new(shape: &Shape, config: &EncoderConfig) -> Result<Self, PlanError> {
        let n = attempt!(Lengths::new(shape, config));
        let side = attempt!(sum([attempt!(n.keys.bytes()), attempt!(n.values.bytes()), bytes!(f32, n.key_norms)]));
        let plan = Self {
            keys: attempt!(times(2, side)),
            layer_table: bytes!(u64, n.layer_table),
            document: bytes!(f32, n.document),
            activations: attempt!(sum([
                bytes!(f32, n.residual),
                bytes!(f32, n.residual),
                bytes!(f32, n.ffn),
                bytes!(f32, n.gate),
                bytes!(BlockQ8, n.q8),
                bytes!(f32, n.output),
                bytes!(u32, n.n_head),
                bytes!(u64, n.visited),
            ])),
            tokenizer: if shape.n_tokens == 0 {
                0
            } else {
                match Tokenizer::index_bytes(shape.n_tokens, shape.n_merges) {
                    Some(bytes) => bytes,
                    None => return Err(PlanError::TooLarge),
                }
            },
        };
        attempt!(sum([plan.keys, plan.layer_table, plan.document, plan.activations, plan.tokenizer]));
        Ok(plan)
    }

    /// Bytes of the whole arena: a multiple of [`Line::BYTES`].
    pub const fn total(&self) -> usize {
        self.encoder() + self.tokenizer
    }

    /// Bytes of the arena that the encoder takes, without the tokenizer.
    pub const fn encoder(&self) -> usize {
        // `new` saw that the sum does not overflow.
        self.keys + self.layer_table + self.document + self.activations
    }

    /// Lines of the arena.
    pub const fn n_lines(&self) -> usize {
        self.total() / size_of::<Line>()
    }
}
