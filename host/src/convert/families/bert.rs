//! Encoders with a symmetric bias: Jina embeddings v2, Jina reranker v1, MosaicBERT and DNABERT-2.
//! Sources: the models' own `modeling_bert.py` and `bert_layers.py`.

use serde_json::{Value, json};

use super::{Encoder, Family, HALVES, Hparams, LAYER_NORM_EPS, Pooling, QKV, Row, TIED, row, rows_of};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::{Result, bail, ensure};

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

/// Tensors of all BERTs here. `gated_layers` is [gate; up], the code model's `up_gated_layer` is [up; gate]; the gate goes
/// through GELU.
const ROWS: &[Row] = &[
    row("token_embd", "embeddings.word_embeddings"),
    row("token_embd", "cls.predictions.decoder").tied(),
    row("token_embd", "lm_head.decoder").tied(),
    row("token_types", "embeddings.token_type_embeddings"),
    row("token_embd_norm", "embeddings.LayerNorm").biased(),
    row("attn_q", "encoder.layer.{}.attention.self.query").biased(),
    row("attn_q", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 0).biased(),
    row("attn_k", "encoder.layer.{}.attention.self.key").biased(),
    row("attn_k", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 1).biased(),
    row("attn_v", "encoder.layer.{}.attention.self.value").biased(),
    row("attn_v", "encoder.layer.{}.attention.self.Wqkv").part(QKV, 2).biased(),
    row("attn_q_norm", "encoder.layer.{}.attention.self.layer_norm_q").biased().with_qk_norms(),
    row("attn_k_norm", "encoder.layer.{}.attention.self.layer_norm_k").biased().with_qk_norms(),
    row("attn_output", "encoder.layer.{}.attention.output.dense").biased(),
    row("attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm").biased(),
    row("attn_norm_2", "encoder.layer.{}.layer_norm_1").biased().with_qk_norms(),
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
    // Rerankers use these two; an embedder may have a `pooler` that nothing uses.
    row("cls", "pooler.dense").biased(),
    row("cls.output", "classifier").biased(),
];

fn hparams(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    let types = ["bert.embeddings.token_type_embeddings.weight", "embeddings.token_type_embeddings.weight"];
    let classes = config.value("architectures").and_then(Value::as_array);
    let is_ranker = classes.is_some_and(|classes| classes.contains(&json!("JinaBertForSequenceClassification")));
    let pooling = if is_ranker { Pooling::Rank } else { Pooling::Mean };
    config.only("hidden_act", &[json!("gelu"), json!("gelu_python")])?;
    config.only("is_decoder", &[json!(false)])?;
    if is_ranker {
        config.only("num_labels", &[json!(1)])?;
        let n_labels = config.value("id2label").and_then(Value::as_object).map_or(1, |labels| labels.len());
        ensure!(n_labels == 1, config.refuse(format_args!("`id2label` has {n_labels} labels: a reranker has one")));
    }
    let n_token_types = match config.optional_count(&["type_vocab_size"])? {
        Some(n) => n,
        None => rows_of(checkpoint, &types)?,
    };
    let is_norm = |name: &str| {
        let is = |part| name.contains(part);
        is(".attention.self.layer_norm_q.") || is(".attention.self.layer_norm_k.") || is(".layer_norm_1.")
    };
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: config.count(&["max_position_embeddings"])?,
        n_ff: config.count(&["intermediate_size"])?,
        norm_eps: config.number_from_0(&["layer_norm_eps"])?.unwrap_or(1e-12),
        encoder: Some(Encoder { n_token_types, pooling }),
        tied: config.flag(TIED, true)?,
        // Only one of two published forms of the code has these three norms; no setting tells the forms apart.
        qk_norms: checkpoint.names().any(is_norm),
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
    config.only_with_default("feed_forward_type", &json!("original"), &[json!("geglu")])?;
    hparams(config, checkpoint)
}

fn mosaic(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    // A plain BERT has the same class; only MosaicML's models have this key.
    if !config.has("alibi_starting_size") {
        bail!(config.refuse("no `alibi_starting_size`: a BERT with position embeddings cannot be converted"));
    }
    hparams(config, checkpoint)
}
