//! Every error that wrong input can cause: its variant, and a text that names the thing, what was expected and what was found.

mod gguf;
mod load;
mod session;
mod shape;

use crate::common::model::{BAICHUAN, BLOOM, FALCON, GPT2, JAIS, MPT, Parts, REFACT, Spec};
use nearfield::{LoadError, Model};

/// A valid MPT.
fn parts() -> Parts {
    MPT.parts_of(&MPT.tensors(), "F32")
}

fn load(file: &[u8]) -> LoadError {
    Model::from_gguf(file).expect_err("a broken file")
}

/// Asserts that the text of an error holds all of `words`.
#[track_caller]
fn assert_error<E: PartialEq + std::fmt::Debug + std::fmt::Display>(what: &str, want: E, got: E, words: &[&str]) {
    assert_eq!(want, got, "{what}");
    let text = got.to_string();
    println!("{what}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{what}: {words:?} in {text:?}");
    assert!(!text.contains('\n') && !text.ends_with('.'), "{what}: one line, for others to end: {text:?}");
}

#[test]
fn a_right_file_is_no_error() {
    let families = [MPT, BLOOM, GPT2, FALCON, BAICHUAN, REFACT, JAIS];
    for spec in families.into_iter().chain([Spec { split_qkv: true, ..MPT }]) {
        let file = spec.file("F32");
        let model = Model::from_gguf(file.bytes()).expect("right");
        assert_eq!(model.shape().n_vocab, spec.n_vocab);
    }
    // The files of Baichuan-13B that the converter of llama.cpp writes: 40 layers, and no key for the slopes.
    let spec = Spec { n_layer: 40, max_alibi_bias: None, ..BAICHUAN };
    let file = spec.file("F32");
    assert_eq!(Model::from_gguf(file.bytes()).expect("right").shape().max_alibi_bias, 8.0);
}
