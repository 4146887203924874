//! Configuration of a session and of a batch, and the error of a configuration without a plan.

use core::fmt;

use nearfield_kernels::{KV_BLOCK, Q4Built};

use crate::kv_type::{KvType, KvTypes};

/// Sizes and settings of a session. Most change the memory that the session takes; all but `n_batch` and `n_draft` may change
/// the bits of the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionConfig {
    /// Positions of a text, prompt and generated text together; in an endless text, the number of newest positions that a query
    /// sees.
    pub n_ctx: usize,
    /// Tokens that go through a layer together in prefill.
    pub n_batch: usize,
    /// Types of the stored keys and values.
    pub kv: KvTypes,
    /// Number of newest keys that each KV head keeps.
    pub ring: Ring,
    /// Number of first keys of a text that are kept besides the ring ("sinks": Xiao et al. 2023, arXiv 2309.17453). Their
    /// distance from a query counts as if they stood right before the oldest key of the ring.
    pub n_sinks: usize,
    /// True if a text may continue without end, in the same memory.
    pub endless: bool,
    /// Number of positions of the text that a [`Prefix`](crate::Prefix) holds; 0 without one. Whole blocks of 32 of it take no
    /// room in the arena.
    pub n_prefix: usize,
    /// Share of the softmax denominator that attention may leave out: it stops once all older keys together add less. 0 visits
    /// every key.
    pub horizon_eps: f32,
    /// Guessed tokens that go through the layers with a token ([`decode_ahead`](crate::Session::decode_ahead)), at most
    /// [`MAX_DRAFT`](Self::MAX_DRAFT): each takes memory for its logits. [`prefill_each`](crate::Session::prefill_each) computes
    /// the logits of `n_draft + 1` tokens together.
    pub n_draft: usize,
    /// Computes the bias as Falcon-RW's published code does: slope, key's position and their product each rounded to bfloat16.
    pub alibi_bf16: bool,
    /// Change of the slopes in long texts.
    pub alibi_scale: AlibiScale,
}

impl SessionConfig {
    /// Default of `horizon_eps`, 2^-24: less is left out of the denominator than it loses by rounding to a float.
    pub const HORIZON_EPS: f32 = 1.0 / (1u32 << 24) as f32;

    /// The values of [`Default`], for constants.
    pub const DEFAULT: Self = Self {
        n_ctx: 2048,
        n_batch: 64,
        kv: KvTypes::both(KvType::F16),
        ring: Ring::Full,
        n_sinks: 0,
        endless: false,
        n_prefix: 0,
        horizon_eps: Self::HORIZON_EPS,
        n_draft: 0,
        alibi_bf16: false,
        alibi_scale: AlibiScale::Model,
    };
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl SessionConfig {
    /// Greatest number of guessed tokens in a pass.
    pub const MAX_DRAFT: usize = 15;

    /// Longest context, 2^24: distances up to here are exact in a float.
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
        if self.n_draft > Self::MAX_DRAFT {
            return Err(PlanError::Draft { found: self.n_draft });
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

    /// First position whose key lies in the arena: positions before lie in whole blocks of the prefix.
    pub(crate) const fn first_of_arena(&self) -> usize {
        self.n_prefix / KV_BLOCK * KV_BLOCK
    }

    /// Greatest number of tokens that go through a layer together.
    pub(crate) const fn chunk(&self) -> usize {
        if self.n_batch < self.n_ctx { self.n_batch } else { self.n_ctx }
    }

    /// Greatest number of blocks of positions that a chunk lies in. A chunk ends at a block's end, so that a ring needs little
    /// room ahead.
    pub(crate) const fn blocks_per_chunk(&self) -> usize {
        self.chunk().div_ceil(KV_BLOCK)
    }

    /// Blocks that are written before the first query of a chunk looks back, or before guessed tokens are taken back.
    pub(crate) const fn blocks_ahead(&self) -> usize {
        let of_draft = self.n_draft.div_ceil(KV_BLOCK);
        let of_chunk = self.blocks_per_chunk() - 1;
        if of_draft > of_chunk { of_draft } else { of_chunk }
    }

    /// Batch of a single sequence.
    pub(crate) const fn batch(&self) -> BatchConfig {
        BatchConfig { n_tokens: self.chunk(), n_outputs: self.n_draft.saturating_add(1) }
    }
}

/// Sizes of a [`Batch`](crate::Batch): memory that its sequences share. They change no bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BatchConfig {
    /// Tokens that go through a layer together, those of all sequences and guesses among them.
    pub n_tokens: usize,
    /// Tokens whose logits are computed together: one for each sequence that generates, and its guesses.
    pub n_outputs: usize,
}

impl BatchConfig {
    /// The values of [`Default`], for constants.
    pub const DEFAULT: Self = Self { n_tokens: 64, n_outputs: 8 };

    pub(crate) const fn check(&self) -> Result<(), PlanError> {
        match self {
            Self { n_tokens: 0, .. } => Err(PlanError::Batch),
            Self { n_outputs: 0, .. } => Err(PlanError::Outputs),
            _ => Ok(()),
        }
    }
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Number of newest keys that each KV head keeps. Lengths are rounded up to whole blocks of 32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ring {
    /// All keys of the context.
    #[default]
    Full,
    /// Same number for every head. A query sees the oldest block whole or not at all.
    Keys(usize),
    /// Keys up to the distance `D` that the head's flattest slope `m` gives by
    ///
    /// ```text
    ///   exp(-m D) / (1 - exp(-m)) = eps
    /// ```
    ///
    /// All older keys together then add at most `eps` of the softmax denominator, if none of them fits the query better than
    /// the near keys do. If they may fit better by a factor `exp(x)`, set `eps * exp(-x)`.
    Bias(
        /// `eps`, above 0 and below 1.
        f32,
    ),
    /// A number for each KV head, as [`fit_rings`](crate::fit_rings) or `nearfield plan` finds them for a budget. A query sees
    /// the oldest block whole or not at all.
    Heads(
        /// `[n_head_kv]`: number of keys of each KV head.
        &'static [u32],
    ),
}

/// Scale of the slopes in texts longer than those of the training.
///
/// Flatter slopes look further back: they spread the biases of training over a text longer than those of training. Keys carry
/// no bias, so the scale may change from token to token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AlibiScale {
    /// The model's own scale: [`Trained`](Self::Trained) with [`Shape::alibi_train_length`](crate::Shape::alibi_train_length)
    /// if the file has one, else 1.
    #[default]
    Model,
    /// A fixed factor, finite and above 0, instead of the model's own scale.
    Factor(f32),
    /// BTLM's rule in texts longer than this length (1 or more): slopes of a query that sees `n` keys are multiplied by
    /// `length / n`, so that its farthest key has the bias that the farthest key had in training (Al-Khateeb et al. 2023, arXiv
    /// 2310.13017).
    Trained(usize),
}

impl AlibiScale {
    /// True if the factor or length is in range.
    pub(crate) const fn is_valid(self) -> bool {
        match self {
            Self::Model => true,
            Self::Factor(factor) => factor > 0.0 && factor < f32::INFINITY,
            Self::Trained(length) => length > 0,
        }
    }
}

/// Error of a configuration for which no plan can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// `n_ctx` is 0 or above 2^24, the greatest distance that is exact in a float.
    Context {
        /// The `n_ctx` asked for.
        found: usize,
    },
    /// `n_ctx` is above the number of positions that the model has learned.
    Positions {
        /// The `n_ctx` asked for.
        found: usize,
        /// Number of learned positions.
        n_positions: usize,
    },
    /// An endless text was asked of a model that has learned positions.
    EndlessPositions {
        /// Number of learned positions.
        n_positions: usize,
    },
    /// `n_batch`, or `n_tokens` of a [`BatchConfig`], is 0.
    Batch,
    /// `n_outputs` of a [`BatchConfig`] is 0.
    Outputs,
    /// `n_documents` of an [`EncoderConfig`](crate::EncoderConfig) is 0.
    Documents,
    /// Keys or values are Q4_0, and the feature `kv_q4_0` is not built in.
    Q4NotBuilt,
    /// A ring has no keys, or its share is not between 0 and 1.
    Ring,
    /// [`Ring::Heads`] has another number of heads than the model.
    RingHeads {
        /// Number of heads that the rings are for.
        found: usize,
        /// Number of KV heads of the model.
        n_head_kv: usize,
    },
    /// The budget is too small for one block of keys in each head.
    Budget {
        /// Bytes of one block in each head.
        need: usize,
        /// Bytes of the budget.
        budget: usize,
    },
    /// The draft is longer than [`MAX_DRAFT`](SessionConfig::MAX_DRAFT).
    Draft {
        /// Guessed tokens asked for.
        found: usize,
    },
    /// There are more sinks than positions.
    Sinks {
        /// Number of sinks asked for.
        found: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// The prefix is longer than the context.
    Prefix {
        /// Positions of the prefix.
        n_prefix: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// `horizon_eps` is negative or not a number.
    HorizonEps,
    /// `alibi_scale` is a factor that is not finite and above 0, or a length of 0.
    AlibiScale,
    /// The memory has more bytes than this machine can address.
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
            Self::Outputs => f.write_str("a batch with logits of 0 tokens"),
            Self::Documents => f.write_str("a pass of 0 documents"),
            Self::Q4NotBuilt => f.write_str("keys or values in q4_0, which is not built in: see the feature kv_q4_0"),
            Self::Ring => f.write_str("a ring of 0 keys, or for a share of the bias that is not between 0 and 1"),
            Self::RingHeads { found, n_head_kv } => {
                write!(f, "rings by head: found {found}, expected {n_head_kv}, one for each KV head")
            }
            Self::Budget { need, budget } => {
                write!(f, "a budget of {budget} bytes: one block of keys in each head takes {need}")
            }
            Self::Draft { found } => {
                write!(f, "a draft of {found} tokens: up to {} can run in a pass", SessionConfig::MAX_DRAFT)
            }
            Self::Sinks { found, n_ctx } => write!(f, "{found} sinks do not fit a context of {n_ctx}"),
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
