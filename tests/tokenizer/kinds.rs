//! The kinds beside byte-level BPE: SentencePiece BPE, unigram, WordPiece, BPE over characters. Their ids against
//! `sentencepiece` and Hugging Face's `tokenizers`; `make_kinds.py` makes vocabularies and cases.

use std::fs;
use std::path::Path;

use nearfield::tokenizer::{Detokenizer, EncodeOptions, Kind, TextError, Tokenizer, TokenizerError, Vocab};
use nearfield::{Arena, Gguf, Line};

use super::vocab::{encode, folder, here};

/// The committed vocabularies, and whether the reference finds control tokens in texts.
const SMALL: [(&str, Kind, bool); 8] = [
    ("sentencepiece-bpe", Kind::SENTENCEPIECE_BPE, false),
    ("sentencepiece-bpe-rules", Kind::SENTENCEPIECE_BPE, false),
    ("unigram", Kind::UNIGRAM, false),
    ("unigram-rules", Kind::UNIGRAM, false),
    ("wordpiece", Kind::WORDPIECE, true),
    ("wordpiece-cased", Kind::WORDPIECE, true),
    ("dnabert-2", Kind::CHARACTER_BPE, true),
    ("whitespace", Kind::CHARACTER_BPE, true),
];
const MANY: [(&str, Kind, bool); 4] = [
    ("llama-spm", Kind::SENTENCEPIECE_BPE, false),
    ("baichuan", Kind::SENTENCEPIECE_BPE, false),
    ("unigram-nfkc", Kind::UNIGRAM, false),
    ("bert-bge", Kind::WORDPIECE, true),
];

/// Hands over the tokenizer of a GGUF file.
pub fn with<R>(path: &Path, use_it: impl FnOnce(&Tokenizer<'_, '_>) -> R) -> R {
    let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vocab = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap();
    let mut lines = vec![Line::ZERO; index_bytes(&vocab) / Line::BYTES];
    use_it(&Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap())
}

fn index_bytes(vocab: &Vocab<'_>) -> usize {
    Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap()
}

fn small(name: &str) -> std::path::PathBuf {
    here().join(format!("vocabs/{name}.gguf"))
}

/// Compares all cases of a file; returns how many there are.
fn check(vocab: &Path, cases: &Path, kind: Kind, parse_special: bool) -> usize {
    let options = EncodeOptions { parse_special, ..EncodeOptions::default() };
    let lines = fs::read_to_string(cases).unwrap_or_else(|error| panic!("{}: {error}", cases.display()));
    with(vocab, |tokenizer| {
        assert_eq!(tokenizer.vocab().kind, kind);
        for (i, line) in lines.lines().enumerate() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = case["text"].as_str().unwrap();
            let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(encode(tokenizer, text, options).unwrap(), wanted, "{}:{}: {text:?}", cases.display(), i + 1);
        }
        lines.lines().count()
    })
}

#[test]
fn committed_strings_get_the_ids_of_the_references() {
    for (name, kind, parse_special) in SMALL {
        let n = check(&small(name), &here().join(format!("cases/{name}.jsonl")), kind, parse_special);
        assert_eq!(n, 300, "{name}");
    }
}

#[test]
fn many_strings_get_the_ids_of_the_references() {
    let Some(folder) = folder("NEARFIELD_TOKENIZER_KINDS", "what make_kinds.py full writes") else { return };
    for (name, kind, parse_special) in SMALL.into_iter().chain(MANY) {
        let file = |extension| folder.join(format!("{name}.{extension}"));
        let n = check(&file("gguf"), &file("jsonl"), kind, parse_special);
        println!("{name}: {n} strings");
        assert_eq!(n, 10_000, "{name}");
    }
}

/// A quarter of a megabyte of one repeated character, and of two that make words: quadratic time would not end.
#[test]
fn long_texts_take_time_in_proportion() {
    const N: usize = 1 << 18;
    for (name, ..) in SMALL {
        with(&small(name), |tokenizer| {
            for character in [
                " ",
                "a",
                "A",
                "1",
                "!",
                "我",
                "é",
                "e\u{301}",
                "\u{2581}",
                "\u{3000}",
                "<",
                " a",
                "▁a",
                "\n",
                "\u{10ffff}",
            ] {
                let text = character.repeat(N / character.len());
                let options = EncodeOptions { parse_special: true, ..tokenizer.options() };
                let tokens = encode(tokenizer, &text, options).unwrap();
                assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.n_tokens()), "{name} {character:?}");
            }
            assert!(encode(tokenizer, [0x80].repeat(N), tokenizer.options()).is_ok(), "{name}");
        });
    }
}

/// Text that normalization leaves alone comes back.
#[test]
fn texts_of_plain_letters_come_back() {
    let text = |tokens: &[u32], tokenizer: &Tokenizer<'_, '_>| {
        let (mut detokenizer, mut text) = (Detokenizer::of_whole_text(false), String::new());
        tokens.iter().for_each(|&token| detokenizer.push(tokenizer, token, &mut text).unwrap());
        detokenizer.finish(&mut text).unwrap();
        text
    };
    for (name, texts) in [
        (
            "sentencepiece-bpe",
            &["the people", "  a  b ", "\t\n", "我 x", "\u{10ffff} \u{378}", "naïve café", " ", "<fim>a b<user>", ""][..],
        ),
        (
            "unigram",
            &["the people", "  a  b ", "\t\n", "我 x", "\u{10ffff} \u{378}", "naïve café", " ", "<fim>a b<user>", ""],
        ),
        ("wordpiece", &["the people", "first day", ""]),
    ] {
        with(&small(name), |tokenizer| {
            for wanted in texts {
                let tokens = encode(tokenizer, wanted, EncodeOptions::default()).unwrap();
                assert_eq!(text(&tokens, tokenizer), *wanted, "{name}");
            }
        });
    }
    // Bytes that are not text come back as they were.
    with(&small("unigram"), |tokenizer| {
        let tokens = encode(tokenizer, b"a\xff\x80b", EncodeOptions::default()).unwrap();
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| tokenizer.bytes(token).unwrap()).collect();
        assert_eq!(bytes, b"a\xff\x80b");
    });
}

#[test]
fn tokens_at_both_ends_are_added_as_the_file_says() {
    with(&small("wordpiece"), |tokenizer| {
        let id = |token| tokenizer.find(token).unwrap();
        let options = tokenizer.options();
        assert!(options.add_bos && options.add_eos);
        assert_eq!(encode(tokenizer, "The", options).unwrap(), [id("[CLS]"), id("▁the"), id("[SEP]")]);
        assert_eq!(encode(tokenizer, "", options).unwrap(), [id("[CLS]"), id("[SEP]")]);
        let special = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
        assert_eq!(encode(tokenizer, "the[MASK]the", special).unwrap(), [id("▁the"), id("[MASK]"), id("▁the")]);
    });
    with(&small("sentencepiece-bpe"), |tokenizer| {
        let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
        let [the, space] = ["▁the", "▁"].map(|token| tokenizer.find(token).unwrap());
        let (eos, fim) = (tokenizer.find("</s>").unwrap(), tokenizer.find("<fim>").unwrap());
        // A space comes before a text, and so behind a control token, but not behind a user-defined one, which is text.
        assert_eq!(encode(tokenizer, "the</s>the<fim> the", options).unwrap(), [the, eos, the, fim, the]);
        assert_eq!(encode(tokenizer, "<fim> the", options).unwrap(), [space, fim, the]);
    });
}

#[test]
fn a_small_out_gives_the_same_tokens_or_says_what_is_enough() {
    let text = "The people ½ of 我, <fim>naïve\u{10ffff} e\u{301}  words.";
    for (name, ..) in SMALL {
        with(&small(name), |tokenizer| {
            let options = tokenizer.options();
            let wanted = encode(tokenizer, text, options).unwrap();
            let enough = tokenizer.room(text, options);
            for have in 0..=enough {
                let mut out = vec![7; have];
                match tokenizer.encode(text, options, &mut out) {
                    Ok(n) => assert_eq!(out[..n], wanted, "{name}"),
                    Err(error) => {
                        assert!(have < enough, "{name}");
                        assert_eq!(error, TextError::OutTooSmall { enough, have }, "{name}");
                    }
                }
            }
            // Words are worked on one by one: no room for the work on the whole text is needed.
            let text = "the people ".repeat(1000);
            let wanted = encode(tokenizer, &text, options).unwrap();
            let mut out = vec![0; wanted.len() + 200];
            let n = tokenizer.encode(&text, options, &mut out).unwrap();
            assert_eq!(out[..n], wanted, "{name}");
        });
    }
}

#[test]
fn an_index_is_of_one_kind() {
    for (name, ..) in SMALL {
        let file = fs::read(small(name)).unwrap();
        let vocab = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap();
        let mut lines = vec![Line::ZERO; index_bytes(&vocab) / Line::BYTES];
        let built = Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap();
        let bytes: Vec<u8> = built.index().collect();
        let mut memory = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)];
        let index = Arena::new(&mut memory).take::<u8>(bytes.len()).unwrap();
        index.copy_from_slice(&bytes);
        let prepared = Tokenizer::prepared(vocab, index).unwrap();
        let text = "The people of 我 <fim>naïve\u{10ffff} words [MASK].";
        let options = built.options();
        assert_eq!(encode(&prepared, text, options), encode(&built, text, options), "{name}");
        let other = if vocab.kind == Kind::UNIGRAM { Kind::WORDPIECE } else { Kind::UNIGRAM };
        assert!(Tokenizer::prepared(Vocab { kind: other, ..vocab }, index).is_err(), "{name}");
    }
}

#[test]
fn scores_and_replacements_are_checked() {
    let file = fs::read(small("unigram-rules")).unwrap();
    let vocab = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap();
    let error = |vocab: Vocab<'_>| {
        let mut lines = vec![Line::ZERO; index_bytes(&vocab) / Line::BYTES];
        Tokenizer::new(vocab, &mut Arena::new(&mut lines)).err()
    };
    assert_eq!(error(vocab), None);
    let scores = vocab.scores.unwrap();
    let (need, have) = (scores.len(), scores.len() - 4);
    assert_eq!(error(Vocab { scores: Some(&scores[4..]), ..vocab }), Some(TokenizerError::Scores { need, have }));
    let mut broken = scores.to_vec();
    broken[4 * 7..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(error(Vocab { scores: Some(&broken), ..vocab }), Some(TokenizerError::ScoreNotFinite { token: 7 }));
    let charsmap = vocab.spaces.charsmap.unwrap();
    for broken in [
        &charsmap[..3],
        &charsmap[..1000],
        &charsmap[..charsmap.len() - 1],
        &[&[0; 4], &[b'a'; 300][..], &[0]].concat(),
    ] {
        let spaces = nearfield::tokenizer::SpaceOptions { charsmap: Some(broken), ..vocab.spaces };
        assert_eq!(error(Vocab { spaces, ..vocab }), Some(TokenizerError::Charsmap));
    }
}

/// A text in two parts decodes to the whole text: no space comes between them, and none is dropped. Where a word is cut, the
/// tokens are those of its parts.
#[test]
fn a_text_that_goes_on_has_no_space_before_it() {
    for (name, kind, _) in SMALL {
        with(&small(name), |tokenizer| {
            let begins = EncodeOptions::default();
            let continues = EncodeOptions { continues: true, ..begins };
            for (before, after) in
                [("The people", " of the words"), ("the peo", "ple"), ("the ", " people"), ("", "the people")]
            {
                let tokens =
                    [encode(tokenizer, before, begins).unwrap(), encode(tokenizer, after, continues).unwrap()].concat();
                let (mut text, mut detokenizer) = (String::new(), Detokenizer::of_whole_text(false));
                tokens.iter().for_each(|&token| detokenizer.push(tokenizer, token, &mut text).unwrap());
                detokenizer.finish(&mut text).unwrap();
                let whole = format!("{before}{after}");
                // WordPiece lowers letters and has words, not spaces.
                if kind == Kind::WORDPIECE || kind == Kind::CHARACTER_BPE {
                    continue;
                }
                let want = if tokenizer.vocab().spaces.remove_extra { whole.replace("  ", " ") } else { whole };
                if before.is_empty() {
                    assert_eq!(encode(tokenizer, after, continues).unwrap(), tokens);
                    let first = tokenizer.bytes(tokens[0]).unwrap().next();
                    assert_ne!(first, Some(b' '), "{name}: {after:?}");
                } else {
                    assert_eq!(text, want, "{name}: {before:?} and {after:?}");
                }
            }
        });
    }
}
