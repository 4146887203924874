//! llama.cpp's own test texts for its vocabularies, `ggml-vocab-*.gguf.inp`, and the ids it gives them, `.out`.

use std::fs;

use nearfield::tokenizer::{Detokenizer, EncodeOptions, Kind};

use super::kinds::with;
use super::vocab::{encode, folder};

#[test]
fn texts_of_llama_cpp_get_its_ids() {
    let Some(folder) = folder("NEARFIELD_VOCAB_DIR", "llama.cpp's ggml-vocab-*.gguf{,.inp,.out}") else { return };
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.to_string_lossy().ends_with(".gguf.inp"));
    names.sort();
    assert!(!names.is_empty(), "{} has no texts", folder.display());
    for path in names {
        let gguf = path.with_extension("");
        let texts = fs::read_to_string(&path).unwrap();
        let wanted = fs::read_to_string(gguf.with_extension("gguf.out")).unwrap();
        // Each text is followed by this, the last one too.
        let texts: Vec<&str> = texts.split_terminator("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), wanted.lines().count());
        with(&gguf, |tokenizer| {
            for (text, wanted) in texts.iter().zip(wanted.lines()) {
                let wanted: Vec<u32> = wanted.split_whitespace().map(|id| id.parse().unwrap()).collect();
                let tokens = encode(tokenizer, text, EncodeOptions::default()).unwrap();
                assert_eq!(tokens, wanted, "{}: {text:?}", gguf.display());
                // WordPiece keeps neither spaces nor, here, capitals.
                if tokenizer.vocab().kind != Kind::WORDPIECE {
                    let (mut detokenizer, mut back) = (Detokenizer::of_whole_text(false), String::new());
                    tokens.iter().for_each(|&token| detokenizer.push(tokenizer, token, &mut back).unwrap());
                    assert_eq!(back, *text, "{}", gguf.display());
                }
            }
        });
        println!("{}: {} texts", gguf.display(), texts.len());
    }
}
