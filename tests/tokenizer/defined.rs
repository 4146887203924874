//! User-defined pieces of SentencePiece models: random ones and the ids of `sentencepiece`, which `make_defined.py` makes.

use std::fs;
use std::path::Path;

use nearfield::tokenizer::{EncodeOptions, Kind, PreTokenizer, SpaceOptions, StringArray, TokenType, Tokenizer, Vocab};
use nearfield::{Arena, Line};
use serde_json::Value;

use super::vocab::{CONTROL, NORMAL, USER_DEFINED, body, encode, folder, here};

/// A piece: its text, score and type.
type Piece<'t> = (&'t str, f32, i32);

/// Hands over the tokenizer of a SentencePiece model.
fn with<R>(
    kind: Kind,
    pieces: &[Piece<'_>],
    spaces: SpaceOptions<'_>,
    use_it: impl FnOnce(&Tokenizer<'_, '_>) -> R,
) -> R {
    let tokens = body(&pieces.iter().map(|(text, ..)| text.as_bytes().to_vec()).collect::<Vec<_>>());
    let scores: Vec<u8> = pieces.iter().flat_map(|(_, score, _)| score.to_le_bytes()).collect();
    let types: Vec<u8> = pieces.iter().flat_map(|(.., ty)| ty.to_le_bytes()).collect();
    let tokens = StringArray::split(pieces.len() as u64, &tokens).unwrap().0;
    let vocab = Vocab {
        kind,
        scores: Some(&scores),
        token_types: Some(&types),
        spaces,
        unk: Some(0),
        ..Vocab::byte_level(tokens, StringArray::EMPTY, PreTokenizer::Gpt2)
    };
    let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(pieces.len(), 0).unwrap() / Line::BYTES];
    use_it(&Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap())
}

/// Compares all cases of all models in a file; returns how many there are.
fn check(path: &Path) -> usize {
    let lines = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let charsmap = lines.next().unwrap()["charsmap"].as_str().unwrap().to_owned();
    let charsmap: Vec<u8> =
        (0..charsmap.len()).step_by(2).map(|at| u8::from_str_radix(&charsmap[at..at + 2], 16).unwrap()).collect();
    let mut n = 0;
    for (i, model) in lines.enumerate() {
        let kind = if model["kind"] == "bpe" { Kind::SENTENCEPIECE_BPE } else { Kind::UNIGRAM };
        let pieces: Vec<(String, f32, i32)> = serde_json::from_value(model["pieces"].clone()).unwrap();
        let pieces: Vec<Piece<'_>> = pieces.iter().map(|(text, score, ty)| (&**text, *score, *ty)).collect();
        let spaces = SpaceOptions {
            add_prefix: model["add_prefix"] == true,
            remove_extra: model["remove_extra"] == true,
            charsmap: (model["has_rules"] == true).then_some(&charsmap),
        };
        let cases: Vec<(String, Vec<u32>)> = serde_json::from_value(model["cases"].clone()).unwrap();
        with(kind, &pieces, spaces, |tokenizer| {
            for (text, wanted) in &cases {
                let found = encode(tokenizer, text, EncodeOptions::default()).unwrap();
                assert_eq!(found, *wanted, "{}:{}: {text:?}", path.display(), i + 2);
            }
        });
        n += cases.len();
    }
    n
}

#[test]
fn committed_strings_get_the_ids_of_sentencepiece() {
    assert_eq!(check(&here().join("cases/defined.jsonl")), 840);
}

#[test]
fn many_strings_get_the_ids_of_sentencepiece() {
    let Some(folder) = folder("NEARFIELD_TOKENIZER_KINDS", "what make_defined.py writes, as defined.jsonl") else {
        return;
    };
    println!("{} strings", check(&folder.join("defined.jsonl")));
}

const SPACES: SpaceOptions<'_> = SpaceOptions { add_prefix: false, ..SpaceOptions::DEFAULT };

/// Pieces that overlap, of which unigram takes the best way and BPE the longest first; one with a literal space, which no text
/// has, and one with U+2581. All ids are those of sentencepiece 0.2.3.
#[test]
fn overlapping_pieces_are_cut_as_in_sentencepiece() {
    let defined = ["ab", "abc", "cd", "\t\t", "\t\t\t", "x y", "p▁q"];
    let normal = ["a", "b", "c", "d", "\t", "▁", "x", "y", "p", "q"];
    let pieces: Vec<Piece<'_>> = [("<unk>", 0.0, 2)]
        .into_iter()
        .chain(defined.map(|text| (text, 0.0, USER_DEFINED)))
        .chain(normal.map(|text| (text, -3.0, NORMAL)))
        .collect();
    for (text, unigram, bpe) in [
        ("abcd", &["ab", "cd"][..], &["abc", "d"][..]),
        ("\t\t\t\t", &["\t\t", "\t\t"], &["\t\t\t", "\t"]),
        ("\t\t\t\t\t", &["\t\t", "\t\t\t"], &["\t\t\t", "\t\t"]),
        ("abcabcd", &["abc", "ab", "cd"], &["abc", "abc", "d"]),
        ("x y", &["x", "▁", "y"], &["x", "▁", "y"]),
        ("p q", &["p▁q"], &["p▁q"]),
        ("p▁q", &["p▁q"], &["p▁q"]),
    ] {
        for (kind, wanted) in [(Kind::UNIGRAM, unigram), (Kind::SENTENCEPIECE_BPE, bpe)] {
            with(kind, &pieces, SPACES, |tokenizer| {
                let wanted: Vec<u32> = wanted.iter().map(|piece| tokenizer.find(piece).unwrap()).collect();
                assert_eq!(encode(tokenizer, text, EncodeOptions::default()).unwrap(), wanted, "{kind:?} {text:?}");
            });
        }
    }
}

/// A token that was added to a model, which its score of -1000 tells, is found before all pieces, as it stands in the text, and
/// parts it.
#[test]
fn tokens_that_were_added_to_a_model_part_its_texts() {
    let pieces = [
        ("<unk>", 0.0, 2),
        ("▁", -1.0, NORMAL),
        ("a", -1.0, NORMAL),
        ("b", -1.0, NORMAL),
        ("a b", -1000.0, USER_DEFINED),
        ("bb", 0.0, USER_DEFINED),
    ];
    for kind in [Kind::UNIGRAM, Kind::SENTENCEPIECE_BPE] {
        with(kind, &pieces, SpaceOptions::DEFAULT, |tokenizer| {
            assert_eq!(tokenizer.token_type(4), Ok(TokenType::UserDefined));
            let encode = |text| encode(tokenizer, text, EncodeOptions::default()).unwrap();
            assert_eq!(encode("ba ba"), [1, 3, 4, 1, 2]);
            assert_eq!(encode("a bba"), [4, 1, 3, 2]);
            assert_eq!(encode("abba"), [1, 2, 5, 2]);
        });
    }
}

/// Thousands of long pieces in texts that nearly agree with them: the work is in proportion to the text.
#[test]
fn thousands_of_long_pieces() {
    let run = |n: usize| "a".repeat(n);
    let defined: Vec<String> = (1..=100).map(run).chain((0..2000).map(|i| format!("{}b{i}", run(i % 90)))).collect();
    let pieces: Vec<Piece<'_>> = [("<unk>", 0.0, 2), ("c", -1.0, NORMAL), ("▁", -1.0, NORMAL)]
        .into_iter()
        .chain(defined.iter().map(|text| (&**text, 0.0, USER_DEFINED)))
        .collect();
    for kind in [Kind::UNIGRAM, Kind::SENTENCEPIECE_BPE] {
        with(kind, &pieces, SPACES, |tokenizer| {
            for (text, n_tokens) in
                [(run(20_000), 200), ((run(60) + "c").repeat(300), 600), ("c ".repeat(20_000), 40_000)]
            {
                let tokens = encode(tokenizer, &text, EncodeOptions::default()).unwrap();
                assert_eq!(tokens.len(), n_tokens, "{kind:?}");
            }
        });
    }
}

const LETTERS: [Piece<'_>; 8] = [
    ("<unk>", 0.0, 2),
    ("▁", -1.0, NORMAL),
    ("a", -2.0, NORMAL),
    ("b", -2.0, NORMAL),
    ("c", -2.0, NORMAL),
    ("ab", -1.0, NORMAL),
    ("abc", 0.0, USER_DEFINED),
    ("<s>", 0.0, CONTROL),
];

#[test]
fn pieces_that_are_to_be_read_as_text_are_not_found() {
    for kind in [Kind::SENTENCEPIECE_BPE, Kind::UNIGRAM] {
        with(kind, &LETTERS, SpaceOptions::DEFAULT, |tokenizer| {
            let read = |hidden: &[u32]| encode(&tokenizer.reading_as_text(hidden), "abc", EncodeOptions::default());
            assert_eq!([read(&[]), read(&[6])], [Ok(vec![1, 6]), Ok(vec![1, 5, 4])]);
            assert_eq!([read(&[5]), read(&[5, 6])], [Ok(vec![1, 6]), Ok(vec![1, 2, 3, 4])]);
        });
    }
}

#[test]
fn characters_without_a_token_are_counted() {
    for kind in [Kind::SENTENCEPIECE_BPE, Kind::UNIGRAM] {
        with(kind, &LETTERS, SpaceOptions::DEFAULT, |tokenizer| {
            let vocab = Vocab { unk: None, ..*tokenizer.vocab() };
            let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(LETTERS.len(), 0).unwrap() / Line::BYTES];
            let tokenizer = Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap();
            let mut out = [0; 64];
            let encoded = tokenizer.encode_counted("aéxb€", EncodeOptions::default(), &mut out).unwrap();
            assert_eq!((&out[..encoded.n_tokens], encoded.n_skipped), (&[1, 2, 3][..], 6));
        });
    }
}

/// A text that goes on has no space before it, but one behind each special token in it.
#[test]
fn a_special_token_ends_what_goes_on() {
    for kind in [Kind::SENTENCEPIECE_BPE, Kind::UNIGRAM] {
        with(kind, &LETTERS, SpaceOptions::DEFAULT, |tokenizer| {
            let read = |continues| {
                let options = EncodeOptions { continues, parse_special: true, ..EncodeOptions::default() };
                encode(tokenizer, "a<s>b", options).unwrap()
            };
            assert_eq!([read(false), read(true)], [vec![1, 2, 7, 1, 3], vec![2, 7, 1, 3]]);
        });
    }
}
