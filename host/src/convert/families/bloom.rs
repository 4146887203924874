//! BLOOM, BLOOMZ, gpt3-finnish, Poro, BLUUMI. Source: transformers, `BloomForCausalLM`.

use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, TIED, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::Result;

pub const BLOOM: Family = Family {
    name: "BLOOM",
    classes: &["BloomForCausalLM", "BloomModel", "bloom"],
    arch: "bloom",
    norm_eps_key: LAYER_NORM_EPS,
    hparams,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "bloom",
};

const ROWS: &[Row] = &[
    row("token_embd", "word_embeddings"),
    row("token_embd", "lm_head").tied(),
    row("token_embd_norm", "word_embeddings_layernorm").biased(),
    row("attn_norm", "h.{}.input_layernorm").biased(),
    row("attn_qkv", "h.{}.self_attention.query_key_value").deinterleaved().biased(),
    row("attn_output", "h.{}.self_attention.dense").biased(),
    row("ffn_norm", "h.{}.post_attention_layernorm").biased(),
    row("ffn_up", "h.{}.mlp.dense_h_to_4h").biased(),
    row("ffn_down", "h.{}.mlp.dense_4h_to_h").biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head"),
];

/// Reads the numbers. Other settings change nothing: `pretraining_tp` and `slow_but_exact` split the same products in another
/// way, and the code has one activation and one width of the feed-forward.
fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    config.only("apply_residual_connection_post_layernorm", &[json!(false)])?;
    let n_embd = config.count(&["hidden_size", "n_embed"])?;
    let n_layer = config.count(&["n_layer", "num_hidden_layers"])?;
    let n_head = config.count(&["n_head", "num_attention_heads"])?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.optional_count(&["seq_length"])?.unwrap_or(2048),
        norm_eps: config.number_from_0(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        tied: config.flag(TIED, true)?,
        ..Hparams::decoder(n_embd, n_layer, n_head)
    })
}
