//! Perplexity of a text at one or more context lengths.
//!
//! - [`Protocol`]: windows of tokens that are run together, and the tokens in them that count
//! - [`Score`]: negative log-likelihood of tokens
//! - [`Journal`]: windows that are done, so that an interrupted measurement goes on
//! - [`Evaluation`]: the measurement

mod evaluation;
mod journal;
mod score;
mod text;
mod windows;

pub use evaluation::Evaluation;
pub use journal::Journal;
pub use score::Score;
pub use text::Text;
pub use windows::{Protocol, Window};
