//! How many bytes a session needs, before it runs: a `const fn` of the model's shape and the session's configuration.

use core::fmt;
use core::mem::size_of;

use nearfield_kernels::{Arena, BlockQ8, KV_BLOCK, Q4Built, QK};

use crate::alibi::AlibiScale;
use crate::cache::PLACE;
use crate::gguf::attempt;
use crate::model::LayerTable;
use crate::ring::{HeadRing, Ring};
use crate::shape::Shape;
use crate::tokenizer::Tokenizer;

/// How keys, or values, are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(non_camel_case_types)]
pub enum KvType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// int8 with a half-precision scale for each 32 columns of a head.
    Q8_0,
    /// Integers of 4 bits with a half-precision scale for each 32 columns of a head. It is there with the feature `q4_0`.
    Q4_0,
}

impl KvType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// The word for it on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Bytes of one key or one value of a head of `head_dim` columns.
    pub const fn row_bytes(self, head_dim: usize) -> usize {
        let scales = 2 * head_dim.div_ceil(QK);
        match self {
            Self::F32 => 4 * head_dim,
            Self::F16 => 2 * head_dim,
            Self::Q8_0 => head_dim + scales,
            Self::Q4_0 => head_dim.div_ceil(2) + scales,
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How keys are stored, and how values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KvTypes {
    /// Of keys.
    pub keys: KvType,
    /// Of values.
    pub values: KvType,
}

impl KvTypes {
    /// One type for both.
    pub const fn both(ty: KvType) -> Self {
        Self { keys: ty, values: ty }
    }
}

impl From<KvType> for KvTypes {
    fn from(ty: KvType) -> Self {
        Self::both(ty)
    }
}

/// A name alone, or `KEYS/VALUES`.
impl fmt::Display for KvTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, values } = *self;
        if keys == values { keys.fmt(f) } else { write!(f, "{keys}/{values}") }
    }
}

/// What a session is to hold. Everything here may change the memory it takes; only `n_batch` changes no
/// bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionConfig {
    /// Positions of a text, prompt and generated text together; of an endless one, the newest that a query sees.
    pub n_ctx: usize,
    /// Tokens that go through a layer together in prefill.
    pub n_batch: usize,
    /// How keys and values are stored.
    pub kv: KvTypes,
    /// How many of the newest keys each KV head keeps.
    pub ring: Ring,
    /// First keys of a text that are kept besides those ("sinks": Xiao et al. 2023, arXiv 2309.17453), as far from a query as if
    /// nothing had been between them and the oldest key of the ring.
    pub n_sinks: usize,
    /// Whether a text may go on without end, in the same memory.
    pub endless: bool,
    /// Positions of the text that a [`Prefix`](crate::Prefix) holds: its whole blocks of 32 take no room in the arena. 0 without one.
    pub n_prefix: usize,
    /// Attention stops once all older keys together add less than this share of the softmax denominator; 0 visits every key.
    pub horizon_eps: f32,
    /// The bias as Falcon-RW's published code has it: slope, key's position and their product each rounded to bfloat16.
    pub alibi_bf16: bool,
    /// What becomes of the slopes in long texts.
    pub alibi_scale: AlibiScale,
}

impl SessionConfig {
    /// 2^-24: what is left out of the denominator is less than its rounding to a float.
    pub const HORIZON_EPS: f32 = 1.0 / (1u32 << 24) as f32;

    /// [`Default`], for constants.
    pub const DEFAULT: Self = Self {
        n_ctx: 2048,
        n_batch: 64,
        kv: KvTypes::both(KvType::F16),
        ring: Ring::Full,
        n_sinks: 0,
        endless: false,
        n_prefix: 0,
        horizon_eps: Self::HORIZON_EPS,
        alibi_bf16: false,
        alibi_scale: AlibiScale::Model,
    };
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why no plan can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// `n_ctx` is 0 or beyond what a distance counts exactly in a float (2^24).
    Context {
        /// The `n_ctx` asked for.
        found: usize,
    },
    /// `n_ctx` is beyond the positions that the model has learned.
    Positions {
        /// The `n_ctx` asked for.
        found: usize,
        /// The positions.
        n_positions: usize,
    },
    /// A text without end, for a model that has learned positions.
    EndlessPositions {
        /// The positions.
        n_positions: usize,
    },
    /// `n_batch` is 0.
    Batch,
    /// Keys or values of 4 bits where the feature `q4_0` is missing.
    Q4NotBuilt,
    /// A ring of no keys, or a share that is not between 0 and 1.
    Ring,
    /// Rings for another number of KV heads.
    RingHeads {
        /// Heads that the rings are for.
        found: usize,
        /// KV heads of the model.
        n_head_kv: usize,
    },
    /// A budget that is too small for one block of keys in each head.
    Budget {
        /// Bytes that these take.
        need: usize,
        /// Bytes of the budget.
        budget: usize,
    },
    /// More sinks than positions.
    Sinks {
        /// The sinks asked for.
        found: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// A prefix longer than the context.
    Prefix {
        /// Positions of the prefix.
        n_prefix: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// `horizon_eps` is negative or not a number.
    HorizonEps,
    /// `alibi_scale` is a factor that is not finite and above 0, or a training of no tokens.
    AlibiScale,
    /// More bytes than this machine can address.
    TooLarge,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Context { found } => {
                write!(f, "a context of {found} tokens: 1 to {} can run", SessionConfig::MAX_CONTEXT)
            }
            Self::Positions { found, n_positions } => {
                write!(f, "a context of {found} tokens: the model has learned positions for {n_positions}, and no more")
            }
            Self::EndlessPositions { n_positions } => {
                write!(f, "a text without end: the model has learned positions for {n_positions} tokens, and no more")
            }
            Self::Batch => f.write_str("a batch of 0 tokens"),
            Self::Q4NotBuilt => f.write_str("keys or values in q4_0, which is not built in: see the feature q4_0"),
            Self::Ring => f.write_str("a ring of 0 keys, or for a share of the bias that is not between 0 and 1"),
            Self::RingHeads { found, n_head_kv } => {
                write!(f, "rings for {found} heads, where the model has {n_head_kv} for keys")
            }
            Self::Budget { need, budget } => {
                write!(f, "a budget of {budget} bytes: one block of keys in each head takes {need}")
            }
            Self::Sinks { found, n_ctx } => write!(f, "{found} sinks in a context of {n_ctx} tokens"),
            Self::Prefix { n_prefix, n_ctx } => {
                write!(f, "a prefix of {n_prefix} tokens in a context of {n_ctx}: it has to be at least as long")
            }
            Self::HorizonEps => f.write_str("the horizon's epsilon is negative or not a number"),
            Self::AlibiScale => {
                f.write_str("slopes times a factor that is not finite and above 0, or as trained on texts of 0 tokens")
            }
            Self::TooLarge => f.write_str("the session needs more memory than this machine can address"),
        }
    }
}

impl core::error::Error for PlanError {}

impl SessionConfig {
    /// Distances up to here are exact in a float.
    pub const MAX_CONTEXT: usize = 1 << 24;

    pub(crate) const fn check(&self) -> Result<(), PlanError> {
        if self.n_ctx == 0 || self.n_ctx > Self::MAX_CONTEXT {
            return Err(PlanError::Context { found: self.n_ctx });
        }
        if self.n_batch == 0 {
            return Err(PlanError::Batch);
        }
        if matches!(self.kv.keys, KvType::Q4_0) | matches!(self.kv.values, KvType::Q4_0) && Q4Built::PROOF.is_none() {
            return Err(PlanError::Q4NotBuilt);
        }
        if self.n_sinks > self.n_ctx {
            return Err(PlanError::Sinks { found: self.n_sinks, n_ctx: self.n_ctx });
        }
        if !self.alibi_scale.is_valid() {
            return Err(PlanError::AlibiScale);
        }
        if !self.endless && self.n_prefix > self.n_ctx {
            return Err(PlanError::Prefix { n_prefix: self.n_prefix, n_ctx: self.n_ctx });
        }
        // A NaN is not in the range either.
        match self.horizon_eps {
            0.0.. => Ok(()),
            _ => Err(PlanError::HorizonEps),
        }
    }

    /// The first position whose key lies in the arena: those before lie in whole blocks of the prefix.
    pub(crate) const fn first_of_arena(&self) -> usize {
        self.n_prefix / KV_BLOCK * KV_BLOCK
    }

    /// Tokens that go through a layer together at most.
    pub(crate) const fn chunk(&self) -> usize {
        if self.n_batch < self.n_ctx { self.n_batch } else { self.n_ctx }
    }

    /// Blocks of positions that a chunk may lie in: it ends where another would begin, so that a ring needs little room
    /// ahead.
    pub(crate) const fn blocks_per_chunk(&self) -> usize {
        self.chunk().div_ceil(KV_BLOCK)
    }
}

/// Bytes of `$len` elements of `$ty` in an arena.
macro_rules! bytes {
    ($ty:ty, $len:expr) => {
        match Arena::bytes_of::<$ty>($len) {
            Some(bytes) => bytes,
            None => return Err(PlanError::TooLarge),
        }
    };
}
pub(crate) use bytes;

/// Lengths, in elements, of all keys (or of all values).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreLengths {
    pub(crate) ty: KvType,
    /// Numbers, or bytes with two of them.
    pub(crate) elements: usize,
    /// Their scales, for those types that have some.
    pub(crate) scales: usize,
}

impl StoreLengths {
    pub(crate) const fn new(ty: KvType, n_rows: usize, head_dim: usize) -> Result<Self, PlanError> {
        let row = if matches!(ty, KvType::Q4_0) { head_dim.div_ceil(2) } else { head_dim };
        let groups = if matches!(ty, KvType::F32 | KvType::F16) { 0 } else { head_dim.div_ceil(QK) };
        Ok(Self { ty, elements: attempt!(times(n_rows, row)), scales: attempt!(times(n_rows, groups)) })
    }

    pub(crate) const fn bytes(&self) -> Result<usize, PlanError> {
        let elements = match self.ty {
            KvType::F32 => bytes!(f32, self.elements),
            KvType::F16 => bytes!(u16, self.elements),
            KvType::Q8_0 | KvType::Q4_0 => bytes!(u8, self.elements),
        };
        sum([elements, bytes!(u16, self.scales)])
    }
}

/// Lengths, in elements, of everything in a session's arena. The one place where they are computed: the plan adds them
/// up, and the session takes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) keys: StoreLengths,
    pub(crate) values: StoreLengths,
    /// Running maximum of the key norms: one each KV head and block.
    pub(crate) key_norms: usize,
    /// Where the KV heads' rings lie.
    pub(crate) places: usize,
    pub(crate) layer_table: usize,
    /// `[n_batch, n_embd]`
    pub(crate) residual: usize,
    /// `[n_batch, n_qkv]`
    pub(crate) qkv: usize,
    /// `[n_batch, n_ff]`
    pub(crate) ffn: usize,
    /// `[n_batch, n_ff]` if gated
    pub(crate) gate: usize,
    /// Quantized activations, or quantized queries.
    pub(crate) q8: usize,
    pub(crate) logits: usize,
    pub(crate) n_head: usize,
    /// Keys visited: one each layer and head.
    pub(crate) visited: usize,
    pub(crate) n_head_kv: usize,
}

/// `a * b`, or the error.
pub(crate) const fn times(a: usize, b: usize) -> Result<usize, PlanError> {
    match a.checked_mul(b) {
        Some(n) => Ok(n),
        None => Err(PlanError::TooLarge),
    }
}

pub(crate) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

impl Lengths {
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
        // No factor is above 2^24, and those of the layers below 2^20: single products of two cannot overflow 64 bits, but
        // they can overflow 32.
        let (mut layer_rows, mut layer_blocks, mut head) = (0, 0, 0);
        while head < s.n_head_kv {
            let ring = HeadRing::new(s, config, head);
            layer_rows = attempt!(sum([layer_rows, config.n_sinks, ring.n_slots]));
            layer_blocks = attempt!(sum([layer_blocks, config.n_sinks.div_ceil(KV_BLOCK), ring.n_slot_blocks()]));
            head += 1;
        }
        Self::of_rows(s, config, layer_rows, layer_blocks)
    }

    /// Those of a session whose rings have so many rows, and so many blocks, in each layer.
    pub(crate) const fn of_rows(
        s: &Shape,
        config: &SessionConfig,
        layer_rows: usize,
        layer_blocks: usize,
    ) -> Result<Self, PlanError> {
        let batch = config.chunk();
        let kv_rows = attempt!(times(s.n_layer, layer_rows));
        let kv_blocks = attempt!(times(s.n_layer, layer_blocks));
        let query_blocks = attempt!(times(s.n_head, s.head_dim.div_ceil(QK)));
        let q8_row = max(max(s.n_embd, s.n_ff).div_ceil(QK), query_blocks);
        Ok(Self {
            keys: attempt!(StoreLengths::new(config.kv.keys, kv_rows, s.head_dim)),
            values: attempt!(StoreLengths::new(config.kv.values, kv_rows, s.head_dim)),
            key_norms: kv_blocks,
            places: attempt!(times(s.n_head_kv, PLACE)),
            layer_table: match LayerTable::len(s) {
                Some(n) => n,
                None => return Err(PlanError::TooLarge),
            },
            residual: attempt!(times(batch, s.n_embd)),
            qkv: attempt!(times(batch, s.n_qkv())),
            ffn: attempt!(times(batch, s.n_ff)),
            gate: if s.arch.gated { attempt!(times(batch, s.n_ff)) } else { 0 },
            q8: attempt!(times(batch, q8_row)),
            logits: s.n_vocab,
            n_head: s.n_head,
            visited: attempt!(times(s.n_layer, s.n_head)),
            n_head_kv: s.n_head_kv,
        })
    }
}

/// Bytes of each part of the arena: the session's and the tokenizer's, which share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Keys and values, with their scales.
    pub kv_cache: usize,
    /// Norms of the keys, for the horizon, and where each head's keys lie.
    pub key_norms: usize,
    /// Where the layers' tensors lie.
    pub layer_table: usize,
    /// Residual stream, projections, feed-forward, their quantized forms, and what attention counts.
    pub activations: usize,
    /// Logits of one position.
    pub logits: usize,
    /// The tokenizer's index; 0 for a file without a tokenizer.
    pub tokenizer: usize,
}

/// The sum, or the error.
pub(crate) const fn sum<const N: usize>(parts: [usize; N]) -> Result<usize, PlanError> {
    let mut total: usize = 0;
    let mut i = 0;
    while i < N {
        total = match total.checked_add(parts[i]) {
            Some(n) => n,
            None => return Err(PlanError::TooLarge),
        };
        i += 1;
    }
    Ok(total)
}

impl MemoryPlan {
    /// The plan for a model of this shape.
    ///
    /// # Errors
    /// [`PlanError`] when the configuration makes no sense or its memory cannot be addressed.
    pub const fn new(shape: &Shape, config: &SessionConfig) -> Result<Self, PlanError> {
        Self::of(shape, &attempt!(Lengths::new(shape, config)))
    }

    pub(crate) const fn of(shape: &Shape, n: &Lengths) -> Result<Self, PlanError> {
        let plan = Self {
            kv_cache: attempt!(sum([attempt!(n.keys.bytes()), attempt!(n.values.bytes())])),
            key_norms: attempt!(sum([bytes!(f32, n.key_norms), bytes!(u64, n.places)])),
            layer_table: bytes!(u64, n.layer_table),
            activations: attempt!(sum([
                bytes!(f32, n.residual),
                bytes!(f32, n.residual),
                bytes!(f32, n.qkv),
                bytes!(f32, n.ffn),
                bytes!(f32, n.gate),
                bytes!(BlockQ8, n.q8),
                bytes!(u32, n.n_head),
                bytes!(u64, n.visited),
                bytes!(u64, n.n_head_kv),
            ])),
            logits: bytes!(f32, n.logits),
            tokenizer: if shape.n_tokens == 0 {
                0
            } else {
                match Tokenizer::index_bytes(shape.n_tokens, shape.n_merges) {
                    Some(bytes) => bytes,
                    None => return Err(PlanError::TooLarge),
                }
            },
        };
        attempt!(sum(plan.parts()));
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
        // `new` saw that the sum does not overflow.
        self.kv_cache + self.key_norms + self.layer_table + self.activations + self.logits
    }

    /// The plan of a board whose tokenizer's index was [prepared](Tokenizer::prepared) and lies in flash.
    pub const fn without_tokenizer(self) -> Self {
        Self { tokenizer: 0, ..self }
    }

    /// Lines of the arena.
    pub const fn n_lines(&self) -> usize {
        self.total() / size_of::<nearfield_kernels::Line>()
    }
}
