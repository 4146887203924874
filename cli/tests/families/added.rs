//! Converted models find added tokens as `transformers` does (`tokenizers/make_added.py`).

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::hugging_face::write_json;
use crate::path;
use crate::tokenizers::{folder, prepare, tokenize};

#[test]
fn added_tokens_are_found_as_their_files_say() {
    let lines = fs::read_to_string(folder().join("added.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 9);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let base = line["base"].as_str().unwrap();
        let checkpoint = tempfile::tempdir().unwrap();
        prepare(base, checkpoint.path());
        let tokenizer = fs::read(checkpoint.path().join("tokenizer.json")).unwrap();
        let mut tokenizer: Value = serde_json::from_slice(&tokenizer).unwrap();
        tokenizer["added_tokens"] = line["added"].clone();
        if !line["normalizer"].is_null() {
            tokenizer["normalizer"] = line["normalizer"].clone();
        }
        write_json(checkpoint.path(), "tokenizer.json", &tokenizer);
        for (name, value) in line["files"].as_object().unwrap() {
            write_json(checkpoint.path(), name, value);
        }
        let file = checkpoint.path().join("out.gguf");
        let notes = convert(checkpoint.path(), &file);
        let notes: Vec<&str> = notes.lines().filter(|note| note.contains("token \"")).collect();
        assert_eq!(json!(notes), line["notes"], "{base}");
        for case in line["cases"].as_array().unwrap() {
            let (text, want): (String, Vec<u64>) = serde_json::from_value(case.clone()).unwrap();
            assert_eq!(tokenize(&file, &text, true).unwrap(), want, "{base} {}: {text:?}", line["added"]);
        }
    }
}

/// Converts a checkpoint; returns the notes on standard error.
fn convert(checkpoint: &std::path::Path, file: &std::path::Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    let output = command.args(["convert", path(checkpoint), "-o", path(file)]).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    notes
}

/// Special tokens that have neither an id nor a row are named in a note. Pieces of sentencepiece stay pieces, and tokens that
/// are added to its models are found before them.
#[test]
fn tokens_that_the_model_has_no_room_for_are_named() {
    let checkpoint = tempfile::tempdir().unwrap();
    prepare("gpt-2", checkpoint.path());
    let more: Vec<String> = (0..200).map(|i| format!("<|{i}|>")).collect();
    write_json(checkpoint.path(), "special_tokens_map.json", &json!({"additional_special_tokens": more}));
    let file = checkpoint.path().join("out.gguf");
    let notes = convert(checkpoint.path(), &file);
    let left_out: Vec<&str> = notes.lines().filter(|note| note.contains(" is left out: ")).collect();
    // The embedding has 512 rows, the vocabulary 402 tokens.
    assert_eq!(left_out.len(), 200 - (512 - 402));
    let want =
        "the special token \"<|110|>\" is left out: the vocabulary has no such token, and the model no row for it";
    assert_eq!(left_out[0], want);
    assert_eq!(tokenize(&file, "<|0|><|109|>", true).unwrap(), [402, 511]);
}

#[test]
fn tokens_that_are_added_to_a_sentencepiece_model_part_its_texts() {
    let checkpoint = tempfile::tempdir().unwrap();
    prepare("sentencepiece-unigram", checkpoint.path());
    write_json(checkpoint.path(), "added_tokens.json", &json!({"e o": 400}));
    let file = checkpoint.path().join("out.gguf");
    convert(checkpoint.path(), &file);
    let tokens = |text: &str| tokenize(&file, text, false).unwrap();
    let parts = [tokens("th"), vec![400], tokens("f")].concat();
    assert_eq!(tokens("the of"), parts);
}
