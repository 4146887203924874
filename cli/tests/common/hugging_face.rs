//! Models in Hugging Face's format: a folder with `config.json`, safetensors and a tokenizer.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Tensor as a safetensors file stores it.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// `F32`, `F16` or any other name.
    pub dtype: &'static str,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(name: &str, shape: &[usize], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { name: name.into(), shape: shape.into(), dtype: "F32", bytes }
    }

    #[allow(dead_code)]
    pub fn f16(name: &str, shape: &[usize], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
        Self { name: name.into(), shape: shape.into(), dtype: "F16", bytes }
    }
}

/// Makes a safetensors file.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    safetensors_with(tensors, &json!({"format": "pt"}))
}

/// Makes a safetensors file with other metadata.
pub fn safetensors_with(tensors: &[Tensor], metadata: &Value) -> Vec<u8> {
    let mut table = Map::from_iter([("__metadata__".to_owned(), metadata.clone())]);
    let mut data = Vec::new();
    for Tensor { name, shape, dtype, bytes } in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        table.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let table = Value::Object(table).to_string();
    [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), &data].concat()
}

/// Writes all tensors to `model.safetensors`.
pub fn write_single(folder: &Path, tensors: &[Tensor]) {
    fs::write(folder.join("model.safetensors"), safetensors(tensors)).unwrap();
}

/// Writes the tensors to several files, and an index.
pub fn write_shards(folder: &Path, tensors: &[Tensor], n_shards: usize) {
    let mut index = Map::new();
    for (i, shard) in tensors.chunks(tensors.len().div_ceil(n_shards)).enumerate() {
        let name = format!("model-{:05}-of-{n_shards:05}.safetensors", i + 1);
        fs::write(folder.join(&name), safetensors(shard)).unwrap();
        index.extend(shard.iter().map(|tensor| (tensor.name.clone(), json!(name))));
    }
    write_json(folder, "model.safetensors.index.json", &json!({"metadata": {"total_size": 0}, "weight_map": index}));
}

pub fn write_json(folder: &Path, name: &str, json: &Value) {
    fs::write(folder.join(name), json.to_string()).unwrap();
}

/// Byte-level BPE of 320 tokens: one control token, the bytes' letters, 63 merges.
pub fn tokenizer() -> Value {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = (0x100..).filter_map(char::from_u32);
    let letters = (0..=255).map(|byte| if is_printable(byte) { char::from(byte) } else { others.next().unwrap() });
    let letters: Vec<String> = letters.map(String::from).collect();
    let merges: Vec<[String; 2]> =
        (0..63).map(|i| [["Ġ", "e", "a"][i / 26].into(), char::from(b'a' + (i % 26) as u8).into()]).collect();
    let tokens = ["<|endoftext|>".to_owned()].into_iter().chain(letters).chain(merges.iter().map(|pair| pair.concat()));
    let vocab: Map<String, Value> = tokens.zip(0..).map(|(token, id)| (token, json!(id))).collect();
    json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<|endoftext|>", "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    })
}
