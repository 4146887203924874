//! llama.cpp's own test texts for its vocabularies, `ggml-vocab-*.gguf.inp`, and the ids it gives them, `.out`.

use std::fs;

use nearfield::tokenizer::EncodeOptions;

use crate::vocab::{Words, bytes_of, encode, folder};

#[test]
fn texts_of_llama_cpp_get_its_ids() {
    let Some(folder) = folder("NEARFIELD_VOCAB_DIR", "llama.cpp's ggml-vocab-{gpt-2,mpt,refact}.gguf{,.inp,.out}")
    else {
        return;
    };
    for name in ["gpt-2", "mpt", "refact"] {
        let gguf = folder.join(format!("ggml-vocab-{name}.gguf"));
        let texts = fs::read_to_string(gguf.with_extension("gguf.inp")).unwrap();
        let wanted = fs::read_to_string(gguf.with_extension("gguf.out")).unwrap();
        // Each text is followed by this, the last one too.
        let texts: Vec<&str> = texts.split_terminator("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), wanted.lines().count());
        let words = Words::from_gguf(&gguf);
        words
            .with(|tokenizer| {
                for (text, wanted) in texts.iter().zip(wanted.lines()) {
                    let wanted: Vec<u32> = wanted.split_whitespace().map(|id| id.parse().unwrap()).collect();
                    let tokens = encode(tokenizer, text, EncodeOptions::default()).unwrap();
                    assert_eq!(tokens, wanted, "{name}: {text:?}");
                    assert_eq!(bytes_of(tokenizer, &tokens), text.as_bytes(), "{name}");
                }
            })
            .unwrap();
        println!("{name}: {} texts", texts.len());
    }
}
