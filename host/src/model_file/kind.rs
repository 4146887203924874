//! Files that people give in place of a model: the kind of each, and advice.

use std::path::Path;

use nearfield::Gguf;
use nearfield::gguf::Value;

use crate::lfs_pointer;

/// Beginnings of files, with the kind and the advice.
const BEGINNINGS: [(&[u8], &str); 16] = [
    (b"PK\x03\x04", PYTORCH),
    (b"\x80\x02", PYTORCH),
    (b"\x80\x04", PYTORCH),
    (b"lmgg", OLD_GGML),
    (b"fmgg", OLD_GGML),
    (b"tjgg", OLD_GGML),
    (b"algg", "a LoRA adapter of before GGUF: merge it into its model before that is converted"),
    (b"FUGG", "a big-endian GGUF file: gguf_convert_endian.py FILE little turns it, from llama.cpp's gguf-py"),
    (b"\x1f\x8b", COMPRESSED),
    (b"\x28\xb5\x2f\xfd", COMPRESSED),
    (b"\xfd7zXZ", COMPRESSED),
    (b"BZh", COMPRESSED),
    (b"\x93NUMPY", "a NumPy array, no model"),
    (b"\x89HDF", "an HDF5 file (Keras or TensorFlow): `nearfield convert` reads a folder with safetensors"),
    (b"{", "a JSON file: `nearfield convert` takes the folder that it lies in"),
    (b"\x7fELF", "a program, no model"),
];
const PYTORCH: &str = "a PyTorch checkpoint: saved with safe_serialization=True its folder holds safetensors, which \
                       `nearfield convert` reads";
const OLD_GGML: &str = "a GGML file of before GGUF: convert the original model anew";
const COMPRESSED: &str = "a compressed file: unpack it first";
/// Endings of names of unfinished downloads.
const UNFINISHED: [&str; 5] = ["part", "partial", "crdownload", "incomplete", "download"];

/// True if a file with these first bytes is a snapshot.
pub fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(b"NFKV")
}

/// Message on a file that is no GGUF file: its kind and advice. `None` for a kind that is not known.
pub fn instead_of_gguf(bytes: &[u8]) -> Option<String> {
    if let Err(pointer) = lfs_pointer::check(bytes) {
        return Some(pointer.to_string());
    }
    if is_snapshot(bytes) {
        return Some("a snapshot: --load-kv takes it, beside the model that it was made with".into());
    }
    if let Some((len, rest)) = bytes.split_first_chunk()
        && rest.first() == Some(&b'{')
        && u64::from_le_bytes(*len) <= rest.len() as u64
    {
        return Some("a safetensors file: `nearfield convert` takes the folder that it lies in".into());
    }
    // ONNX begins with its version, then the name of the program that wrote the file.
    if matches!(bytes, [0x08, 1..=32, 0x12, ..]) {
        return Some("an ONNX file: `nearfield convert` reads a folder with safetensors".into());
    }
    let text = bytes.trim_ascii_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    if begins("<!doctype") || begins("<html") {
        return Some("an HTML page: the download brought a page in place of the file".into());
    }
    let found = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    found.map(|(_, what)| what.to_string())
}

/// Message on a GGUF file that is no model; `None` if it may be one.
pub fn instead_of_model(gguf: &Gguf<'_>) -> Option<&'static str> {
    let ty = match gguf.get("general.type") {
        Some(Value::String(ty)) => ty,
        _ => b"model",
    };
    let is_vocabulary = gguf.n_tensors() == 0 && gguf.get("tokenizer.ggml.tokens").is_some();
    match ty {
        b"adapter" => Some(
            "a LoRA adapter: merge it into its model (llama.cpp's llama-export-lora, or peft's merge_and_unload before \
             that is converted)",
        ),
        b"mmproj" | b"clip-vision" => Some("the part of a model that sees or hears: give the one that writes"),
        b"imatrix" => Some("an importance matrix: `nearfield quantize --imatrix` takes it"),
        _ if is_vocabulary => Some("a vocabulary without weights: it can tokenize, and nothing else"),
        _ => None,
    }
}

/// Message on a folder; `None` for one that is no model's.
pub fn folder(path: &Path) -> Option<String> {
    let has = |name: &str| path.join(name).is_file();
    if has("adapter_config.json") {
        return Some(
            "the folder of a LoRA adapter: merge it into its model with peft's merge_and_unload, and convert that"
                .into(),
        );
    }
    let convert = || {
        format!("the folder of a checkpoint: `nearfield convert {} -o MODEL.gguf` makes a model of it", path.display())
    };
    has("config.json").then(convert)
}

/// True if the name of a file is that of an unfinished download.
pub fn is_unfinished(path: &Path) -> bool {
    path.extension().and_then(|end| end.to_str()).is_some_and(|end| UNFINISHED.contains(&end))
}

/// Advice for a piece of a file that was cut, by its name; `None` for other names.
pub fn cut_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, last) = ["-split-", ".split-", ".part"].into_iter().find_map(|mark| {
        let (stem, number) = name.rsplit_once(mark)?;
        // Pieces are numbered, for example, `a`, `01` or `1of2`.
        let is_number = !number.is_empty() && number.len() <= 6 && number.bytes().all(|c| c.is_ascii_alphanumeric());
        is_number.then_some((stem, mark))
    })?;
    Some(format!("by its name it is one piece of a file that was cut: `cat {stem}{last}* > {stem}` joins them"))
}
