//! Falcon-RW: the Falcons with ALiBi, biases and attention before the feed-forward. Source: transformers, `FalconForCausalLM`.

use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, TIED, agree, is_of, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::{Result, bail};

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
    row("token_embd", "lm_head").tied(),
    row("attn_norm", "h.{}.input_layernorm").biased(),
    row("attn_qkv", "h.{}.self_attention.query_key_value").deinterleaved().maybe_biased(),
    row("attn_output", "h.{}.self_attention.dense").maybe_biased(),
    row("ffn_norm", "h.{}.post_attention_layernorm").biased(),
    row("ffn_up", "h.{}.mlp.dense_h_to_4h").maybe_biased(),
    row("ffn_down", "h.{}.mlp.dense_4h_to_h").maybe_biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head"),
];

/// True for the bias of a matrix. Norms have biases whatever the configuration says.
fn is_bias_of_matrix(name: &str) -> bool {
    name.ends_with(".bias") && (name.contains(".self_attention.") || name.contains(".mlp."))
}

/// Class names of transformers. Their configurations have other defaults than the models' own code (`RWConfig`).
const IN_TRANSFORMERS: &[&str] = &["FalconForCausalLM", "FalconModel", "falcon"];

fn hparams(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    if !config.flag("alibi", false)? {
        bail!(config.refuse("`alibi` is not set: a Falcon with rotary positions (7b, 40b, 180b) cannot be converted"));
    }
    config.only("new_decoder_architecture", &[json!(false)])?;
    for key in ["multi_query", "parallel_attn"] {
        match is_of(config, IN_TRANSFORMERS) {
            true => config.only_with_default(key, &json!(true), &[json!(false)])?,
            false => config.only(key, &[json!(false)])?,
        }
    }
    config.only("apply_residual_connection_post_layernorm", &[json!(false)])?;
    config.only("activation", &[json!("gelu")])?;
    let n_embd = config.count(&["hidden_size", "n_embed"])?;
    let n_head = config.count(&["num_attention_heads", "n_head"])?;
    config.only("num_kv_heads", &[json!(n_head)])?;
    config.only("n_head_kv", &[json!(n_head)])?;
    let biased = Some(config.flag("bias", false)?);
    agree(config, "bias", biased, "biases", &is_bias_of_matrix, checkpoint)?;
    let n_ctx = match config.optional_positive_count(&["max_position_embeddings"])? {
        Some(n_ctx) => n_ctx,
        None => config.optional_positive_count(&["seq_length"])?.unwrap_or(2048),
    };
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx,
        n_ff: config.optional_positive_count(&["ffn_hidden_size"])?.unwrap_or(4 * n_embd),
        norm_eps: config.number_from_0(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        tied: config.flag(TIED, true)?,
        biased,
        ..Hparams::decoder(n_embd, config.count(&["num_hidden_layers", "n_layer"])?, n_head)
    })
}
