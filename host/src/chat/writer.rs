//! Conversation while it is turned into tokens.

use nearfield::tokenizer::{EncodeOptions, Tokenizer};

use super::message::Words;
use crate::error::Result;
use crate::text;

/// Tokens so far, and the text that follows them.
pub(super) struct Writer<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    /// True to begin with the token that begins a text, if the vocabulary asks for one.
    pub(super) add_bos: bool,
    pub(super) tokens: Vec<u32>,
    /// Text since the last token of the format. It is encoded as one, since words may merge with the words around them.
    pub(super) text: Vec<u8>,
}

impl<'t> Writer<'t> {
    /// Writer to the tokens of `tokenizer`, which reads the marks of conversations as text.
    pub(super) fn new(tokenizer: &'t Tokenizer<'t, 't>) -> Self {
        Self { tokenizer, add_bos: true, tokens: Vec::new(), text: Vec::new() }
    }

    /// Tokenizer of the text.
    pub(super) fn tokenizer(&self) -> &'t Tokenizer<'t, 't> {
        self.tokenizer
    }

    /// Writes a token of the format.
    pub(super) fn token(&mut self, token: u32) -> Result<()> {
        self.end_text()?;
        self.tokens.push(token);
        Ok(())
    }

    /// Writes words of a message.
    pub(super) fn words(&mut self, words: &Words<'_>) -> Result<()> {
        match *words {
            Words::Text(text) => self.text.extend(text),
            Words::Answer { lead, tokens, rest } => {
                if let Some(lead) = lead {
                    let n = self.text.trim_ascii_end().len();
                    self.text.truncate(n);
                    self.text.extend(lead.as_bytes());
                }
                self.end_text()?;
                self.tokens.extend(tokens);
                self.text.extend(rest.as_bytes());
            }
        }
        Ok(())
    }

    /// White space at the end of the text so far, behind the last token.
    pub(super) fn lead(&self) -> String {
        String::from_utf8_lossy(&self.text[self.text.trim_ascii_end().len()..]).into_owned()
    }

    /// Encodes the text so far. Words of a message are text, even where they look like a token of the format.
    pub(super) fn end_text(&mut self) -> Result<()> {
        let options = match self.tokens.is_empty() {
            true => {
                let options = self.tokenizer.prompt_options();
                EncodeOptions { add_bos: self.add_bos && options.add_bos, ..options }
            }
            false => EncodeOptions::default(),
        };
        let text = core::mem::take(&mut self.text);
        self.tokens.extend(text::encode(self.tokenizer, &text, options)?);
        Ok(())
    }
}
