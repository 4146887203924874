//! Metadata of a file about its model, under GGUF's keys.

use std::path::Path;

use nearfield::gguf::Value;

use super::families::{Family, Hparams};
use crate::gguf_out::GgufOut;
use crate::quantize::Target;

/// Version of the block formats of quantized weights: llama.cpp's `GGML_QNT_VERSION`.
const QUANTIZATION_VERSION: u32 = 2;

/// Writes all metadata but the vocabulary's.
pub fn write(out: &mut GgufOut, directory: &Path, family: &Family, hparams: &Hparams, target: Target) {
    let h = hparams;
    out.meta("general.architecture", Value::String(family.arch.as_bytes()));
    out.meta("general.type", Value::String(b"model"));
    if let Some(name) = name_of(directory) {
        out.meta("general.name", Value::String(name.as_bytes()));
    }
    out.meta("general.file_type", Value::U32(target.file_type));
    if target.ty.is_quantized() {
        out.meta("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    }
    let key = |name: &str| format!("{}.{name}", family.arch);
    // All counts come from JSON as u32.
    let count = |n: usize| Value::U32(n as u32);
    out.meta(&key("context_length"), count(h.n_ctx));
    out.meta(&key("embedding_length"), count(h.n_embd));
    out.meta(&key("block_count"), count(h.n_layer));
    out.meta(&key("feed_forward_length"), count(h.n_ff));
    out.meta(&key("attention.head_count"), count(h.n_head));
    out.meta(&key("attention.head_count_kv"), count(h.n_head_kv));
    out.meta(&key(family.norm_eps_key), Value::F32(h.norm_eps as f32));
    out.meta(&key("attention.max_alibi_bias"), Value::F32(h.max_alibi_bias as f32));
    if let Some(limit) = h.clamp_kqv {
        out.meta(&key("attention.clamp_kqv"), Value::F32(limit as f32));
    }
    if let Some(n) = h.alibi_train_length {
        out.meta(&key("attention.alibi_train_length"), count(n));
    }
    if let Some(encoder) = h.encoder {
        out.meta(&key("attention.causal"), Value::Bool(false));
        out.meta(&key("pooling_type"), Value::U32(encoder.pooling as u32));
        out.meta("tokenizer.ggml.token_type_count", count(encoder.n_token_types));
    }
}

/// Name of a model by its directory, with paths such as `.` resolved. In the cache of the Hugging Face Hub,
/// `models--ORG--NAME/snapshots/REVISION`, NAME.
fn name_of(directory: &Path) -> Option<String> {
    let whole = directory.canonicalize().unwrap_or_else(|_| directory.into());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let in_cache = || {
        let snapshots = whole.parent().filter(|parent| parent.ends_with("snapshots"))?;
        let repository = name(snapshots.parent()?)?;
        repository.strip_prefix("models--")?.rsplit("--").next().map(str::to_owned)
    };
    in_cache().or_else(|| name(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_in_the_cache_of_the_hub_has_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let revision = "0123456789abcdef0123456789abcdef01234567";
        let cached = |repository: &str| at(&format!("hub/{repository}/snapshots/{revision}"));
        let name = |path: &Path| name_of(path).unwrap();
        assert_eq!(name(&cached("models--mosaicml--mpt-7b-instruct")), "mpt-7b-instruct");
        assert_eq!(name(&cached("models--gpt2")), "gpt2");
        assert_eq!(name(&cached("models--bigscience--bloomz-560m").join("../").join(revision)), "bloomz-560m");
        assert_eq!(name(&at("mpt-7b/")), "mpt-7b");
        assert_eq!(name(&at("mpt-7b/.")), "mpt-7b");
        // Folders that only resemble the cache's keep their own names.
        assert_eq!(name(&at("mine/snapshots/last")), "last");
        assert_eq!(name(&at("models--a--b/other/last")), "last");
    }
}
