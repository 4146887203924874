//! Reasons why a board stops: a message over serial and a code.

use core::fmt;

use nearfield::tokenizer::{DetokenizeError, TextError, TokenizerError, VocabError};
use nearfield::{
    GgufError, LoadError, MatchError, PlanError, PrefixError, ProgramError, RunError, SamplerError, SessionError,
    StorageError, TrieError,
};
use nearfield_kernels::conformance::Mismatch;

/// Error between power-on and the end of a text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Halt {
    /// The model in flash differs from the model at build time.
    Checksum {
        /// Checksum of the model when the firmware was built.
        want: u32,
        /// Checksum of the model in flash.
        found: u32,
    },
    /// The card holds another file than the model, or cannot be read well.
    Card {
        /// Checksum of the model file when the firmware was built.
        want: u32,
        /// Checksum of as many bytes of the card.
        found: u32,
    },
    /// The card cannot be read.
    Storage(StorageError),
    /// The model cannot be run.
    Load(LoadError),
    /// The model has no vocabulary that this library reads.
    Vocab(VocabError),
    /// The model's tokenizer cannot be used.
    Tokenizer(TokenizerError),
    /// The snapshot in flash is damaged, or another model's.
    Prefix(PrefixError),
    /// The configuration has no plan.
    Plan(PlanError),
    /// The session cannot begin.
    Session(SessionError),
    /// The sampler's settings are out of range.
    Sampler(SamplerError),
    /// A prompt cannot be encoded.
    Encode(TextError),
    /// A token has no text.
    Detokenize(DetokenizeError),
    /// Tokens cannot be run.
    Run(RunError),
    /// The grammar in flash is damaged.
    Grammar(ProgramError),
    /// The sorted tokens in flash are damaged, or another model's.
    Tokens(TrieError),
    /// The context is full before a command is complete.
    NoCommand,
    /// A kernel does not give the definition's bits.
    SelfTest(Mismatch),
    /// The arena is too small for the self-test.
    NoRoom {
        /// Bytes that the self-test takes.
        need: usize,
        /// Free bytes of the arena.
        have: usize,
    },
    /// The board's output cannot be written.
    Output,
}

impl Halt {
    /// Code that the board halts with: 2 for a damaged image or another card, 3 for a model that does not run, 4 for a failed self-test, 5 for
    /// the rest. (1 is a panic.)
    pub fn code(&self) -> u8 {
        match self {
            Self::Checksum { .. }
            | Self::Card { .. }
            | Self::Prefix(PrefixError::Damaged)
            | Self::Grammar(_)
            | Self::Tokens(_) => 2,
            Self::Load(_) | Self::Vocab(_) | Self::Tokenizer(_) | Self::Prefix(_) => 3,
            Self::SelfTest(_) => 4,
            _ => 5,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { want, found } => {
                write!(f, "the model in flash is damaged: its checksum is {found:#010x}, not {want:#010x}")
            }
            Self::Card { want, found } => {
                write!(f, "the card does not hold the model: its checksum is {found:#010x}, not {want:#010x}")
            }
            Self::Storage(error) => write!(f, "the card cannot be read: {error}"),
            Self::Load(error) => write!(f, "the model cannot be run: {error}"),
            Self::Vocab(error) => write!(f, "the model's vocabulary cannot be used: {error}"),
            Self::Tokenizer(error) => write!(f, "the model's tokenizer cannot be used: {error}"),
            Self::Prefix(error) => write!(f, "the beginning of the text cannot be used: {error}"),
            Self::Plan(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Sampler(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::Detokenize(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
            // Few words, since every firmware carries them.
            Self::Grammar(_) => f.write_str("the grammar in flash is damaged"),
            Self::Tokens(_) => f.write_str("the sorted tokens in flash are damaged"),
            Self::NoCommand => f.write_str("the context has no room for a command"),
            Self::SelfTest(mismatch) => write!(f, "self-test failed: {mismatch}"),
            Self::NoRoom { need, have } => write!(f, "the self-test needs {need} bytes of arena, there are {have}"),
            Self::Output => f.write_str("nothing can be written"),
        }
    }
}

macro_rules! from {
    ($($variant:ident $error:ty;)*) => { $(
        impl From<$error> for Halt {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )* };
}

from! {
    Storage StorageError;
    Load LoadError;
    Vocab VocabError;
    Tokenizer TokenizerError;
    Prefix PrefixError;
    Plan PlanError;
    Session SessionError;
    Sampler SamplerError;
    Encode TextError;
    Detokenize DetokenizeError;
    Run RunError;
    Grammar ProgramError;
    Tokens TrieError;
    SelfTest Mismatch;
}

impl From<GgufError> for Halt {
    fn from(error: GgufError) -> Self {
        Self::Load(error.into())
    }
}

impl From<MatchError> for Halt {
    fn from(error: MatchError) -> Self {
        Self::Run(RunError::Grammar(error))
    }
}

impl From<fmt::Error> for Halt {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}
