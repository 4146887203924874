//! One error for programs that treat all errors alike.

use core::fmt;

use crate::config::PlanError;
use crate::encoder::{DocumentError, EncoderError};
use crate::generate::{DraftError, GenerateError};
use crate::gguf::GgufError;
use crate::model::LoadError;
use crate::sampler::SamplerError;
use crate::session::{ChunkError, RewindError, RunError, SessionError};
use crate::shape::ShapeError;
use crate::snapshot::PrefixError;
use crate::tokenizer::{DetokenizeError, TextError, TokenizerError, VocabError};

/// Declares the variants with their `From` and `Display`.
macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident($error:ty),)*) => {
        /// Any error of this library.
        ///
        /// Every error of the library becomes one by `?`; its message is that of the error inside. A function that can fail in one
        /// way only returns that error itself, so that nothing is lost.
        ///
        /// ```
        /// use nearfield::{Model, ModelId, Prefix};
        ///
        /// fn positions(model: &[u8], prefix: &[u8]) -> Result<usize, nearfield::Error> {
        ///     Model::from_gguf(model)?;
        ///     Ok(Prefix::from_bytes(prefix, ModelId::of(model))?.n_tokens())
        /// }
        /// assert_eq!(positions(b"", b"").unwrap_err().to_string(), Model::from_gguf(b"").unwrap_err().to_string());
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $variant($error),)*
        }

        impl fmt::Display for Error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(error) => error.fmt(f),)*
                }
            }
        }

        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

errors! {
    /// A file is no GGUF file.
    Gguf(GgufError),
    /// The header of a file describes no model that can run.
    Shape(ShapeError),
    /// A model cannot be run.
    Load(LoadError),
    /// No plan can be made for a configuration.
    Plan(PlanError),
    /// A session cannot begin.
    Session(SessionError),
    /// Tokens cannot be run.
    Run(RunError),
    /// A chunk of a batch cannot be run.
    Chunk(ChunkError),
    /// A session cannot go back.
    Rewind(RewindError),
    /// A snapshot cannot be read.
    Prefix(PrefixError),
    /// An encoder cannot begin.
    Encoder(EncoderError),
    /// A document cannot be embedded or scored.
    Document(DocumentError),
    /// A vocabulary cannot be read from the file.
    Vocab(VocabError),
    /// A tokenizer cannot be built.
    Tokenizer(TokenizerError),
    /// A text cannot be turned into tokens.
    Text(TextError),
    /// A token cannot be turned into text.
    Detokenize(DetokenizeError),
    /// The settings of a sampler make no sense.
    Sampler(SamplerError),
    /// A model cannot draft for another.
    Draft(DraftError),
}

impl core::error::Error for Error {}

impl From<GenerateError> for Error {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Run(error) => Self::Run(error),
            GenerateError::Detokenize(error) => Self::Detokenize(error),
        }
    }
}
