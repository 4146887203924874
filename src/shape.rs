//! Hyperparameters that a model's memory and loops depend on, read from the GGUF header.

use core::fmt;

use crate::architecture::{Architecture, AttentionScale, Graph, MaxBias, Positions};
use crate::const_math::attempt;
use crate::gguf::{Gguf, GgufError, Value};

/// Greatest numbers of layers, heads and so on: far above any model, low enough that no product of a few overflows `u64`.
pub(crate) const MAX_LAYERS: u64 = 512;
const MAX_HEADS: u64 = 1024;
/// Greatest width of a head. Also bounds the scratch memory of one query.
pub(crate) const MAX_HEAD_DIM: u64 = 1024;
const MAX_WIDTH: u64 = 1 << 20;
const MAX_VOCAB: u64 = 1 << 24;
const MAX_CONTEXT: u64 = 1 << 24;

/// The shape of a model. All counts are at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Shape {
    /// Family of the model.
    pub arch: Architecture,
    /// Rows of the embedding and of the output matrix; may be padded beyond the tokenizer's tokens.
    pub n_vocab: usize,
    /// Context length of training. With ALiBi a text may be longer.
    pub n_ctx_train: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Number of query heads.
    pub n_head: usize,
    /// Number of KV heads; divides `n_head`.
    pub n_head_kv: usize,
    /// Width of a head; up to 1024.
    pub head_dim: usize,
    /// Width of the feed-forward.
    pub n_ff: usize,
    /// Epsilon of the norms, 0 or more.
    pub norm_eps: f32,
    /// Largest exponent of the ALiBi slopes, `max_bias` of [`crate::alibi::slope`].
    pub max_alibi_bias: f32,
    /// Length of text beyond which the slopes shrink ([`crate::alibi::slope_at`]), if they do.
    pub alibi_train_length: Option<usize>,
    /// Number of learned positions, if the model has them: no context is longer.
    pub n_positions: Option<usize>,
    /// Limit to which queries, keys and values are clamped (±), if at all.
    pub clamp_kqv: Option<f32>,
    /// Rows of an encoder's embedding of token types (first or second text of a pair); 0 when it has none.
    pub n_token_types: usize,
    /// Number of tokens of the file's tokenizer; 0 if it has none.
    pub n_tokens: usize,
    /// Number of merges of the file's tokenizer; 0 if it has none.
    pub n_merges: usize,
}

/// Error of a header that does not describe a model that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ShapeError {
    /// The bytes are not a GGUF file that can be read.
    Gguf(GgufError),
    /// `general.architecture` is missing or not a supported family.
    Architecture {
        /// The beginning of the name in the file, then zeros; all zeros when it is missing.
        found: [u8; 16],
    },
    /// A key is missing. Keys that begin with a dot stand after the architecture's name.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value is of the wrong type.
    Type {
        /// The key.
        key: &'static str,
        /// The type that was expected.
        want: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// A value is out of range.
    Range {
        /// The key.
        key: &'static str,
        /// The value in the file.
        found: u64,
        /// Smallest value that can run.
        min: u64,
        /// Largest value that can run.
        max: u64,
    },
    /// A float is negative or not finite.
    Float {
        /// The key.
        key: &'static str,
    },
    /// `n_embd` is not `n_head * head_dim`, or `n_head` not a multiple of `n_head_kv`.
    Heads {
        /// Width of the model.
        n_embd: u64,
        /// Number of query heads.
        n_head: u64,
        /// Number of KV heads.
        n_head_kv: u64,
    },
    /// The width of a head is above 1024.
    HeadDim {
        /// The width.
        found: u64,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Gguf(error) => error.fmt(f),
            Self::Architecture { found } => {
                let name = found.split(|&byte| byte == 0).next().unwrap_or(&[]);
                match name {
                    [] => f.write_str("general.architecture is missing, not one of:")?,
                    _ => write!(f, "general.architecture is {}, not one of:", name.escape_ascii())?,
                }
                crate::architecture::ARCHITECTURES.iter().try_for_each(|arch| write!(f, " {}", arch.name))
            }
            Self::Missing { key } => write!(f, "the metadata has no {key}"),
            Self::Type { key, want, found } => write!(f, "{key} is of type {found}, not {want}"),
            Self::Range { key, found, min, max } => write!(f, "{key} is {found}: {min} to {max} can run"),
            Self::Float { key } => write!(f, "{key} is not a finite number from 0 on"),
            Self::Heads { n_embd, n_head, n_head_kv } => {
                write!(f, "width {n_embd} does not divide into {n_head} heads, or these not among {n_head_kv} KV heads")
            }
            Self::HeadDim { found } => write!(f, "a head is {found} wide: up to {MAX_HEAD_DIM} can run"),
        }
    }
}

impl core::error::Error for ShapeError {}

impl Shape {
    /// Reads the shape from the header of a GGUF file. A `const fn`, so that a board knows its model's memory at compile time.
    ///
    /// # Errors
    /// [`ShapeError`] names the key at fault.
    pub const fn from_bytes(file: &[u8]) -> Result<Self, ShapeError> {
        match Gguf::parse(file) {
            Ok(gguf) => Self::from_gguf(&gguf),
            Err(error) => Err(ShapeError::Gguf(error)),
        }
    }

    /// Reads the shape from the metadata and the dimensions of the embeddings.
    ///
    /// # Errors
    /// [`ShapeError`] names the key at fault.
    pub const fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, ShapeError> {
        let arch = match gguf.get("general.architecture") {
            Some(Value::String(name)) => match Architecture::find(name) {
                Some(arch) => *arch,
                None => return Err(ShapeError::Architecture { found: beginning(name) }),
            },
            _ => return Err(ShapeError::Architecture { found: [0; 16] }),
        };
        let keys = Keys { gguf, prefix: arch.name };
        let n_embd = attempt!(keys.count(".embedding_length", MAX_WIDTH));
        let n_layer = attempt!(keys.count(".block_count", MAX_LAYERS));
        let n_head = attempt!(keys.count(".attention.head_count", MAX_HEADS));
        let n_head_kv = match attempt!(keys.optional_count(".attention.head_count_kv", MAX_HEADS)) {
            Some(n) => n,
            None => n_head,
        };
        let head_dim = match n_embd.checked_div(n_head) {
            Some(head_dim) if n_embd.is_multiple_of(n_head) && n_head.is_multiple_of(n_head_kv) => head_dim,
            _ => {
                return Err(ShapeError::Heads {
                    n_embd: n_embd as u64,
                    n_head: n_head as u64,
                    n_head_kv: n_head_kv as u64,
                });
            }
        };
        if head_dim as u64 > MAX_HEAD_DIM {
            return Err(ShapeError::HeadDim { found: head_dim as u64 });
        }
        let norm_eps = match attempt!(keys.float(arch.norm_eps_key)) {
            Some(eps) => eps,
            None => return Err(ShapeError::Missing { key: arch.norm_eps_key }),
        };
        let max_alibi_bias = match (attempt!(keys.float(".attention.max_alibi_bias")), arch.max_bias) {
            (Some(bias), _) => bias,
            (None, MaxBias::Default(bias)) => bias,
            (None, MaxBias::Layers(n, bias)) if n == n_layer => bias,
            (None, MaxBias::Layers(..) | MaxBias::Required) => {
                return Err(ShapeError::Missing { key: ".attention.max_alibi_bias" });
            }
        };
        let clamp_kqv = match attempt!(keys.float(".attention.clamp_kqv")) {
            // Converters write 0 for "no clamp".
            Some(limit) if limit > 0.0 => Some(limit),
            _ => None,
        };
        let n_vocab = match gguf.tensor("token_embd", ".weight") {
            Some(tensor) => {
                attempt!(in_range("token_embd.weight rows", tensor.dims[1], 1, MAX_VOCAB))
            }
            None => return Err(ShapeError::Missing { key: "token_embd.weight" }),
        };
        let n_token_types = match gguf.tensor("token_types", ".weight") {
            Some(tensor) if arch.is_encoder() => {
                attempt!(in_range("token_types.weight rows", tensor.dims[1], 1, MAX_VOCAB))
            }
            _ => 0,
        };
        let n_positions = match (gguf.tensor("position_embd", ".weight"), arch.positions) {
            (_, Positions::Bias) => None,
            (Some(tensor), _) => Some(attempt!(in_range("position_embd.weight rows", tensor.dims[1], 1, MAX_CONTEXT))),
            (None, Positions::BiasOrLearned) => None,
            (None, Positions::Learned) => return Err(ShapeError::Missing { key: "position_embd.weight" }),
        };
        Ok(Self {
            arch,
            n_vocab,
            n_ctx_train: attempt!(keys.count(".context_length", MAX_CONTEXT)),
            n_embd,
            n_layer,
            n_head,
            n_head_kv,
            head_dim,
            n_ff: attempt!(keys.count(".feed_forward_length", MAX_WIDTH)),
            norm_eps,
            max_alibi_bias,
            // No encoder is published with a length of training, and its text extends in both directions.
            alibi_train_length: match arch.graph {
                Graph::Encoder => None,
                Graph::Decoder => attempt!(keys.optional_count(".attention.alibi_train_length", MAX_CONTEXT)),
            },
            n_positions,
            clamp_kqv,
            n_token_types,
            n_tokens: attempt!(array_len(gguf, "tokenizer.ggml.tokens")),
            n_merges: attempt!(array_len(gguf, "tokenizer.ggml.merges")),
        })
    }

    /// Logits of a position, one for each token of the file's tokenizer: rows of a padded vocabulary stand for no token and have
    /// none. Without a tokenizer, one for each row.
    pub const fn n_logits(&self) -> usize {
        if 0 < self.n_tokens && self.n_tokens < self.n_vocab { self.n_tokens } else { self.n_vocab }
    }

    /// Number of query heads that share one KV head.
    pub const fn heads_per_kv(&self) -> usize {
        match self.n_head.checked_div(self.n_head_kv) {
            Some(n) => n,
            None => 0,
        }
    }

    /// Width of all keys (or values) of one position.
    pub const fn n_embd_kv(&self) -> usize {
        self.n_head_kv * self.head_dim
    }

    /// Width of a row of queries, keys and values together.
    pub const fn n_qkv(&self) -> usize {
        self.n_embd + 2 * self.n_embd_kv()
    }

    /// Factor of `q · k`.
    pub fn attention_scale(&self) -> f32 {
        match self.arch.scale {
            AttentionScale::InvSqrtHeadDim => 1.0 / libm::sqrtf(self.head_dim as f32),
            AttentionScale::InvHeadDim => 1.0 / self.head_dim as f32,
        }
    }

    /// Factor of `slope * distance`.
    pub fn bias_scale(&self) -> f32 {
        if self.arch.scaled_bias { self.attention_scale() } else { 1.0 }
    }
}

const fn in_range(key: &'static str, found: u64, min: u64, max: u64) -> Result<usize, ShapeError> {
    if found < min || found > max {
        return Err(ShapeError::Range { key, found, min, max });
    }
    Ok(found as usize)
}

const fn array_len(gguf: &Gguf<'_>, key: &'static str) -> Result<usize, ShapeError> {
    match gguf.get(key) {
        None => Ok(0),
        Some(Value::Array(array)) => in_range(key, array.len, 0, MAX_VOCAB),
        Some(value) => Err(ShapeError::Type { key, want: "an array", found: value.ty().name() }),
    }
}

/// First bytes of `name`, padded with zeros.
const fn beginning(name: &[u8]) -> [u8; 16] {
    let mut found = [0; 16];
    let mut i = 0;
    while i < name.len() && i < found.len() {
        found[i] = name[i];
        i += 1;
    }
    found
}

/// Metadata keys of one architecture.
struct Keys<'a, 'f> {
    gguf: &'a Gguf<'f>,
    prefix: &'static str,
}

impl Keys<'_, '_> {
    const fn optional_count(&self, key: &'static str, max: u64) -> Result<Option<usize>, ShapeError> {
        let Some(value) = self.gguf.get_joined(self.prefix, key) else { return Ok(None) };
        let Some(found) = value.as_u64() else {
            return Err(ShapeError::Type { key, want: "a count", found: value.ty().name() });
        };
        Ok(Some(attempt!(in_range(key, found, 1, max))))
    }

    const fn count(&self, key: &'static str, max: u64) -> Result<usize, ShapeError> {
        match attempt!(self.optional_count(key, max)) {
            Some(n) => Ok(n),
            None => Err(ShapeError::Missing { key }),
        }
    }

    /// Reads a finite float that is not negative; `None` if the key is missing.
    const fn float(&self, key: &'static str) -> Result<Option<f32>, ShapeError> {
        let Some(value) = self.gguf.get_joined(self.prefix, key) else { return Ok(None) };
        match value.as_f32() {
            Some(x) if x >= 0.0 && x < f32::INFINITY => Ok(Some(x)),
            Some(_) => Err(ShapeError::Float { key }),
            None => Err(ShapeError::Type { key, want: "a float", found: value.ty().name() }),
        }
    }
}
