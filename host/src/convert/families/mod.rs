//! Families whose checkpoints can be converted, one file each.
//!
//! A family is data: the class names in `config.json`, a function that reads its numbers, and a table of tensors. Each line of
//! the table has a tensor's name in the file, its name in the checkpoint, and how its rows lie there. A new family is a new
//! file here and its line in [`FAMILIES`].

mod baichuan;
mod bert;
mod bloom;
mod falcon;
mod gpt2;
mod jais;
mod mpt;
mod refact;

use nearfield::architecture::Architecture;
use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, FROM_ORIGINAL};
use super::config::Config;
use crate::error::{Context, Result, bail};

/// Every family, in the order of the documentation.
pub const FAMILIES: &[&Family] = &[
    &bloom::BLOOM,
    &mpt::MPT,
    &mpt::MOSAIC_GPT,
    &falcon::FALCON_RW,
    &baichuan::BAICHUAN,
    &refact::REFACT,
    &jais::JAIS,
    &jais::BTLM,
    &gpt2::GPT2,
    &bert::JINA,
    &bert::MOSAIC_BERT,
];

/// Family of checkpoints.
pub struct Family {
    /// Name of the family, for messages.
    pub name: &'static str,
    /// Values of `architectures` in its `config.json`, else of `model_type`.
    pub classes: &'static [&'static str],
    /// Value of `general.architecture` in the file.
    pub arch: &'static str,
    /// Key of the norms' epsilon, after the architecture's name.
    pub norm_eps_key: &'static str,
    /// Reads the numbers; refuses settings that the tables here do not describe.
    pub hparams: fn(&Config, &Checkpoint) -> Result<Hparams>,
    /// Prefixes that tensor names may have. With several, each is tried.
    pub prefixes: &'static [&'static str],
    /// Tensors. Rows with the same target are alternatives: the first whose source is present counts.
    pub rows: &'static [Row],
    /// Tensors that are left out: endings of names or, with a star behind them, beginnings.
    pub ignored: &'static [&'static str],
    /// Value of `tokenizer.ggml.pre` for a vocabulary of merges, unless the checkpoint's own files describe another
    /// pre-tokenizer.
    pub pre: &'static str,
}

/// Tensors of any family that hold no weights: masks, positions, numbers that follow from the configuration.
const IGNORED: &[&str] = &[
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".rotary_emb.inv_freq",
    "position_ids",
    "relative_pe.slopes",
    "embeddings.token_type_ids",
];

/// Key that is true if the output is the embedding.
const TIED: &str = "tie_word_embeddings";
const LAYER_NORM_EPS: &str = "attention.layer_norm_epsilon";
const RMS_NORM_EPS: &str = "attention.layer_norm_rms_epsilon";

/// Hyperparameters of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Hparams {
    pub n_vocab: usize,
    /// Context that the model was trained for, in tokens.
    pub n_ctx: usize,
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_head_kv: usize,
    pub n_ff: usize,
    pub norm_eps: f64,
    /// Largest exponent of the slopes; 0 for a model without ALiBi.
    pub max_alibi_bias: f64,
    /// Queries, keys and values are clamped to ± this number.
    pub clamp_kqv: Option<f64>,
    /// Training length: in longer texts, slopes are multiplied by this number / length of the text.
    pub alibi_train_length: Option<usize>,
    /// Factor of the token embeddings.
    pub embedding_scale: f64,
    /// Factor of the logits.
    pub output_scale: f64,
    /// True if the rows of the output matrix are divided by their lengths.
    pub unit_output_rows: bool,
    /// True if the output may be the embedding: one of the two is stored, or both.
    pub tied: bool,
    /// True if matrices and norms whose row is [`Bias::Configured`] have biases; `None`: those that the checkpoint has.
    pub biased: Option<bool>,
    /// True if queries and keys are normalised.
    pub qk_norms: bool,
    /// Numbers of an encoder; `None` for a decoder.
    pub encoder: Option<Encoder>,
}

/// Hyperparameters that only encoders have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoder {
    pub n_token_types: usize,
    pub pooling: Pooling,
}

/// Method that turns an encoder's rows into one: GGUF's `pooling_type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pooling {
    Mean = 1,
    /// First row.
    Cls = 2,
    /// Last row.
    Last = 3,
    /// Score by a classification head.
    Rank = 4,
}

impl Hparams {
    /// Decoder of this shape, with the slopes of the paper and the usual value of everything else.
    fn decoder(n_embd: usize, n_layer: usize, n_head: usize) -> Self {
        Self {
            n_vocab: 0,
            n_ctx: 0,
            n_embd,
            n_layer,
            n_head,
            n_head_kv: n_head,
            n_ff: 4 * n_embd,
            norm_eps: 1e-5,
            max_alibi_bias: 8.0,
            clamp_kqv: None,
            alibi_train_length: None,
            embedding_scale: 1.0,
            output_scale: 1.0,
            unit_output_rows: false,
            tied: true,
            biased: Some(false),
            qk_norms: false,
            encoder: None,
        }
    }

    /// True if the model gives a score.
    pub fn is_ranker(&self) -> bool {
        self.encoder.is_some_and(|encoder| encoder.pooling == Pooling::Rank)
    }

    /// Checks that the numbers of heads divide each other and the width; the error is a message.
    pub fn check(&self) -> Result<(), String> {
        let Self { n_embd, n_head, n_head_kv, .. } = *self;
        if n_head == 0 || !n_embd.is_multiple_of(n_head) {
            return Err(format!("a width of {n_embd} cannot be shared by {n_head} heads"));
        }
        if n_head_kv == 0 || !n_head.is_multiple_of(n_head_kv) {
            return Err(format!("{n_head} heads cannot share {n_head_kv} of keys and values"));
        }
        Ok(())
    }

    pub fn head_dim(&self) -> usize {
        self.n_embd.checked_div(self.n_head).unwrap_or(0)
    }

    pub fn n_embd_kv(&self) -> usize {
        self.head_dim() * self.n_head_kv
    }
}

/// Tensor of the file and its source.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name in the file, without `blk.N.` and `.weight`.
    pub to: &'static str,
    /// Name in the checkpoint, without the family's prefix and `.weight`; `{}` is the layer.
    pub from: &'static str,
    /// Rows of the source that make the tensor.
    pub rows: Rows,
    /// True if the source is stored `[columns, rows]` (`Conv1D`).
    pub transposed: bool,
    /// Presence of a `.bias` beside the `.weight`.
    pub bias: Bias,
    /// True if the source stands in for another where the output is the embedding.
    pub tied: bool,
    /// True if the tensor exists only in models that normalise queries and keys.
    pub with_qk_norms: bool,
}

/// Rows of a source that make a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All rows, in their order.
    All,
    /// All rows: `[n_head, 3, head_dim]` in the source, `[3, n_head, head_dim]` in the file.
    Deinterleaved,
    /// Part of the source, by its index: the source consists of these parts, one after the other.
    Part(&'static [Part], usize),
}

/// Rows of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Queries: `n_embd`.
    Q,
    /// Keys, or values: `n_embd_kv`.
    Kv,
    /// Half of a gated feed-forward: `n_ff`.
    Ff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    Never,
    /// Biases by [`Hparams::biased`].
    Configured,
    Always,
}

const fn row(to: &'static str, from: &'static str) -> Row {
    Row { to, from, rows: Rows::All, transposed: false, bias: Bias::Never, tied: false, with_qk_norms: false }
}

impl Row {
    /// Row with a bias.
    const fn biased(self) -> Self {
        Self { bias: Bias::Always, ..self }
    }

    /// Row with a bias if [`Hparams::biased`] says so.
    const fn maybe_biased(self) -> Self {
        Self { bias: Bias::Configured, ..self }
    }

    /// Source that stands in for one that is not stored, where the output is the embedding.
    const fn tied(self) -> Self {
        Self { tied: true, ..self }
    }

    /// Row that exists only where queries and keys are normalised.
    const fn with_qk_norms(self) -> Self {
        Self { with_qk_norms: true, ..self }
    }

    const fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    const fn deinterleaved(self) -> Self {
        Self { rows: Rows::Deinterleaved, ..self }
    }

    const fn part(self, parts: &'static [Part], i: usize) -> Self {
        Self { rows: Rows::Part(parts, i), ..self }
    }

    /// True if the checkpoint has one such tensor for each layer.
    pub const fn is_layered(&self) -> bool {
        let mut bytes = self.from.as_bytes();
        while let [first, rest @ ..] = bytes {
            if *first == b'{' {
                return true;
            }
            bytes = rest;
        }
        false
    }
}

/// Queries, keys and values in one matrix.
const QKV: &[Part] = &[Part::Q, Part::Kv, Part::Kv];
/// Keys and values in one matrix.
const KV: &[Part] = &[Part::Kv, Part::Kv];
/// Gate and up projection of a gated feed-forward in one matrix.
const HALVES: &[Part] = &[Part::Ff, Part::Ff];

impl Family {
    /// Family of a directory, by its `config.json`.
    pub fn of(config: &Config) -> Result<&'static Self> {
        let classes = classes(config)?;
        let find = |class: &&str| FAMILIES.iter().copied().find(|family| family.classes.contains(class));
        let found = classes.iter().find_map(find);
        found.with_context(|| match classes.first() {
            Some(class) => config.refuse(format_args!("{class} is no known architecture: {}", known())).to_string(),
            None => config.refuse("neither `architectures` nor `model_type` says what it is").to_string(),
        })
    }

    /// True if files of this architecture store an output even where it is the embedding.
    pub fn owns_output(&self) -> bool {
        Architecture::find(self.arch.as_bytes()).is_some_and(|arch| arch.own_output)
    }

    /// True if a tensor of this name can be one of the table's.
    pub fn has_place(&self, name: &str) -> bool {
        let Some(name) = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias")) else { return false };
        let is_row = |name: &str, row: &Row| match row.from.split_once("{}") {
            None => name == row.from,
            Some((before, behind)) => {
                let layer = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
                layer.is_some_and(|layer| layer.parse::<usize>().is_ok())
            }
        };
        let bare = self.prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix));
        bare.into_iter().any(|name| self.rows.iter().any(|row| is_row(name, row)))
    }

    /// True if a tensor of the checkpoint may be left out.
    pub fn ignores(&self, name: &str) -> bool {
        let without_prefix = |prefix: &&str| name.strip_prefix(prefix);
        let bare = self.prefixes.iter().find_map(without_prefix).unwrap_or(name);
        self.ignored.iter().chain(IGNORED).any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning) || bare.starts_with(beginning),
            None => name.ends_with(pattern),
        })
    }
}

/// Names of all known classes, for a message.
fn known() -> String {
    let classes: Vec<&str> = FAMILIES.iter().filter_map(|family| family.classes.first().copied()).collect();
    format!("known are {}", classes.join(", "))
}

/// Names that a configuration gives its model: `architectures`, classes of its own code, `model_type`.
fn classes(config: &Config) -> Result<Vec<&str>> {
    let mut classes: Vec<&str> = match config.value("architectures") {
        Some(Value::Array(classes)) => classes.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(Value::Object(map)) = config.value("auto_map") {
        // A value of `auto_map` is, for example, "modeling_mpt.MPTForCausalLM".
        classes.extend(map.values().filter_map(Value::as_str).filter_map(|class| class.rsplit('.').next()));
    }
    classes.extend(config.text("model_type")?);
    Ok(classes)
}

/// True if the class by which a model is known is one of `some`.
fn is_of(config: &Config, some: &[&str]) -> bool {
    let is_known = |class: &&str| FAMILIES.iter().any(|family| family.classes.contains(class));
    classes(config).is_ok_and(|classes| classes.into_iter().find(is_known).is_some_and(|class| some.contains(&class)))
}

/// Checks that a checkpoint has tensors of a kind exactly where the setting `key` says so. Tensors that a model's code leaves
/// out are used by no model.
fn agree(
    config: &Config,
    key: &str,
    says: Option<bool>,
    what: &str,
    is_one: &dyn Fn(&str) -> bool,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let value = config.value(key).map_or("not set".to_owned(), Value::to_string);
    match (says, checkpoint.names().find(|name| is_one(name))) {
        (Some(true), None) => bail!(config.refuse(format_args!("`{key}` is {value}, and there are no {what}"))),
        (Some(false), Some(name)) => {
            bail!(config.refuse(format_args!("`{key}` is {value}, and there is a tensor {name}")))
        }
        _ => Ok(()),
    }
}

/// Refuses settings that no family here supports.
pub fn check_common(config: &Config) -> Result<()> {
    for key in ["quantization_config", "compression_config"] {
        if config.has(key) {
            let quantization = config.within(key)?;
            let method = quantization.text("quant_method").ok().flatten().unwrap_or("some method");
            bail!(config.refuse(format_args!("the weights are quantized ({method}): {FROM_ORIGINAL}")));
        }
    }
    for key in ["is_encoder_decoder", "add_cross_attention"] {
        config.only(key, &[json!(false)])?;
    }
    Ok(())
}

/// Number of rows of the first of these tensors, for a family whose configuration does not have it.
fn rows_of(checkpoint: &Checkpoint, names: &[&str]) -> Result<usize> {
    for name in names {
        if let Some([rows, ..]) = checkpoint.shape(name) {
            return usize::try_from(*rows).ok().with_context(|| format!("the tensor {name} is too large"));
        }
    }
    bail!("no tensor {}", names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_family() {
        let classes: Vec<&str> = FAMILIES.iter().flat_map(|family| family.classes).copied().collect();
        for class in &classes {
            assert_eq!(classes.iter().filter(|other| *other == class).count(), 1, "{class}");
        }
    }

    #[test]
    fn masks_are_ignored_and_weights_are_not() {
        let gpt2 = &gpt2::GPT2;
        assert!(gpt2.ignores("transformer.h.0.attn.bias") && gpt2.ignores("h.3.attn.masked_bias"));
        assert!(!gpt2.ignores("transformer.h.0.attn.c_attn.bias") && !gpt2.ignores("transformer.h.0.extra.weight"));
    }
}
