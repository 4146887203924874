//! Vocabularies that no training makes. They give an error that names the place, or a tokenizer that works; never a panic or a
//! long loop.

use std::collections::HashMap;

use nearfield::tokenizer::{
    Detokenizer, EncodeOptions, Kind, MergePart, PreTokenizer, StringArray, Tokenizer, TokenizerError, Vocab,
};
use nearfield::{Arena, Line};
use proptest::prelude::*;

use super::vocab::{CONTROL, Words, body, encode};

fn words(tokens: &[&str], merges: &[&str]) -> Words {
    let bytes = |strings: &[&str]| strings.iter().map(|s| s.as_bytes().to_vec()).collect();
    Words {
        tokens: bytes(tokens),
        types: vec![1; tokens.len()],
        merges: bytes(merges),
        pre: PreTokenizer::Gpt2,
        kind: Kind::BYTE_LEVEL_BPE,
    }
}

fn error(words: &Words) -> Option<TokenizerError> {
    words.with(|_| ()).err()
}

#[test]
fn merges_of_unknown_tokens_are_errors_that_name_them() {
    let merges = |merges: &[&str]| error(&words(&["a", "b", "ab"], merges));
    assert_eq!(merges(&["a b"]), None);
    for (text, part) in [("c b", MergePart::Left), ("a c", MergePart::Right), ("b a", MergePart::Product)] {
        assert_eq!(merges(&["a b", text]), Some(TokenizerError::MergeNotInVocab { merge: 1, part }), "{text}");
    }
    for text in ["", " ", "ab", " b"] {
        assert_eq!(merges(&[text]), Some(TokenizerError::MergeWithoutSpace { merge: 0 }), "{text:?}");
    }
    assert_eq!(merges(&["a "]), Some(TokenizerError::MergeNotInVocab { merge: 0, part: MergePart::Right }));
}

#[test]
fn empty_and_equal_tokens_work_and_the_last_of_equals_counts() {
    let words = words(&["a", "", "b", "ab", "a", "ab", ""], &["a b", "a b", "a "]);
    words
        .with(|t| {
            assert_eq!(encode(t, "ab", EncodeOptions::default()), Ok(vec![5]));
            assert_eq!(encode(t, "a", EncodeOptions::default()), Ok(vec![4]));
            assert_eq!(t.bytes(1).unwrap().count(), 0);
        })
        .unwrap();
}

#[test]
fn merges_in_a_circle_end() {
    let words = words(&["a", "aa", "aaa", "aaaa"], &["aa aa", "a aaa", "aaa a", "a aa", "aa a", "a a"]);
    words.with(|t| assert_eq!(encode(t, "aaaaaaa", EncodeOptions::default()).unwrap(), [3, 2])).unwrap();
}

#[test]
fn a_vocabulary_without_letters_has_no_tokens_for_any_text() {
    let words = words(&["hello"], &[]);
    words.with(|t| assert_eq!(encode(t, "hello", EncodeOptions::default()), Ok(vec![]))).unwrap();
}

#[test]
fn no_tokens_at_all_is_an_error() {
    assert_eq!(error(&words(&[], &[])), Some(TokenizerError::Size { n_tokens: 0, n_merges: 0 }));
    assert_eq!(Tokenizer::index_bytes(0, 0), None);
    assert_eq!(Tokenizer::index_bytes(usize::MAX, 1), None);
    assert_eq!(Tokenizer::index_bytes(1, usize::MAX), None);
    assert_eq!(Tokenizer::index_bytes(1 << 30, 1), None);
}

#[test]
fn a_wrong_list_of_types_or_a_wrong_id_is_an_error() {
    let mut short = words(&["a", "b"], &[]);
    short.types.pop();
    assert_eq!(error(&short), Some(TokenizerError::TokenTypes { need: 8, have: 4 }));

    let tokens = body(&[b"a".to_vec()]);
    let tokens = StringArray::split(1, &tokens).unwrap().0;
    let merges = StringArray::split(0, b"").unwrap().0;
    let vocab = |bos, eos| Vocab { bos, eos, ..Vocab::byte_level(tokens, merges, PreTokenizer::Gpt2) };
    let mut lines = [Line::ZERO; 64];
    for (vocab, key) in [(vocab(Some(1), None), "bos_token_id"), (vocab(None, Some(1)), "eos_token_id")] {
        let wanted = TokenizerError::SpecialToken { key, id: 1, n_tokens: 1 };
        assert_eq!(Tokenizer::new(vocab, &mut Arena::new(&mut lines)).err(), Some(wanted));
    }
}

#[test]
fn an_arena_that_is_too_small_is_an_error_with_both_sizes() {
    let (tokens, merges) = (body(&[b"a".to_vec()]), body(&[]));
    let (tokens, merges) = (StringArray::split(1, &tokens).unwrap().0, StringArray::split(0, &merges).unwrap().0);
    let vocab = Vocab::byte_level(tokens, merges, PreTokenizer::Bloom);
    let need = Tokenizer::index_bytes(1, 0).unwrap();
    let mut lines = vec![Line::ZERO; need / Line::BYTES];
    for n in 0..lines.len() {
        let have = n * Line::BYTES;
        let found = Tokenizer::new(vocab, &mut Arena::new(&mut lines[..n])).err();
        assert_eq!(found, Some(TokenizerError::ArenaTooSmall { need, have }));
    }
    assert!(Tokenizer::new(vocab, &mut Arena::new(&mut lines)).is_ok());
}

#[test]
fn a_special_token_of_great_length_is_an_error() {
    for (n_bytes, wanted) in
        [(512, None), (513, Some(TokenizerError::SpecialTooLong { token: 1, n_bytes: 513, max: 512 }))]
    {
        let mut words = words(&["a", &"a".repeat(n_bytes)], &[]);
        assert_eq!(error(&words), None);
        words.types[1] = CONTROL;
        assert_eq!(error(&words), wanted);
    }
}

/// FNV-1a, going on from `hash`.
fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn tokens_that_are_made_to_collide_are_refused() {
    // Texts of equal hash stay equal when the same text follows. So two colliding continuations double their number.
    let (mut equal, mut hash) = (vec![vec![]], 0x811c_9dc5);
    while equal.len() < 1024 {
        let tails = (1u64..).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let mut seen = HashMap::new();
        let (x, y) =
            tails.filter_map(|tail| seen.insert(fnv(hash, &tail), tail).map(|other| (tail, other))).next().unwrap();
        equal = [x, y].iter().flat_map(|tail| equal.iter().map(|text| [&text[..], tail].concat())).collect();
        hash = fnv(hash, &x);
    }
    let types = vec![1; equal.len()];
    let words = Words { tokens: equal, types, merges: vec![], pre: PreTokenizer::Gpt2, kind: Kind::BYTE_LEVEL_BPE };
    assert_eq!(error(&words), Some(TokenizerError::Collision { index: 256, list: "tokens" }));
}

#[test]
fn errors_say_what_was_expected_and_what_was_found() {
    for (error, wanted) in [
        (TokenizerError::ArenaTooSmall { need: 64, have: 0 }, "the tokenizer needs 64 bytes of arena, 0 are free"),
        (
            TokenizerError::MergeNotInVocab { merge: 7, part: MergePart::Product },
            "the product of merge 7 is not in the vocabulary",
        ),
        (TokenizerError::MergeWithoutSpace { merge: 7 }, "merge 7 is not two strings with a space between"),
    ] {
        assert_eq!(error.to_string(), wanted);
    }
}

/// Strings of few letters, so that merges often fit by chance.
fn strings(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let string = prop_oneof![
        "[abĠ <]{0,3}".prop_map(String::into_bytes),
        "[ab] [ab]".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20)
    ];
    prop::collection::vec(string, 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_vocabulary_is_refused_or_works(tokens in strings(40), merges in strings(4), types: [u8; 40], text: Vec<u8>) {
        let types = types[..tokens.len()].iter().map(|&ty| i32::from(ty % 9) - 1).collect();
        let words = Words { tokens, types, merges, pre: PreTokenizer::Starcoder, kind: Kind::BYTE_LEVEL_BPE };
        let _ = words.with(|t| {
            let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
            let mut tokens = encode(t, &text, options).unwrap();
            tokens.extend(encode(t, "ab <a Ġ", options).unwrap());
            assert!(tokens.iter().all(|&token| (token as usize) < t.n_tokens()));
            let mut out = String::new();
            let mut detokenizer = Detokenizer::new(true);
            tokens.iter().for_each(|&token| detokenizer.push(t, token, &mut out).unwrap());
            (0..t.n_tokens() as u32).for_each(|token| detokenizer.push(t, token, &mut out).unwrap());
        });
    }

    #[test]
    fn any_bytes_are_refused_or_an_array(n: u64, few in 0u64..9, bytes: Vec<u8>) {
        for n in [n, few] {
            if let Some((array, rest)) = StringArray::split(n, &bytes) {
                prop_assert_eq!(array.iter().count() as u64, n);
                prop_assert_eq!(array.n_bytes() + rest.len(), bytes.len());
            }
        }
    }
}
