//! Breakers of DRY: the tokens of a vocabulary that spell the texts.
//!
//! A breaker may lie within a token, or begin at the end of one and go on in the tokens that follow.
//!
//! Source: llama.cpp, `get_overlapping_token_sequences`.

use std::collections::BTreeSet;

use nearfield::tokenizer::{EncodeOptions, Tokenizer};
use nearfield::{DryBreakers, TokenSet};

use crate::error::Result;
use crate::text;

/// Most tokens of a breaker behind its first, as in llama.cpp.
const MAX_TAIL: usize = 20;

/// Breakers in the tokens of a vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Breakers {
    /// Words of the set of tokens that have a breaker in them.
    words: Vec<u32>,
    /// Sequences of tokens that spell a breaker across them, in ascending order.
    pub sequences: Vec<Vec<u32>>,
}

impl Breakers {
    /// Finds the tokens of texts, none of which is empty.
    pub fn new(tokenizer: &Tokenizer<'_, '_>, texts: &[String]) -> Result<Self> {
        let tails = texts.iter().map(|text| tails(tokenizer, text)).collect::<Result<Vec<_>>>()?;
        let n_tokens = tokenizer.n_tokens();
        let mut words = vec![0; TokenSet::n_words(n_tokens)];
        let mut sequences = BTreeSet::new();
        for token in 0..u32::try_from(n_tokens).unwrap_or(u32::MAX) {
            let piece: Vec<u8> = tokenizer.bytes(token)?.collect();
            for (text, tails) in texts.iter().map(String::as_bytes).zip(&tails) {
                if piece.windows(text.len()).any(|letters| letters == text) {
                    TokenSet::insert(&mut words, token);
                    continue;
                }
                // Beginnings of the text with which the piece ends.
                let begun = (1..text.len()).filter(|&n| text.get(..n).is_some_and(|begin| piece.ends_with(begin)));
                let tails = begun.filter_map(|n| tails.get(n - 1));
                sequences.extend(tails.map(|tail| [&[token], tail.as_slice()].concat()));
            }
        }
        Ok(Self { words, sequences: sequences.into_iter().collect() })
    }

    /// Breakers as a sampler takes them; `sequences` are those of this one.
    pub fn lend<'s>(&'s self, sequences: &'s [&'s [u32]]) -> DryBreakers<'s> {
        DryBreakers { tokens: TokenSet::new(&self.words), sequences }
    }
}

/// Tokens of a text without its first 1, 2, ... bytes.
fn tails(tokenizer: &Tokenizer<'_, '_>, text: &str) -> Result<Vec<Vec<u32>>> {
    let options = EncodeOptions { continues: true, ..EncodeOptions::default() };
    let tail = |n: usize| {
        let mut tokens = text::encode(tokenizer, text.as_bytes().get(n..).unwrap_or_default(), options)?;
        tokens.truncate(MAX_TAIL);
        Ok(tokens)
    };
    (1..text.len()).map(tail).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Error;
    use crate::generate::{Options, load};
    use crate::model_file::{ModelFile, Repack};
    use crate::monitor::Monitor;

    #[test]
    fn breakers_are_those_of_llama_cpp() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let reference: Value =
            serde_json::from_slice(&std::fs::read(root.join("tests/reference/sampler.json")).unwrap()).unwrap();
        let file = ModelFile::open(Some(root.join("models/pocket.gguf")), &Monitor::silent()).unwrap();
        let engine = crate::engine::Engine::new(None, Some(1)).unwrap();
        load(file, &engine, Repack::Off, &Options::default(), None, |model| {
            let found = Breakers::new(model.tokenizer, &["\n", ".", "he s"].map(String::from))?;
            let tokens: Vec<u32> = TokenSet::new(&found.words).iter().collect();
            assert_eq!(json!({"tokens": tokens, "sequences": found.sequences}), reference["breakers"]);
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}
