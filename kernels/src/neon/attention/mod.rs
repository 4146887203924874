//! Attention over one block of stored keys and values, for one query head.
//!
//! - [`rows`]: how rows hold their quants; a row's sum of squares
//! - [`scores`]: products of a query with keys
//! - [`values`]: the sum of values, each times what it counts, with quants as [`probs`] in integers

mod probs;
mod rows;
mod scores;
mod values;

pub(super) use rows::sum_squares;
pub(super) use scores::score_block;
pub(super) use values::accumulate_block;
