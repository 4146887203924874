//! Logit bias: numbers that are added to the logits of tokens.
//!
//! Source: llama.cpp, `llama_sampler_logit_bias_apply`; OpenAI's API reference, `logit_bias`. The biases of a token that is given
//! several times add up.

use super::table::Table;

/// Adds the biases to the table's logits; -∞ forbids a token.
pub(super) fn add(table: &mut Table<'_>, biases: &[(u32, f32)]) {
    for &(token, bias) in biases {
        table.change(token, |logit| logit + bias);
    }
}
