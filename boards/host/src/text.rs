//! The tokenizer of a model file.

use std::ffi::OsString;

use anyhow::{Context, Result};
use nearfield::tokenizer::{EncodeOptions, Tokenizer, Vocab};
use nearfield::{Arena, Line};

/// Bytes that the tokenizer's index takes: its part of the memory plan.
pub fn index_bytes(vocab: &Vocab<'_>) -> Result<usize> {
    Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).context("the vocabulary is empty or too large")
}

/// The tokenizer over `vocab`, with its index in `lines`.
pub fn tokenizer<'f, 'a>(vocab: Vocab<'f>, lines: &'a mut [Line]) -> Result<Tokenizer<'f, 'a>> {
    Ok(Tokenizer::new(vocab, &mut Arena::new(lines))?)
}

/// All tokens of a text.
pub fn encode(tokenizer: &Tokenizer<'_, '_>, text: &[u8], options: EncodeOptions) -> Result<Vec<u32>> {
    let mut tokens = vec![0; Tokenizer::encode_bound(text.len())];
    let n = tokenizer.encode(text, options, &mut tokens)?;
    tokens.truncate(n);
    Ok(tokens)
}

/// The bytes of an argument, as they were given.
pub fn bytes_of(argument: &OsString) -> &[u8] {
    argument.as_encoded_bytes()
}

/// Token ids in a text, separated by commas or white space.
pub fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok().with_context(|| format!("{word:?} is not a token id"))).collect()
}
