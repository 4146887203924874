//! Token ids in arguments, files and pipes.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::text::Source;
use crate::terminal::input::without_mark;

/// Parses token ids separated by commas or white space.
pub fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok().with_context(|| format!("{word:?} is not a token id"))).collect()
}

/// Reads the ids of `--tokens`: in the argument, in a file if it is `@FILE`, or on standard input if it is `@-`.
pub fn read_ids(argument: &str) -> Result<Vec<u32>> {
    let tokens = match argument.strip_prefix('@') {
        None => parse_ids(argument)?,
        Some(path) => {
            let source = Source::of_file(Path::new(path));
            let ids = source.read()?;
            parse_ids(&String::from_utf8_lossy(without_mark(&ids))).with_context(|| source.name())?
        }
    };
    ensure!(!tokens.is_empty(), "--tokens names no token");
    Ok(tokens)
}
