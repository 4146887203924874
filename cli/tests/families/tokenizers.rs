//! Converted tokenizers of every kind cut texts as Hugging Face's `tokenizers` and sentencepiece do (`tokenizers/make.py`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::hugging_face::{self, Tensor};
use crate::{nearfield, path};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/tokenizers")
}

/// Files that a tokenizer may consist of.
const FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
];

/// Converts a model with this tokenizer and arbitrary weights.
fn convert(name: &str, folder: &Path) -> Result<PathBuf, String> {
    convert_changed(name, &json!({}), folder)
}

/// Converts the model after changing these settings of `tokenizer.json`.
fn convert_changed(name: &str, changes: &Value, folder: &Path) -> Result<PathBuf, String> {
    prepare(name, folder);
    for (place, value) in changes.as_object().unwrap() {
        let tokenizer = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
        let mut tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
        *tokenizer.pointer_mut(place).unwrap() = value.clone();
        hugging_face::write_json(folder, "tokenizer.json", &tokenizer);
    }
    let file = folder.join("out.gguf");
    nearfield(&["convert", path(folder), "-o", path(&file)])?;
    Ok(file)
}

/// Writes the checkpoint of the model with this tokenizer.
pub fn prepare(name: &str, folder: &Path) {
    const N_VOCAB: usize = 512;
    let shapes: [(&str, &[usize]); 11] = [
        ("transformer.wte.weight", &[N_VOCAB, 8]),
        ("transformer.blocks.0.norm_1.weight", &[8]),
        ("transformer.blocks.0.attn.Wqkv.weight", &[24, 8]),
        ("transformer.blocks.0.attn.out_proj.weight", &[8, 8]),
        ("transformer.blocks.0.norm_2.weight", &[8]),
        ("transformer.blocks.0.ffn.up_proj.weight", &[32, 8]),
        ("transformer.blocks.0.ffn.down_proj.weight", &[8, 32]),
        ("transformer.norm_f.weight", &[8]),
        ("transformer.blocks.0.norm_1.bias", &[8]),
        ("transformer.blocks.0.norm_2.bias", &[8]),
        ("transformer.norm_f.bias", &[8]),
    ];
    let zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
    let tensors: Vec<Tensor> = shapes.iter().map(|(name, shape)| Tensor::f32(name, shape, &zeros(shape))).collect();
    hugging_face::write_single(folder, &tensors);
    let config = json!({
        "model_type": "mpt", "d_model": 8, "n_heads": 1, "n_layers": 1, "vocab_size": N_VOCAB, "max_seq_len": 64,
        "attn_config": {"alibi": true},
    });
    hugging_face::write_json(folder, "config.json", &config);
    for file in FILES.iter().filter(|file| self::folder().join(name).join(file).is_file()) {
        fs::copy(self::folder().join(name).join(file), folder.join(file)).unwrap();
    }
}

/// Token ids of a text, whatever is in it.
pub fn tokenize(file: &Path, text: &str, special: bool) -> Result<Vec<u64>, String> {
    let input = file.with_extension("txt");
    fs::write(&input, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    // In sentencepiece no text is a control token.
    command
        .args(["tokenize", "-m", path(file)])
        .args(special.then_some("--special"))
        .stdin(Stdio::from(fs::File::open(&input).unwrap()));
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let ids = String::from_utf8(output.stdout).unwrap();
    Ok(ids.split_whitespace().map(|id| id.parse().unwrap()).collect())
}

fn cases() -> Vec<Value> {
    let cases = fs::read_to_string(folder().join("cases.jsonl")).unwrap();
    cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = convert(name, folder.path()).unwrap();
    let mut failures = Vec::new();
    for case in cases() {
        let text = case["text"].as_str().unwrap();
        let Some(ids) = case["ids"].get(name) else { continue };
        let want: Vec<u64> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let got = tokenize(&file, text, !name.starts_with("sentencepiece"));
        if got.as_ref() != Ok(&want) {
            failures.push(format!("{text:?}\n  want {want:?}\n  got  {got:?}"));
        }
    }
    assert!(failures.is_empty(), "{name}: {} of {} texts\n{}", failures.len(), cases().len(), failures.join("\n"));
}

#[test]
fn settings_of_a_tokenizer_are_kept() {
    let cases = fs::read_to_string(folder().join("changes.jsonl")).unwrap();
    for case in cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (name, text) = (case["name"].as_str().unwrap(), case["text"].as_str().unwrap());
        let want: Vec<u64> = serde_json::from_value(case["ids"].clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = convert_changed(name, &case["changes"], folder.path()).unwrap();
        assert_eq!(tokenize(&file, text, true).unwrap(), want, "{case}");
    }
    assert_eq!(cases.lines().count(), 14);
}

/// Classes of tokenizers decide as in `transformers` 5.24.
#[test]
fn classes_put_ends_around_texts_where_no_file_says_so() {
    let end = "<|endoftext|>";
    let settings =
        |class: &str| json!({"tokenizer_class": class, "bos_token": end, "eos_token": end, "unk_token": end});
    let mut begins = settings("GPT2Tokenizer");
    begins["add_bos_token"] = json!(true);
    let (body, of_json) = (&[330, 69, 289, 79, 347, 76][..], &[334, 73, 293, 83, 351, 80][..]);
    for (name, settings, want) in [
        ("gpt-2-lists", settings("GPT2Tokenizer"), body.to_vec()),
        ("gpt-2-lists", begins.clone(), [&[0], body].concat()),
        ("gpt-2-lists", settings("RobertaTokenizer"), [&[0], body, &[0]].concat()),
        // The file `tokenizer.json` takes precedence.
        ("gpt-2", begins, body.to_vec()),
        ("roberta", json!({"add_bos_token": false, "add_eos_token": false}), [&[0], of_json, &[2]].concat()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        prepare(name, folder.path());
        hugging_face::write_json(folder.path(), "tokenizer_config.json", &settings);
        let file = folder.path().join("out.gguf");
        nearfield(&["convert", path(folder.path()), "-o", path(&file)]).unwrap();
        assert_eq!(tokenize(&file, "the model", true).unwrap(), want, "{name} {settings}");
    }
}

#[test]
fn settings_that_cannot_be_kept_are_refused() {
    let text = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let two = json!([text("[CLS]"), text("[MASK]"), {"Sequence": {"id": "A", "type_id": 0}}]);
    let ids = json!({"[CLS]": {"ids": [2]}, "[MASK]": {"ids": [4]}});
    for (name, place, value, want) in [
        ("bert", "/pre_tokenizer", json!({"type": "WhitespaceSplit"}), "its `pre_tokenizer` is not BERT's"),
        ("bert", "/model/max_input_chars_per_word", json!(200), "`max_input_chars_per_word` is 200"),
        (
            "bert",
            "/post_processor",
            json!({"type": "TemplateProcessing", "single": two, "special_tokens": ids}),
            "puts 2 tokens before a text and 0 behind it",
        ),
        ("unigram", "/pre_tokenizer/replacement", json!("_"), "its `Metaspace` does not spell a space"),
        ("unigram", "/pre_tokenizer", json!({"type": "WhitespaceSplit"}), "its `pre_tokenizer` is none of"),
        (
            "bloom",
            "/pre_tokenizer/pretokenizers/0/pattern",
            json!({"String": "a"}),
            "texts are cut by a `pre_tokenizer`",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = convert_changed(name, &json!({place: value}), folder.path()).unwrap_err();
        assert!(error.contains(want), "{name} {place}: {error}");
    }
}

#[test]
fn byte_level_bpe_with_added_tokens() {
    check("gpt-2");
}

#[test]
fn byte_level_bpe_with_single_digits() {
    check("refact");
}

#[test]
fn byte_level_bpe_of_bloom() {
    check("bloom");
}

#[test]
fn byte_level_bpe_of_falcon() {
    check("falcon");
}

#[test]
fn byte_level_bpe_between_two_tokens() {
    check("roberta");
}

#[test]
fn bpe_between_white_space() {
    check("dnabert-2");
}

#[test]
fn bpe_of_words_in_small_letters() {
    check("whitespace");
}

#[test]
fn word_pieces() {
    check("bert");
}

#[test]
fn unigrams() {
    check("unigram");
}

#[test]
fn byte_level_bpe_in_two_lists() {
    check("gpt-2-lists");
}

#[test]
fn word_pieces_in_a_list() {
    check("bert-list");
}

#[test]
fn sentencepieces_own_bpe() {
    check("sentencepiece-bpe");
}

#[test]
fn sentencepieces_own_unigrams() {
    check("sentencepiece-unigram");
}
