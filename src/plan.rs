//! Memory plans of sessions and of batches: the bytes that they need, before they run, by a `const fn` of the model's shape and
//! the configuration.

use core::mem::size_of;

use nearfield_kernels::{Arena, KV_BLOCK};

use crate::config::{BatchConfig, PlanError, SessionConfig};
use crate::const_math::{attempt, sum, times};
use crate::lengths::{PLACE, PassLengths, StoreLengths, VisitedLengths, bytes, fits, tokenizer_bytes};
use crate::ring::HeadRing;
use crate::shape::Shape;

/// Lengths, in elements, of all parts of a sequence: its keys and values, and its counts. The plan adds them up, and the sequence
/// takes them. Lengths that encoders have, too, come from `lengths`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SequenceLengths {
    pub(crate) keys: StoreLengths,
    pub(crate) values: StoreLengths,
    /// Running maxima of the key norms, one for each KV head and block.
    pub(crate) key_norms: usize,
    /// Words of the KV heads' places in the cache.
    pub(crate) places: usize,
    pub(crate) visited: VisitedLengths,
    pub(crate) n_head_kv: usize,
}

impl SequenceLengths {
    pub(crate) const fn new(s: &Shape, config: &SessionConfig) -> Result<Self, PlanError> {
        attempt!(config.check());
        attempt!(config.ring.check(s));
        if let Some(n_positions) = s.n_positions {
            if config.endless {
                return Err(PlanError::EndlessPositions { n_positions });
            }
            if config.n_ctx > n_positions {
                return Err(PlanError::Positions { found: config.n_ctx, n_positions });
            }
        }
        // No factor is above 2^24, and those of the layers are below 2^20: a product of two cannot overflow 64 bits, but may
        // overflow 32.
        let (mut layer_rows, mut layer_blocks, mut head) = (0, 0, 0);
        while head < s.n_head_kv {
            let ring = HeadRing::new(s, config, head);
            layer_rows = fits!(sum([layer_rows, config.n_sinks, ring.n_slots]));
            layer_blocks = fits!(sum([layer_blocks, config.n_sinks.div_ceil(KV_BLOCK), ring.n_slot_blocks()]));
            head += 1;
        }
        Self::of_rows(s, config, layer_rows, layer_blocks)
    }

    /// Lengths of a sequence whose rings have `layer_rows` rows and `layer_blocks` blocks in each layer.
    const fn of_rows(
        s: &Shape,
        config: &SessionConfig,
        layer_rows: usize,
        layer_blocks: usize,
    ) -> Result<Self, PlanError> {
        let kv_rows = fits!(times(s.n_layer, layer_rows));
        let kv_blocks = fits!(times(s.n_layer, layer_blocks));
        Ok(Self {
            keys: attempt!(StoreLengths::new(config.kv.keys, kv_rows, s.head_dim)),
            values: attempt!(StoreLengths::new(config.kv.values, kv_rows, s.head_dim)),
            key_norms: kv_blocks,
            places: fits!(times(s.n_head_kv, PLACE)),
            visited: attempt!(VisitedLengths::new(s)),
            n_head_kv: s.n_head_kv,
        })
    }
}

/// Lengths, in elements, of all parts of a batch: what its sequences share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLengths {
    pub(crate) pass: PassLengths,
    /// `[n_batch, n_qkv]`: queries, keys and values.
    pub(crate) qkv: usize,
    /// `[n_batch, n_ff]`: feed-forward.
    pub(crate) ffn: usize,
    /// `[n_outputs, n_vocab]`
    pub(crate) logits: usize,
}

impl BatchLengths {
    pub(crate) const fn new(s: &Shape, config: &BatchConfig) -> Result<Self, PlanError> {
        attempt!(config.check());
        let n_batch = config.n_tokens;
        Ok(Self {
            pass: attempt!(PassLengths::new(s, n_batch)),
            qkv: fits!(times(n_batch, s.n_qkv())),
            ffn: fits!(times(n_batch, s.n_ff)),
            logits: fits!(times(config.n_outputs, s.n_vocab)),
        })
    }
}

/// Bytes of each part of a [`Batch`](crate::Batch)'s arena, which all of its sequences share.
/// [`MemoryPlan::sequence`] has those of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct BatchPlan {
    /// Places of the layers' tensors.
    pub layer_table: usize,
    /// Residual stream, projections, feed-forward and their quantized forms.
    pub activations: usize,
    /// Logits of the tokens that are computed together.
    pub logits: usize,
}

impl BatchPlan {
    /// Plans the memory for a model of this shape.
    ///
    /// # Errors
    /// [`PlanError`] if a setting is out of range or the memory cannot be addressed.
    pub const fn new(shape: &Shape, config: &BatchConfig) -> Result<Self, PlanError> {
        Self::of(&attempt!(BatchLengths::new(shape, config)))
    }

    const fn of(n: &BatchLengths) -> Result<Self, PlanError> {
        let plan = Self {
            layer_table: attempt!(n.pass.layer_table_bytes()),
            activations: fits!(sum([attempt!(n.pass.buffer_bytes()), bytes!(f32, n.qkv), bytes!(f32, n.ffn)])),
            logits: bytes!(f32, n.logits),
        };
        fits!(sum([plan.layer_table, plan.activations, plan.logits]));
        Ok(plan)
    }

    /// Bytes of all parts: a multiple of [`Line::BYTES`](nearfield_kernels::Line::BYTES).
    pub const fn total(&self) -> usize {
        // `new` checked that the sum does not overflow.
        self.layer_table + self.activations + self.logits
    }
}

/// Bytes of each part of the arena, which the session and the tokenizer share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Keys and values, with their scales.
    pub kv_cache: usize,
    /// Norms of the keys, for the horizon, and the places of each head's keys.
    pub key_norms: usize,
    /// Places of the layers' tensors.
    pub layer_table: usize,
    /// Residual stream, projections, feed-forward, their quantized forms, and attention's counts.
    pub activations: usize,
    /// Logits of the positions that are computed together: one, and those of guessed tokens.
    pub logits: usize,
    /// Index of the tokenizer; 0 for a file without a tokenizer.
    pub tokenizer: usize,
    /// Part of the activations that a sequence does not share: attention's counts.
    counts: usize,
}

impl MemoryPlan {
    /// Plans the memory for a model of this shape.
    ///
    /// # Errors
    /// [`PlanError`] if a setting is out of range or the memory cannot be addressed.
    pub const fn new(shape: &Shape, config: &SessionConfig) -> Result<Self, PlanError> {
        Self::of(shape, config, &attempt!(SequenceLengths::new(shape, config)))
    }

    /// The plan for the model in a GGUF file, for a `const`: a file without a usable header, or a configuration that makes no sense,
    /// does not compile. See [`include_model!`](crate::include_model).
    ///
    /// # Panics
    /// At compile time, when used as meant; [`new`](Self::new) returns errors.
    pub const fn of_file(file: &[u8], config: &SessionConfig) -> Self {
        let Ok(shape) = Shape::from_bytes(file) else { panic!("the model has no usable GGUF header") };
        match Self::new(&shape, config) {
            Ok(plan) => plan,
            Err(_) => panic!("no plan can be made for this configuration"),
        }
    }

    /// The plan of a session whose rings have `layer_rows` rows and `layer_blocks` blocks in each layer.
    pub(crate) const fn of_rows(
        shape: &Shape,
        config: &SessionConfig,
        layer_rows: usize,
        layer_blocks: usize,
    ) -> Result<Self, PlanError> {
        Self::of(shape, config, &attempt!(SequenceLengths::of_rows(shape, config, layer_rows, layer_blocks)))
    }

    const fn of(shape: &Shape, config: &SessionConfig, n: &SequenceLengths) -> Result<Self, PlanError> {
        let batch = attempt!(BatchPlan::new(shape, &config.batch()));
        let counts = fits!(sum([attempt!(n.visited.bytes()), bytes!(u64, n.n_head_kv)]));
        let plan = Self {
            kv_cache: fits!(sum([attempt!(n.keys.bytes()), attempt!(n.values.bytes())])),
            key_norms: fits!(sum([bytes!(f32, n.key_norms), bytes!(u64, n.places)])),
            layer_table: batch.layer_table,
            activations: fits!(sum([batch.activations, counts])),
            logits: batch.logits,
            tokenizer: attempt!(tokenizer_bytes(shape)),
            counts,
        };
        fits!(sum(plan.parts()));
        Ok(plan)
    }

    const fn parts(&self) -> [usize; 6] {
        [self.kv_cache, self.key_norms, self.layer_table, self.activations, self.logits, self.tokenizer]
    }

    /// Bytes of the whole arena: a multiple of [`Line::BYTES`](nearfield_kernels::Line::BYTES).
    pub const fn total(&self) -> usize {
        self.session() + self.tokenizer
    }

    /// Bytes of the arena that the session takes, without the tokenizer.
    pub const fn session(&self) -> usize {
        // `new` checked that the sum does not overflow.
        self.kv_cache + self.key_norms + self.layer_table + self.activations + self.logits
    }

    /// Bytes that each sequence of a [`Batch`](crate::Batch) takes: keys and values with their norms, and attention's counts.
    /// [`BatchPlan`] has the bytes that the sequences share.
    pub const fn sequence(&self) -> usize {
        self.kv_cache + self.key_norms + self.counts
    }

    /// Plan of a board whose tokenizer's index was [prepared](crate::tokenizer::Tokenizer::prepared) and lies in flash.
    pub const fn without_tokenizer(self) -> Self {
        Self { tokenizer: 0, ..self }
    }

    /// Lines of the arena.
    pub const fn n_lines(&self) -> usize {
        self.total() / size_of::<nearfield_kernels::Line>()
    }
}
