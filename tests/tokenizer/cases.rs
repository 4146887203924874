//! Random strings and the ids that Hugging Face's `tokenizers` gives them; `make_tokenizer_cases.py` makes both.

use std::fs;
use std::path::Path;

use nearfield::tokenizer::{EncodeOptions, Kind, PreTokenizer, Tokenizer};

use super::vocab::{Words, encode, folder, here};

const NAMES: [&str; 6] = ["gpt-2", "mpt", "bloom", "refact", "starcoder", "falcon"];

/// Hugging Face finds all special tokens.
const OPTIONS: EncodeOptions = EncodeOptions { add_bos: false, add_eos: false, parse_special: true, continues: false };

fn check(tokenizer: &Tokenizer<'_, '_>, path: &Path) -> usize {
    let lines = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (i, line) in lines.lines().enumerate() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = case["text"].as_str().unwrap();
        let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(encode(tokenizer, text, OPTIONS).unwrap(), wanted, "{}:{}: {text:?}", path.display(), i + 1);
    }
    lines.lines().count()
}

#[test]
fn committed_strings_get_the_ids_of_hugging_face() {
    for name in NAMES {
        // The published MPT tokenizer, GPT-NeoX's, normalizes texts.
        let kind = if name == "mpt" { Kind::BYTE_LEVEL_BPE_NFC } else { Kind::BYTE_LEVEL_BPE };
        let words = Words { kind, ..Words::small(PreTokenizer::from_name(name).unwrap()) };
        let path = here().join(format!("cases/{name}.jsonl"));
        assert_eq!(words.with(|tokenizer| check(tokenizer, &path)), Ok(200));
    }
}

#[test]
fn many_strings_get_the_ids_of_hugging_face() {
    let Some(folder) = folder("NEARFIELD_TOKENIZER_CASES", "{gpt-2,mpt,bloom,refact,starcoder,falcon}.{gguf,jsonl}")
    else {
        return;
    };
    for name in NAMES {
        let words = Words::from_gguf(&folder.join(format!("{name}.gguf")));
        let n = words.with(|tokenizer| check(tokenizer, &folder.join(format!("{name}.jsonl")))).unwrap();
        println!("{name}: {n} strings");
        assert!(n >= 10_000);
    }
    // Unicode's own tests of normalization, if they were made.
    let unicode = folder.join("mpt-unicode.gguf");
    if unicode.exists() {
        let words = Words::from_gguf(&unicode);
        let n = words.with(|tokenizer| check(tokenizer, &folder.join("mpt-unicode.jsonl"))).unwrap();
        println!("mpt-unicode: {n} strings");
        assert!(n >= 90_000);
    }
}
