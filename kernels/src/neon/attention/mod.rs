//! Attention over one block of stored keys and values, for one query head.
//!
//! - [`rows`]: unpacking of the quants of a row; a row's sum of squares
//! - [`scores`]: products of a query with keys
//! - [`values`]: the sum of values, each times its probability; for quants with integer factors ([`probs`])

mod probs;
mod rows;
mod scores;
mod values;

pub(super) use rows::sum_squares;
pub(super) use scores::score_block;
pub(super) use values::accumulate_block;
