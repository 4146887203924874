//! Error of a model that cannot draft for another.

use core::fmt;

/// Error of a model that cannot draft for another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DraftError {
    /// The vocabularies have different numbers of tokens.
    NTokens {
        /// Tokens of the model.
        model: usize,
        /// Tokens of the draft.
        draft: usize,
    },
    /// A token is spelled differently; all tokens before it are the same.
    Token {
        /// The token.
        token: usize,
        /// Text in the model's file (cut off when long).
        model: heapless::String<32>,
        /// Text in the draft's file (cut off when long).
        draft: heapless::String<32>,
    },
    /// Both files name a special token, and not the same one.
    SpecialToken {
        /// The key, without `tokenizer.ggml.`.
        key: &'static str,
        /// The token in the model's file.
        model: u32,
        /// The token in the draft's file.
        draft: u32,
    },
    /// A ring of the draft's session has no room for guesses that are taken back: they would take the place of keys that the
    /// tokens after them see.
    Ring,
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NTokens { model, draft } => {
                write!(f, "another vocabulary: the model has {model} tokens, the draft {draft}")
            }
            Self::Token { token, model, draft } => {
                write!(f, "another vocabulary: token {token} is '{model}' in the model and '{draft}' in the draft")
            }
            Self::SpecialToken { key, model, draft } => {
                write!(f, "another vocabulary: {key} is {model} in the model and {draft} in the draft")
            }
            Self::Ring => f.write_str(
                "the rings of the draft's session have no room for guesses: an n_batch above 32 or an n_draft of 1 gives them some",
            ),
        }
    }
}

impl core::error::Error for DraftError {}
