//! Vocabularies of byte-level BPE for tests.

extern crate std;

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::super::trie::TokenSizes;
use super::super::{Constraint, Grammar, MatchError, Matcher, MatcherConfig, TokenTrie, TriePlan};
use super::{CONFIG, words};
use crate::tokenizer::{PreTokenizer, StringArray, Tokenizer, Vocab};
use nearfield_kernels::{Arena, Line};

/// Letter of a byte in the alphabet of GPT-2: printable bytes are their own, others follow from U+0100 on.
fn letter(byte: u8) -> char {
    let is_own = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match is_own(byte) {
        true => byte.into(),
        false => char::from_u32(0x100 + (0..byte).filter(|&byte| !is_own(byte)).count() as u32).expect("a letter"),
    }
}

/// Calls `then` with the sorted tokens of a vocabulary: an end token, id 0, and `tokens` in order.
pub(super) fn with_trie<R>(tokens: &[Vec<u8>], then: impl FnOnce(&Tokenizer<'_, '_>, TokenTrie<'_>) -> R) -> R {
    let mut body = Vec::new();
    let mut push = |bytes: &[u8]| {
        body.extend((bytes.len() as u64).to_le_bytes());
        body.extend(bytes);
    };
    push(b"<end>");
    for token in tokens {
        let spelled: std::string::String = token.iter().map(|&byte| letter(byte)).collect();
        push(spelled.as_bytes());
    }
    let n = tokens.len() + 1;
    let strings = StringArray::split(n as u64, &body).expect("strings").0;
    let vocab = Vocab { eos: Some(0), ..Vocab::byte_level(strings, StringArray::EMPTY, PreTokenizer::Gpt2) };
    let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(n, 0).expect("a size") / Line::BYTES];
    let tokenizer = Tokenizer::new(vocab, &mut Arena::new(&mut lines)).expect("a vocabulary");
    let plan = TriePlan::new(&tokenizer).expect("a plan");
    let [mut lines, mut scratch] = [plan.bytes, plan.scratch].map(|bytes| vec![Line::ZERO; bytes / Line::BYTES]);
    let (mut arena, mut scratch) = (Arena::new(&mut lines), Arena::new(&mut scratch));
    let trie = TokenTrie::new(&tokenizer, &plan, &mut arena, &mut scratch).expect("a trie");
    then(&tokenizer, trie)
}

/// Every byte, and these tokens behind them.
pub(super) fn with_bytes(tokens: &[&[u8]]) -> Vec<Vec<u8>> {
    (0..=u8::MAX).map(|byte| vec![byte]).chain(tokens.iter().map(|token| token.to_vec())).collect()
}

#[test]
fn a_walk_without_skips_gives_every_token() {
    let tokens = with_bytes(&[b"ab", b"abc", b"abd", b"ab", b"b\xc3", "é".as_bytes(), &[b'x'; 255], &[b'x'; 256]]);
    with_trie(&tokens, |tokenizer, trie| {
        let mut cursor = trie.cursor();
        let (mut text, mut ids) = (Vec::<u8>::new(), BTreeSet::new());
        while let Some((id, n_shared, rest)) = cursor.next() {
            text.truncate(n_shared);
            text.extend(rest);
            assert!(tokenizer.bytes(id).unwrap().eq(text.iter().copied()));
            ids.insert(id);
        }
        // All but the end and the token that is too long.
        assert!(ids.iter().copied().eq(1..tokens.len() as u32));
        assert_eq!((trie.sizes().longest, trie.ends(), trie.bytes()), (255, &[0][..], &[u32::MAX; 8]));
    });
}

#[test]
fn a_skip_leaves_out_the_tokens_with_the_same_beginning() {
    let tokens: Vec<Vec<u8>> = (0..5000u32).map(|i| std::format!("{}", i * 7919 % 100_003).into_bytes()).collect();
    with_trie(&tokens, |_, trie| {
        for prefix in ["1", "42", "427", "99", "5"] {
            let mut cursor = trie.cursor();
            let (mut text, mut got) = (Vec::<u8>::new(), 0);
            while let Some((_, n_shared, rest)) = cursor.next() {
                text.truncate(n_shared);
                text.extend(rest);
                if text.starts_with(prefix.as_bytes()) {
                    cursor.skip(prefix.len() - 1);
                    got += 1;
                }
            }
            // One of them was seen, and of the others none.
            assert_eq!(got, 1, "{prefix}");
        }
    });
}

#[test]
fn an_index_is_read_as_it_was_made() {
    let tokens = with_bytes(&[b"ab", b"abc", b"\xf0\x9f"]);
    with_trie(&tokens, |tokenizer, trie| {
        let index: Vec<u8> = trie.index(tokenizer.vocab()).collect();
        let mut lines = vec![Line::ZERO; index.len() / Line::BYTES];
        Line::bytes_mut(&mut lines).copy_from_slice(&index);
        let read = TokenTrie::prepared(tokenizer.vocab(), Line::bytes(&lines)).expect("the same vocabulary");
        assert!(read.index(tokenizer.vocab()).eq(index.iter().copied()));
        let mut cursors = (trie.cursor(), read.cursor());
        loop {
            let (a, b) = (cursors.0.next(), cursors.1.next());
            assert_eq!(a, b);
            if a.is_none() {
                break;
            }
        }
        for at in (0..index.len()).step_by(7) {
            Line::bytes_mut(&mut lines)[at] ^= 0x10;
            assert!(TokenTrie::prepared(tokenizer.vocab(), Line::bytes(&lines)).is_err(), "{at}");
            Line::bytes_mut(&mut lines)[at] ^= 0x10;
        }
    });
}

#[test]
fn the_choice_of_a_token_may_be_bounded() {
    let mut memory = [0; 512];
    // Each vowel may be the one that sixty characters follow: a state for each set of vowels.
    let grammar = Grammar::compile("root ::= [a-z]* [aeiou] [a-z]{60}", &mut memory).expect("a grammar");
    let tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).chain((0..2000u32).map(word)).collect();
    with_trie(&tokens, |_, trie| {
        let allowed = |max_steps| {
            let config = MatcherConfig { max_steps, ..CONFIG };
            let mut lines = vec![Line::ZERO; Matcher::bytes(&grammar, &trie, &config).expect("a size") / Line::BYTES];
            let mut matcher = Matcher::new(grammar, trie, &config, &mut Arena::new(&mut lines))?;
            Ok(matcher.allowed(&[])?.iter().count())
        };
        assert_eq!(allowed(u32::MAX), Ok(26 + 2000));
        assert_eq!(allowed(1000), Err(MatchError::Steps { max: 1000 }));
    });
}

/// Six letters that spell a number in base 26.
fn word(number: u32) -> Vec<u8> {
    (0..6).map(|i| b'a' + (number.wrapping_mul(2_654_435_761) / 26u32.pow(i) % 26) as u8).collect()
}

#[test]
fn the_memory_of_a_matcher_is_known_from_bytes_in_flash() {
    let words = words("root ::= \"led \" (\"on\" | \"off\") | [a-f]{2,9} root?").expect("a grammar");
    let grammar = Grammar::from_words(&words).expect("a grammar");
    let program: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for tokens in [&[&b"ab"[..], &[b'x'; 255]][..], &[b"abc"]] {
        with_trie(&with_bytes(tokens), |tokenizer, trie| {
            let index: Vec<u8> = trie.index(tokenizer.vocab()).collect();
            assert_eq!(TokenSizes::read(&index), Some(trie.sizes()));
            for config in [MatcherConfig::SMALL, MatcherConfig { n_sets: 0, ..MatcherConfig::HOST }] {
                let want = Matcher::bytes(&grammar, &trie, &config);
                assert!(want.is_some());
                assert_eq!(Matcher::bytes_in_flash(&program, &index, &config), want);
            }
            let bytes = |grammar, tokens| Matcher::bytes_in_flash(grammar, tokens, &MatcherConfig::SMALL);
            assert_eq!(bytes(&program[4..], &index), None);
            assert_eq!(bytes(&program[..program.len() - 4], &index), None);
            assert_eq!(bytes(&program, &index[..index.len() - 64]), None);
            assert_eq!(bytes(&index, &program), None);
            assert_eq!(bytes(&[], &[]), None);
        });
    }
}
