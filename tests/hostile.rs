//! Files that are broken, by accident or on purpose: they give an error or a model that runs, never a panic or a long loop.

use crate::targets;
use std::time::{Duration, Instant};

use crate::common::file::File;
use crate::common::model::{BLOOM, MPT, Parts, Spec, Stored};
use crate::common::reference::gguf_writer::Value;
use crate::common::reference::quantize::TYPES;
use crate::common::reference::weights::random;
use nearfield::{Gguf, GgufError, Model};

/// Time limit: far more than any of these files takes, far less than a loop that a number in the file makes long.
const LONG: Duration = Duration::from_secs(10);

/// A model of one layer, eight columns and eight tokens; some 2 KiB of tables and weights.
fn tiny(spec: Spec) -> Parts {
    let spec = Spec { n_head: 1, n_head_kv: 1, n_layer: 1, n_ff: 8, n_vocab: 8, ..spec };
    let strings: Vec<String> = ["a", "b", "ab"].map(String::from).into();
    let nested = Value::Array(9, vec![Value::Array(0, vec![Value::U8(1), Value::U8(2)])]);
    spec.parts_of(&spec.tensors(), "F32")
        .set("tokenizer.ggml.model", Value::string("gpt2"))
        .set("tokenizer.ggml.tokens", Value::strings(&strings))
        .set("tokenizer.ggml.token_type", Value::i32s(&[1, 1, 1]))
        .set("tokenizer.ggml.merges", Value::strings(&["a b".into()]))
        .set("tokenizer.ggml.bos_token_id", Value::U32(2))
        .set("x.nested", nested)
        .set("general.alignment", Value::U32(32))
}

/// Bytes before the weights.
fn tables_len(file: &[u8]) -> usize {
    let n_data = Gguf::parse(file).expect("a file").tensors().map(|t| t.offset + t.n_bytes().expect("known")).max();
    file.len() - n_data.expect("tensors").next_multiple_of(32) as usize
}

/// Loads and runs a file; fails if that takes too long.
fn exercise(what: impl Fn() -> String, file: &[u8]) {
    let begin = Instant::now();
    let result = std::panic::catch_unwind(|| {
        targets::gguf(file);
        targets::decode(file);
        // A text and its length precede the file.
        targets::tokenizer(&[&[3, 0], &b"aab"[..], file].concat());
    });
    assert!(result.is_ok(), "{}: panicked, see above", what());
    assert!(begin.elapsed() < LONG, "{}: {:?}", what(), begin.elapsed());
}

#[test]
fn each_byte_flipped() {
    for (name, parts) in [("mpt", tiny(MPT)), ("bloom", tiny(BLOOM))] {
        let file = parts.file();
        let mut file = file.bytes().to_vec();
        for at in 0..file.len() {
            for mask in [0x01, 0x08, 0x80, 0xff] {
                file[at] ^= mask;
                exercise(|| format!("{name}, byte {at} ^ {mask:#x}"), &file);
                file[at] ^= mask;
            }
        }
    }
}

#[test]
fn truncated_at_each_length() {
    for (name, parts) in [("mpt", tiny(MPT)), ("bloom", tiny(BLOOM))] {
        let file = parts.file();
        let file = file.bytes();
        for len in 0..file.len() {
            exercise(|| format!("{name}, {len} bytes of {}", file.len()), &file[..len]);
            assert!(Model::from_gguf(File::new(&file[..len]).bytes()).is_err(), "{name}: {len} bytes are no model");
        }
    }
}

/// Sets four and eight bytes at every place of the tables to extreme numbers and to numbers around the file's length.
#[test]
fn each_number_at_its_extremes() {
    let file = tiny(MPT).file();
    let n_tables = tables_len(file.bytes());
    let mut bytes = file.bytes().to_vec();
    let len = bytes.len() as u64;
    let words: Vec<u64> =
        [0, 1, 2, 3, 7, 1 << 16, 1 << 24, 1 << 31, 1 << 32, 1 << 61, 1 << 62, 1 << 63, u64::MAX, len, len - 1]
            .into_iter()
            .chain([u64::from(u32::MAX), i64::MAX as u64, u64::MAX / 2 / 3, u64::MAX - 31, len.wrapping_neg()])
            .collect();
    for at in 0..n_tables - 8 {
        for (n, &word) in words.iter().flat_map(|word| [(4, word), (8, word)]) {
            let before: [u8; 8] = bytes[at..at + 8].try_into().expect("eight");
            bytes[at..at + n].copy_from_slice(&word.to_le_bytes()[..n]);
            exercise(|| format!("{n} bytes at {at} = {word:#x}"), &bytes);
            bytes[at..at + 8].copy_from_slice(&before);
        }
    }
}

#[test]
fn random_bytes_in_the_tables() {
    let file = tiny(BLOOM).file();
    let n_tables = tables_len(file.bytes());
    for seed in 0..4000 {
        let mut bytes = file.bytes().to_vec();
        let label = format!("hostile/{seed}");
        let mut draw = random(&label);
        let mut below = |n: usize| (draw.next().expect("endless") % n as u64) as usize;
        for _ in 0..1 + below(4) {
            let (at, from, n) = (below(n_tables), below(n_tables), 1 + below(16));
            let piece = bytes[from..(from + n).min(n_tables)].to_vec();
            match below(3) {
                0 => bytes[at] = below(256) as u8,
                1 => drop(bytes.splice(at..at, piece)),
                _ => drop(bytes.drain(at..(at + n).min(n_tables))),
            }
        }
        exercise(|| format!("seed {seed}"), &bytes);
    }
}

/// Weights of any bits - scales and numbers that are zero, subnormal, huge, infinite or NaN - run, and give the same bits on
/// each ISA.
#[test]
fn weights_of_any_bits_run() {
    for ty in &TYPES {
        let head_dim = ty.block_len.max(8);
        let spec = Spec { n_head: 1, n_head_kv: 1, head_dim, n_layer: 1, n_ff: head_dim, n_vocab: 6, ..BLOOM };
        let parts = spec.parts_of(&spec.tensors(), ty.name);
        for pattern in [0x00, 0xff, 0x7f, 0x80, 0x7c, 0x01, 0x55] {
            for only in [None, Some("token_embd.weight"), Some("blk.0.attn_qkv.weight"), Some("blk.0.ffn_down.weight")]
            {
                let mut parts = parts.clone();
                // A norm or a bias that is not a number is refused when the model is loaded.
                let chosen = |name: &str| only.is_none_or(|only| only == name) && is_matrix(name);
                parts.tensors.iter_mut().filter(|t| chosen(&t.name)).for_each(|t| t.bytes.fill(pattern));
                exercise(|| format!("{} weights, {only:?} all {pattern:#x}", ty.name), parts.file().bytes());
            }
        }
        for seed in 0..20 {
            let mut parts = parts.clone();
            for tensor in parts.tensors.iter_mut().filter(|tensor| is_matrix(&tensor.name)) {
                let label = format!("{seed}/{}", tensor.name);
                tensor.bytes.iter_mut().zip(random(&label)).for_each(|(byte, z)| *byte = z as u8);
            }
            exercise(|| format!("{} weights, random bytes, seed {seed}", ty.name), parts.file().bytes());
        }
    }
}

fn is_matrix(name: &str) -> bool {
    name.ends_with(".weight") && !name.ends_with("norm.weight")
}

/// Files whose tables are as long as they may be: looking names up must not take quadratic time.
#[test]
fn the_longest_tables_load_or_fail_soon() {
    let layer = tiny(MPT);
    let mut many_layers = layer.clone().set("mpt.block_count", Value::U32(512));
    let (per_layer, mut rest): (Vec<_>, Vec<_>) =
        layer.tensors.iter().cloned().partition(|tensor| tensor.name.starts_with("blk."));
    for i in 0..512 {
        rest.extend(per_layer.iter().cloned().map(|mut tensor| {
            tensor.name = tensor.name.replace("blk.0", &format!("blk.{i}"));
            tensor
        }));
    }
    many_layers.tensors = rest;
    exercise(|| "512 layers".into(), many_layers.file().bytes());

    // The last name is the first one's again: all of them are looked at.
    let mut unused = layer.clone();
    let extra = unused.tensor("blk.0.ffn_up.weight").clone();
    for i in unused.tensors.len()..16_384 {
        unused.tensors.push(Stored { name: format!("blk.{i}.attn_q.weight"), ..extra.clone() });
    }
    exercise(|| "tensors that are not used, 16,000".into(), unused.file().bytes());
    unused.tensors[16_383].name = unused.tensors[0].name.clone();
    let error = Gguf::parse(unused.file().bytes()).unwrap_err();
    assert!(matches!(error, GgufError::DuplicateTensor { .. }), "{error}");
    exercise(|| "a name twice among 16,384".into(), unused.file().bytes());

    let mut entries = layer.clone();
    for i in entries.metadata.len()..16_384 {
        entries.metadata.push((format!("key.{i}"), Value::strings(&[String::new(), "x".into()])));
    }
    entries.metadata.rotate_left(layer.metadata.len());
    exercise(|| "16,384 entries".into(), entries.file().bytes());
    assert!(Gguf::parse(entries.file().bytes()).is_ok());
    entries.metadata[16_383].0 = entries.metadata[0].0.clone();
    let error = Gguf::parse(entries.file().bytes()).unwrap_err();
    assert!(matches!(error, GgufError::DuplicateKey { .. }), "{error}");
    exercise(|| "a key twice among 16,384".into(), entries.file().bytes());

    let text = vec![String::new(); 1 << 20];
    exercise(|| "an array of a million strings".into(), layer.set("k", Value::strings(&text)).file().bytes());
}
