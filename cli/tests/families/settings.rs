//! Settings of configurations: settings that a file cannot express are refused before anything is written, settings without
//! effect change nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::hugging_face;
use crate::model::{self, Floats, Model};
use crate::{nearfield, path};

/// Folder of a model, its changed setting (the key or the path to it; `null` for none), and a part of the error.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("bloom-h6", "apply_residual_connection_post_layernorm", "true", "`apply_residual_connection_post_layernorm` is true: only false"),
    ("bloom-h6", "layer_norm_epsilon", "-1e-5", "`layer_norm_epsilon` is -0.00001, not a number from 0 on"),
    ("bloom-h6", "layer_norm_epsilon", "1e39", "`layer_norm_epsilon` is 1e+39, not a number that F32 holds"),
    ("bloom-h6", "layer_norm_epsilon", "\"NaN\"", "`layer_norm_epsilon` is \"NaN\", not a number from 0 on"),
    ("bloom-h6", "n_head", "3", "`n_head` is 3, and `num_attention_heads` 6"),
    ("bloom-h6", "is_encoder_decoder", "true", "`is_encoder_decoder` is true: only false"),
    ("mpt-storywriter", "attn_config/alibi_bias_max", "0", "`alibi_bias_max` is 0, not a number above 0"),
    ("mpt-storywriter", "attn_config/alibi_bias_max", "-8", "`alibi_bias_max` is -8, not a number above 0"),
    ("mpt-storywriter", "attn_config/clip_qkv", "-1", "`clip_qkv` is -1, not a number from 0 on"),
    ("mpt-storywriter", "attn_config/clip_qkv", "\"6\"", "`clip_qkv` is \"6\", not a number from 0 on"),
    ("mpt-storywriter", "attn_config/qk_ln", "true", "`qk_ln` is true, and there are no norms of queries and keys"),
    ("mpt-storywriter", "attn_config/qk_gn", "true", "`qk_gn` is true: only false"),
    ("mpt-storywriter", "attn_config/rope", "true", "`rope` is true: only false"),
    ("mpt-storywriter", "attn_config/prefix_lm", "true", "`prefix_lm` is true: only false"),
    ("mpt-storywriter", "attn_config/alibi", "false", "`alibi` is not set: "),
    ("mpt-storywriter", "attn_config/alibi", "null", "`alibi` is not set: "),
    ("mpt-storywriter", "attn_config/softmax_scale", "0.5", "`softmax_scale` is 0.5: only 0.25 can be converted, 1 / sqrt(16)"),
    ("mpt-storywriter", "attn_config/attn_type", "\"grouped_query_attention\"", "config.json, attn_config has no `kv_n_heads`"),
    ("mpt-storywriter", "attn_config/attn_type", "\"other\"", "`attn_type` other is not known"),
    ("mpt-storywriter", "attn_config/sliding_window_size", "128", "`sliding_window_size` is 128: only -1"),
    ("mpt-storywriter", "attn_config/kv_dim", "64", "`kv_dim` is 64, which cannot be converted"),
    ("mpt-storywriter", "attn_config/fused_qkv", "false", "`fused_qkv` is false: only true"),
    ("mpt-storywriter", "attn_config/attn_logit_softcapping", "50", "`attn_logit_softcapping` is 50, which cannot be converted"),
    ("mpt-storywriter", "final_logit_softcapping", "30", "`final_logit_softcapping` is 30, which cannot be converted"),
    ("mpt-storywriter", "block_overrides", "{\"order\": []}", "`block_overrides` is {\"order\":[]}, which cannot be converted"),
    ("mpt-storywriter", "ffn_config", "{\"ffn_act_fn\": {\"name\": \"relu\"}}", "`ffn_act_fn` is {\"name\":\"relu\"}: only {\"name\":\"gelu\"} or "),
    ("mpt-storywriter", "ffn_config", "{\"ffn_act_fn\": {\"name\": \"gelu\", \"approximate\": \"tanh\"}}", "`ffn_act_fn` is {\"approximate\":\"tanh\""),
    ("mpt-storywriter", "ffn_config", "{\"ffn_type\": \"mptglu\"}", "`ffn_type` is \"mptglu\": only \"mptmlp\""),
    ("mpt-storywriter", "norm_type", "\"rmsnorm\"", "`norm_type` is \"rmsnorm\": only \"low_precision_layernorm\" or \"layernorm\""),
    ("mpt-storywriter", "logit_scale", "\"inv_sqrt_d_model\"", "`logit_scale` is \"inv_sqrt_d_model\": only 1.0"),
    ("mpt-storywriter", "no_bias", "false", "`no_bias` is false, and there are no biases"),
    ("mpt-storywriter", "expansion_ratio", "0", "`expansion_ratio` is 0, not a number above 0"),
    ("mpt-storywriter", "tie_word_embeddings", "false", "no tensor lm_head.weight, which a MPT has: its output is not its embedding"),
    ("mpt-1b-redpajama", "attn_qk_ln", "false", "`attn_qk_ln` is false, and there is a tensor transformer.blocks.0.attn.k_ln.weight"),
    ("mpt-1b-redpajama", "attn_qk_ln", "null", "`attn_qk_ln` is not set, and there is a tensor transformer.blocks.0.attn.k_ln.weight"),
    ("mpt-1b-redpajama", "alibi_bias_max", "0", "`alibi_bias_max` is 0, not a number above 0"),
    ("mpt-1b-redpajama", "attn_clip_qkv", "-6", "`attn_clip_qkv` is -6, not a number from 0 on"),
    ("mpt-1b-redpajama", "prefix_lm", "true", "`prefix_lm` is true: only false"),
    ("falcon-rw", "alibi", "false", "`alibi` is not set: "),
    ("falcon-rw", "bias", "false", "`bias` is false, and there is a tensor transformer.h.0.mlp.dense_4h_to_h.bias"),
    ("falcon-rw", "bias", "null", "`bias` is not set, and there is a tensor transformer.h.0.mlp.dense_4h_to_h.bias"),
    ("falcon-rw", "parallel_attn", "true", "`parallel_attn` is true: only false"),
    ("falcon-rw", "parallel_attn", "null", "has no `parallel_attn`, which means true: only false"),
    ("falcon-rw", "multi_query", "null", "has no `multi_query`, which means true: only false"),
    ("falcon-rw", "new_decoder_architecture", "true", "`new_decoder_architecture` is true: only false"),
    ("falcon-rw", "num_kv_heads", "2", "`num_kv_heads` is 2: only 8"),
    ("falcon-rw", "activation", "\"relu\"", "`activation` is \"relu\": only \"gelu\""),
    ("baichuan2-13b", "hidden_act", "\"gelu\"", "`hidden_act` is \"gelu\": only \"silu\" or \"swish\""),
    ("baichuan2-13b", "max_position_embeddings", "4096", "`max_position_embeddings` is that of a 7B"),
    ("baichuan2-13b", "rms_norm_eps", "-1", "`rms_norm_eps` is -1, not a number from 0 on"),
    ("refact-h12", "multi_query", "false", "`multi_query` is false: only true"),
    ("refact-h12", "scale_attn_weights", "false", "`scale_attn_weights` is false: only true"),
    ("refact-h12", "activation_function", "\"relu\"", "`activation_function` is \"relu\": only \"silu\" or \"swish\""),
    ("jais-13b", "activation_function", "null", "has no `activation_function`, which means \"gelu_new\": only \"swiglu\""),
    ("jais-13b", "position_embedding_type", "null", "has no `position_embedding_type`, which means \"learned\": only \"alibi\""),
    ("jais-13b", "scale_qk_dot_by_d", "false", "`mup_scale_qk_dot_by_d` is not set"),
    ("jais-13b", "scale_attn_weights", "false", "`scale_attn_weights` is false: only true"),
    ("jais-13b", "scale_attn_by_inverse_layer_idx", "true", "`scale_attn_by_inverse_layer_idx` is true: only false"),
    ("jais-13b", "mup_width_scale", "0.1", "both `width_scale` and `mup_output_alpha` or `mup_width_scale` are there"),
    ("jais-13b", "n_head", "10", "the tensor transformer.relative_pe.slopes has 20 slopes for 10 heads"),
    ("jais-family", "mup_embeddings_scale", "0", "`mup_embeddings_scale` is 0, not a number above 0"),
    ("btlm-3b-8k", "alibi_scaling/train_seq_len", "0", "`train_seq_len` is 0"),
    ("btlm-3b-8k", "alibi_scaling/factor", "2.0", "`factor` is 2.0: only 1.0"),
    ("btlm-3b-8k", "alibi_scaling/type", "\"dynamic\"", "`type` is \"dynamic\": only \"linear\""),
    ("gpt2", "activation_function", "\"quick_gelu\"", "`activation_function` is \"quick_gelu\": only \"gelu_new\" or "),
    ("gpt2", "scale_attn_by_inverse_layer_idx", "true", "`scale_attn_by_inverse_layer_idx` is true: only false"),
    ("gpt2", "add_cross_attention", "true", "`add_cross_attention` is true: only false"),
    ("gpt2", "tie_word_embeddings", "false", "no tensor lm_head.weight, which a GPT-2 has: its output is not its embedding"),
    ("jina-v2-base", "position_embedding_type", "\"absolute\"", "`position_embedding_type` is not \"alibi\""),
    ("jina-v2-base", "feed_forward_type", "\"reglu\"", "`feed_forward_type` is \"reglu\": only \"geglu\""),
    ("jina-v2-base", "feed_forward_type", "null", "has no `feed_forward_type`, which means \"original\": only \"geglu\""),
    ("jina-v2-base", "hidden_act", "\"relu\"", "`hidden_act` is \"relu\": only \"gelu\""),
    ("jina-v2-base", "is_decoder", "true", "`is_decoder` is true: only false"),
    ("jina-v2-base", "type_vocab_size", "3", "embeddings.token_type_embeddings.weight is [2, 192], by config.json it is [3, 192]"),
    ("jina-reranker-v1", "id2label", "{\"0\": \"no\", \"1\": \"yes\"}", "`id2label` has 2 labels: a reranker has one"),
    ("mosaic-bert", "alibi_starting_size", "null", "no `alibi_starting_size`"),
    ("mosaic-bert", "layer_norm_eps", "-1e-12", "`layer_norm_eps` is -1e-12, not a number from 0 on"),
];

/// Settings that leave the file the same.
const OF_NO_MATTER: &[(&str, &str, &str)] = &[
    ("bloom-h6", "pretraining_tp", "4"),
    ("bloom-h6", "slow_but_exact", "true"),
    ("bloom-h6", "tie_word_embeddings", "true"),
    ("bloom-h6", "hidden_size", "96"),
    ("bloom-h6", "attention_dropout", "0.5"),
    ("mpt-storywriter", "attn_config/attn_impl", "\"flash\""),
    ("mpt-storywriter", "attn_config/attn_uses_sequence_id", "true"),
    ("mpt-storywriter", "attn_config/softmax_scale", "0.25"),
    ("mpt-storywriter", "embedding_fraction", "0.1"),
    ("mpt-storywriter", "logit_scale", "1.0"),
    (
        "mpt-storywriter",
        "ffn_config",
        "{\"ffn_act_fn\": {\"name\": \"gelu\", \"approximate\": \"none\"}, \"ffn_type\": \"mptmlp\"}",
    ),
    ("mpt-storywriter", "no_bias", "null"),
    ("mpt-1b-redpajama", "attn_clip_qkv", "0"),
    ("falcon-rw", "num_kv_heads", "8"),
    ("falcon-rw", "num_ln_in_parallel_attn", "2"),
    ("gpt2", "activation_function", "\"gelu_pytorch_tanh\""),
    ("gpt2", "reorder_and_upcast_attn", "true"),
    ("gpt2", "n_ctx", "null"),
    ("refact-h12", "tie_word_embeddings", "false"),
    ("jais-family", "n_inner", "341"),
    ("jina-v2-base", "type_vocab_size", "null"),
    ("mosaic-bert", "pooler", "\"x\""),
];

/// Folder of a family's model, and the bytes of the converted file.
struct Folder {
    name: String,
    config: Value,
    folder: tempfile::TempDir,
}

impl Folder {
    fn new(model: &Model) -> Self {
        let folder = tempfile::tempdir().unwrap();
        model.write(&folder.path().join("model"), Floats::F32);
        Self { name: model.name.clone(), config: model.config().clone(), folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Converts the model with a setting: the file's bytes, or the error.
    fn with(&self, way: &str, value: &str) -> Result<Vec<u8>, String> {
        let mut config = self.config.clone();
        if !way.is_empty() {
            let (place, key) = way.rsplit_once('/').unwrap_or(("", way));
            let object = if place.is_empty() { &mut config } else { &mut config[place] };
            object[key] = serde_json::from_str(value).unwrap();
        }
        let (directory, file) = (self.path().join("model"), self.path().join("model.gguf"));
        hugging_face::write_json(&directory, "config.json", &config);
        let _ = fs::remove_file(&file);
        let done = nearfield(&["convert", path(&directory), "-o", path(&file), "--type", "f32"]);
        assert_eq!(done.is_ok(), file.exists(), "{} {way}: a whole file or none", self.name);
        assert_eq!(fs::read_dir(self.path()).unwrap().count(), 1 + usize::from(done.is_ok()), "{} {way}", self.name);
        done.map(|_| fs::read(file).unwrap())
    }
}

#[test]
fn settings_that_a_file_cannot_say_are_refused() {
    let (mut n, mut failures) = (0, Vec::new());
    for model in model::all() {
        let cases: Vec<_> = REFUSED.iter().filter(|(name, ..)| *name == model.name).collect();
        n += cases.len();
        if cases.is_empty() {
            continue;
        }
        let folder = Folder::new(&model);
        for (name, way, value, want) in cases {
            let error = folder.with(way, value).err().unwrap_or("none".into());
            if error.lines().count() != 1 || !error.contains(want) {
                failures.push(format!("{name} with {way} {value}\nfound {error}\nwant  {want}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(n, REFUSED.len());
}

#[test]
fn settings_of_no_matter_change_nothing() {
    let mut n = 0;
    for model in model::all() {
        let cases: Vec<_> = OF_NO_MATTER.iter().filter(|(name, ..)| *name == model.name).collect();
        n += cases.len();
        if cases.is_empty() {
            continue;
        }
        let folder = Folder::new(&model);
        let want = folder.with("", "").unwrap();
        for (name, way, value) in cases {
            let found = folder.with(way, value).unwrap_or_else(|error| panic!("{name} with {way} {value}: {error}"));
            assert!(found == want, "{name} with {way} {value}");
        }
    }
    assert_eq!(n, OF_NO_MATTER.len());
}

/// Learned slopes, or those of another model, cannot be expressed by one number.
#[test]
fn stored_slopes_have_to_be_those_of_alibi() {
    let model = model::all().into_iter().find(|model| model.name == "jais-13b").unwrap();
    let folder = Folder::new(&model);
    let mut tensors = model.tensors(Floats::F32);
    let slopes = tensors.iter_mut().find(|tensor| tensor.name.ends_with("slopes")).unwrap();
    slopes.bytes[4 * 17..4 * 18].copy_from_slice(&0.5f32.to_le_bytes());
    hugging_face::write_single(&folder.path().join("model"), &tensors);
    let error = folder.with("", "").unwrap_err();
    assert!(error.contains("transformer.relative_pe.slopes: the slope of head 17 is 0.5, not "), "{error}");
}

/// A missing setting in the configuration of transformers' own class means ALiBi.
#[test]
fn the_class_of_transformers_has_alibi_by_default() {
    let model = model::all().into_iter().find(|model| model.name == "replit-code-v1").unwrap();
    let mut folder = Folder::new(&model);
    let want = folder.with("", "").unwrap();
    folder.config["architectures"] = json!(["MptForCausalLM"]);
    assert!(folder.with("attn_config", "null").unwrap() == want);
    folder.config["architectures"] = json!(["MPTForCausalLM"]);
    assert!(folder.with("attn_config", "{}").unwrap_err().contains("`alibi` is not set"));
    // The class may be named only where the model's own code is named, or nowhere.
    folder.config.as_object_mut().unwrap().remove("architectures");
    folder.config.as_object_mut().unwrap().remove("model_type");
    let auto_map =
        "{\"AutoConfig\": \"configuration_mpt.MPTConfig\", \"AutoModelForCausalLM\": \"modeling_mpt.MPTForCausalLM\"}";
    assert!(folder.with("auto_map", auto_map).unwrap() == want);
    assert!(folder.with("model_type", "\"mpt\"").unwrap() == want);
}
