//! Encoders with a symmetric bias: Jina embeddings v2, Jina reranker v1, MosaicBERT and DNABERT-2.
//! Sources: the models' own `modeling_bert.py` and `bert_layers.py`.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{Encoder, Family, HALVES, Hparams, LAYER_NORM_EPS, Pooling, QKV, Row, row, rows_of};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;

pub const JINA: Family = Family {
    name: "Jina BERT v2",
    classes: &["JinaBertForMaskedLM", "JinaBertModel", "JinaBertForSequenceClassification"],
    arch: "jina-bert-v2",
    norm_eps_key: LAYER_NORM_EPS,
    hparams: jina,
    prefixes: &["bert.", ""],
    rows: ROWS,
    ignored: &["cls.*", "lm_head.*", "pooler.*"],
    pre: "gpt-2",
};

pub const MOSAIC_BERT: Family = Family {
    name: "MosaicBERT",
    classes: &["BertForMaskedLM", "BertModel", "BertForSequenceClassification", "bert"],
    hparams: mosaic,
    pre: "dnabert-2",
    ..JINA
};

/// `gated_layers` is [gate; up], the code model's `up_gated_layer` is [up; gate]; the gate is what goes through GELU.
const ROWS: &[Row] = &[
    row("token_embd", "embeddings.word_embeddings"),
    row("token_types", "embeddings.token_type_embeddings"),
    row("token_embd_norm", "embeddings.LayerNorm").biased(),
    row("attn_q", "encoder.layer.{}.attention.self.query").biased(),
    row("attn_q", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 0).biased(),
    row("attn_k", "encoder.layer.{}.attention.self.key").biased(),
    row("attn_k", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 1).biased(),
    row("attn_v", "encoder.layer.{}.attention.self.value").biased(),
    row("attn_v", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 2).biased(),
    row("attn_q_norm", "encoder.layer.{}.attention.self.layer_norm_q").biased().optional(),
    row("attn_k_norm", "encoder.layer.{}.attention.self.layer_norm_k").biased().optional(),
    row("attn_output", "encoder.layer.{}.attention.output.dense").biased(),
    row("attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm").biased(),
    row("attn_norm_2", "encoder.layer.{}.layer_norm_1").biased().optional(),
    row("ffn_gate", "encoder.layer.{}.mlp.gated_layers").part(HALVES, 0),
    row("ffn_gate", "encoder.layer.{}.mlp.up_gated_layer").part(HALVES, 1),
    row("ffn_gate", "encoder.layer.{}.mlp.gated_layers_w"),
    row("ffn_up", "encoder.layer.{}.mlp.gated_layers").part(HALVES, 1),
    row("ffn_up", "encoder.layer.{}.mlp.up_gated_layer").part(HALVES, 0),
    row("ffn_up", "encoder.layer.{}.mlp.gated_layers_v"),
    row("ffn_down", "encoder.layer.{}.mlp.wo").biased(),
    row("ffn_down", "encoder.layer.{}.mlp.down_layer").biased(),
    row("layer_output_norm", "encoder.layer.{}.mlp.layernorm").biased(),
    row("layer_output_norm", "encoder.layer.{}.layer_norm_2").biased(),
    // Of rerankers; an embedder may have a `pooler` that nothing uses.
    row("cls", "pooler.dense").biased(),
    row("cls.output", "classifier").biased(),
];

fn hparams(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    let types = ["bert.embeddings.token_type_embeddings.weight", "embeddings.token_type_embeddings.weight"];
    let classes = config.value("architectures").and_then(Value::as_array);
    let is_ranker = classes.is_some_and(|classes| classes.contains(&json!("JinaBertForSequenceClassification")));
    let pooling = if is_ranker { Pooling::Rank } else { Pooling::Mean };
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["max_position_embeddings"])?,
        n_ff: config.count(&["intermediate_size"])?,
        norm_eps: config.optional_number(&["layer_norm_eps"])?.unwrap_or(1e-12),
        encoder: Some(Encoder { n_token_types: rows_of(checkpoint, &types)?, pooling }),
        ..Hparams::decoder(
            config.count(&["hidden_size"])?,
            config.count(&["num_hidden_layers"])?,
            config.count(&["num_attention_heads"])?,
        )
    })
}

fn jina(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    if config.text("position_embedding_type")? != Some("alibi") {
        bail!(config.refuse("`position_embedding_type` is not \"alibi\": such a BERT cannot be converted"));
    }
    config.only("feed_forward_type", &[json!("geglu")])?;
    hparams(config, checkpoint)
}

fn mosaic(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    // A plain BERT has the same class; what MosaicML's code reads besides is this key.
    if !config.has("alibi_starting_size") {
        bail!(config.refuse("no `alibi_starting_size`: a BERT with position embeddings cannot be converted"));
    }
    hparams(config, checkpoint)
}
