//! Attention over one block of stored keys and values.
//!
//! - [`rows`]: stored rows, of floats or of [`quants`]; [`prefetch`] fetches the next older block while a walk is at this one
//! - [`scores`]: products of a query with keys
//! - [`values`]: the sum of values, each times its probability, which [`probs`] quantizes for quantized values
//! - [`tile`]: several queries at once, over a [`panel`] of the keys and one of the values

mod panel;
mod prefetch;
mod probs;
mod quants;
mod rows;
mod scores;
mod tile;
mod values;

pub(super) use scores::score_block;
pub(super) use tile::{attend_block_avx2, attend_block_avx512};
pub(super) use values::{accumulate_block, sum_squares};
