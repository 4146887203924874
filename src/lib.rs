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
//!              Tokenizer ── token ids ◀──────────────────────┘     Generator: the loop of these
//! ```
//!
//! An [`Encoder`] takes the place of the session for models that make a vector, or a score, of a whole document. Several texts share
//! a [`Batch`]: weights are read once for a token of each.
//!
//! # A text from a model
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nearfield::tokenizer::{Tokenizer, Vocab};
//! use nearfield::{Arena, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Session, SessionConfig, kernels};
//! use nearfield::{Generator, GeneratorConfig, Sampler, SamplerConfig, StopWords};
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
//!
//! let mut tokens = [0; 64];
//! let n = tokenizer.encode("Once upon a time", tokenizer.prompt_options(), &mut tokens)?;
//! let sampler = Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() })?;
//! let config = GeneratorConfig { max_tokens: Some(20), ..GeneratorConfig::default() };
//! let mut generator = Generator::new(sampler, config, StopWords::none());
//! generator.read(&mut session, &tokens[..n])?;
//!
//! let mut text = String::new();
//! while generator.next(&mut session, &tokenizer, &mut text)?.is_some() {}
//! generator.finish(&mut text)?;
//! assert!(text.split_whitespace().count() > 5);
//! # Ok(())
//! # }
//! ```
//!
//! On a board the model lies in flash ([`include_model!`]) and the arena is a `static` of the planned size
//! ([`MemoryPlan::of_file`]). `examples/` of the repository has both, an embedding and two sessions of one model.
//!
//! # Features
//!
//! | feature | default | what it builds in |
//! |---|---|---|
//! | `simd` | yes | kernels of processors with vectors: x86-64, AArch64, 32-bit Arm with Linux |
//! | `legacy` | yes | weights in Q4_0 and Q5_0 |
//! | `legacy_1` | yes | weights in Q4_1 and Q5_1 |
//! | `k` | yes | weights in Q2_K to Q6_K |
//! | `iq4` | yes | weights in IQ4_NL and IQ4_XS |
//! | `rare` | yes | weights in IQ1, IQ2, IQ3, TQ and MXFP4, with 9 KiB of tables |
//! | `kv_q4_0` | yes | keys and values in 4 bits ([`KvType::Q4_0`]) |
//! | `tokenizers` | yes | all tokenizers: the seven features below |
//! | `byte_level` | yes | BPE over bytes |
//! | `nfc` | yes | BPE over bytes of texts in NFC, with 15 KiB of tables |
//! | `character_bpe` | yes | BPE over characters |
//! | `sentencepiece` | yes | BPE of SentencePiece |
//! | `unigram` | yes | unigram of SentencePiece |
//! | `wordpiece` | yes | WordPiece |
//! | `single_word` | yes | added tokens that are found only as whole words, with 3 KiB of tables |
//! | `stream` | yes | layers that are not in memory ([`Stream`]) |
//! | `std` | no | `kernels::Pool`: threads, for machines with an operating system |
//! | `dsp` | no | kernels for the DSP extension of Cortex-M4F, M7 and M33 |
//! | `mve` | no | kernels for Helium (Cortex-M55); includes `dsp` |
//! | `defmt` | no | `defmt::Format` for public types and errors |
//!
//! Weights in F32, F16, BF16 and Q8_0 and keys and values in f32, f16 and q8_0 are always there. A model or configuration that
//! needs a missing feature gets an error that names it. [`features`] has those that a model needs.
//!
//! The steps of a sampler with memory, grammars, drafts and encoders have no features, since the linker leaves out what is not called.
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
mod error;
mod executor;
pub mod features;
mod forward;
mod generate;
pub mod gguf;
mod grammar;
mod hash;
mod heads;
mod include_model;
mod kv_type;
mod lengths;
mod model;
mod pass;
mod plan;
mod planned;
mod planner;
mod ring;
mod rounded;
pub mod sampler;
mod sections;
mod session;
mod shape;
mod snapshot;
mod steps;
mod stream;
mod tensor;
pub mod tokenizer;

pub use checksum::checksum;
pub use config::{AlibiScale, BatchConfig, PlanError, Ring, SessionConfig};
pub use encoder::{DocumentError, Encoder, EncoderConfig, EncoderError, EncoderPlan, Pooling};
pub use error::Error;
pub use executor::{Executor, Inline};
pub use generate::{
    ChunkTokens, DraftError, DraftModel, Drafter, End, GenerateError, Generator, GeneratorConfig, Lookup, StopWords,
};
pub use gguf::{Gguf, GgufError, TensorInfo};
pub use grammar::{
    Constraint, Grammar, GrammarError, MatchError, Matcher, MatcherConfig, Place, ProgramError, RuleName, TokenTrie,
    TrieError, TriePlan,
};
pub use kv_type::{KvType, KvTypes};
pub use model::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
pub use nearfield_kernels::{Arena, Line};
pub use plan::{BatchPlan, MemoryPlan};
pub use planner::{HeadPlan, bias_cut, fit_rings};
pub use sampler::{DryBreakers, Sampler, SamplerConfig, SamplerError, SamplerLists, TokenSet};
pub use session::{Batch, Chunk, ChunkError, KeyStats, RewindError, RunError, Sequence, Session, SessionError};
pub use shape::{Shape, ShapeError};
pub use snapshot::{ModelId, Prefix, PrefixError, Snapshot, SnapshotHeader, TextState};
pub use stream::{Storage, StorageError, Stream, StreamPlan};

/// Example of the README, compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Choosing the kernels of a session, and the types of weights.
///
/// The items here are the part of `nearfield-kernels` that is stable with this crate. Programs that implement
/// [`Kernels`](kernels::Kernels), or call them themselves, depend on that crate by its own name and version.
pub mod kernels {
    #[cfg(feature = "std")]
    pub use nearfield_kernels::Pool;
    pub use nearfield_kernels::{KV_BLOCK, Kernels, Layout, Matrix, WeightType, available, best, by_name};
}
