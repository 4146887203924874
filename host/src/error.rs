//! Error type of this crate.

use std::fmt::{self, Display};
use std::io;

use nearfield::tokenizer::{DetokenizeError, TextError, TokenizerError, VocabError};
use nearfield::{
    DocumentError, DraftError, EncoderError, GenerateError, GgufError, GrammarError, LoadError, MatchError, PlanError,
    PrefixError, ProgramError, RewindError, RunError, SamplerError, SessionError, TrieError,
};

use crate::chat::ChatError;
use crate::count::Count;
use crate::hub::HubError;
use crate::quantize::unfit::Unfit;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! error {
    ($($(#[$doc:meta])* $variant:ident($ty:ty),)*) => {
        /// Reason why a call failed.
        ///
        /// `{}` shows the outermost message, `{:#}` all of them, the cause last.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Error {
            /// The [`Monitor`](crate::monitor::Monitor) asked for an end.
            Cancelled,
            /// A file, a model or an argument is not as it has to be.
            Invalid(String),
            /// Another error, with the work or the file in which it came up.
            Context {
                /// Work that was done, or name of the file.
                context: String,
                /// Error that came up.
                source: Box<Error>,
            },
            $($(#[$doc])* $variant($ty),)*
        }

        $(impl From<$ty> for Error {
            fn from(error: $ty) -> Self {
                Self::$variant(error)
            }
        })*

        impl Error {
            fn fmt_outermost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Cancelled => f.write_str("interrupted"),
                    Self::Invalid(message) => f.write_str(message),
                    Self::Context { context, .. } => f.write_str(context),
                    $(Self::$variant(error) => Display::fmt(error, f),)*
                }
            }
        }

        impl std::error::Error for Error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    Self::Cancelled | Self::Invalid(_) => None,
                    Self::Context { source, .. } => Some(&**source),
                    // The source is that of the wrapped error, which is shown as this error itself.
                    $(Self::$variant(error) => std::error::Error::source(error),)*
                }
            }
        }
    };
}

error! {
    /// A file cannot be read or written.
    Io(io::Error),
    /// A file is no JSON.
    Json(serde_json::Error),
    /// A file is no GGUF file.
    Gguf(GgufError),
    /// A GGUF file is no model.
    Load(LoadError),
    /// A vocabulary is broken.
    Vocab(VocabError),
    /// A tokenizer cannot be made.
    Tokenizer(TokenizerError),
    /// A text cannot become tokens.
    Text(TextError),
    /// A token has no text.
    Detokenize(DetokenizeError),
    /// Memory cannot be planned.
    Plan(PlanError),
    /// A session cannot begin.
    Session(SessionError),
    /// A session cannot run tokens.
    Run(RunError),
    /// A text cannot be continued.
    Generate(GenerateError),
    /// A text cannot be formatted.
    Format(fmt::Error),
    /// A session cannot rewind.
    Rewind(RewindError),
    /// A snapshot cannot be used.
    Prefix(PrefixError),
    /// A sampler's settings are out of range.
    Sampler(SamplerError),
    /// A model cannot draft for another.
    Draft(DraftError),
    /// The file of a draft model cannot be used.
    NoDraft(NoDraft),
    /// An encoder cannot begin.
    Encoder(EncoderError),
    /// An encoder cannot encode.
    Encode(DocumentError),
    /// A prompt is longer than the context.
    PromptTooLong(PromptTooLong),
    /// A question and its answer are longer than the context.
    QuestionTooLong(QuestionTooLong),
    /// Messages do not become a prompt.
    Chat(ChatError),
    /// A grammar is no GBNF, or has no text.
    Grammar(GrammarError),
    /// A compiled grammar cannot be read.
    Program(ProgramError),
    /// The tokens of a vocabulary cannot be sorted.
    Trie(TrieError),
    /// A text cannot be held to its grammar.
    Match(MatchError),
    /// A weight has no place in a type.
    Unfit(Unfit),
    /// A model cannot be fetched.
    Hub(HubError),
}

/// Error of a prompt that is longer than the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptTooLong {
    /// Number of tokens of the prompt, with those of the snapshot.
    pub n_tokens: usize,
    /// Number of positions of the context.
    pub n_ctx: usize,
    /// True if the prompt continues a snapshot.
    pub has_prefix: bool,
}

impl fmt::Display for PromptTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.has_prefix { "the snapshot and the prompt have" } else { "the prompt has" };
        write!(f, "{what} {}, the context {}", Count(self.n_tokens, "token"), self.n_ctx)
    }
}

impl std::error::Error for PromptTooLong {}

/// Error of a question that is too long for the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionTooLong {
    /// Number of tokens of the question, with all that stands before it.
    pub n_tokens: usize,
    /// Number of tokens kept for its answer.
    pub n_answer: usize,
    /// Number of positions of the context.
    pub n_ctx: usize,
}

impl fmt::Display for QuestionTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_tokens, n_answer, n_ctx } = self;
        let tokens = Count(*n_tokens, "token");
        write!(f, "the question takes {tokens} and its answer {n_answer}, the context has {n_ctx}")
    }
}

impl std::error::Error for QuestionTooLong {}

/// Error of the file of a draft model.
#[derive(Debug)]
pub struct NoDraft(Box<Error>);

impl NoDraft {
    pub(crate) fn new(error: Error) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for NoDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no draft model")
    }
}

impl std::error::Error for NoDraft {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Invalid(message)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_outermost(f)?;
        if f.alternate() {
            let mut error: &dyn std::error::Error = self;
            while let Some(source) = error.source() {
                write!(f, ": {source}")?;
                error = source;
            }
        }
        Ok(())
    }
}

impl Error {
    /// Error with this message.
    pub fn invalid(message: impl Display) -> Self {
        Self::Invalid(message.to_string())
    }

    /// Wraps the error in the work that was done or the name of the file.
    #[must_use]
    pub fn context(self, context: impl Display) -> Self {
        Self::Context { context: context.to_string(), source: Box::new(self) }
    }

    /// Innermost error of this crate.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.cause(),
            error => error,
        }
    }

    /// True if the [`Monitor`](crate::monitor::Monitor) asked for an end.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause(), Self::Cancelled)
    }

    /// Kind of the innermost error, if it is one of reading or writing.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self.cause() {
            Self::Io(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// True if a model computed a value that is not finite.
    pub fn is_not_finite(&self) -> bool {
        matches!(self.cause(), Self::Run(RunError::NotFinite { .. }) | Self::Encode(DocumentError::NotFinite))
    }
}

/// Extension of results by a context for their errors, and of options by an error for `None`.
pub(crate) trait Context<T> {
    /// Puts `context` before an error.
    fn context(self, context: impl Display) -> Result<T>;

    /// Puts the result of `context` before an error.
    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, context: impl Display) -> Result<T> {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, context: impl Display) -> Result<T> {
        self.ok_or_else(|| Error::invalid(context))
    }

    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::invalid(context()))
    }
}

/// Returns [`Error::Invalid`] with a formatted message, or another error.
macro_rules! bail {
    ($message:literal $($arguments:tt)*) => {
        return Err($crate::error::Error::Invalid(format!($message $($arguments)*)))
    };
    ($error:expr) => {
        return Err($crate::error::Error::from($error))
    };
}

/// Does [`bail!`] unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($error:tt)*) => {
        if !$condition {
            $crate::error::bail!($($error)*);
        }
    };
}

pub(crate) use {bail, ensure};

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> Result<()> {
        let missing: Option<u8> = None;
        missing.context("no number").context("model.gguf").map(drop)
    }

    #[test]
    fn the_alternate_form_shows_all_causes() {
        let error = failing().unwrap_err();
        assert_eq!([error.to_string(), format!("{error:#}")], ["model.gguf", "model.gguf: no number"]);
        let error = Error::from(io::Error::from(io::ErrorKind::NotFound)).context("cannot open x");
        assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
        assert!(Error::Cancelled.context("x").is_cancelled() && !error.is_cancelled());
    }
}
