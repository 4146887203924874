//! Jais of all sizes, and BTLM, which is the same graph. Sources: the models' own `modeling_jais.py` and `modeling_btlm.py`.

use nearfield::alibi;
use serde_json::json;

use super::{Family, Hparams, LAYER_NORM_EPS, Row, TIED, row};
use crate::convert::checkpoint::Checkpoint;
use crate::convert::config::Config;
use crate::error::{Context, Result, bail, ensure};

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

/// Tensors of Jais and BTLM. `c_fc2` goes through SiLU, `c_fc` is multiplied with it.
const ROWS: &[Row] = &[
    row("token_embd", "wte"),
    row("token_embd", "lm_head").tied(),
    row("attn_norm", "h.{}.ln_1").biased(),
    row("attn_qkv", "h.{}.attn.c_attn").transposed().biased(),
    row("attn_output", "h.{}.attn.c_proj").transposed().biased(),
    row("ffn_norm", "h.{}.ln_2").biased(),
    row("ffn_gate", "h.{}.mlp.c_fc2").transposed().biased(),
    row("ffn_up", "h.{}.mlp.c_fc").transposed().biased(),
    row("ffn_down", "h.{}.mlp.c_proj").transposed().biased(),
    row("output_norm", "ln_f").biased(),
    row("output", "lm_head"),
];

fn hparams(config: &Config, checkpoint: &Checkpoint) -> Result<Hparams> {
    config.only_with_default("activation_function", &json!("gelu_new"), &[json!("swiglu")])?;
    config.only_with_default("position_embedding_type", &json!("learned"), &[json!("alibi")])?;
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
    // `width_scale` is the whole scale; the other two keys are its factors.
    let factors = [config.positive_number(&["mup_output_alpha"])?, config.positive_number(&["mup_width_scale"])?];
    let output_scale = match (config.positive_number(&["width_scale"])?, factors) {
        (scale, [None, None]) => scale.unwrap_or(1.0),
        (None, [alpha, width]) => alpha.unwrap_or(1.0) * width.unwrap_or(1.0),
        (Some(_), _) => {
            bail!(config.refuse("both `width_scale` and `mup_output_alpha` or `mup_width_scale` are there"))
        }
    };
    Ok(Hparams {
        n_vocab: config.count(&["vocab_size"])?,
        n_ctx: n_positions,
        n_ff: config.optional_positive_count(&["n_inner"])?.unwrap_or(4 * n_embd),
        norm_eps: config.number_from_0(&["layer_norm_epsilon"])?.unwrap_or(1e-5),
        max_alibi_bias: max_alibi_bias(checkpoint, n_head)?,
        alibi_train_length: alibi_train_length(config)?,
        embedding_scale: config.positive_number(&["mup_embeddings_scale", "embeddings_scale"])?.unwrap_or(1.0),
        tied: config.flag(TIED, true)?,
        output_scale,
        ..Hparams::decoder(n_embd, config.count(&["n_layer", "num_hidden_layers"])?, n_head)
    })
}

/// Training length of slopes that shrink with the length of the text, where the model has them. A constant factor is refused:
/// GGUF has no key for it.
fn alibi_train_length(config: &Config) -> Result<Option<usize>> {
    if !config.has("alibi_scaling") {
        return Ok(None);
    }
    let scaling = config.within("alibi_scaling")?;
    scaling.only_with_default("type", &json!(null), &[json!("linear")])?;
    scaling.only("factor", &[json!(1.0), json!(1)])?;
    scaling.optional_positive_count(&["train_seq_len"])
}

/// Largest exponent of the slopes, computed from the slopes that some checkpoints store: the first is `2^(-max_bias / p)`, p
/// the largest power of two up to the number of heads. An error if the others do not follow from it.
fn max_alibi_bias(checkpoint: &Checkpoint, n_head: usize) -> Result<f64> {
    const PAPER: f64 = 8.0;
    /// Greatest relative error of slopes in BF16.
    const ROUNDING: f32 = 1.0 / 256.0;
    let mut names = ["transformer.relative_pe.slopes", "relative_pe.slopes"].into_iter();
    let Some(name) = names.find(|name| checkpoint.shape(name).is_some()) else { return Ok(PAPER) };
    let tensor = checkpoint.tensor(name)?.with_context(|| format!("no tensor {name}"))?;
    let n_slopes: u64 = tensor.shape.iter().product();
    ensure!(n_slopes == n_head as u64, "the tensor {name} has {n_slopes} slopes for {n_head} heads");
    let mut slopes = vec![0.0; n_head];
    tensor.dtype.read(tensor.bytes, &mut slopes);
    let first = slopes.first().copied().unwrap_or(0.0);
    let p = 1 << n_head.ilog2();
    let max_bias = -(f64::from(first).abs().log2() * f64::from(p)).round();
    ensure!(max_bias.is_finite() && max_bias > 0.0, "the tensor {name} begins with {first}, which is no slope");
    for (head, slope) in slopes.iter().enumerate() {
        let want = alibi::slope(head, n_head, max_bias as f32);
        let is_near = (slope.abs() - want).abs() <= want * ROUNDING;
        ensure!(is_near, "the tensor {name}: the slope of head {head} is {slope}, not {want}: it cannot be converted");
    }
    Ok(max_bias)
}
