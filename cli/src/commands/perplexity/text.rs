//! The text of a measurement.

use std::fs;

use anyhow::{Context, Result, ensure};
use nearfield::tokenizer::{EncodeOptions, Tokenizer};
use nearfield_host::text::Notes;

use super::args::PerplexityArgs;
use crate::terminal::monitor;

/// What is to be foretold.
pub struct Text {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Bytes that each of them stands for.
    pub n_bytes: Vec<u32>,
    /// What each window begins with in place of its first token, if the model wants that.
    pub bos: Option<u32>,
}

impl Text {
    /// Reads and tokenizes the file.
    pub fn read(args: &PerplexityArgs, tokenizer: &Tokenizer<'_, '_>) -> Result<Self> {
        let path = args.file.display();
        let bytes = fs::read(&args.file).with_context(|| format!("cannot read {path}"))?;
        let options = EncodeOptions { parse_special: args.special, ..tokenizer.options() };
        let mut notes = Notes::default();
        let mut tokens = notes.encode_looking_for_names(tokenizer, &bytes, options)?;
        notes.tell(monitor());
        ensure!(!tokens.is_empty(), "{path} is empty");
        tokens.truncate(args.max_tokens.unwrap_or(usize::MAX));
        let n_bytes = tokens.iter().map(|&token| Ok(tokenizer.bytes(token)?.count() as u32));
        let n_bytes = n_bytes.collect::<Result<_>>()?;
        Ok(Self { tokens, n_bytes, bos: tokenizer.vocab().bos.filter(|_| options.add_bos) })
    }
}
