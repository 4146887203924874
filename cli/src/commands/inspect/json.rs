//! The contents of a file as one JSON object.

use anyhow::{Context, Result};
use nearfield::gguf::{Array, Value};
use nearfield::{Gguf, KvType, Model, Prefix, SnapshotHeader};
use nearfield_host::model_file::ModelFile;
use nearfield_kernels::block::gguf_type_name;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{Parts, plans};
use crate::json::{Text, number};

/// Elements of an array that are shown.
const N_SHOWN: usize = 6;

/// Contents of a model file.
#[derive(Serialize)]
pub struct ModelObject {
    name: String,
    /// Bytes of all of its files.
    bytes: u64,
    n_files: usize,
    gguf_version: u32,
    metadata: Map<String, Json>,
    tensors: Vec<TensorObject>,
    /// Bits of a weight on average; `null` without a weight.
    bits_per_weight: Option<f64>,
    shape: Option<ShapeObject>,
    memory: Option<MemoryObject>,
    /// Reason why the file cannot run, or has no tokenizer.
    error: Option<String>,
}

#[derive(Serialize)]
struct TensorObject {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    shape: Vec<u64>,
    /// `null` for a type of unknown size.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct ShapeObject {
    architecture: String,
    is_encoder: bool,
    n_layer: usize,
    n_embd: usize,
    n_head: usize,
    n_head_kv: usize,
    head_dim: usize,
    n_ff: usize,
    n_vocab: usize,
    n_ctx_train: usize,
    max_alibi_bias: Json,
    n_positions: Option<usize>,
    /// Bytes of weights that are read for each new token.
    bytes_per_token: u64,
}

#[derive(Serialize)]
struct MemoryObject {
    n_ctx: usize,
    /// Bytes of each part by type of the keys and values.
    kv: Map<String, Json>,
}

impl ModelObject {
    /// Contents of a file as far as they can be read; `model` is the reason where there is none.
    pub fn new(
        file: &ModelFile,
        gguf: &Gguf<'_>,
        model: Option<&Model<'_>>,
        error: Option<String>,
        n_ctx: usize,
    ) -> Result<Self> {
        let tensors: Vec<TensorObject> = gguf
            .tensors()
            .map(|tensor| TensorObject {
                name: tensor.name.to_owned(),
                ty: gguf_type_name(tensor.ty).to_string(),
                shape: tensor.dims[..tensor.n_dims].to_vec(),
                bytes: tensor.n_bytes(),
            })
            .collect();
        let of_known = tensors.iter().filter_map(|tensor| {
            let n_weights = tensor.shape.iter().map(|&n| n as f64).product::<f64>();
            Some([n_weights, tensor.bytes? as f64])
        });
        let [n_weights, n_bytes] = of_known.fold([0.0; 2], |sum, of_one| [sum[0] + of_one[0], sum[1] + of_one[1]]);
        Ok(Self {
            name: file.name.clone(),
            bytes: file.n_bytes(),
            n_files: file.n_parts(),
            gguf_version: gguf.version(),
            metadata: gguf.entries().map(|(key, entry)| (key.to_owned(), value(entry))).collect(),
            bits_per_weight: (n_weights > 0.0).then(|| 8.0 * n_bytes / n_weights),
            tensors,
            shape: model.map(shape),
            memory: model.map(|model| memory(model, n_ctx)).transpose()?,
            error,
        })
    }
}

/// Value of a key: a number, a truth value, a string (in an object with its bytes where it is not UTF-8), or for an array an
/// object with its length and its first elements.
fn value(value: Value<'_>) -> Json {
    match value {
        Value::U8(x) => x.into(),
        Value::I8(x) => x.into(),
        Value::U16(x) => x.into(),
        Value::I16(x) => x.into(),
        Value::U32(x) => x.into(),
        Value::I32(x) => x.into(),
        Value::U64(x) => x.into(),
        Value::I64(x) => x.into(),
        Value::F32(x) => number(x),
        Value::F64(x) => x.into(),
        Value::Bool(x) => x.into(),
        Value::String(bytes) => match str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!(Text::new(bytes)),
        },
        Value::Array(array) => elements(array),
    }
}

fn elements(array: Array<'_>) -> Json {
    let element = |element: Value<'_>| match element {
        // Arrays in arrays are only counted.
        Value::Array(inner) => json!({ "type": inner.ty.name(), "len": inner.len }),
        element => value(element),
    };
    json!({ "type": array.ty.name(), "len": array.len, "first": array.iter().take(N_SHOWN).map(element).collect::<Vec<_>>() })
}

fn shape(model: &Model<'_>) -> ShapeObject {
    let s = model.shape();
    ShapeObject {
        architecture: s.arch.name.to_string(),
        is_encoder: s.arch.is_encoder(),
        n_layer: s.n_layer,
        n_embd: s.n_embd,
        n_head: s.n_head,
        n_head_kv: s.n_head_kv,
        head_dim: s.head_dim,
        n_ff: s.n_ff,
        n_vocab: s.n_vocab,
        n_ctx_train: s.n_ctx_train,
        max_alibi_bias: number(s.max_alibi_bias),
        n_positions: s.n_positions,
        bytes_per_token: model.bytes_per_token(),
    }
}

fn memory(model: &Model<'_>, n_ctx: usize) -> Result<MemoryObject> {
    let (n_ctx, plans) = plans(model, n_ctx)?;
    let parts = |parts: &Parts| -> Json {
        parts.iter().map(|&(part, bytes)| (key(part).to_owned(), Json::from(bytes))).collect::<Map<_, _>>().into()
    };
    let kv = KvType::ALL.iter().zip(&plans).map(|(kv, plan)| (kv.name().to_owned(), parts(plan)));
    Ok(MemoryObject { n_ctx, kv: kv.collect() })
}

/// Key of a part, the same as in `nearfield plan --json`.
fn key(part: &'static str) -> &'static str {
    match part {
        "keys and values" => "kv_cache",
        "key norms" => "key_norms",
        "layer table" => "layer_table",
        "tokenizer index" => "tokenizer",
        "arena" => "total",
        other => other,
    }
}

/// Header of a snapshot.
#[derive(Serialize)]
pub struct SnapshotObject {
    name: String,
    bytes: u64,
    n_tokens: usize,
    model_name: String,
    model: String,
    n_layer: usize,
    n_head_kv: usize,
    head_dim: usize,
    kv: String,
    n_sinks: usize,
    /// First position whose keys are kept, by head.
    oldest: Vec<u64>,
    horizon_eps: Json,
    alibi_bf16: bool,
    seed: u64,
    last_tokens: Vec<u32>,
}

impl SnapshotObject {
    /// Header of the snapshot in `bytes`.
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self> {
        let header = SnapshotHeader::read(bytes).with_context(|| name.to_owned())?;
        let prefix = Prefix::from_bytes(bytes, header.model).with_context(|| name.to_owned())?;
        let text = prefix.text();
        Ok(Self {
            name: name.to_owned(),
            bytes: header.n_bytes,
            n_tokens: header.n_tokens,
            model_name: text.model_name.to_owned(),
            model: header.model.to_string(),
            n_layer: header.n_layer,
            n_head_kv: header.n_head_kv,
            head_dim: header.head_dim,
            kv: header.kv.to_string(),
            n_sinks: header.n_sinks,
            oldest: prefix.oldest().map(|from| from as u64).collect(),
            horizon_eps: number(header.horizon_eps),
            alibi_bf16: header.alibi_bf16,
            seed: text.seed,
            last_tokens: text.last_tokens.to_vec(),
        })
    }
}
