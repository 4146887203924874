//! nearfield: quantized ALiBi transformers without a heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod alibi;
pub mod architecture;
pub mod gguf;
mod model;
mod shape;
mod tensor;

pub use gguf::{Gguf, GgufError};
pub use model::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
pub use shape::{Shape, ShapeError};
