//! The tokenizer of a model file.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nearfield::tokenizer::{EncodeOptions, Tokenizer, TokenizerError, Vocab};
use nearfield::{Arena, Line};

use crate::output_file;
use crate::report;

/// Bytes that the tokenizer's index takes: its part of the memory plan.
pub fn index_bytes(vocab: &Vocab<'_>) -> Result<usize> {
    Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).context("the vocabulary is empty or too large")
}

/// The tokenizer over `vocab`, with the index that its file has or, without one, in `lines`.
pub fn tokenizer<'f: 'a, 'a>(vocab: Vocab<'f>, lines: &'a mut [Line]) -> Result<Tokenizer<'f, 'a>> {
    if let Some(index) = vocab.index {
        match Tokenizer::prepared(vocab, index) {
            Err(TokenizerError::Index(error)) => {
                report::note(format_args!("the file's index of its tokens is made anew: {error}"));
            }
            tokenizer => return Ok(tokenizer?),
        }
    }
    Ok(Tokenizer::new(vocab, &mut Arena::new(lines))?)
}

/// All tokens of a text.
pub fn encode(tokenizer: &Tokenizer<'_, '_>, text: &[u8], options: EncodeOptions) -> Result<Vec<u32>> {
    let mut tokens = vec![0; tokenizer.room(text, options)];
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

/// The ids of `--tokens`: in the argument, or in a file if it is `@FILE`.
pub fn read_ids(argument: &str) -> Result<Vec<u32>> {
    let tokens = match argument.strip_prefix('@') {
        None => parse_ids(argument)?,
        Some(path) => {
            output_file::protect(path.as_ref());
            let ids = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            parse_ids(&ids).with_context(|| path.to_owned())?
        }
    };
    ensure!(!tokens.is_empty(), "--tokens names no token");
    Ok(tokens)
}

/// The lines of a file, without their ends.
pub fn read_lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    output_file::protect(path);
    Ok(lines(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?))
}

/// The lines of a text, without their ends.
pub fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let line = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    };
    text.split_inclusive(|&byte| byte == b'\n').map(line).collect()
}

/// All of standard input.
pub fn read_input() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    stdin().lock().read_to_end(&mut text).context("cannot read standard input")?;
    Ok(text)
}
