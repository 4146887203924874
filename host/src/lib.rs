//! [`nearfield`] for machines with an operating system.
//!
//! Files, threads and memory around the library, which has none of them: what the command, and any other program that runs
//! models on a computer, stands on.

mod bytes;
pub mod chat;
pub mod convert;
pub mod encode;
pub mod engine;
pub mod error;
pub mod generate;
pub mod gguf_out;
pub mod imatrix;
mod marks;
pub mod memory;
pub mod model_file;
pub mod monitor;
pub mod npy;
pub mod output_file;
pub mod perplexity;
pub mod prompt;
pub mod quantize;
pub mod snapshot_file;
pub mod stops;
pub mod text;
pub mod watched;

mod lfs_pointer;
mod threads;

pub use bytes::Bytes;
pub use error::{Error, Result};
pub use monitor::Monitor;
