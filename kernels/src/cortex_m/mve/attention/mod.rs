//! Attention over one block of stored int8 and 4-bit keys and values.
//!
//! - [`scores`]: products of a query with keys, four keys at a time
//! - [`values`]: the sum of values, each times its probability, 16 columns in four registers; [`probs`]: probabilities as integers
//!
//! Numbers that could be subnormal, which Helium would flush, are left to the kernels of the DSP extension
//! ([`super::math::flushes_nothing`], `scores::add_bias`). Scores before the bias are like the products in [`super::matmul`],
//! and probabilities that are flushed have integers of zero anyway (`QuantizedProbs`).

mod probs;
mod scores;
mod values;

pub(super) use scores::score_block;
pub(super) use values::accumulate_block;
