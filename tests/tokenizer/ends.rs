//! The two ends of a text, in all the ways that files name them. The ids of encoders are those of Hugging Face, for the keys
//! that llama.cpp's converter writes: `make_ends.py`.

use std::fs;

use nearfield::tokenizer::{PreTokenizer, StringArray, Tokenizer, Vocab};
use nearfield::{Arena, Gguf, Line};

use super::vocab::{encode, here};

/// Special tokens first: as many as the number says.
const BERT: (&[&str], usize) = (&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁the", "▁cat", "s"], 5);
const ROBERTA: (&[&str], usize) =
    (&["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<sep>", "t", "h", "e", "c", "a", "Ġ"], 6);

const MODEL: &str = "tokenizer.ggml.model";
const ARCHITECTURE: &str = "general.architecture";

/// A value of a GGUF file.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Id(u32),
    Flag(bool),
    Text(&'a str),
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A GGUF file of a vocabulary, and nothing else.
fn file((tokens, n_special): (&[&str], usize), keys: &[(&str, Value<'_>)]) -> Vec<u8> {
    let array = |key: &str, ty: u32, n: usize| {
        [&string(key)[..], &9u32.to_le_bytes(), &ty.to_le_bytes(), &(n as u64).to_le_bytes()].concat()
    };
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend((keys.len() as u64 + 3).to_le_bytes());
    file.extend(array("tokenizer.ggml.tokens", 8, tokens.len()));
    tokens.iter().for_each(|token| file.extend(string(token)));
    file.extend(array("tokenizer.ggml.token_type", 5, tokens.len()));
    (0..tokens.len()).for_each(|id| file.extend(if id < n_special { 3i32 } else { 1 }.to_le_bytes()));
    file.extend(array("tokenizer.ggml.merges", 8, 0));
    for (key, value) in keys {
        file.extend(string(key));
        file.extend(match value {
            Value::Id(id) => [4u32, *id].map(u32::to_le_bytes).concat(),
            Value::Flag(flag) => [&7u32.to_le_bytes()[..], &[(*flag).into()]].concat(),
            Value::Text(text) => [&8u32.to_le_bytes()[..], &string(text)].concat(),
        });
    }
    file
}

/// The ids of `the cat` as the model wants it.
fn ids(file: &[u8]) -> Vec<u32> {
    let vocab = Vocab::from_gguf(&Gguf::parse(file).unwrap()).unwrap();
    let n_bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap();
    let mut lines = vec![Line::ZERO; n_bytes / Line::BYTES];
    let tokenizer = Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap();
    encode(&tokenizer, "the cat", tokenizer.options()).unwrap()
}

#[test]
fn encoders_get_the_ends_of_hugging_face_whatever_the_converter_said() {
    let cases = fs::read_to_string(here().join("cases/ends.jsonl")).unwrap();
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let model = case["model"].as_str().unwrap();
        let mut keys = vec![(MODEL, Value::Text(model)), (ARCHITECTURE, Value::Text("jina-bert-v2"))];
        for (key, value) in case["keys"].as_object().unwrap() {
            let id = || Value::Id(value.as_u64().unwrap().try_into().unwrap());
            keys.push((key, value.as_bool().map_or_else(id, Value::Flag)));
        }
        let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let tokens = if model == "bert" { BERT } else { ROBERTA };
        assert_eq!(ids(&file(tokens, &keys)), wanted, "{model}: {}", case["name"]);
    }
    assert_eq!(cases.lines().count(), 18);
}

/// Every way to set two flags, for WordPiece, an encoder's BPE and a decoder's BPE. For the first two, either flag adds an end and
/// only both together deny it; for the last, either flag adds it and no flag denies it.
#[test]
fn either_of_two_flags_means_an_end() {
    let bert = [("cls", 2), ("seperator", 3)];
    let roberta = [("bos", 0), ("eos", 2)];
    for (model, architecture, tokens, names) in [
        ("bert", "jina-bert-v2", BERT, bert),
        ("bert", "mpt", BERT, bert),
        ("gpt2", "jina-bert-v2", ROBERTA, roberta),
        ("gpt2", "mpt", ROBERTA, roberta),
    ] {
        let is_decoder = model == "gpt2" && architecture == "mpt";
        let flags = [None, Some(false), Some(true)];
        for [bos, eos, sep] in (0..27).map(|i| [i / 9, i / 3 % 3, i % 3].map(|i: usize| flags[i])) {
            let mut keys = vec![(MODEL, Value::Text(model)), (ARCHITECTURE, Value::Text(architecture))];
            let [begin, end] = names.map(|(name, id)| (format!("tokenizer.ggml.{name}_token_id"), Value::Id(id)));
            keys.extend([(&*begin.0, begin.1), (&*end.0, end.1)]);
            let with_flags = [
                ("tokenizer.ggml.add_bos_token", bos),
                ("tokenizer.ggml.add_eos_token", eos),
                ("tokenizer.ggml.add_sep_token", sep),
            ];
            keys.extend(with_flags.iter().filter_map(|&(key, flag)| Some((key, Value::Flag(flag?)))));
            let found = ids(&file(tokens, &keys));
            let begins = bos.unwrap_or(!is_decoder);
            let ends = match is_decoder {
                true => eos == Some(true) || sep == Some(true),
                false => eos != Some(false) || sep != Some(false),
            };
            let [(_, first), (_, last)] = names;
            let what = format!("{model}, {architecture}: {bos:?} {eos:?} {sep:?}: {found:?}");
            assert_eq!((found[0] == first, found[found.len() - 1] == last), (begins, ends), "{what}");
        }
    }
}

/// A file may name the two ends by either pair of names, or, for WordPiece, by none.
#[test]
fn ends_are_found_by_any_of_their_names() {
    let id = |key, id| (key, Value::Id(id));
    let (bos, eos) = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id");
    let (cls, sep) = ("tokenizer.ggml.cls_token_id", "tokenizer.ggml.seperator_token_id");
    let with = |tokens, model, ids: &[(&'static str, Value<'static>)]| {
        let mut keys = vec![(MODEL, Value::Text(model)), (ARCHITECTURE, Value::Text("jina-bert-v2"))];
        keys.extend(ids);
        file(tokens, &keys)
    };
    for names in [&[id(cls, 2), id(sep, 3)][..], &[id(bos, 2), id(eos, 3)], &[id(bos, 2), id(sep, 3)]] {
        assert_eq!(ids(&with(BERT, "bert", names)), [2, 5, 6, 3], "{names:?}");
    }
    // WordPiece begins and ends with BERT's own, whatever else a file calls a beginning or an end.
    let names = [id(bos, 4), id(eos, 4), id(cls, 2), id(sep, 3)];
    assert_eq!(ids(&with(BERT, "bert", &names)), [2, 5, 6, 3]);
    for names in [[id(cls, 0), id(sep, 2)], [id(bos, 0), id(eos, 2)]] {
        assert_eq!(ids(&with(ROBERTA, "gpt2", &names)), [0, 6, 7, 8, 11, 9, 10, 6, 2], "{names:?}");
    }
    // Without any name the ids are those of BERT's own vocabulary.
    let many: Vec<String> = (0..110).map(|id| format!("[unused{id}]")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    (many[105], many[106]) = ("▁the", "▁cat");
    assert_eq!(ids(&with((&many, 105), "bert", &[])), [101, 105, 106, 102]);
}

/// Text generation ends at each token that a file calls an end, and at no other.
#[test]
fn generation_ends_at_any_end() {
    let vocab = Vocab::byte_level(StringArray::EMPTY, StringArray::EMPTY, PreTokenizer::Gpt2);
    let more: Vec<u8> = [6u32, 256].into_iter().flat_map(u32::to_le_bytes).collect();
    let vocab = Vocab { eos: Some(1), eot: Some(3), eom: Some(4), ends: Some(&more), sep: Some(5), ..vocab };
    assert_eq!((0..300).filter(|&token| vocab.is_end(token)).collect::<Vec<_>>(), [1, 3, 4, 6, 256]);
}
