//! MPT of all sizes, StoryWriter, Replit-code v1 and v1.5, and mosaic_gpt (MPT-1b-redpajama), which has other key names.
//! Sources: transformers, `MptForCausalLM`; MosaicML's llm-foundry, `models/mpt`; Replit's `ReplitLM`.

use anyhow::{Result, bail};
use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;

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

/// The norms and the feed-forward were renamed after mosaic_gpt and Replit v1.
const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("attn_norm", "blocks.{}.norm_1").maybe_biased(),
    row("attn_norm", "blocks.{}.ln_1").maybe_biased(),
    row("attn_qkv", "blocks.{}.attn.Wqkv").maybe_biased(),
    row("attn_q_norm", "blocks.{}.attn.q_ln").maybe_biased().optional(),
    row("attn_k_norm", "blocks.{}.attn.k_ln").maybe_biased().optional(),
    row("attn_output", "blocks.{}.attn.out_proj").maybe_biased(),
    row("ffn_norm", "blocks.{}.norm_2").maybe_biased(),
    row("ffn_norm", "blocks.{}.ln_2").maybe_biased(),
    row("ffn_up", "blocks.{}.ffn.up_proj").maybe_biased(),
    row("ffn_up", "blocks.{}.mlp.mlp_up").maybe_biased(),
    row("ffn_down", "blocks.{}.ffn.down_proj").maybe_biased(),
    row("ffn_down", "blocks.{}.mlp.mlp_down").maybe_biased(),
    row("output_norm", "norm_f").maybe_biased(),
    row("output_norm", "ln_f").maybe_biased(),
    row("output", "lm_head").optional(),
];

/// What both have under the same names.
fn common(config: &Config) -> Result<Hparams> {
    config.only("norm_type", &[json!("low_precision_layernorm"), json!("layernorm")])?;
    config.only("logit_scale", &[])?;
    config.only("embedding_fraction", &[json!(1.0), json!(1)])?;
    if config.flag("learned_pos_emb", false)? && !is_alibi(config)? {
        bail!(config.refuse("positions are learned, not ALiBi: this cannot be converted"));
    }
    let n_embd = config.count(&["d_model", "hidden_size"])?;
    let n_layer = config.count(&["n_layers", "num_hidden_layers"])?;
    let n_head = config.count(&["n_heads", "num_attention_heads"])?;
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["max_seq_len"])?,
        norm_eps: config.optional_number(&["layer_norm_epsilon", "norm_eps"])?.unwrap_or(1e-5),
        ..Hparams::decoder(n_embd, n_layer, n_head)
    })
}

fn is_alibi(config: &Config) -> Result<bool> {
    Ok(config.within("attn_config")?.flag("alibi", false)? || config.flag("alibi", false)?)
}

/// The width of the feed-forward: a ratio, which need not be whole, or the number itself.
fn n_ff(config: &Config, ratio: &str, n_embd: usize) -> Result<usize> {
    if let Some(n_ff) = config.within("ffn_config")?.optional_count(&["ffn_hidden_size"])? {
        return Ok(n_ff);
    }
    Ok((config.optional_number(&[ratio])?.unwrap_or(4.0) * n_embd as f64) as usize)
}

fn no_alibi(config: &Config) -> anyhow::Error {
    config.refuse("`alibi` is not set: an MPT with other positions (learned, rotary) cannot be converted")
}

fn mpt(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    let attn = config.within("attn_config")?;
    // Replit v1 has the flat keys of mosaic_gpt, without the prefix.
    if !config.has("attn_config") && config.has("alibi") {
        return mosaic_gpt(config, checkpoint);
    }
    if !is_alibi(config)? {
        return Err(no_alibi(config));
    }
    attn.only("rope", &[json!(false)])?;
    attn.only("softmax_scale", &[])?;
    attn.only("prefix_lm", &[json!(false)])?;
    attn.only("qk_gn", &[json!(false)])?;
    attn.only("sliding_window_size", &[json!(-1)])?;
    let ffn = config.within("ffn_config")?;
    ffn.only("ffn_type", &[json!("mptmlp")])?;
    let hparams = common(config)?;
    let n_head_kv = match attn.text("attn_type")? {
        None | Some("multihead_attention") => hparams.n_head,
        Some("multiquery_attention") => 1,
        Some("grouped_query_attention") => attn.count(&["kv_n_heads"])?,
        Some(other) => bail!(attn.refuse(format_args!("`attn_type` {other} is not known"))),
    };
    Ok(Hparams {
        n_head_kv,
        n_ff: n_ff(config, "expansion_ratio", hparams.n_embd)?,
        max_alibi_bias: attn.optional_number(&["alibi_bias_max"])?.unwrap_or(8.0),
        clamp_kqv: attn.optional_number(&["clip_qkv"])?,
        ..hparams
    })
}

fn mosaic_gpt(config: &Config, _: &Checkpoint) -> Result<Hparams> {
    if !config.flag("alibi", false)? {
        return Err(no_alibi(config));
    }
    config.only("softmax_scale", &[])?;
    config.only("prefix_lm", &[json!(false)])?;
    let hparams = common(config)?;
    Ok(Hparams {
        n_ff: n_ff(config, "mlp_ratio", hparams.n_embd)?,
        max_alibi_bias: config.optional_number(&["alibi_bias_max"])?.unwrap_or(8.0),
        clamp_kqv: config.optional_number(&["attn_clip_qkv"])?,
        ..hparams
    })
}
