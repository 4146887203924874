//! GPT-2: learned positions, no ALiBi. Source: transformers, `GPT2LMHeadModel`.

use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, TIED, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::Result;

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
    row("token_embd", "lm_head").tied(),
    row("position_embd", "wpe"),
    row("attn_norm", "h.{}.ln_1").biased(),
    row("attn_qkv", "h.{}.attn.c_attn").transposed().biased(),
    row("attn_output", "h.{}.attn.c_proj").transposed().biased(),
    row("ffn_norm", "h.{}.ln_2").biased(),
    row("ffn_up", "h.{}.mlp.c_fc").transposed().biased(),
    row("ffn_down", "h.{}.mlp.c_proj").transposed().biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head"),
];

fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    // All of these are GELU's tanh form. `reorder_and_upcast_attn` changes no more than the rounding of half-precision scores.
    let tanh_forms = ["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate"];
    config.only("activation_function", &tanh_forms.map(|name| json!(name)))?;
    config.only("scale_attn_weights", &[json!(true)])?;
    config.only("scale_attn_by_inverse_layer_idx", &[json!(false)])?;
    let n_embd = config.count(&["n_embd", "hidden_size"])?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        // `n_ctx` is the older name, and is ignored where both are present.
        n_ctx: if config.has("n_positions") { config.count(&["n_positions"])? } else { config.count(&["n_ctx"])? },
        n_ff: config.optional_positive_count(&["n_inner"])?.unwrap_or(4 * n_embd),
        norm_eps: config.number_from_0(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        tied: config.flag(TIED, true)?,
        max_alibi_bias: 0.0,
        ..Hparams::decoder(
            n_embd,
            config.count(&["n_layer", "num_hidden_layers"])?,
            config.count(&["n_head", "num_attention_heads"])?,
        )
    })
}
