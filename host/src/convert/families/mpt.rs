//! MPT of all sizes, StoryWriter, Replit-code v1 and v1.5, and mosaic_gpt (MPT-1b-redpajama), which has other key names.
//! Sources: transformers, `MptForCausalLM`; MosaicML's llm-foundry, `models/mpt`; Replit's `ReplitLM`.

use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, TIED, agree, is_of, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::{Result, bail};

pub const MPT: Family = Family {
    name: "MPT",
    classes: &["MPTForCausalLM", "MptForCausalLM", "MPTModel", "MptModel", "ReplitLM", "mpt", "replit_lm"],
    arch: "mpt",
    norm_eps_key: LAYER_NORM_EPS,
    hparams: mpt,
    prefixes: &["transformer.", ""],
    rows: ROWS,
    ignored: &[],
    pre: "mpt",
};

pub const MOSAIC_GPT: Family = Family {
    name: "MosaicGPT",
    classes: &["MosaicGPT", "mosaic_gpt"],
    hparams: mosaic_gpt,
    prefixes: &["model.transformer.", "transformer.", ""],
    ..MPT
};

/// Tensors of both generations: the norms and the feed-forward were renamed after mosaic_gpt and Replit v1.
const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("token_embd", "lm_head").tied(),
    row("attn_norm", "blocks.{}.norm_1").maybe_biased(),
    row("attn_norm", "blocks.{}.ln_1").maybe_biased(),
    row("attn_qkv", "blocks.{}.attn.Wqkv").maybe_biased(),
    row("attn_q_norm", "blocks.{}.attn.q_ln").maybe_biased().with_qk_norms(),
    row("attn_k_norm", "blocks.{}.attn.k_ln").maybe_biased().with_qk_norms(),
    row("attn_output", "blocks.{}.attn.out_proj").maybe_biased(),
    row("ffn_norm", "blocks.{}.norm_2").maybe_biased(),
    row("ffn_norm", "blocks.{}.ln_2").maybe_biased(),
    row("ffn_up", "blocks.{}.ffn.up_proj").maybe_biased(),
    row("ffn_up", "blocks.{}.mlp.mlp_up").maybe_biased(),
    row("ffn_down", "blocks.{}.ffn.down_proj").maybe_biased(),
    row("ffn_down", "blocks.{}.mlp.mlp_down").maybe_biased(),
    row("output_norm", "norm_f").maybe_biased(),
    row("output_norm", "ln_f").maybe_biased(),
    row("output", "lm_head"),
];

/// Class names of transformers: all of their models have ALiBi.
const IN_TRANSFORMERS: &[&str] = &["MptForCausalLM", "MptModel"];

/// Settings of attention: `attn_config` and its keys in MPT, the configuration itself with other keys in mosaic_gpt.
struct Attention {
    config: Config,
    qk_norms: &'static str,
    clip: &'static str,
}

/// Reads the settings that both generations have under the same names. Nothing depends on `attn_impl` and `fc_type` (other
/// kernels for the same result), on `embedding_fraction` (of gradients) and on `attn_uses_sequence_id` (of texts that are
/// packed together in training).
fn common(config: &Config, checkpoint: &Checkpoint, attention: &Attention, ratio: &str) -> Result<Hparams> {
    config.only("norm_type", &[json!("low_precision_layernorm"), json!("layernorm")])?;
    config.only("logit_scale", &[json!(1.0), json!(1)])?;
    for key in ["final_logit_softcapping", "block_overrides"] {
        config.only(key, &[])?;
    }
    let attn = &attention.config;
    for (key, value) in [
        ("rope", json!(false)),
        ("prefix_lm", json!(false)),
        ("qk_gn", json!(false)),
        ("sliding_window_size", json!(-1)),
        ("fused_qkv", json!(true)),
    ] {
        attn.only(key, &[value])?;
    }
    for key in ["kv_dim", "attn_logit_softcapping", "reuse_kv_layer_idx"] {
        attn.only(key, &[])?;
    }
    let ffn = config.within("ffn_config")?;
    ffn.only("ffn_type", &[json!("mptmlp")])?;
    ffn.only("ffn_act_fn", &[json!({"name": "gelu"}), json!({"name": "gelu", "approximate": "none"})])?;
    let n_embd = config.count(&["d_model", "hidden_size"])?;
    let n_layer = config.count(&["n_layers", "num_hidden_layers"])?;
    let n_head = config.count(&["n_heads", "num_attention_heads"])?;
    check_scale(attn, n_embd / n_head)?;
    // MosaicML's code leaves out biases and norms that are switched off, and transformers has neither: such tensors are not
    // used.
    let is_bias = |name: &str| name.ends_with(".bias") && !name.ends_with(".attn.bias");
    let biased = match config.has("no_bias") {
        true => Some(!config.flag("no_bias", true)?),
        false => None,
    };
    let is_norm = |name: &str| name.contains(".attn.q_ln.") || name.contains(".attn.k_ln.");
    agree(config, "no_bias", biased, "biases", &is_bias, checkpoint)?;
    let qk_norms = attn.flag(attention.qk_norms, false)?;
    agree(attn, attention.qk_norms, Some(qk_norms), "norms of queries and keys", &is_norm, checkpoint)?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["max_seq_len"])?,
        n_ff: n_ff(config, ratio, n_embd)?,
        norm_eps: config.number_from_0(&["layer_norm_epsilon", "norm_eps"])?.unwrap_or(1e-5),
        max_alibi_bias: attn.positive_number(&["alibi_bias_max"])?.unwrap_or(8.0),
        // MosaicML's code takes 0 as no limit, too.
        clamp_kqv: attn.number_from_0(&[attention.clip])?.filter(|&limit| limit > 0.0),
        tied: config.flag(TIED, true)?,
        biased,
        qk_norms,
        ..Hparams::decoder(n_embd, n_layer, n_head)
    })
}

/// Checks the scale of the scores: GGUF has no key for it, so only the usual one can be converted.
fn check_scale(attn: &Config, head_dim: usize) -> Result<()> {
    let usual = 1.0 / (head_dim as f64).sqrt();
    match attn.optional_number(&["softmax_scale"])? {
        Some(scale) if (scale / usual - 1.0).abs() > 1e-6 => {
            bail!(attn.refuse(format_args!(
                "`softmax_scale` is {scale}: only {usual} can be converted, 1 / sqrt({head_dim})"
            )))
        }
        _ => Ok(()),
    }
}

/// Width of the feed-forward: a ratio to `n_embd`, which need not be whole, or the number itself.
fn n_ff(config: &Config, ratio: &str, n_embd: usize) -> Result<usize> {
    if let Some(n_ff) = config.within("ffn_config")?.optional_positive_count(&["ffn_hidden_size"])? {
        return Ok(n_ff);
    }
    Ok((config.positive_number(&[ratio])?.unwrap_or(4.0) * n_embd as f64) as usize)
}

fn no_alibi(config: &Config) -> crate::error::Error {
    config.refuse("`alibi` is not set: an MPT with other positions (learned, rotary) cannot be converted")
}

fn mpt(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    // Replit v1 has the flat keys of mosaic_gpt, without the prefix.
    if !config.has("attn_config") && config.has("alibi") {
        return mosaic_gpt(config, checkpoint);
    }
    let attn = config.within("attn_config")?;
    if !attn.flag("alibi", is_of(config, IN_TRANSFORMERS))? {
        return Err(no_alibi(config));
    }
    let attention = Attention { config: attn, qk_norms: "qk_ln", clip: "clip_qkv" };
    let hparams = common(config, checkpoint, &attention, "expansion_ratio")?;
    let attn = &attention.config;
    let n_head_kv = match attn.text("attn_type")? {
        None | Some("multihead_attention") => hparams.n_head,
        Some("multiquery_attention") => 1,
        Some("grouped_query_attention") => attn.count(&["kv_n_heads"])?,
        Some(other) => bail!(attn.refuse(format_args!("`attn_type` {other} is not known"))),
    };
    Ok(Hparams { n_head_kv, ..hparams })
}

fn mosaic_gpt(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    if !config.flag("alibi", false)? {
        return Err(no_alibi(config));
    }
    let attention = Attention { config: config.clone(), qk_norms: "attn_qk_ln", clip: "attn_clip_qkv" };
    common(config, checkpoint, &attention, "mlp_ratio")
}
