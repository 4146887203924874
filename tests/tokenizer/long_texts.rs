//! Pieces as long as a text: time grows in proportion to the text.
//!
//! The tests have no clock. With quadratic time for a megabyte they would not end.

use nearfield::tokenizer::{EncodeOptions, PreTokenizer, Tokenizer};

use super::vocab::{USER_DEFINED, Words, bytes_of, encode};

const N: usize = 1 << 20;

/// Merges of 2, 4, 8 ... 1024 letters `a`.
fn doublings(pre: PreTokenizer) -> Words {
    let merges: Vec<String> = (0..10).map(|k| format!("{0} {0}", "a".repeat(1 << k))).collect();
    Words::new(&[("<aaaaaaaaaaaaaaaaaaaaaaa>", USER_DEFINED)], &merges, pre)
}

#[test]
fn one_letter_again_and_again() {
    doublings(PreTokenizer::Gpt2)
        .with(|t| {
            let tokens = encode(t, "a".repeat(N + 3), EncodeOptions::default()).unwrap();
            let all = t.find(&"a".repeat(1024)).unwrap();
            assert_eq!(tokens[..1024], [all; 1024]);
            assert_eq!(tokens[1024..], [t.find("aa").unwrap(), t.find("a").unwrap()]);
        })
        .unwrap();
}

#[test]
fn one_character_of_each_class_again_and_again() {
    for pre in [PreTokenizer::Gpt2, PreTokenizer::Starcoder, PreTokenizer::Bloom, PreTokenizer::Falcon] {
        doublings(pre)
            .with(|t| {
                for character in [" ", "\n", "1", "²", "!", ".", "'", "我", "<", "<a", "\u{3000}", " a", "a1"] {
                    let text = character.repeat(N / character.len());
                    let tokens = encode(t, &text, EncodeOptions::default()).unwrap();
                    assert!(bytes_of(t, &tokens) == text.as_bytes(), "{character:?} {pre:?}");
                }
                let text = [0x80].repeat(N);
                assert_eq!(encode(t, &text, EncodeOptions::default()).unwrap().len(), N);
            })
            .unwrap();
    }
}

#[test]
fn letters_without_order() {
    doublings(PreTokenizer::Gpt2)
        .with(|t| {
            let mut state = 1u32;
            let text: Vec<u8> = (0..N)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b'a' + u8::from(state >> 28 == 0)
                })
                .collect();
            let tokens = encode(t, &text, EncodeOptions::default()).unwrap();
            assert!(tokens.len() < N / 2);
            assert!(bytes_of(t, &tokens) == text);
        })
        .unwrap();
}

/// Four thousand user-defined tokens of 1 to 200 letters, and texts that share long beginnings with many of them.
#[test]
fn thousands_of_long_special_tokens() {
    let run = |n: usize| "a".repeat(n);
    let mut names: Vec<String> = (1..=200).map(run).collect();
    names.extend((0..3800).map(|i| run(i % 195) + ["b", "!", "<x", "bb"][i % 4] + &format!("{}", i / 4)));
    let special: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), USER_DEFINED)).collect();
    let words = Words::new(&special, &["b c".into()], PreTokenizer::Gpt2);
    words
        .with(|t| {
            let longest = t.find(&run(200)).unwrap();
            assert_eq!(encode(t, run(N), EncodeOptions::default()).unwrap(), {
                let mut tokens = vec![longest; N / 200];
                tokens.push(t.find(&run(N % 200)).unwrap());
                tokens
            });
            for text in [run(150) + "c", run(3) + "bb", "ab".into(), run(199) + "!", "Once upon a time. ".into()] {
                let text = text.repeat(N / text.len());
                let tokens = encode(t, &text, EncodeOptions::default()).unwrap();
                assert!(bytes_of(t, &tokens) == text.as_bytes());
            }
        })
        .unwrap();
}

#[test]
fn the_bound_is_the_text_and_a_fifteenth() {
    for n_bytes in [0, 1, 64, 65, 1000, N, 1 << 30] {
        let bound = Tokenizer::encode_bound(n_bytes);
        assert!(bound > n_bytes && bound <= n_bytes + n_bytes / 15 + 8, "{n_bytes}: {bound}");
    }
    assert_eq!(Tokenizer::encode_bound(usize::MAX), usize::MAX);
}
