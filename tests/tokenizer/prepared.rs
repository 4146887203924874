//! A prepared index equals the one that would be built, and other bytes are refused or harmless.

use nearfield::tokenizer::{
    Detokenizer, EncodeOptions, IndexError, Kind, PreTokenizer, Tokenizer, TokenizerError, Vocab,
};
use nearfield::{Arena, Gguf, Line};
use proptest::prelude::*;

use super::vocab::{USER_DEFINED, Words, bytes_of, encode, here};

/// Bytes of an index at an address that is a multiple of 64.
struct Index(Vec<Line>);

impl Index {
    fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)];
        Arena::new(&mut lines).take::<u8>(bytes.len()).unwrap().copy_from_slice(bytes);
        Self(lines)
    }

    fn with<R>(&mut self, len: usize, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
        use_it(Arena::new(&mut self.0).take::<u8>(len).unwrap())
    }
}

fn index_of(words: &Words) -> Vec<u8> {
    words.with(|tokenizer| tokenizer.index().collect()).unwrap()
}

/// Hands over the tokenizer that `words` and `index` make.
fn prepared<R>(words: &Words, index: &[u8], use_it: impl FnOnce(Result<Tokenizer<'_, '_>, TokenizerError>) -> R) -> R {
    Index::new(index).with(index.len(), |index| words.with_vocab(|vocab| use_it(Tokenizer::prepared(vocab, index))))
}

fn error(words: &Words, index: &[u8]) -> Option<TokenizerError> {
    prepared(words, index, |tokenizer| tokenizer.err())
}

fn pocket() -> Words {
    Words::from_gguf(&here().join("../../models/pocket.gguf"))
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = std::fs::read_to_string(here().join("cases/gpt-2.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().to_string())
        .collect();
    let model_card = std::fs::read_to_string(here().join("../../models/README.md")).unwrap();
    texts.push("<|endoftext|>Once<fim_prefix> upon".into());
    texts.push("a".repeat(5000));
    texts.push(model_card);
    texts
}

#[test]
fn what_is_prepared_is_what_is_built() {
    for words in [pocket(), Words::small(PreTokenizer::Gpt2), Words::small(PreTokenizer::Bloom)] {
        let index = index_of(&words);
        let n_bytes = Tokenizer::prepared_bytes(words.tokens.len(), words.merges.len());
        assert_eq!(Some(index.len()), n_bytes);
        let run = |tokenizer: &Tokenizer<'_, '_>| {
            let mut results = vec![];
            for text in texts() {
                for parse_special in [false, true] {
                    let options = EncodeOptions { parse_special, ..EncodeOptions::default() };
                    let tokens = encode(tokenizer, &text, options).unwrap();
                    assert_eq!(bytes_of(tokenizer, &tokens), text.as_bytes());
                    results.push(tokens);
                }
            }
            let of_tokens = |id: u32| (tokenizer.token_type(id).unwrap(), tokenizer.bytes(id).unwrap().collect());
            let tokens: Vec<(_, Vec<u8>)> = (0..tokenizer.n_tokens() as u32).map(of_tokens).collect();
            (results, tokens, tokenizer.find("Ġthe"), tokenizer.index().collect::<Vec<u8>>())
        };
        let built = words.with(run).unwrap();
        assert!(built.0.iter().flatten().any(|&token| token >= 256), "something merges");
        prepared(&words, &index, |tokenizer| assert!(run(&tokenizer.unwrap()) == built));
    }
}

#[test]
fn an_index_of_wide_numbers_works_too() {
    let letters: Vec<String> = (0x4e00..).filter_map(char::from_u32).take(300).map(String::from).collect();
    let mut tokens: Vec<Vec<u8>> = letters.iter().map(|letter| letter.clone().into_bytes()).collect();
    tokens.extend(letters.iter().flat_map(|a| letters.iter().map(move |b| (a.clone() + b).into_bytes())));
    let types = vec![USER_DEFINED; tokens.len()];
    let words = Words { tokens, types, merges: vec![], pre: PreTokenizer::Gpt2, kind: Kind::BYTE_LEVEL_BPE };
    assert!(words.tokens.len() > 1 << 16);
    let text = letters.concat();
    let built = words.with(|t| encode(t, &text, EncodeOptions::default()).unwrap()).unwrap();
    assert_eq!(built.len(), letters.len() / 2);
    prepared(&words, &index_of(&words), |t| {
        assert_eq!(encode(&t.unwrap(), &text, EncodeOptions::default()).unwrap(), built);
    });
}

#[test]
fn each_wrong_bit_of_each_byte_is_noticed() {
    let words = pocket();
    let mut bytes = index_of(&words);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let found = error(&words, &bytes);
            let wanted = match at {
                0..4 => IndexError::Magic,
                4..8 => IndexError::Version { found: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) },
                8..20 | 28..32 => IndexError::Vocabulary,
                _ => IndexError::Damaged,
            };
            assert_eq!(found, Some(TokenizerError::Index(wanted)), "byte {at}, bit {bit}");
            bytes[at] ^= 1 << bit;
            if at > 200 {
                break;
            }
        }
    }
    assert_eq!(error(&words, &bytes), None);
}

#[test]
fn an_index_of_another_length_or_address_is_refused() {
    let words = Words::small(PreTokenizer::Gpt2);
    let bytes = index_of(&words);
    let need = bytes.len();
    for have in [0, 1, 63, 64, need / 2, need - 64, need - 4, need - 1] {
        let found = error(&words, &bytes[..have]);
        assert_eq!(found, Some(TokenizerError::Index(IndexError::Size { need, have })), "{have}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let size = IndexError::Size { need, have: need + 1 };
    assert_eq!(error(&words, &longer), Some(TokenizerError::Index(size)));
    let shifted = [&[0], &bytes[..]].concat();
    Index::new(&shifted).with(shifted.len(), |index| {
        let found = words.with_vocab(|vocab| Tokenizer::prepared(vocab, &index[1..]).err());
        assert_eq!(found, Some(TokenizerError::Index(IndexError::Misaligned)));
    });
}

#[test]
fn the_index_of_another_vocabulary_is_refused() {
    let words = pocket();
    let index = index_of(&words);
    let other = Err(TokenizerError::Index(IndexError::Vocabulary));
    let check = |words: &Words| prepared(words, &index, |tokenizer| tokenizer.map(|_| ()));
    assert_eq!(check(&words), Ok(()));
    assert_eq!(check(&Words::small(PreTokenizer::Gpt2)), other, "small");
    let mut one_more = words.clone();
    one_more.merges.push(b"t h".to_vec());
    assert_eq!(check(&one_more), other, "a merge more");
    let mut reversed = words.clone();
    reversed.merges.reverse();
    assert_eq!(check(&reversed), other, "the same merges in another order");
    let mut rotated = words.clone();
    rotated.tokens[2..].rotate_left(1);
    assert_eq!(check(&rotated), other, "the same tokens in another order");
    let mut types = words.clone();
    types.types[0] = USER_DEFINED;
    assert_eq!(check(&types), other, "another type of the first token");
}

/// All bytes of a short vocabulary count, also where they are no whole number of words.
#[test]
fn the_last_bytes_of_a_vocabulary_count() {
    let of = |last: &str| {
        let tokens = ["a", last].map(|token| token.as_bytes().to_vec()).to_vec();
        Words { tokens, types: vec![1; 2], merges: vec![], pre: PreTokenizer::Gpt2, kind: Kind::BYTE_LEVEL_BPE }
    };
    for last in ["x", "xy", "xyz", "wxyz"] {
        let index = index_of(&of(last));
        assert_eq!(error(&of(last), &index), None);
        for at in 0..last.len() {
            let mut changed = last.to_string();
            changed.replace_range(at..=at, "b");
            assert_eq!(error(&of(&changed), &index), Some(TokenizerError::Index(IndexError::Vocabulary)), "{changed}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (error, wanted) in [
        (IndexError::Version { found: 7 }, "the tokenizer's index is of version 7"),
        (IndexError::Size { need: 128, have: 5 }, "the tokenizer's index has 5 bytes: expected 128"),
        (IndexError::Vocabulary, "the tokenizer's index belongs to another vocabulary"),
    ] {
        assert!(TokenizerError::from(error).to_string().starts_with(wanted), "{error}");
    }
}

/// Writes the checksum of an index to its place.
fn seal(index: &mut [u8]) {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let words = index.chunks_exact(4).enumerate().filter(|(i, _)| *i != 15).map(|(_, bytes)| word(bytes));
    let sum = words.fold(0u32, |sum, word| (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9));
    index[60..64].copy_from_slice(&sum.to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Bytes with a forged checksum may give wrong tokens, but nothing worse.
    #[test]
    fn an_index_that_was_forged_stays_within_its_bounds(
        changes in prop::collection::vec((20usize..8000, any::<u32>(), 0u32..3), 1..300),
        text in "[a-z ]{0,40}[a-c]{0,200}",
    ) {
        let words = Words::small(PreTokenizer::Gpt2);
        let mut index = index_of(&words);
        let n = index.len();
        for (at, value, how) in changes {
            let at = at % (n - 24) + 20;
            // Small numbers pass what checks their size.
            let value = [value, value % 300, (value % 300) * 0x1_0001][how as usize];
            index[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        seal(&mut index);
        prepared(&words, &index, |tokenizer| {
            let Ok(tokenizer) = tokenizer else { return };
            for parse_special in [false, true] {
                let options = EncodeOptions { parse_special, ..EncodeOptions::default() };
                let mut out = vec![0; Tokenizer::encode_bound(text.len())];
                let n = tokenizer.encode(&text, options, &mut out).unwrap();
                let (mut detokenizer, mut back) = (Detokenizer::new(true), String::new());
                for &token in &out[..n] {
                    assert!((token as usize) < tokenizer.n_tokens());
                    let _ = detokenizer.push(&tokenizer, token, &mut back);
                }
            }
            let _ = (tokenizer.find("a"), tokenizer.index().count());
        });
    }
}

/// The index of the file itself, as a firmware would have it.
#[test]
fn of_a_file() {
    let file = std::fs::read(here().join("../../models/pocket.gguf")).unwrap();
    let vocab = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap();
    let index = index_of(&pocket());
    assert_eq!(index.len(), 13 * 1024 + 64);
    Index::new(&index).with(index.len(), |index| {
        let tokenizer = Tokenizer::prepared(vocab, index).unwrap();
        assert!(tokenizer.options().add_bos);
        let tokens = encode(&tokenizer, "Once upon a time", tokenizer.options()).unwrap();
        assert_eq!(bytes_of(&tokenizer, &tokens[1..]), b"Once upon a time");
    });
}
