//! Reader of `tokenizer.json`, the file of Hugging Face's `tokenizers`: a model, the steps that prepare a text for it, and the
//! tokens put around a text.

use std::path::Path;

use nearfield::tokenizer::PreTokenizer;
use serde_json::{Map, Value, json};

use super::added::{Flags, add};
use super::ends::set_ends;
use super::lists::{BERT, mark_bert_tokens, set_ids, token_id};
use super::steps::steps;
use super::{Algorithm, Bert, Vocabulary, WHITESPACE, WHITESPACE_SPLIT, unigram};
use crate::convert::config::{Config, read_json};
use crate::error::{Context, Result, bail, ensure};
use crate::monitor::Monitor;

/// Reads a file; `pre` is the family's own pre-tokenizer.
pub fn read(path: &Path, pre: &str, monitor: &Monitor) -> Result<Vocabulary> {
    let json = read_json(path)?;
    parse(&json, pre, monitor).with_context(|| path.display().to_string())
}

fn parse(json: &Value, pre: &str, monitor: &Monitor) -> Result<Vocabulary> {
    let model = Config::of("model", json.get("model").and_then(Value::as_object).context("it has no `model`")?);
    // Files from before this field existed have merges, or a vocabulary in the form of a list.
    let ty = match model.text("type")? {
        Some(ty) => ty,
        None if model.has("merges") => "BPE",
        None if matches!(model.value("vocab"), Some(Value::Array(_))) => "Unigram",
        None => "WordPiece",
    };
    let mut vocabulary = match ty {
        "BPE" => merges(json, &model, pre, monitor)?,
        "Unigram" => unigram::parse(json, &model, monitor)?,
        "WordPiece" => word_piece(json, &model)?,
        other => bail!("its model is of type {other:?}: BPE, Unigram and WordPiece can be converted"),
    };
    for token in json.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let id = token.get("id").and_then(token_id);
        let (Some(id), Some(text)) = (id, token.get("content").and_then(Value::as_str)) else {
            bail!("an added token is {token}, without an id or a content");
        };
        let is_special = token.get("special") == Some(&json!(true));
        add(&mut vocabulary, id, text, is_special, Flags::of(token, is_special), monitor);
    }
    set_ends(json.get("post_processor"), &mut vocabulary)?;
    Ok(vocabulary)
}

fn merges(json: &Value, model: &Config, pre: &str, monitor: &Monitor) -> Result<Vocabulary> {
    model.only("byte_fallback", &[json!(false)]).context("sentencepiece's own tokenizer.model has what this needs")?;
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        model.only(key, &[json!("")])?;
    }
    model.only("ignore_merges", &[json!(false)])?;
    if let Some(share) = model.optional_number(&["dropout"])?.filter(|&share| share != 0.0) {
        monitor
            .note(format_args!("the tokenizer leaves out merges by chance (`dropout` is {share}): here all are made"));
    }
    let mut vocabulary = Vocabulary::new(Algorithm::Merges, pre_tokenizer(json.get("pre_tokenizer"), pre)?);
    set_ids(&mut vocabulary, ids(model)?)?;
    let Some(Value::Array(merges)) = model.value("merges") else { bail!("its model has no `merges`") };
    for merge in merges {
        vocabulary
            .merges
            .push(pair(merge).with_context(|| format!("a merge is {merge}, not two texts without spaces"))?);
    }
    let unknown = model.text("unk_token")?.and_then(|text| vocabulary.ids().get(text).copied());
    if let Some(id) = unknown {
        vocabulary.special.offer("unk", id);
    }
    vocabulary.unknown = unknown;
    vocabulary.fuse_unknown = model.flag("fuse_unk", false)?;
    let cuts_as_gpt2 = PreTokenizer::from_name(&vocabulary.pre) == Ok(PreTokenizer::Gpt2);
    let steps = steps(json.get("normalizer"), "normalizers");
    let words: Vec<_> = steps.iter().filter_map(|step| step.get("type").and_then(Value::as_str)).collect();
    match &words[..] {
        [] => {}
        ["NFC"] if cuts_as_gpt2 => vocabulary.nfc = true,
        ["Lowercase"] if vocabulary.merges_characters() => vocabulary.lowercase = true,
        words => {
            let words = words.join(", ");
            monitor
                .note(format_args!("the normalizer of the tokenizer ({words}) is left out: a GGUF file cannot say it"));
        }
    }
    Ok(vocabulary)
}

fn ids(model: &Config) -> Result<&Map<String, Value>> {
    match model.value("vocab") {
        Some(Value::Object(ids)) => Ok(ids),
        _ => bail!("its model has no `vocab` of ids by text"),
    }
}

/// Merge in a file, `"a b"` or, in newer files, `["a", "b"]`, as the text `a b`.
fn pair(merge: &Value) -> Option<String> {
    let (a, b) = match merge {
        Value::String(merge) => merge.split_once(' ')?,
        Value::Array(pair) => match &pair[..] {
            [a, b] => (a.as_str()?, b.as_str()?),
            _ => return None,
        },
        _ => return None,
    };
    let is_plain = |part: &str| !part.is_empty() && !part.contains(' ');
    (is_plain(a) && is_plain(b)).then(|| format!("{a} {b}"))
}

/// Regular expression of BLOOM; its inner brackets nest.
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";
/// Regular expression of GPT-2, for files that spell it out.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Name of the pre-tokenizer in GGUF: the family's, if it cuts as the file's does.
fn pre_tokenizer<'p>(pre_tokenizer: Option<&Value>, family: &'p str) -> Result<&'p str> {
    let steps = steps(pre_tokenizer, "pretokenizers");
    let words: Vec<String> = steps.iter().map(|step| word(step)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let gpt2 = format!("split {GPT2}");
    let bloom = format!("split {BLOOM}");
    let found = match &words[..] {
        ["bytes of words"] => "gpt-2",
        [split, "bytes"] if *split == gpt2 => "gpt-2",
        ["digit", "bytes of words"] => "refact",
        [split, "bytes"] if *split == bloom => "bloom",
        ["punctuation", "bytes of words", "digits", "split [0-9][0-9][0-9]"] => "falcon",
        ["words"] => WHITESPACE,
        ["white space"] => WHITESPACE_SPLIT,
        _ => {
            let steps = steps.iter().map(|step| step.to_string()).collect::<Vec<_>>().join(", ");
            bail!("texts are cut by a `pre_tokenizer` of [{steps}], which no known name of GGUF stands for")
        }
    };
    match (PreTokenizer::from_name(family), PreTokenizer::from_name(found)) {
        (Ok(a), Ok(b)) if a == b => Ok(family),
        _ => Ok(found),
    }
}

/// Word for a step of the pre-tokenizer; empty for an unknown one.
fn word(step: &Value) -> String {
    let flag = |key: &str, default: bool| step.get(key).and_then(Value::as_bool).unwrap_or(default);
    let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "ByteLevel" if flag("add_prefix_space", true) => String::new(),
        "ByteLevel" if flag("use_regex", true) => "bytes of words".into(),
        "ByteLevel" => "bytes".into(),
        "Digits" if flag("individual_digits", false) => "digit".into(),
        "Digits" => "digits".into(),
        "Punctuation" if text("behavior") == "Contiguous" => "punctuation".into(),
        "Whitespace" => "words".into(),
        "WhitespaceSplit" => "white space".into(),
        "Split" if text("behavior") == "Isolated" && !flag("invert", false) => {
            // A pattern that is a `String` is no regular expression.
            let regex = step.get("pattern").and_then(|pattern| pattern.get("Regex"));
            format!("split {}", regex.and_then(Value::as_str).unwrap_or_default())
        }
        _ => String::new(),
    }
}

fn word_piece(json: &Value, model: &Config) -> Result<Vocabulary> {
    model.only("continuing_subword_prefix", &[json!("##")])?;
    model.only("max_input_chars_per_word", &[json!(100)])?;
    let cuts = steps(json.get("pre_tokenizer"), "pretokenizers");
    let steps = steps(json.get("normalizer"), "normalizers");
    let is_of = |step: &Value, ty: &str| step.get("type").and_then(Value::as_str) == Some(ty);
    ensure!(matches!(cuts[..], [step] if is_of(step, "BertPreTokenizer")), "its `pre_tokenizer` is not BERT's");
    let [Value::Object(normalizer)] = steps[..] else { bail!("its `normalizer` is not BERT's") };
    let normalizer = Config::of("normalizer", normalizer);
    ensure!(normalizer.text("type")? == Some("BertNormalizer"), "its `normalizer` is not BERT's");
    for key in ["clean_text", "handle_chinese_chars"] {
        normalizer.only(key, &[json!(true)])?;
    }
    let mut vocabulary = Vocabulary::new(Algorithm::WordPiece, BERT);
    let lowercase = normalizer.flag("lowercase", true)?;
    vocabulary.bert = Some(Bert { lowercase, strip_accents: normalizer.flag("strip_accents", lowercase)? });
    set_ids(&mut vocabulary, ids(model)?)?;
    vocabulary.unknown = model.text("unk_token")?.and_then(|text| vocabulary.ids().get(text).copied());
    if let Some(id) = vocabulary.unknown {
        vocabulary.special.offer("unk", id);
    }
    mark_bert_tokens(&mut vocabulary);
    Ok(vocabulary)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn byte_level() -> Value {
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})
    }

    #[test]
    fn pre_tokenizers_get_the_name_of_the_family_or_their_own() {
        let sequence = |steps: Value| json!({"type": "Sequence", "pretokenizers": steps});
        let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let cases = [
            (byte_level(), "mpt", "mpt"),
            (byte_level(), "bloom", "gpt-2"),
            (sequence(json!([split(BLOOM), bytes])), "bloom", "bloom"),
            (sequence(json!([split(GPT2), bytes])), "jais", "jais"),
            (sequence(json!([digits, byte_level()])), "refact", "refact"),
            (sequence(json!([digits, byte_level()])), "gpt-2", "refact"),
            (json!({"type": "Whitespace"}), "gpt-2", "whitespace"),
            (json!({"type": "WhitespaceSplit"}), "gpt-2", "dnabert-2"),
        ];
        for (json, family, want) in cases {
            assert_eq!(pre_tokenizer(Some(&json), family).unwrap(), want, "{json}");
        }
        let mut prefixed = byte_level();
        prefixed["add_prefix_space"] = json!(true);
        let mut literal = split(GPT2);
        literal["pattern"] = json!({"String": GPT2});
        for json in [
            Value::Null,
            prefixed,
            sequence(json!([split("x"), bytes])),
            sequence(json!([literal, bytes])),
            json!({"type": "Whitespaces"}),
        ] {
            let error = pre_tokenizer(Some(&json), "gpt-2").unwrap_err().to_string();
            assert!(error.starts_with("texts are cut by a `pre_tokenizer` of ["), "{error}");
        }
    }

    fn tokenizer() -> Value {
        json!({
            "added_tokens": [
                {"id": 4, "content": "</s>", "special": true},
                {"id": 6, "content": "  ", "special": false},
            ],
            "normalizer": null,
            "pre_tokenizer": byte_level(),
            "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 4], "cls": ["a", 0]},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "dropout": 0.0},
        })
    }

    #[test]
    fn merges_ids_and_added_tokens_are_read() {
        let mut json = tokenizer();
        for merge in [json!("a b"), json!(["a", "b"])] {
            json["model"]["merges"] = json!([merge]);
            let found = parse(&json, "gpt-2", &Monitor::silent()).unwrap();
            let texts: Vec<&str> = found.tokens.iter().map(|token| token.text.as_str()).collect();
            assert_eq!(texts, ["a", "b", "ab", "[PAD3]", "</s>", "[PAD5]", "  "]);
            let kinds = [Kind::Unused, Kind::Control, Kind::Unused, Kind::UserDefined];
            assert_eq!(found.tokens[3..].iter().map(|token| token.kind).collect::<Vec<_>>(), kinds);
            assert_eq!(found.merges, ["a b"]);
            assert!(found.special.add_bos && found.special.add_eos);
            assert_eq!([found.special.id("bos"), found.special.id("eos")], [Some(0), Some(4)]);
        }
    }

    #[test]
    fn what_a_file_cannot_say_is_refused() {
        let cases = [
            (
                "/model/type",
                json!("WordLevel"),
                "its model is of type \"WordLevel\": BPE, Unigram and WordPiece can be converted",
            ),
            ("/model/merges", json!([["a b", "c"]]), "a merge is [\"a b\",\"c\"], not two texts without spaces"),
            ("/model/vocab", json!({"a": -1}), "the id of \"a\" is -1, not one of a token"),
            ("/model/vocab", json!([]), "its model has no `vocab` of ids by text"),
            ("/added_tokens/0/id", json!(null), "an added token is "),
            ("/pre_tokenizer", json!(null), "texts are cut by a `pre_tokenizer` of []"),
        ];
        for (place, value, want) in cases {
            let mut json = tokenizer();
            *json.pointer_mut(place).unwrap() = value;
            let error = parse(&json, "gpt-2", &Monitor::silent()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        let mut json = tokenizer();
        json["model"]["ignore_merges"] = json!(true);
        let error = parse(&json, "gpt-2", &Monitor::silent()).unwrap_err().to_string();
        assert_eq!(error, "model: `ignore_merges` is true: only false can be converted");
    }

    #[test]
    fn merges_have_the_unknown_token_that_their_model_names() {
        let unknown = |text: Value, fuse: Value| {
            let mut json = tokenizer();
            (json["model"]["unk_token"], json["model"]["fuse_unk"]) = (text, fuse);
            let found = parse(&json, "gpt-2", &Monitor::silent()).unwrap();
            (found.unknown, found.fuse_unknown)
        };
        assert_eq!(unknown(json!("b"), json!(true)), (Some(1), true));
        assert_eq!(unknown(json!("b"), json!(false)), (Some(1), false));
        assert_eq!(unknown(json!(null), json!(null)), (None, false));
        assert_eq!(unknown(json!(""), json!(false)), (None, false), "GPT-2's own file has an empty one");
    }

    #[test]
    fn nfc_is_what_the_only_normalizer_says() {
        let nfc = |normalizer: Value, pre: &str| {
            let mut json = tokenizer();
            json["normalizer"] = normalizer;
            parse(&json, pre, &Monitor::silent()).unwrap().nfc
        };
        let with_nfc = || json!({"type": "NFC"});
        let sequence = |steps: Value| json!({"type": "Sequence", "normalizers": steps});
        assert!(nfc(with_nfc(), "mpt"));
        assert!(nfc(sequence(json!([with_nfc()])), "gpt-2"));
        assert!(!nfc(Value::Null, "mpt"));
        assert!(!nfc(Value::Null, "gpt-2"));
        assert!(!nfc(json!({"type": "NFKC"}), "gpt-2"));
    }

    #[test]
    fn letters_become_small_before_merges_of_characters() {
        let mut json = tokenizer();
        json["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]});
        assert!(!parse(&json, "gpt-2", &Monitor::silent()).unwrap().lowercase);
        for pre in ["Whitespace", "WhitespaceSplit"] {
            json["pre_tokenizer"] = json!({"type": pre});
            assert!(parse(&json, "gpt-2", &Monitor::silent()).unwrap().lowercase);
        }
        json["normalizer"] = Value::Null;
        assert!(!parse(&json, "gpt-2", &Monitor::silent()).unwrap().lowercase);
    }

    #[test]
    fn word_pieces_are_those_of_a_bert() {
        let mut json = json!({
            "normalizer": {"type": "BertNormalizer", "lowercase": true, "strip_accents": null},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "vocab": {"[CLS]": 0, "[SEP]": 1, "a": 2, "##b": 3}, "unk_token": "[UNK]"},
        });
        let found = parse(&json, "jina-v2-en", &Monitor::silent()).unwrap();
        assert_eq!(found.algorithm, Algorithm::WordPiece);
        let texts: Vec<String> = found.tokens.iter().map(|token| found.text_in_file(token)).collect();
        assert_eq!(texts, ["[CLS]", "[SEP]", "\u{2581}a", "b"]);
        assert_eq!(found.bert, Some(Bert { lowercase: true, strip_accents: true }));
        json["normalizer"]["lowercase"] = json!(false);
        let bert = parse(&json, "jina-v2-en", &Monitor::silent()).unwrap().bert;
        assert_eq!(bert, Some(Bert { lowercase: false, strip_accents: false }));
        json["normalizer"]["clean_text"] = json!(false);
        let error = parse(&json, "jina-v2-en", &Monitor::silent()).unwrap_err().to_string();
        assert_eq!(error, "normalizer: `clean_text` is false: only true can be converted");
        assert!(!found.special.add_bos && !found.special.add_eos);
    }

    #[test]
    fn word_pieces_have_the_unknown_token_of_their_model_and_berts_cuts() {
        let json = json!({
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "BertNormalizer"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]},
            "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "<unk>": 1, "a": 2}, "unk_token": "<unk>"},
        });
        let found = parse(&json, "jina-v2-en", &Monitor::silent()).unwrap();
        assert_eq!((found.unknown, found.special.id("unk")), (Some(1), Some(1)));
        for (place, value, want) in [
            ("/pre_tokenizer", json!({"type": "Whitespace"}), "its `pre_tokenizer` is not BERT's"),
            ("/pre_tokenizer", json!(null), "its `pre_tokenizer` is not BERT's"),
            ("/normalizer", json!({"type": "Lowercase"}), "its `normalizer` is not BERT's"),
            ("/normalizer", json!(null), "its `normalizer` is not BERT's"),
            (
                "/model/max_input_chars_per_word",
                json!(200),
                "model: `max_input_chars_per_word` is 200: only 100 can be converted",
            ),
        ] {
            let mut json = json.clone();
            json["model"]["max_input_chars_per_word"] = json!(100);
            *json.pointer_mut(place).unwrap() = value;
            assert_eq!(parse(&json, "jina-v2-en", &Monitor::silent()).unwrap_err().to_string(), want);
        }
    }
}
