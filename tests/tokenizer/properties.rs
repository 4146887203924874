//! Properties that hold for every vocabulary and every text.

use std::collections::HashMap;

use nearfield::tokenizer::{Detokenizer, EncodeOptions, PreTokenizer, TextError, Tokenizer};
use proptest::prelude::*;

use super::vocab::{CONTROL, USER_DEFINED, Words, bytes_of, encode, letter};

/// Pieces of up to 330 letters.
const LONG: &str = "[ab]{0,20}(a{0,150}|(ab){0,90}|[ab]{0,300}|(éa?){0,70})[ab]{0,9}";
const PRES: [PreTokenizer; 3] = [PreTokenizer::Gpt2, PreTokenizer::Starcoder, PreTokenizer::Bloom];

fn pre() -> impl Strategy<Value = PreTokenizer> {
    prop::sample::select(&PRES[..])
}

/// Bytes of all kinds: text, text of few letters, and invalid UTF-8.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        "[ab'srelv 12\\n\t.é我<>|ö]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec!["<x>", "<x>>", "<", "  ", "   "]).prop_map(|s| s.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Merges of bytes and of other merges' results, in any order: a merge may come before those that make its sides.
fn merges() -> impl Strategy<Value = Vec<String>> {
    let parts = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..40);
    let merges = parts.prop_map(|parts| {
        let mut known: Vec<String> = b"ab 1'\n\xc3\xa9".iter().map(|&byte| letter(byte).to_string()).collect();
        let mut merges = Vec::new();
        for (left, right) in parts {
            let (left, right) = (left.get(&known).clone(), right.get(&known).clone());
            merges.push(format!("{left} {right}"));
            known.push(left + &right);
        }
        merges
    });
    (merges, any::<bool>(), any::<u64>()).prop_perturb(|(mut merges, shuffled, _), mut rng| {
        if shuffled {
            (1..merges.len()).for_each(|i| merges.swap(i, rng.random_range(0..=i)));
        }
        merges
    })
}

fn words() -> impl Strategy<Value = Words> {
    let special = [("<x>", CONTROL), ("<x>>", USER_DEFINED), ("  ", USER_DEFINED), ("<y", CONTROL)];
    (merges(), pre()).prop_map(move |(merges, pre)| Words::new(&special, &merges, pre))
}

/// Literal byte-pair encoding: merges the first pair of neighbours with the lowest rank, until none merges.
fn literal_bpe(text: &[u8], ranks: &HashMap<(String, String), usize>) -> Vec<String> {
    let mut tokens: Vec<String> = text.iter().map(|&byte| letter(byte).to_string()).collect();
    loop {
        let rank = |i: usize| Some((*ranks.get(&(tokens[i].clone(), tokens[i + 1].clone()))?, i));
        let Some((_, at)) = (0..tokens.len().saturating_sub(1)).filter_map(rank).min() else { return tokens };
        let right = tokens.remove(at + 1);
        tokens[at] += &right;
    }
}

fn ranks(words: &Words) -> HashMap<(String, String), usize> {
    let merges = words.merges.iter().map(|merge| std::str::from_utf8(merge).unwrap().split_once(' ').unwrap());
    merges.enumerate().map(|(rank, (left, right))| ((left.to_string(), right.to_string()), rank)).collect()
}

fn spelled(tokenizer: &Tokenizer<'_, '_>, tokens: &[u32], words: &Words) -> Vec<String> {
    assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.n_tokens()));
    tokens.iter().map(|&token| String::from_utf8(words.tokens[token as usize].clone()).unwrap()).collect()
}

/// Numbers in the index have two bytes up to 65,535 tokens, and four bytes beyond.
#[test]
fn large_vocabularies_merge_as_in_a_literal_bpe() {
    let pairs = (0..=255).flat_map(|left| (0..=255).map(move |right| format!("{} {}", letter(left), letter(right))));
    let mut merges: Vec<String> = pairs.collect();
    merges.reverse();
    for n_merges in [65_535 - 256, 65_535 - 255, 65_536] {
        let words = Words::new(&[], &merges[..n_merges], PreTokenizer::Bloom);
        let ranks = ranks(&words);
        let text: Vec<u8> = (0..3000u32).map(|i| (i * i % 251) as u8 | 0x80).collect();
        let pieces = words.pre.pieces(&text);
        let wanted: Vec<String> = pieces.flat_map(|piece| literal_bpe(piece, &ranks)).collect();
        let check = |t: &Tokenizer<'_, '_>| {
            assert_eq!(t.n_tokens(), 256 + n_merges);
            let last = t.n_tokens() as u32 - 1;
            assert_eq!(t.find(str::from_utf8(&words.tokens[last as usize]).unwrap()), Some(last));
            assert_eq!(spelled(t, &encode(t, &text, EncodeOptions::default()).unwrap(), &words), wanted);
        };
        words.with(check).unwrap();
    }
}

/// Bytes of the index on a microcontroller and for BLOOM.
/// Numbers have two bytes as long as all ids and ranks plus one fit, and four up to the largest vocabulary.
#[test]
fn the_index_grows_with_what_it_has_to_count() {
    for (n_tokens, n_merges, n_bytes) in
        [(65_535, 0, 427_008), (65_536, 0, 689_664), (1, 65_535, 656_512), (1, 65_536, 1_312_384), (65_536, 1, 558_720)]
    {
        assert_eq!(Tokenizer::index_bytes(n_tokens, n_merges), Some(n_bytes), "{n_tokens} {n_merges}");
    }
    const MOST: usize = (1 << 30) - 1;
    assert_eq!([Tokenizer::index_bytes(MOST + 1, 1), Tokenizer::index_bytes(1, MOST + 1)], [None; 2]);
    #[cfg(target_pointer_width = "64")]
    assert!(Tokenizer::index_bytes(MOST, MOST).is_some());
}

#[test]
fn the_index_is_small() {
    for (n_tokens, n_merges, n_bytes) in
        [(1024, 768, 13_312), (4096, 3840, 57_856), (50_257, 50_000, 727_296), (250_880, 250_434, 7_142_784)]
    {
        assert_eq!(Tokenizer::index_bytes(n_tokens, n_merges), Some(n_bytes), "{n_tokens} tokens");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn pieces_are_the_text_and_none_is_empty(pre in pre(), text in text()) {
        prop_assert!(pre.pieces(&text).all(|piece| !piece.is_empty()));
        prop_assert_eq!(pre.pieces(&text).collect::<Vec<_>>().concat(), text);
    }

    #[test]
    fn a_text_comes_back_byte_for_byte(words in words(), text in text(), parse_special: bool) {
        let options = EncodeOptions { parse_special, ..Default::default() };
        let (tokens, bytes) = words.with(|tokenizer| {
            let tokens = encode(tokenizer, &text, options).unwrap();
            let bytes = bytes_of(tokenizer, &tokens);
            (tokens, bytes)
        }).unwrap();
        prop_assert_eq!(bytes, text);
        prop_assert!(parse_special || tokens.iter().all(|&token| words.types[token as usize] != CONTROL));
    }

    #[test]
    fn pieces_merge_as_in_a_literal_bpe(merges in merges(), pre in pre(), text in text()) {
        let words = Words::new(&[], &merges, pre);
        let ranks = ranks(&words);
        let wanted: Vec<String> = pre.pieces(&text).flat_map(|piece| literal_bpe(piece, &ranks)).collect();
        let found = words.with(|t| spelled(t, &encode(t, &text, EncodeOptions::default()).unwrap(), &words)).unwrap();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn a_long_piece_merges_as_in_a_literal_bpe(merges in merges(), text in LONG) {
        let words = Words::new(&[], &merges, PreTokenizer::Gpt2);
        let wanted = literal_bpe(text.as_bytes(), &ranks(&words));
        let found = words.with(|t| spelled(t, &encode(t, &text, EncodeOptions::default()).unwrap(), &words)).unwrap();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn a_small_out_gives_the_same_tokens_or_says_what_is_enough(words in words(), text in text(), have in 0usize..40) {
        let wanted = words.with(|t| encode(t, &text, EncodeOptions::default()).unwrap()).unwrap();
        let mut out = vec![0; have];
        match words.with(|t| t.encode(&text, EncodeOptions::default(), &mut out)).unwrap() {
            Ok(n) => prop_assert_eq!(&out[..n], wanted),
            Err(error) => {
                let enough = words.with(|t| t.room(&text, EncodeOptions::default())).unwrap();
                prop_assert_eq!(error, TextError::OutTooSmall { enough, have });
                prop_assert!(have < text.len());
            }
        }
    }

    #[test]
    fn streamed_text_is_that_of_all_bytes_at_once(words in words(), seed: [u16; 30], n in 0usize..30, show_control: bool) {
        let tokens: Vec<u32> = seed[..n].iter().map(|&x| u32::from(x) % words.tokens.len() as u32).collect();
        let is_shown = |token: &u32| show_control || words.types[*token as usize] != CONTROL;
        let shown: Vec<u32> = tokens.iter().copied().filter(is_shown).collect();
        words.with(|tokenizer| {
            let (mut detokenizer, mut out) = (Detokenizer::new(show_control), String::new());
            for &token in &tokens {
                detokenizer.push(tokenizer, token, &mut out).unwrap();
            }
            detokenizer.finish(&mut out).unwrap();
            assert_eq!(out, String::from_utf8_lossy(&bytes_of(tokenizer, &shown)));
        }).unwrap();
    }

    #[test]
    fn special_tokens_are_found_as_in_a_literal_search(words in words(), text in text(), parse_special: bool) {
        let special: Vec<(&[u8], i32)> = (0..4).map(|i| (&words.tokens[i][..], words.types[i])).collect();
        let mut wanted = Vec::new();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let wanted_here = |(token, ty): &&(&[u8], i32)| rest.starts_with(token) && (parse_special || *ty == USER_DEFINED);
            let longest = special.iter().filter(wanted_here).max_by_key(|(token, _)| token.len());
            wanted.extend(longest.map(|(token, _)| token.to_vec()));
            rest = &rest[longest.map_or(1, |(token, _)| token.len())..];
        }
        let options = EncodeOptions { parse_special, ..Default::default() };
        let tokens = words.with(|t| encode(t, &text, options).unwrap()).unwrap();
        let found: Vec<Vec<u8>> = tokens.into_iter().filter(|&token| token < 4).map(|token| words.tokens[token as usize].clone()).collect();
        prop_assert_eq!(found, wanted);
    }
}
