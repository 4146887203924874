//! The fuzz targets on their seeds, and on some thousand inputs made from these.

use crate::targets;
use std::fs;
use std::path::PathBuf;

use crate::common::file::File;
use crate::common::model::{BLOOM, MPT, Parts, Spec};
use crate::common::reference::gguf_writer::{Value, Writer};
use crate::common::reference::weights::random;
use crate::common::run::{Setup, snapshot};
use nearfield::{KvType, Model, Ring, SessionConfig, TextState};

type Target = fn(&[u8]);
const TARGETS: [(&str, Target); 5] = [
    ("gguf", targets::gguf),
    ("tokenizer", targets::tokenizer),
    ("decode", targets::decode),
    ("snapshot", targets::snapshot),
    ("grammar", targets::grammar),
];
/// Changed inputs for each seed: few under an interpreter, which is slow.
const N_MUTANTS: usize = if cfg!(miri) { 2 } else { 400 };

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target)
}

/// The seeds, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(path).expect("a seed")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target}: no seeds");
    seeds
}

/// The words of `words.dict` that are plain text.
fn words() -> Vec<Vec<u8>> {
    let lines = include_str!("fuzz/words.dict").lines();
    lines
        .filter(|line| line.starts_with('"') && !line.contains('\\'))
        .map(|line| line.trim_matches('"').into())
        .collect()
}

/// A copy of the input with some changes, of the kinds that fuzzers make.
fn mutant(input: &[u8], other: &[u8], words: &[Vec<u8>], label: &str) -> Vec<u8> {
    let mut draw = random(label);
    let mut below = |n: usize| (draw.next().expect("endless") % n.max(1) as u64) as usize;
    let mut bytes = input.to_vec();
    for _ in 0..1 + below(6) {
        // Mostly in the tables, at the beginning.
        let end = if below(4) == 0 { bytes.len() } else { bytes.len().min(1500) };
        let at = below(end);
        let n = (1 + below(16)).min(bytes.len() - at);
        match below(7) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at..at + n].fill([0, 0xff, 0x7f, 0x80][below(4)]),
            2 => drop(bytes.drain(at..at + n)),
            3 => {
                let from = below(other.len());
                let piece = other[from..(from + 4 * n).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let word = &words[below(words.len())];
                let n = word.len().min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&word[..n]);
            }
            5 => bytes[at..at + n].iter_mut().for_each(|byte| *byte = below(256) as u8),
            _ => bytes.truncate(bytes.len() - below(bytes.len() / 8)),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn seeds_and_what_is_made_of_them_are_no_findings() {
    let words = words();
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        for (i, (file, seed)) in seeds.iter().enumerate() {
            target(seed);
            let other = &seeds[(i + 1) % seeds.len()].1;
            for n in 0..N_MUTANTS {
                let label = format!("{name}/{file}/{n}");
                let input = mutant(seed, other, &words, &label);
                let result = std::panic::catch_unwind(|| target(&input));
                assert!(result.is_ok(), "target {name}: mutant {n} of seed {file} is a finding");
            }
        }
    }
}

/// The seeds of `decode` pass all checks and run.
#[test]
fn seeds_are_models() {
    for (file, seed) in seeds("decode") {
        let aligned = File::new(&seed);
        Model::from_gguf(aligned.bytes()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// A model as small as its weight type allows.
fn small(spec: Spec, weights: &str) -> Parts {
    let head_dim = 8;
    let n_head = match weights {
        "F32" | "F16" | "BF16" => 1,
        _ => 4,
    };
    let spec = Spec { n_vocab: 8, n_layer: 1, n_head, n_head_kv: 1, head_dim, n_ff: n_head * head_dim, ..spec };
    spec.parts_of(&spec.tensors(), weights)
}

/// A model of a K type: its rows have 256 columns at least, so the tensors with many rows have the smallest of these types.
fn wide(weights: &str) -> Parts {
    let spec = Spec { n_vocab: 8, n_layer: 1, n_head: 32, n_head_kv: 1, n_ff: 8, ..MPT };
    let of = |weights: &str| spec.parts_of(&spec.tensors(), weights);
    let (mut parts, mut chosen, mut floats) = (of("Q2_K"), of(weights), of("F32"));
    for name in ["token_embd.weight", "blk.0.ffn_up.weight"] {
        *parts.tensor(name) = chosen.tensor(name).clone();
    }
    // The smallest type has rows of eight.
    *parts.tensor("blk.0.ffn_down.weight") = floats.tensor("blk.0.ffn_down.weight").clone();
    parts
}

/// A byte-level vocabulary of a few letters.
fn vocabulary(pre: &str, arch: &str) -> Writer {
    let list = |items: &[&str]| Value::strings(&items.iter().map(|item| item.to_string()).collect::<Vec<_>>());
    Writer::new(3)
        .meta("general.architecture", Value::string(arch))
        .meta("tokenizer.ggml.model", Value::string("gpt2"))
        .meta("tokenizer.ggml.pre", Value::string(pre))
        .meta(
            "tokenizer.ggml.tokens",
            list(&["<s>", "a", "b", "1", ".", "Ġ", "Ċ", "Ã", "©", "Ŀ", "ab", "Ġa", "Ġab", "Ã©", "<x>"]),
        )
        .meta("tokenizer.ggml.token_type", Value::i32s(&[3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4]))
        .meta("tokenizer.ggml.merges", list(&["a b", "Ġ a", "Ġa b", "Ã ©"]))
        .meta("tokenizer.ggml.bos_token_id", Value::U32(0))
        .meta("tokenizer.ggml.add_bos_token", Value::Bool(true))
}

/// A vocabulary of another kind, with tokens that are user-defined (4) or control tokens (3), found in every way.
fn other_kind(model: &str, pre: &str) -> Writer {
    let tokens = ["<unk>", "▁a", "b", "▁", "ab", "<x>", "▁▁", "ab▁", "a", "s", "word", "ö", "ab <y>"].map(String::from);
    let scores = [0.0, -1.0, -2.0, -2.5, -1.5, 0.0, 0.0, 0.0, -3.0, -4.0, 0.0, -5.0, -1000.0].map(Value::F32);
    Writer::new(3)
        .meta("general.architecture", Value::string("mpt"))
        .meta("tokenizer.ggml.model", Value::string(model))
        .meta("tokenizer.ggml.pre", Value::string(pre))
        .meta("tokenizer.ggml.tokens", Value::strings(&tokens))
        .meta("tokenizer.ggml.token_type", Value::i32s(&[2, 1, 1, 1, 1, 3, 4, 4, 1, 1, 4, 1, 4]))
        .meta("tokenizer.ggml.scores", Value::Array(6, scores.into()))
        .meta("tokenizer.ggml.merges", Value::strings(&["a b".into()]))
        .meta("tokenizer.ggml.unknown_token_id", Value::U32(0))
        .meta("tokenizer.ggml.added_tokens.lstrip", Value::i32s(&[5, 12]))
        .meta("tokenizer.ggml.added_tokens.rstrip", Value::i32s(&[6]))
        .meta("tokenizer.ggml.added_tokens.single_word", Value::i32s(&[10]))
        .meta("tokenizer.ggml.added_tokens.normalized", Value::i32s(&[7, 10]))
}

/// Every type of metadata, with no tensors.
fn metadata() -> Vec<u8> {
    Writer::new(2)
        .meta("u8", Value::U8(1))
        .meta("i8", Value::I8(-1))
        .meta("u16", Value::U16(2))
        .meta("i16", Value::I16(-2))
        .meta("u32", Value::U32(3))
        .meta("i32", Value::I32(-3))
        .meta("f32", Value::F32(0.5))
        .meta("bool", Value::Bool(true))
        .meta("u64", Value::U64(4))
        .meta("i64", Value::I64(-4))
        .meta("f64", Value::F64(0.25))
        .meta("string", Value::string("text"))
        .meta("strings", Value::strings(&["a".into(), String::new()]))
        .meta("nested", Value::Array(9, vec![Value::Array(9, vec![Value::i32s(&[1, 2])]), Value::Array(0, vec![])]))
        .finish()
}

/// Not a test: writes the seeds.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder(target)).expect("a folder");
        fs::write(folder(target).join(name), bytes).expect("a file");
    };
    write("gguf", "metadata", &metadata());
    write("gguf", "vocabulary", &vocabulary("mpt", "mpt").finish());
    write("gguf", "model", small(MPT, "F32").set("general.alignment", Value::U32(32)).file().bytes());
    for (pre, text) in
        [("gpt-2", "ab a b1.\n  aé<s><x> \u{1D}"), ("bloom", "a.b  ab"), ("refact", "ab11 a1"), ("starcoder", "  \n a")]
    {
        let file = vocabulary(pre, "bloom").finish();
        let input = [&(text.len() as u16).to_le_bytes(), text.as_bytes(), &file].concat();
        write("tokenizer", pre, &input);
    }
    for (name, model, pre) in [
        ("sentencepiece-bpe", "llama", "default"),
        ("unigram", "t5", "default"),
        ("wordpiece", "bert", "jina-v2-en"),
        ("characters", "whitespace", "whitespace"),
        ("nfc", "gpt2", "mpt"),
    ] {
        let text = "ab <x>  a word words o\u{308} ab▁ab <y>  Word ÖAB";
        let file = other_kind(model, pre).finish();
        write("tokenizer", name, &[&(text.len() as u16).to_le_bytes(), text.as_bytes(), &file].concat());
    }
    let pocket = File::new(include_bytes!("../models/pocket.gguf"));
    for (name, kv, ring, n_sinks, n) in [
        ("full-f16", KvType::F16, Ring::Full, 0, 5),
        ("ring-q8_0", KvType::Q8_0, Ring::Keys(64), 4, 101),
        ("block-f32", KvType::F32, Ring::Full, 40, 32),
        ("none-q4_0", KvType::Q4_0, Ring::Full, 0, 0),
    ] {
        let setup = Setup::default().with_kv(kv).with_ring(ring).with_eps(SessionConfig::HORIZON_EPS);
        let setup = Setup { config: SessionConfig { n_sinks, ..setup.config }, ..setup };
        let tokens: Vec<u32> = (1..=n).collect();
        let text = TextState { model_name: "pocket.gguf", last_tokens: &tokens, seed: 1 };
        setup.session(pocket.bytes(), |session| {
            if !tokens.is_empty() {
                session.prefill(&tokens).expect("room");
            }
            write("snapshot", name, snapshot(session, pocket.bytes(), &text).bytes());
        });
    }
    for (name, spec, weights) in [
        ("mpt-f32", MPT, "F32"),
        ("bloom-f16", BLOOM, "F16"),
        ("split-bf16", Spec { split_qkv: true, untied: true, clamp_kqv: 1.0, ..MPT }, "BF16"),
        ("mpt-q8_0", MPT, "Q8_0"),
        ("bloom-q4_0", BLOOM, "Q4_0"),
        ("mpt-q5_1", MPT, "Q5_1"),
    ] {
        write("decode", name, small(spec, weights).file().bytes());
    }
    for (name, weights) in [("wide-q2_k", "Q2_K"), ("wide-q4_k", "Q4_K")] {
        write("decode", name, wide(weights).file().bytes());
    }
}
