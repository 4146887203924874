//! Errors of chat formats.

use std::fmt;

/// Reason why messages did not become a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatError {
    /// The format has no place for these messages, or its template refuses them by `raise_exception`.
    Refused(String),
    /// The template takes more steps or memory than any that is meant to be used.
    TooLong,
    /// The template is wrong, or uses what is not supported.
    Broken(String),
    /// A message, together with the text around it, spells a special token.
    Forged,
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "the chat format refuses the messages: {reason}"),
            Self::TooLong => f.write_str("the chat template takes too many steps or too much memory"),
            Self::Broken(reason) => write!(f, "the chat template cannot be used: {reason}"),
            Self::Forged => {
                f.write_str("a message spells a special token together with the text that the template puts around it")
            }
        }
    }
}

impl std::error::Error for ChatError {}
