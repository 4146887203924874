//! Jais of all sizes, and BTLM, which is the same graph. Sources: the models' own `modeling_jais.py` and `modeling_btlm.py`.

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;

pub const JAIS: Family = Family {
    name: "Jais",
    classes: &["JAISLMHeadModel", "JAISModel", "jais"],
    arch: "jais",
    norm_eps_key: LAYER_NORM_EPS,
    hparams,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "jais",
};

pub const BTLM: Family =
    Family { name: "BTLM", classes: &["BTLMLMHeadModel", "BTLMModel", "btlm"], pre: "gpt-2", ..JAIS };

/// `c_fc2` goes through SiLU, `c_fc` is multiplied with it.
const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("attn_norm", "h.{}.ln_1").biased(),
    row("attn_qkv", "h.{}.attn.c_attn").transposed().biased(),
    row("attn_output", "h.{}.attn.c_proj").transposed().biased(),
    row("ffn_norm", "h.{}.ln_2").biased(),
    row("ffn_gate", "h.{}.mlp.c_fc2").transposed().biased(),
    row("ffn_up", "h.{}.mlp.c_fc").transposed().biased(),
    row("ffn_down", "h.{}.mlp.c_proj").transposed().biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head").optional(),
];

fn hparams(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    config.only("activation_function", &[json!("swiglu")])?;
    config.only("position_embedding_type", &[json!("alibi")])?;
    config.only("scale_attn_weights", &[json!(true)])?;
    config.only("scale_attn_by_inverse_layer_idx", &[json!(false)])?;
    if !config.flag("mup_scale_qk_dot_by_d", false)? && !config.flag("scale_qk_dot_by_d", false)? {
        bail!(
            config
                .refuse("`mup_scale_qk_dot_by_d` is not set: only scores divided by the head's width can be converted")
        );
    }
    let n_embd = config.count(&["n_embd", "hidden_size"])?;
    let n_head = config.count(&["n_head", "num_attention_heads"])?;
    let n_positions = config.count(&["n_positions"])?;
    let output_scale = match config.optional_number(&["mup_output_alpha"])? {
        Some(alpha) => alpha * config.number(&["mup_width_scale"])?,
        None => config.optional_number(&["width_scale"])?.unwrap_or(1.0),
    };
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: n_positions,
        n_ff: config.optional_count(&["n_inner"])?.unwrap_or(4 * n_embd),
        norm_eps: config.optional_number(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        max_alibi_bias: max_alibi_bias(checkpoint, n_head)?,
        alibi_train_length: alibi_train_length(config)?,
        embedding_scale: config.optional_number(&["mup_embeddings_scale", "embeddings_scale"])?.unwrap_or(1.0),
        output_scale,
        ..Hparams::decoder(n_embd, config.count(&["n_layer", "num_hidden_layers"])?, n_head)
    })
}

/// Scaling of the slopes with the length, where the model says so; a factor that is always on cannot be said in the file.
fn alibi_train_length(config: &Config) -> Result<Option<usize>> {
    let scaling = config.within("alibi_scaling")?;
    scaling.only("type", &[json!("linear")])?;
    scaling.only("factor", &[json!(1.0), json!(1)])?;
    scaling.optional_count(&["train_seq_len"])
}

/// From the slopes, which some checkpoints store: the first is `2^(-max_bias / p)`, p the largest power of two up to the
/// number of heads.
fn max_alibi_bias(checkpoint: &Checkpoint, n_head: usize) -> Result<f64> {
    const PAPER: f64 = 8.0;
    let mut names = ["transformer.relative_pe.slopes", "relative_pe.slopes"].into_iter();
    let Some(name) = names.find(|name| checkpoint.shape(name).is_some()) else { return Ok(PAPER) };
    let slopes = checkpoint.tensor(name)?.with_context(|| format!("no tensor {name}"))?;
    let mut first = [0.0];
    slopes.dtype.read(slopes.bytes, &mut first);
    let p = 1 << n_head.ilog2();
    let max_bias = -(f64::from(first[0]).abs().log2() * f64::from(p)).round();
    if max_bias.is_finite() && max_bias > 0.0 {
        return Ok(max_bias);
    }
    bail!("the tensor {name} begins with {}, which is no slope", first[0])
}
