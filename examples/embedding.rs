//! Embeddings of documents: `cargo run -p nearfield --example embedding [MODEL TEXT...]`
//!
//! With a model, such as Jina's embeddings v2 as GGUF, the similarities of texts. Without one, a small random model of the tests
//! shows the calls; its numbers mean nothing.

#[path = "../tests/common/mod.rs"]
mod common;

use std::env;
use std::error::Error;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Encoder, EncoderConfig, EncoderPlan, Inline, Line, Model, Pooling, kernels};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.split_first() {
        Some((path, texts)) => of_texts(&Model::from_gguf(&std::fs::read(path)?)?, texts),
        None => of_tokens(),
    }
}

/// Similarities of texts to the first.
fn of_texts(model: &Model<'_>, texts: &[String]) -> Result<(), Box<dyn Error>> {
    let config = EncoderConfig { n_ctx: 2048, ..EncoderConfig::default() };
    let mut memory = vec![Line::ZERO; EncoderPlan::new(model.shape(), &config)?.n_lines()];
    let mut arena = Arena::new(&mut memory);
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut encoder = Encoder::new(model, config, kernels::best(), &Inline, &mut arena)?;
    let mut first = Vec::new();
    for text in texts {
        let mut tokens = vec![0; Tokenizer::encode_bound(text.len())];
        let n = tokenizer.encode(text, tokenizer.options(), &mut tokens)?;
        let vector = encoder.embed(&tokens[..n], Pooling::Mean, true)?;
        if first.is_empty() {
            first = vector.to_vec();
        }
        println!("{:.4}  {text}", dot(&first, vector));
    }
    Ok(())
}

/// Similarity of two lists of tokens, which go through a random model together.
fn of_tokens() -> Result<(), Box<dyn Error>> {
    let file = common::encoder::JINA.file("F32");
    let model = Model::from_gguf(file.bytes())?;
    let config = EncoderConfig { n_ctx: 64, n_documents: 2, ..EncoderConfig::default() };
    let mut memory = vec![Line::ZERO; EncoderPlan::new(model.shape(), &config)?.n_lines()];
    let mut encoder = Encoder::new(&model, config, kernels::best(), &Inline, &mut Arena::new(&mut memory))?;
    let vectors = encoder.embed_pass(&[[1, 7, 9, 2], [1, 7, 8, 2]], Pooling::Mean, true)?;
    let (first, second) = vectors.split_at(model.shape().n_embd);
    let [same, other] = [dot(first, first), dot(first, second)];
    println!("a document of {} numbers; similarity to itself {same:.4}, to another {other:.4}", first.len());
    assert!((same - 1.0).abs() < 1e-5 && other < same);
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
