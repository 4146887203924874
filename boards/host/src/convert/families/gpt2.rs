//! GPT-2: learned positions, no ALiBi. Source: transformers, `GPT2LMHeadModel`.

use anyhow::Result;
use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;

pub const GPT2: Family = Family {
    name: "GPT-2",
    classes: &["GPT2LMHeadModel", "GPT2Model", "gpt2"],
    arch: "gpt2",
    norm_eps_key: LAYER_NORM_EPS,
    hparams,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "gpt-2",
};

const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("position_embd", "wpe"),
    row("attn_norm", "h.{}.ln_1").biased(),
    row("attn_qkv", "h.{}.attn.c_attn").transposed().biased(),
    row("attn_output", "h.{}.attn.c_proj").transposed().biased(),
    row("ffn_norm", "h.{}.ln_2").biased(),
    row("ffn_up", "h.{}.mlp.c_fc").transposed().biased(),
    row("ffn_down", "h.{}.mlp.c_proj").transposed().biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head").optional(),
];

fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    config.only("activation_function", &[json!("gelu_new"), json!("gelu_pytorch_tanh"), json!("gelu_fast")])?;
    config.only("scale_attn_weights", &[json!(true)])?;
    config.only("scale_attn_by_inverse_layer_idx", &[json!(false)])?;
    config.only("add_cross_attention", &[json!(false)])?;
    let n_embd = config.count(&["n_embd", "hidden_size"])?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["n_positions", "n_ctx"])?,
        n_ff: config.optional_count(&["n_inner"])?.unwrap_or(4 * n_embd),
        norm_eps: config.optional_number(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        max_alibi_bias: 0.0,
        ..Hparams::decoder(
            n_embd,
            config.count(&["n_layer", "num_hidden_layers"])?,
            config.count(&["n_head", "num_attention_heads"])?,
        )
    })
}
