//! Special tokens, options, and errors of texts and tokens.

use nearfield::tokenizer::{
    DetokenizeError, Detokenizer, EncodeOptions, Encoded, Kind, PreTokenizer, StringArray, TextError, TokenType,
    Tokenizer, Vocab,
};
use nearfield::{Arena, Line};

use super::vocab::{CONTROL, USER_DEFINED, Words, body, bytes_of, encode};

const PARSE: EncodeOptions = EncodeOptions { add_bos: false, add_eos: false, parse_special: true, continues: false };
const UNUSED: i32 = 5;

fn words(special: &[(&str, i32)]) -> Words {
    Words::new(special, &["a b".into(), "Ġ a".into(), "Ġ Ġ".into()], PreTokenizer::Gpt2)
}

#[test]
fn control_tokens_are_parsed_only_if_asked_and_user_defined_ones_always() {
    let words = words(&[("<end>", CONTROL), ("<me>", USER_DEFINED)]);
    words
        .with(|t| {
            let id = |spelled| t.find(spelled).unwrap();
            assert_eq!(encode(t, "ab<end>", PARSE), Ok(vec![id("ab"), id("<end>")]));
            assert_eq!(encode(t, "<end>", EncodeOptions::default()).unwrap().len(), 5);
            assert_eq!(encode(t, "<me>ab", EncodeOptions::default()), Ok(vec![id("<me>"), id("ab")]));
        })
        .unwrap();
}

#[test]
fn the_longest_token_wins_at_each_place() {
    let words = words(&[("  ", USER_DEFINED), ("   ", USER_DEFINED), ("<a>", CONTROL), ("<a><b>", CONTROL)]);
    words
        .with(|t| {
            let encode = |text| encode(t, text, PARSE).unwrap();
            assert_eq!(encode("   "), [1]);
            assert_eq!(encode("     "), [1, 0]);
            assert_eq!(encode("<a><b><a>"), [3, 2]);
            // A text is cut at special tokens before anything else: the space stays alone.
            assert_eq!(encode("    a"), [1, t.find("Ġa").unwrap()]);
            assert_eq!(encode("  a"), [0, t.find("a").unwrap()]);
        })
        .unwrap();
}

#[test]
fn tokens_that_are_to_be_read_as_text_are_letters() {
    let words = words(&[("<a>", CONTROL), ("<a", USER_DEFINED), ("<a>>", USER_DEFINED), ("ab>", USER_DEFINED)]);
    words
        .with(|t| {
            let hidden = [0, 2];
            let hiding = t.reading_as_text(&hidden);
            let [b, end] = ["b", ">"].map(|letter| t.find(letter).unwrap());
            for options in [PARSE, EncodeOptions::default()] {
                assert_eq!(encode(&hiding, "<a>>b<aab>", options).unwrap(), [1, end, end, b, 1, 3]);
            }
            assert_eq!(encode(t, "<a>>b", PARSE).unwrap(), [2, b]);
            // The tokens keep their texts.
            assert_eq!(hiding.find("<a>"), Some(0));
            assert_eq!(bytes_of(&hiding, &hidden), b"<a><a>>");
        })
        .unwrap();
}

#[test]
fn overlapping_tokens_go_to_the_first_place() {
    let words = words(&[("<aa", CONTROL), ("aab>", CONTROL)]);
    words.with(|t| assert_eq!(encode(t, "<aab>", PARSE).unwrap()[0], 0)).unwrap();
}

#[test]
fn hundreds_of_special_tokens_are_told_apart() {
    let names: Vec<String> = (0..700).map(|i| format!("<|token_{i}|>")).collect();
    let special: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), CONTROL)).collect();
    let text = names.join("a");
    words(&special)
        .with(|t| {
            let tokens = encode(t, &text, PARSE).unwrap();
            let a = t.find("a").unwrap();
            let wanted: Vec<u32> = (0..700).flat_map(|i| [i, a]).take(1399).collect();
            assert_eq!(tokens, wanted);
        })
        .unwrap();
}

#[test]
fn special_tokens_stand_for_their_own_letters_and_unused_ones_for_nothing() {
    let words = words(&[("<Ġ>", CONTROL), ("Ġ", USER_DEFINED), ("[PAD0]", UNUSED)]);
    words
        .with(|t| {
            assert_eq!(bytes_of(t, &[0, 1, 2]), "<Ġ>Ġ".as_bytes());
            assert_eq!(t.token_type(0), Ok(TokenType::Control));
            assert_eq!(t.token_type(1), Ok(TokenType::UserDefined));
            assert_eq!(t.token_type(2), Ok(TokenType::Unused));
            assert_eq!(t.token_type(3), Ok(TokenType::Normal));
            assert!(encode(t, "[PAD0]", PARSE).unwrap().len() > 1);
        })
        .unwrap();
}

#[test]
fn control_tokens_are_shown_or_hidden() {
    let words = words(&[("<end>", CONTROL), ("<me>", USER_DEFINED)]);
    words
        .with(|t| {
            for (show_control, wanted) in [(false, "<me>"), (true, "<end><me>")] {
                let (mut detokenizer, mut out) = (Detokenizer::new(show_control), String::new());
                detokenizer.push(t, 0, &mut out).unwrap();
                detokenizer.push(t, 1, &mut out).unwrap();
                detokenizer.finish(&mut out).unwrap();
                assert_eq!(out, wanted);
            }
        })
        .unwrap();
}

#[test]
fn a_character_over_several_tokens_is_written_when_it_is_whole() {
    words(&[])
        .with(|t| {
            let tokens = encode(t, "🦙a", PARSE).unwrap();
            assert_eq!(tokens.len(), 5);
            let (mut detokenizer, mut seen) = (Detokenizer::new(false), Vec::new());
            for &token in &tokens {
                let mut out = String::new();
                detokenizer.push(t, token, &mut out).unwrap();
                seen.push(out);
            }
            assert_eq!(seen, ["", "", "", "🦙", "a"]);

            let mut out = String::new();
            detokenizer.push(t, tokens[0], &mut out).unwrap();
            assert_eq!(out, "");
            detokenizer.finish(&mut out).unwrap();
            detokenizer.finish(&mut out).unwrap();
            assert_eq!(out, "\u{fffd}");
        })
        .unwrap();
}

/// A byte that no character begins with is no reason to wait.
#[test]
fn a_byte_of_no_character_is_written_at_once() {
    words(&[])
        .with(|t| {
            let (mut detokenizer, mut text) = (Detokenizer::new(false), String::new());
            detokenizer.push(t, t.find("ÿ").unwrap(), &mut text).unwrap();
            assert_eq!(text, "\u{fffd}");
        })
        .unwrap();
}

#[test]
fn the_token_that_begins_a_text() {
    let (tokens, merges) = (body(&[b"a".to_vec(), b"<s>".to_vec()]), body(&[]));
    let (tokens, merges) = (StringArray::split(2, &tokens).unwrap().0, StringArray::split(0, &merges).unwrap().0);
    let vocab = |bos, add_bos| Vocab { bos, add_bos, ..Vocab::byte_level(tokens, merges, PreTokenizer::Gpt2) };
    let mut lines = [Line::ZERO; Tokenizer::index_bytes(2, 0).unwrap() / Line::BYTES];
    let tokenizer = Tokenizer::new(vocab(Some(1), true), &mut Arena::new(&mut lines)).unwrap();
    assert_eq!(encode(&tokenizer, "aa", tokenizer.options()), Ok(vec![1, 0, 0]));
    assert_eq!(encode(&tokenizer, "", tokenizer.options()), Ok(vec![1]));
    assert_eq!(encode(&tokenizer, "a", EncodeOptions::default()), Ok(vec![0]));
    let none = TextError::OutTooSmall { enough: Tokenizer::encode_bound(0), have: 0 };
    assert_eq!(tokenizer.encode("", tokenizer.options(), &mut []), Err(none));

    let tokenizer = Tokenizer::new(vocab(None, true), &mut Arena::new(&mut lines)).unwrap();
    assert_eq!(encode(&tokenizer, "a", tokenizer.options()), Ok(vec![0]));
    let options = EncodeOptions { add_bos: true, ..EncodeOptions::default() };
    assert_eq!(encode(&tokenizer, "a", options), Err(TextError::NoBos));
}

#[test]
fn a_byte_without_a_token_is_left_out_and_counted() {
    let mut words = words(&[]);
    let c = words.tokens.iter().position(|token| token == b"c").unwrap();
    words.tokens[c] = b"[was c]".to_vec();
    words
        .with(|t| {
            let counted = |text: &str| {
                let mut out = vec![0; t.room(text, EncodeOptions::default())];
                let Encoded { n_tokens, n_skipped } =
                    t.encode_counted(text, EncodeOptions::default(), &mut out).unwrap();
                (out[..n_tokens].to_vec(), n_skipped)
            };
            // The remaining tokens are neighbours, as in Hugging Face's `tokenizers`.
            assert_eq!(counted("acb"), (vec![t.find("ab").unwrap()], 1));
            assert_eq!(counted("c"), (vec![], 1));
            assert_eq!(counted("cab ccc"), (vec![t.find("ab").unwrap(), t.find("Ġ").unwrap()], 4));
            assert_eq!(counted("ab").1, 0);
        })
        .unwrap();
}

/// The bytes counted are those of the text after its normalization.
#[test]
fn a_byte_without_a_token_is_counted_in_nfc_too() {
    let mut words = Words { kind: Kind::BYTE_LEVEL_BPE_NFC, ..words(&[]) };
    let c = words.tokens.iter().position(|token| token == b"c").unwrap();
    words.tokens[c] = b"[was c]".to_vec();
    words
        .with(|t| {
            for (text, wanted) in [("ce\u{301}", 1), ("e\u{301}cc ce\u{301}c", 4)] {
                let mut out = [0; 32];
                let encoded = t.encode_counted(text, EncodeOptions::default(), &mut out).unwrap();
                let rest = text.replace('c', "").replace("e\u{301}", "é");
                assert_eq!(bytes_of(t, &out[..encoded.n_tokens]), rest.as_bytes());
                assert_eq!(encoded.n_skipped, wanted, "{text}");
            }
        })
        .unwrap();
}

/// Characters are left out and counted, as bytes are, or become the unknown token, once for a run in a word if it is fused.
#[test]
fn characters_without_a_token_are_those_of_bytes_without_one() {
    let tokens = ["a", "b", "ab", "[UNK]"].map(|token| token.as_bytes().to_vec()).to_vec();
    let (types, merges) = (vec![1, 1, 1, 3], vec![b"a b".to_vec()]);
    let words = Words { tokens, types, merges, pre: PreTokenizer::Gpt2, kind: Kind::CHARACTER_BPE };
    let (a, b, ab, unk) = (0, 1, 2, 3);
    words.with_vocab(|vocab| {
        let check = |vocab, text: &str, wanted: &[u32], n_skipped| {
            let mut lines = vec![Line::ZERO; 1 << 8];
            let t = Tokenizer::new(vocab, &mut Arena::new(&mut lines)).unwrap();
            let mut out = vec![0; t.room(text, EncodeOptions::default())];
            let encoded = t.encode_counted(text, EncodeOptions::default(), &mut out).unwrap();
            assert_eq!((&out[..encoded.n_tokens], encoded.n_skipped), (wanted, n_skipped), "{text}");
        };
        check(vocab, "aécb ca", &[ab, a], 4);
        let vocab = Vocab { unk: Some(unk), ..vocab };
        check(vocab, "accb cc cab", &[a, unk, unk, b, unk, unk, unk, ab], 0);
        let vocab = Vocab { fuse_unk: true, ..vocab };
        check(vocab, "accb cc cab", &[a, unk, b, unk, unk, ab], 0);
        check(vocab, "cacbc", &[unk, a, unk, b, unk], 0);
    });
}

/// The ids of Hugging Face's `tokenizers` 0.23 for BPE with `unk_token`, without and with `fuse_unk`: the unknown token separates
/// the text around it, and each piece has its own.
#[test]
fn a_byte_without_a_token_is_the_unknown_one_where_the_model_names_it() {
    let mut words = words(&[("<unk>", 3)]);
    let c = words.tokens.iter().position(|token| token == b"c").unwrap();
    words.tokens[c] = b"[was c]".to_vec();
    let unk = words.tokens.iter().position(|token| token == b"<unk>").unwrap() as u32;
    words.with_vocab(|vocab| {
        for fuse_unk in [false, true] {
            let mut lines = vec![Line::ZERO; 1 << 12];
            let t = Tokenizer::new(Vocab { unk: Some(unk), fuse_unk, ..vocab }, &mut Arena::new(&mut lines)).unwrap();
            let [a, b, ab, space] = ["a", "b", "ab", "Ġ"].map(|token| t.find(token).unwrap());
            let many: &[u32] = if fuse_unk { &[unk] } else { &[unk, unk] };
            for (text, wanted) in [
                ("acb", &[&[a, unk, b][..]][..]),
                ("abccab", &[&[ab], many, &[ab]]),
                ("cc cc", &[many, &[space], many]),
            ] {
                let mut out = vec![0; t.room(text, EncodeOptions::default())];
                let encoded = t.encode_counted(text, EncodeOptions::default(), &mut out).unwrap();
                assert_eq!(out[..encoded.n_tokens], wanted.concat(), "{text}");
                assert_eq!(encoded.n_skipped, 0);
            }
        }
    });
}

#[test]
fn numbers_that_are_no_tokens_are_errors() {
    words(&[])
        .with(|t| {
            for token in [t.n_tokens() as u32, u32::MAX] {
                let error = DetokenizeError::NoSuchToken { token, n_tokens: t.n_tokens() };
                assert_eq!(t.bytes(token).err(), Some(error));
                assert_eq!(t.token_type(token), Err(error));
                assert_eq!(Detokenizer::new(true).push(t, token, &mut String::new()), Err(error));
            }
        })
        .unwrap();
}

#[test]
fn errors_of_texts_and_tokens_say_what_is_wrong() {
    for (error, wanted) in [
        (TextError::OutTooSmall { enough: 7, have: 3 }, "no room for the tokens of this text: 3 places, 7 are enough"),
        (TextError::PieceTooLong { n_bytes: 1 << 30 }, "a piece of 1073741824 bytes without a cut: expected less"),
        (TextError::NoBos, "the vocabulary has no token that begins a text (tokenizer.ggml.bos_token_id)"),
        (TextError::NoEos, "the vocabulary has no token that ends a text (tokenizer.ggml.eos_token_id)"),
    ] {
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
    for (error, wanted) in [
        (DetokenizeError::NoSuchToken { token: 9, n_tokens: 5 }, "no token 9: the vocabulary has 5"),
        (DetokenizeError::OutTooSmall { need: 2, have: 1 }, "a token of 2 bytes does not fit 1"),
        (DetokenizeError::Write, "the text could not be written"),
    ] {
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn a_token_is_written_where_it_fits() {
    words(&[])
        .with(|t| {
            let token = t.find("Ġa").unwrap();
            let mut out = [0; 3];
            assert_eq!(t.token_bytes(token, &mut out), Ok(2));
            assert_eq!(&out[..2], b" a");
            assert_eq!(t.token_bytes(token, &mut out[..1]), Err(DetokenizeError::OutTooSmall { need: 2, have: 1 }));
        })
        .unwrap();
}
