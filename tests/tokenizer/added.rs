//! Tokens that were added to a vocabulary, as Hugging Face's `AddedToken` says how they are found: random ones, whose ids
//! `make_added.py` asks `tokenizers` for, and what no other program can tell.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nearfield::tokenizer::{
    AddedTokens, BertOptions, CharacterOptions, EncodeOptions, Kind, PreTokenizer, StringArray, Tokenizer,
    TokenizerError, Vocab,
};
use nearfield::{Arena, Line};
use serde_json::Value;

use super::vocab::{CONTROL, NORMAL, USER_DEFINED, body, encode, folder, here};

/// Hugging Face finds all special tokens.
const PARSE: EncodeOptions = EncodeOptions { add_bos: false, add_eos: false, parse_special: true, continues: false };

/// A vocabulary to which tokens are added.
#[derive(Debug)]
struct Base {
    tokens: Vec<String>,
    merges: Vec<String>,
}

/// A token: its text when normalized, whether it takes white space on both sides, stands alone, is found in normalized text, and
/// is special.
type Added = (String, bool, bool, bool, bool, bool);

/// Hands over the tokenizer of a vocabulary with these tokens behind its own.
fn with<R>(name: &str, base: &Base, added: &[Added], use_it: impl FnOnce(&Tokenizer<'_, '_>) -> R) -> R {
    let texts = base.tokens.iter().chain(added.iter().map(|(text, ..)| text));
    let tokens = body(&texts.map(|text| text.clone().into_bytes()).collect::<Vec<_>>());
    let merges = body(&base.merges.iter().map(|merge| merge.clone().into_bytes()).collect::<Vec<_>>());
    let (n_tokens, n_merges) = (base.tokens.len() + added.len(), base.merges.len());
    let types = base.tokens.iter().map(|_| NORMAL);
    let types = types.chain(added.iter().map(|(.., special)| if *special { CONTROL } else { USER_DEFINED }));
    let types: Vec<u8> = types.flat_map(i32::to_le_bytes).collect();
    let ids = |has: fn(&Added) -> bool| -> Vec<u8> {
        let ids = (base.tokens.len() as u32..).zip(added).filter(|(_, token)| has(token));
        ids.flat_map(|(id, _)| id.to_le_bytes()).collect()
    };
    let (lstrip, rstrip) = (ids(|token| token.1), ids(|token| token.2));
    let (single_word, normalized) = (ids(|token| token.3), ids(|token| token.4));
    let flags = AddedTokens::NONE
        .with_lstrip(&lstrip)
        .with_rstrip(&rstrip)
        .with_single_word(&single_word)
        .with_normalized(&normalized);
    let kind = match name {
        "byte-level" => Kind::BYTE_LEVEL_BPE,
        "byte-level-nfc" => Kind::BYTE_LEVEL_BPE_NFC,
        "wordpiece" | "wordpiece-cased" => Kind::WORDPIECE,
        _ => Kind::CHARACTER_BPE,
    };
    let lowercase = name != "wordpiece-cased";
    let vocab = Vocab {
        kind,
        token_types: Some(&types),
        bert: BertOptions { lowercase, strip_accents: lowercase },
        characters: CharacterOptions { lowercase, cuts_signs: true },
        unk: (kind == Kind::WORDPIECE).then_some(0),
        added: flags,
        ..Vocab::byte_level(
            StringArray::split(n_tokens as u64, &tokens).unwrap().0,
            StringArray::split(n_merges as u64, &merges).unwrap().0,
            PreTokenizer::Gpt2,
        )
    };
    let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(n_tokens, n_merges).unwrap() / Line::BYTES];
    use_it(&Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap())
}

/// Compares all cases of all vocabularies in a file; returns how many there are.
fn check(path: &Path) -> usize {
    let lines = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (first, rest) = lines.split_once('\n').unwrap();
    let bases: HashMap<String, HashMap<String, Vec<String>>> = serde_json::from_str(first).unwrap();
    let bases: HashMap<&str, Base> = bases
        .iter()
        .map(|(name, lists)| (&**name, Base { tokens: lists["tokens"].clone(), merges: lists["merges"].clone() }))
        .collect();
    let mut n = 0;
    for (i, line) in rest.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["base"].as_str().unwrap();
        let added: Vec<Added> = serde_json::from_value(line["added"].clone()).unwrap();
        let cases: Vec<(String, Vec<u32>)> = serde_json::from_value(line["cases"].clone()).unwrap();
        with(name, &bases[name], &added, |tokenizer| {
            for (text, wanted) in &cases {
                let found = encode(tokenizer, text, PARSE).unwrap();
                assert_eq!(found, *wanted, "{}:{}: {text:?} {:?}", path.display(), i + 2, added);
            }
        });
        n += cases.len();
    }
    n
}

#[test]
fn committed_strings_get_the_ids_of_hugging_face() {
    let n = check(&here().join("cases/added.jsonl"));
    assert!(n > 1100, "{n}");
}

#[test]
fn many_strings_get_the_ids_of_hugging_face() {
    let Some(folder) = folder("NEARFIELD_TOKENIZER_KINDS", "what make_added.py writes, as added.jsonl") else { return };
    println!("{} strings", check(&folder.join("added.jsonl")));
}

fn token(text: &str, flags: [bool; 4]) -> Added {
    let [lstrip, rstrip, single_word, normalized] = flags;
    (text.into(), lstrip, rstrip, single_word, normalized, false)
}

/// White space, whole words and capitals. The ids are those of `tokenizers` 0.23.
#[test]
fn white_space_words_and_capitals() {
    let letters = |letters: &str| Base { tokens: letters.chars().map(String::from).collect(), merges: vec![] };
    let base = letters("Ġwordsz");
    with("byte-level", &base, &[token("<extra>", [true, false, false, false])], |t| {
        assert_eq!(encode(t, "  <extra>  z", PARSE).unwrap(), [7, 0, 0, 6]);
    });
    with("byte-level", &base, &[token("word", [false, false, true, false])], |t| {
        assert_eq!(encode(t, "words sword", PARSE).unwrap(), [1, 2, 3, 4, 5, 0, 5, 1, 2, 3, 4]);
        assert_eq!(encode(t, "s word, word", PARSE).unwrap(), [5, 0, 7, 0, 7]);
    });
    // A token that is normalized to a letter is not that letter.
    with("byte-level-nfc", &letters("aKĠ"), &[token("K", [false, false, true, true])], |t| {
        assert_eq!(encode(t, "aK K aK \u{212a}", PARSE).unwrap(), [0, 1, 2, 3, 2, 0, 1, 2, 3]);
    });
    let base = Base { tokens: ["[UNK]", "▁a", "s"].map(String::from).into(), merges: vec![] };
    with("wordpiece", &base, &[token("newword", [false, false, false, true])], |t| {
        for text in ["a NewWord a", "a newword a", "aNEWWÖRDa"] {
            assert_eq!(encode(t, text, PARSE).unwrap(), [1, 3, 1], "{text}");
        }
    });
}

/// White space that many tokens take is looked at once.
#[test]
fn long_texts_take_time_in_proportion() {
    const N: usize = 1 << 18;
    let base = Base { tokens: ["Ġ", "a", "Ċ"].map(String::from).into(), merges: vec![] };
    for normalized in [false, true] {
        let added = [token("  ", [true, true, false, normalized]), token("aa", [true, false, true, normalized])];
        for name in ["byte-level", "byte-level-nfc", "characters"] {
            with(name, &base, &added, |t| {
                // A text that is no normal form as it stands.
                for text in [" ".repeat(N), "a".repeat(N), "a \n".repeat(N / 3), " ".repeat(N) + "e\u{301}"] {
                    assert!(encode(t, &text, PARSE).is_ok());
                }
            });
        }
    }
}

#[test]
fn lists_of_ids_that_are_wrong_are_errors() {
    fn error(added: AddedTokens<'_>) -> Option<TokenizerError> {
        let tokens = body(&[b"a".to_vec(), b"b".to_vec()]);
        let tokens = StringArray::split(2, &tokens).unwrap().0;
        let vocab = Vocab { added, ..Vocab::byte_level(tokens, StringArray::EMPTY, PreTokenizer::Gpt2) };
        let mut lines = [Line::ZERO; Tokenizer::index_bytes(2, 0).unwrap() / Line::BYTES];
        Tokenizer::new(vocab, &mut Arena::new(&mut lines)).err()
    }
    let ids = |ids: &[u32]| -> Vec<u8> { ids.iter().flat_map(|id| id.to_le_bytes()).collect() };
    let wrong = |key| Some(TokenizerError::AddedTokens { key, n_tokens: 2 });
    assert_eq!(error(AddedTokens::NONE.with_lstrip(&ids(&[0, 1])).with_rstrip(&ids(&[1]))), None);
    assert_eq!(error(AddedTokens::NONE.with_lstrip(&ids(&[1, 0]))), wrong("lstrip"));
    assert_eq!(error(AddedTokens::NONE.with_rstrip(&ids(&[0, 0]))), wrong("rstrip"));
    assert_eq!(error(AddedTokens::NONE.with_single_word(&ids(&[2]))), wrong("single_word"));
    assert_eq!(error(AddedTokens::NONE.with_normalized(&ids(&[0])[..3])), wrong("normalized"));
    let text = TokenizerError::AddedTokens { key: "rstrip", n_tokens: 2 }.to_string();
    assert_eq!(text, "tokenizer.ggml.added_tokens.rstrip is not a list of ascending ids below 2");
}
