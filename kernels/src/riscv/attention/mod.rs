//! Attention over one block of stored keys and values.
//!
//! - [`scores`]: products of a query with keys, four keys at a time
//! - [`values`]: the sum of values, each times its probability, eight columns at a time

mod scores;
mod values;

pub(super) use scores::score_block;
pub(super) use values::accumulate_block;
