//! Attention over one block of stored keys and values.
//!
//! - [`scores`]: products of a query with keys, four keys at a time
//! - [`values`]: the sum of values, each times its probability, four columns at a time; [`probs`]: probabilities as integers

mod probs;
mod scores;
mod values;

pub(in crate::cortex_m) use scores::score_block;
pub(in crate::cortex_m) use values::accumulate_block;
