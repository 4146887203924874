//! Quantized transformers with ALiBi (Attention with Linear Biases, [Press et al. 2021](https://arxiv.org/abs/2108.12409)),
//! without a heap, with the same bits on every machine.
//!
//! The model is a GGUF file, borrowed where it lies. All state lies in one arena, whose size [`MemoryPlan`] computes
//! beforehand. Attention makes the bias `-slope * distance` as it walks the keys, so there is no position table, and a text may
//! be as long as the KV cache allows.
//!
//! ```text
//!  GGUF bytes ─▶ Model ─▶ Session ─▶ logits ─▶ Sampler ─▶ token ─▶ Detokenizer ─▶ text
//!                  │         ▲                               │
//!              Tokenizer ── token ids ◀──────────────────────┘
//! ```
//!
//! An [`Encoder`] takes the place of the session for models that make a vector, or a score, of a whole document.
//!
//! # A text from a model
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nearfield::tokenizer::{Detokenizer, Tokenizer, Vocab};
//! use nearfield::{Arena, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Session, SessionConfig, kernels};
//! use nearfield::{Sampler, SamplerConfig};
//!
//! // On a board: `include_bytes!`, aligned. `Model` exists: every tensor was checked.
//! let file = std::fs::read("models/pocket.gguf")?;
//! let model = Model::from_gguf(&file)?;
//!
//! // The memory, all of it. On a board: a `static` of this size, computed in a `const`.
//! let kv = KvTypes::both(KvType::Q8_0);
//! let config = SessionConfig { n_ctx: 512, n_batch: 8, kv, ..SessionConfig::default() };
//! let plan = MemoryPlan::new(model.shape(), &config)?;
//! assert!(plan.total() <= 192 * 1024);
//! let mut memory = vec![Line::ZERO; plan.n_lines()];
//! let mut arena = Arena::new(&mut memory);
//!
//! let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
//! let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut arena)?;
//! let mut sampler = Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() })?;
//!
//! let mut tokens = [0; 64];
//! let n = tokenizer.encode("Once upon a time", tokenizer.options(), &mut tokens)?;
//! let mut token = sampler.sample(session.prefill(&tokens[..n])?);
//!
//! let mut text = String::new();
//! let mut detokenizer = Detokenizer::new(false);
//! for _ in 0..20 {
//!     detokenizer.push(&tokenizer, token, &mut text)?;
//!     sampler.accept(token);
//!     token = sampler.sample(session.decode(token)?);
//! }
//! detokenizer.finish(&mut text)?;
//! assert!(text.split_whitespace().count() > 5);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod alibi;
pub mod architecture;
mod attention;
mod cache;
mod checksum;
mod config;
mod const_math;
mod encoder;
mod executor;
mod forward;
pub mod gguf;
mod heads;
mod kv_type;
mod model;
mod plan;
mod planner;
mod ring;
mod rounded;
pub mod sampler;
mod sections;
mod session;
mod shape;
mod snapshot;
mod steps;
mod tensor;
pub mod tokenizer;

pub use checksum::checksum;
pub use config::{AlibiScale, PlanError, Ring, SessionConfig};
pub use encoder::{EncodeError, Encoder, EncoderConfig, EncoderError, EncoderPlan, Pooling};
pub use executor::{Executor, Inline};
pub use gguf::{Gguf, GgufError, TensorInfo};
pub use kv_type::{KvType, KvTypes};
pub use model::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
pub use nearfield_kernels as kernels;
pub use nearfield_kernels::{Arena, Line};
pub use plan::MemoryPlan;
pub use planner::{HeadPlan, bias_cut, fit_rings};
pub use sampler::{Sampler, SamplerConfig, SamplerError};
pub use session::{KeyStats, RewindError, RunError, Session, SessionError};
pub use shape::{Shape, ShapeError};
pub use snapshot::{ModelId, Prefix, PrefixError, Snapshot, SnapshotHeader, TextState};

/// Example of the README, compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
