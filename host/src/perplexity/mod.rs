//! Perplexity of a text at one or more context lengths.

mod score;
mod windows;

pub use score::Score;
pub use windows::{Protocol, Window};
