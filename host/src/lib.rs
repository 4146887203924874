//! [`nearfield`] on machines with an operating system: files, threads and memory, which the library itself lacks.
//!
//! The `nearfield` command is built on this crate; a server or a binding for another language can be, too. The crate prints
//! nothing and watches no signals: a [`Monitor`] passes notes and progress to the caller and can cancel the work, and each
//! failure is an [`Error`].
//!
//! | module | task |
//! |---|---|
//! | [`model_file`] | a GGUF file: mapped, split, packed, or interleaved in memory |
//! | [`hub`] | models of the Hugging Face Hub, by name |
//! | [`engine`], [`memory`] | kernels, threads, arenas |
//! | [`generate`], [`prompt`], [`chat`], [`sampler`], [`stops`] | text generation and conversations |
//! | [`logprobs`] | log-probabilities of generated tokens |
//! | [`grammar`] | texts that are held to a grammar, a JSON Schema or choices |
//! | [`encode`] | vectors and scores of encoders |
//! | [`perplexity`] | perplexity of a text |
//! | [`plan`] | memory of sessions, rings for a budget, machines |
//! | [`convert`], [`quantize`], [`imatrix`] | new model files |
//! | [`gguf_out`], [`output_file`], [`snapshot_file`], [`npy`] | files that are written whole or not at all |
//! | [`text`] | the tokenizer of a model file |
//!
//! [`generate`] begins with a program that writes a text.

mod bytes;
pub mod chat;
pub mod convert;
mod count;
pub mod draft;
pub mod encode;
pub mod engine;
pub mod error;
pub mod generate;
pub mod gguf_out;
pub mod grammar;
pub mod hub;
pub mod imatrix;
pub mod logprobs;
mod marks;
pub mod memory;
pub mod model_file;
pub mod monitor;
pub mod npy;
pub mod output_file;
pub mod perplexity;
pub mod plan;
pub mod prompt;
pub mod quantize;
pub mod sampler;
pub mod snapshot_file;
pub mod stops;
pub mod text;
pub mod watched;

mod lfs_pointer;
mod threads;

pub use bytes::Bytes;
pub use count::Count;
pub use error::{Error, Result};
pub use monitor::Monitor;
