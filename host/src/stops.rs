//! Stops of a text besides its length: tokens, and words that may be spread over several tokens.

use nearfield::tokenizer::{TokenType, Tokenizer};

/// Tokens and words that end a text; neither is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Tokens that end the text, besides those that end all texts.
    pub tokens: Vec<u32>,
    /// Words that end the text.
    pub texts: Vec<String>,
}

impl Stops {
    /// Adds words. A word that is the name of a hidden token also adds the token.
    pub fn add(&mut self, tokenizer: &Tokenizer<'_, '_>, texts: &[String]) {
        let is_hidden =
            |&token: &u32| matches!(tokenizer.token_type(token), Ok(TokenType::Control | TokenType::Unused));
        self.tokens.extend(texts.iter().filter_map(|text| tokenizer.find(text)).filter(is_hidden));
        self.texts.extend(texts.iter().cloned());
    }

    /// Words, as [`StopWords`](nearfield::StopWords) takes them.
    pub fn words(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }
}
