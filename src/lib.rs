//! nearfield: quantized ALiBi transformers without a heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod alibi;
pub mod architecture;
mod attention;
mod cache;
mod executor;
mod forward;
pub mod gguf;
mod model;
mod plan;
pub mod sampler;
mod session;
mod shape;
mod tensor;
pub mod tokenizer;

pub use executor::{Executor, Inline};
pub use gguf::{Gguf, GgufError};
pub use model::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
pub use nearfield_kernels as kernels;
pub use nearfield_kernels::{Arena, Line};
pub use plan::{KvType, MemoryPlan, PlanError, SessionConfig};
pub use sampler::{Sampler, SamplerConfig, SamplerError};
pub use session::{KeyStats, RunError, Session, SessionError};
pub use shape::{Shape, ShapeError};
