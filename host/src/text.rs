//! Texts, and the tokenizer of a model file.

use std::collections::BTreeSet;

use nearfield::tokenizer::{EncodeOptions, Encoded, TokenType, Tokenizer, TokenizerError, Vocab};
use nearfield::{Arena, Line};

use crate::error::{Context, Result};
use crate::monitor::{Monitor, Note};

/// Text of a file or a pipe, for a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name of its source, for messages.
    pub name: String,
    /// Bytes of the text.
    pub bytes: Vec<u8>,
}

/// Bytes of the tokenizer's index in the memory plan.
pub fn index_bytes(vocab: &Vocab<'_>) -> Result<usize> {
    Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).context("the vocabulary is empty or too large")
}

/// Tokenizer over `vocab`, with the index in its file or, without one, in `lines`.
pub fn tokenizer<'f: 'a, 'a>(vocab: Vocab<'f>, lines: &'a mut [Line], monitor: &Monitor) -> Result<Tokenizer<'f, 'a>> {
    if let Some(index) = vocab.index {
        match Tokenizer::prepared(vocab, index) {
            Err(TokenizerError::Index(error)) => {
                monitor.note(format_args!("the file's index of its tokens is made anew: {error}"));
            }
            tokenizer => return Ok(tokenizer?),
        }
    }
    Ok(Tokenizer::new(vocab, &mut Arena::new(lines))?)
}

/// Encodes a text without notes; [`Notes::encode`] keeps them.
pub fn encode(tokenizer: &Tokenizer<'_, '_>, text: &[u8], options: EncodeOptions) -> Result<Vec<u32>> {
    Notes::default().encode(tokenizer, text, options)
}

/// Notes on the texts of a command, passed on once for all of them.
#[derive(Debug, Default)]
pub struct Notes {
    /// Number of bytes that the vocabulary has no tokens for.
    n_skipped: usize,
    /// Control token whose name stands in a text and is read as letters.
    named: Option<String>,
    /// True if a text begins with the token that is put before it.
    begins_twice: bool,
}

impl Notes {
    /// Encodes a text.
    pub fn encode(&mut self, tokenizer: &Tokenizer<'_, '_>, text: &[u8], options: EncodeOptions) -> Result<Vec<u32>> {
        let mut tokens = vec![0; tokenizer.room(text, options)];
        let Encoded { n_tokens, n_skipped } = tokenizer.encode_counted(text, options, &mut tokens)?;
        tokens.truncate(n_tokens);
        self.n_skipped += n_skipped;
        let begins_twice = matches!(tokens[..], [first, second, ..] if first == second);
        self.begins_twice |= options.add_bos && begins_twice;
        Ok(tokens)
    }

    /// Encodes a text that may have been written for a command with `--special`: also looks for names of control tokens, which
    /// takes as long again.
    pub fn encode_looking_for_names(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        text: &[u8],
        options: EncodeOptions,
    ) -> Result<Vec<u32>> {
        let tokens = self.encode(tokenizer, text, options)?;
        if !options.parse_special && self.named.is_none() {
            let plain = EncodeOptions { add_bos: false, add_eos: false, parse_special: true, ..options };
            let with_names: BTreeSet<u32> = encode(tokenizer, text, plain)?.into_iter().collect();
            let is_control = |token: &u32| tokenizer.token_type(*token) == Ok(TokenType::Control);
            for token in with_names.into_iter().filter(is_control) {
                let name: Vec<u8> = tokenizer.bytes(token)?.collect();
                // An unknown token stands for other letters than its name's.
                if text.windows(name.len().max(1)).any(|letters| letters == name) {
                    self.named = Some(String::from_utf8_lossy(&name).into_owned());
                }
            }
        }
        Ok(tokens)
    }

    /// Passes the notes on.
    pub fn tell(&self, monitor: &Monitor) {
        if self.n_skipped > 0 {
            monitor.pass(&Note::SkippedBytes(self.n_skipped));
        }
        if let Some(name) = &self.named {
            monitor.pass(&Note::NamedToken(name.clone()));
        }
        if self.begins_twice {
            monitor.pass(&Note::BeginsTwice);
        }
    }
}
