//! Text of a measurement.

use nearfield::tokenizer::{EncodeOptions, Tokenizer};

use crate::error::{Result, ensure};
use crate::monitor::Monitor;
use crate::text::{Input, Notes};

/// Text whose tokens are predicted.
pub struct Text {
    /// Tokens of the text.
    pub tokens: Vec<u32>,
    /// Number of bytes that each token stands for. `[tokens.len()]`
    pub n_bytes: Vec<u32>,
    /// Token that replaces the first one of each window, for models that begin texts with it.
    pub bos: Option<u32>,
}

impl Text {
    /// Encodes a text, at most `max_tokens` tokens of it; with `special`, names of control tokens stand for the
    /// tokens.
    ///
    /// # Errors
    /// When the text has no token.
    pub fn new(
        input: &Input,
        tokenizer: &Tokenizer<'_, '_>,
        special: bool,
        max_tokens: Option<usize>,
        monitor: &Monitor,
    ) -> Result<Self> {
        let options = EncodeOptions { parse_special: special, ..tokenizer.options() };
        let mut notes = Notes::default();
        let mut tokens = notes.encode_looking_for_names(tokenizer, &input.bytes, options)?;
        notes.tell(monitor);
        ensure!(!tokens.is_empty(), "{} is empty", input.name);
        tokens.truncate(max_tokens.unwrap_or(usize::MAX));
        let n_bytes = tokens.iter().map(|&token| Ok(tokenizer.bytes(token)?.count() as u32));
        let n_bytes = n_bytes.collect::<Result<_>>()?;
        Ok(Self { tokens, n_bytes, bos: tokenizer.vocab().bos.filter(|_| options.add_bos) })
    }
}
