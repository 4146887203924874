//! nearfield: quantized ALiBi transformers without a heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod gguf;

pub use gguf::{Gguf, GgufError};
