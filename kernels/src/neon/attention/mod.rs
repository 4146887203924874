//! Attention over one block of stored keys and values, for one query head.
//!
//! - [`stored`]: how rows hold their quants; a row's sum of squares
//! - [`scores`]: products of a query with keys
//! - [`values`]: the sum of values, each times what it counts, with quants as [`factors`] in integers

mod factors;
mod scores;
mod stored;
mod values;

pub(super) use scores::score_block;
pub(super) use stored::sum_squares;
pub(super) use values::accumulate_block;
