//! Tiny models that every test can draw again, their GGUF files in every weight type, and their reference logits.
//!
//! A test target uses them by `mod reference;` (or `#[path = ...]`). README.md says how the numbers were made.
#![allow(dead_code)] // each test target uses a part

pub mod gguf_writer;
pub mod logits;
pub mod quantize;
pub mod quantize_iq4;
pub mod quantize_k;
pub mod tiny_gguf;
pub mod weights;
