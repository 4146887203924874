//! Baichuan-13B and Baichuan2-13B. Source: the models' own `modeling_baichuan.py`.

use serde_json::json;

use super::{Family, Hparams, QKV, RMS_NORM_EPS, Row, TIED, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::{Result, bail};

pub const BAICHUAN: Family = Family {
    name: "Baichuan",
    classes: &["BaichuanForCausalLM", "BaiChuanForCausalLM", "baichuan"],
    arch: "baichuan",
    norm_eps_key: RMS_NORM_EPS,
    hparams,
    prefixes: &["model.", ""],
    rows: ROWS,
    ignored: &["future_mask"],
    pre: "gpt-2",
};

const ROWS: &[Row] = &[
    row("token_embd", "embed_tokens"),
    row("token_embd", "lm_head").tied(),
    row("attn_norm", "layers.{}.input_layernorm"),
    row("attn_q", "layers.{}.self_attn.W_pack").part(QKV, 0),
    row("attn_k", "layers.{}.self_attn.W_pack").part(QKV, 1),
    row("attn_v", "layers.{}.self_attn.W_pack").part(QKV, 2),
    row("attn_output", "layers.{}.self_attn.o_proj"),
    row("ffn_norm", "layers.{}.post_attention_layernorm"),
    row("ffn_gate", "layers.{}.mlp.gate_proj"),
    row("ffn_up", "layers.{}.mlp.up_proj"),
    row("ffn_down", "layers.{}.mlp.down_proj"),
    row("output_norm", "norm"),
    row("output", "lm_head"),
];

/// Size of the second generation's vocabulary, whose output (`NormHead`) divides each row by its length.
const BAICHUAN2_VOCAB: usize = 125_696;

fn hparams(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    // Only configurations of the 7B models have this key; those of the 13B have `model_max_length`.
    if config.has("max_position_embeddings") {
        bail!(
            config.refuse("`max_position_embeddings` is that of a 7B, with rotary positions: it cannot be converted")
        );
    }
    config.only("hidden_act", &[json!("silu"), json!("swish")])?;
    let n_vocab = config.count(&["vocab_size"])?;
    Ok(Hparams {
        n_vocab,
        n_ctx: config.count(&["model_max_length"])?,
        n_ff: config.count(&["intermediate_size"])?,
        norm_eps: config.number_from_0(&["rms_norm_eps"])?.unwrap_or(1e-6),
        tied: config.flag(TIED, false)?,
        // `z_loss_weight` is the weight of a loss that only the second generation was trained with.
        unit_output_rows: n_vocab == BAICHUAN2_VOCAB || config.has("z_loss_weight"),
        ..Hparams::decoder(
            config.count(&["hidden_size"])?,
            config.count(&["num_hidden_layers"])?,
            config.count(&["num_attention_heads"])?,
        )
    })
}
