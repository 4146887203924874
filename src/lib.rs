//! nearfield: quantized ALiBi transformers without a heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod alibi;
pub mod architecture;
pub mod gguf;
mod shape;

pub use gguf::{Gguf, GgufError};
pub use shape::{Shape, ShapeError};
