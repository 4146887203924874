//! Attention over one block of stored keys and values.
//!
//! - [`rows`]: groups of 32 columns of stored rows
//! - [`scores`]: products of a query with keys, four keys at a time
//! - [`values`]: the sum of values, each times its probability, 32 columns at a time

mod rows;
mod scores;
mod values;

pub(super) use scores::score_block;
pub(super) use values::accumulate_block;
