//! Refact-1.6B. Source: the model's own `modeling_gpt_refact.py`.

use serde_json::json;

use super::{Family, HALVES, Hparams, KV, RMS_NORM_EPS, Row, TIED, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::Result;

pub const REFACT: Family = Family {
    name: "Refact",
    classes: &["GPTRefactForCausalLM", "gpt_refact"],
    arch: "refact",
    norm_eps_key: RMS_NORM_EPS,
    hparams,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "refact",
};

const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("token_embd", "lm_head").tied(),
    row("attn_norm", "h.{}.ln_1"),
    row("attn_q", "h.{}.attn.q"),
    row("attn_k", "h.{}.attn.kv").part(KV, 0),
    row("attn_v", "h.{}.attn.kv").part(KV, 1),
    row("attn_output", "h.{}.attn.c_proj"),
    row("ffn_norm", "h.{}.ln_2"),
    row("ffn_gate", "h.{}.mlp.gate_up_proj").part(HALVES, 0),
    row("ffn_up", "h.{}.mlp.gate_up_proj").part(HALVES, 1),
    row("ffn_down", "h.{}.mlp.c_proj"),
    row("output_norm", "ln_f"),
    row("output", "lm_head"),
];

fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    config.only("multi_query", &[json!(true)])?;
    config.only("scale_attn_weights", &[json!(true)])?;
    config.only("activation_function", &[json!("silu"), json!("swish")])?;
    let n_embd = config.count(&["n_embd", "hidden_size"])?;
    // The code has `hidden_dim = 4 n_inner; hidden_dim = int(2 * hidden_dim / 3)`, rounded up to a multiple of 256.
    let n_inner = config.optional_positive_count(&["n_inner"])?.unwrap_or(4 * n_embd);
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["n_positions"])?,
        n_head_kv: 1,
        n_ff: (2 * n_inner / 3).next_multiple_of(256),
        norm_eps: config.number_from_0(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        // The code has a separate output matrix, and ties it only if the configuration says so.
        tied: config.flag(TIED, false)?,
        ..Hparams::decoder(
            n_embd,
            config.count(&["n_layer", "num_hidden_layers"])?,
            config.count(&["n_head", "num_attention_heads"])?,
        )
    })
}
