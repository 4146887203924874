//! Falcon-RW: the Falcons with ALiBi, biases and attention before the feed-forward. Source: transformers, `FalconForCausalLM`.

use anyhow::{Result, bail};
use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;

pub const FALCON_RW: Family = Family {
    name: "Falcon-RW",
    classes: &[
        "FalconForCausalLM",
        "FalconModel",
        "RWForCausalLM",
        "RWModel",
        "falcon",
        "RefinedWeb",
        "RefinedWebModel",
    ],
    arch: "falcon",
    norm_eps_key: LAYER_NORM_EPS,
    hparams,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "gpt-2",
};

const ROWS: &[Row] = &[
    row("token_embd", "word_embeddings"),
    row("attn_norm", "h.{}.input_layernorm").biased(),
    row("attn_qkv", "h.{}.self_attention.query_key_value").deinterleaved().maybe_biased(),
    row("attn_output", "h.{}.self_attention.dense").maybe_biased(),
    row("ffn_norm", "h.{}.post_attention_layernorm").biased(),
    row("ffn_up", "h.{}.mlp.dense_h_to_4h").maybe_biased(),
    row("ffn_down", "h.{}.mlp.dense_4h_to_h").maybe_biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head").optional(),
];

fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    if !config.flag("alibi", false)? {
        bail!(config.refuse("`alibi` is not set: a Falcon with rotary positions (7b, 40b, 180b) cannot be converted"));
    }
    config.only("new_decoder_architecture", &[json!(false)])?;
    config.only("multi_query", &[json!(false)])?;
    config.only("parallel_attn", &[json!(false)])?;
    config.only("apply_residual_connection_post_layernorm", &[json!(false)])?;
    config.only("activation", &[json!("gelu")])?;
    let n_embd = config.count(&["hidden_size", "n_embed"])?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.optional_count(&["max_position_embeddings", "seq_length"])?.unwrap_or(2048),
        n_ff: config.optional_count(&["ffn_hidden_size"])?.unwrap_or(4 * n_embd),
        norm_eps: config.optional_number(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        ..Hparams::decoder(
            n_embd,
            config.count(&["num_hidden_layers", "n_layer"])?,
            config.count(&["num_attention_heads", "n_head"])?,
        )
    })
}
