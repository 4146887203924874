//! Errors of sessions, and of the sequences of a batch.

use core::fmt;

use crate::config::PlanError;
use crate::grammar::MatchError;
use crate::model::LoadError;
use crate::snapshot::PrefixError;
use crate::stream::StorageError;

/// Error of a session that cannot begin.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SessionError {
    /// No plan can be made for the configuration.
    Plan(PlanError),
    /// The arena is smaller than the plan.
    ArenaTooSmall {
        /// Bytes of the plan.
        need: usize,
        /// Bytes that are free in the arena.
        have: usize,
    },
    /// The model's tables changed since they were checked, which means that the file was written to.
    Load(LoadError),
    /// The model is an encoder: it has no logits, and an [`Encoder`](crate::Encoder) runs it.
    Encoder {
        /// `general.architecture` of the model.
        arch: &'static str,
    },
    /// The buffers of a stream are shorter than the longest layer that is not in memory.
    StreamTooSmall {
        /// Bytes that each buffer needs.
        need: usize,
        /// Bytes of each buffer.
        have: usize,
    },
    /// The session cannot begin with this prefix.
    Prefix(PrefixError),
    /// The prefix has another length than [`n_prefix`](crate::SessionConfig::n_prefix) of the configuration.
    PrefixLength {
        /// Positions in the configuration.
        planned: usize,
        /// Positions of the prefix; 0 without one.
        found: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Plan(ref error) => error.fmt(f),
            Self::ArenaTooSmall { need, have } => {
                write!(f, "the session needs an arena of {need} bytes, it has {have}")
            }
            Self::Load(ref error) => error.fmt(f),
            Self::StreamTooSmall { need, have } => {
                write!(f, "a layer takes {need} bytes of a stream's buffer, which has {have}")
            }
            Self::Prefix(ref error) => error.fmt(f),
            Self::PrefixLength { planned, found } => {
                write!(f, "the session is planned with a prefix of {planned} tokens, and gets one of {found}")
            }
            Self::Encoder { arch } => {
                write!(
                    f,
                    "a model of architecture {arch} is an encoder: it gives embeddings or scores, and continues no text"
                )
            }
        }
    }
}

impl core::error::Error for SessionError {}

impl From<PlanError> for SessionError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<PrefixError> for SessionError {
    fn from(error: PrefixError) -> Self {
        Self::Prefix(error)
    }
}

/// Error of tokens that cannot be run. The session is as before, except after [`NotFinite`](Self::NotFinite) and
/// [`Storage`](Self::Storage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError {
    /// No tokens were given.
    NoTokens,
    /// A token that is not in the model's vocabulary.
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// The tokens do not fit the context, and the text is not [endless](crate::SessionConfig::endless).
    ContextFull {
        /// Tokens given.
        n_tokens: usize,
        /// Positions in use.
        pos: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// A logit is NaN or infinite, so that no token can be chosen: a weight of the model is not finite either, or
    /// activations overflow. The tokens up to this one were run.
    NotFinite {
        /// Position of the token whose logits these are.
        pos: usize,
    },
    /// The sequence was begun in another batch.
    OtherBatch,
    /// The batch ran a later pass, whose logits took the place of the sequence's.
    LogitsGone,
    /// The pass has computed as many rows of logits as were planned.
    NoRoomForLogits {
        /// Rows of logits of a pass.
        n_outputs: usize,
    },
    /// A layer is not in memory, and the session has no [`Stream`](crate::Stream).
    NoStream {
        /// The layer.
        layer: usize,
    },
    /// The storage did not bring a layer. The passes before this one were run: a text goes on with the token at
    /// [`pos`](crate::Session::pos). [Keys visited](crate::Session::key_stats) count the layers before it, and guesses were taken back.
    Storage {
        /// Place in the file of the bytes that were asked for.
        at: u64,
        /// Error of the storage.
        error: StorageError,
    },
    /// The text cannot go on as its grammar demands.
    Grammar(MatchError),
    /// The session's memory is not what its plan says. This is a bug of this library.
    Broken,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoTokens => f.write_str("no tokens to run"),
            Self::Token { token, n_vocab } => write!(f, "token {token} is not below the vocabulary's size {n_vocab}"),
            Self::ContextFull { n_tokens, pos, n_ctx } => {
                write!(f, "no room in the context: {n_ctx} positions, taken {pos}, needed {n_tokens}")
            }
            Self::NotFinite { pos } => {
                write!(f, "the logits after the token at position {pos} are not finite numbers: the model is broken")
            }
            Self::OtherBatch => f.write_str("the sequence was begun in another batch"),
            Self::LogitsGone => {
                f.write_str("the sequence's logits are gone: a later pass of its batch took their place")
            }
            Self::NoRoomForLogits { n_outputs } => {
                write!(f, "the pass has computed the logits of {n_outputs} tokens, as many as were planned")
            }
            Self::NoStream { layer } => {
                write!(f, "layer {layer} is not in memory, and the session has no stream to bring it")
            }
            Self::Storage { at, error } => write!(f, "the storage did not bring the layer at byte {at}: {error}"),
            Self::Grammar(error) => error.fmt(f),
            Self::Broken => f.write_str("the session's memory is not what its plan says: a bug of nearfield"),
        }
    }
}

impl core::error::Error for RunError {}

/// Error of a session that cannot go back. The session is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RewindError {
    /// The position lies ahead.
    Ahead {
        /// The position asked for.
        to: usize,
        /// Positions in use.
        pos: usize,
    },
    /// Later keys took the place of keys that a query at the position sees, in a ring shorter than the text.
    Forgotten {
        /// The position asked for.
        to: usize,
        /// Oldest position that a query there sees.
        needs: usize,
        /// Oldest position that is still in the ring.
        has: usize,
    },
    /// The position lies within the prefix that the session began with.
    Prefix {
        /// The position asked for.
        to: usize,
        /// Positions of the prefix.
        n_prefix: usize,
    },
    /// The session's memory is not what its plan says. This is a bug of this library.
    Broken,
}

impl fmt::Display for RewindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ahead { to, pos } => write!(f, "position {to} lies ahead of {pos}: there is nothing to go back to"),
            Self::Forgotten { to, needs, has } => {
                write!(f, "position {to} needs the keys from {needs} on, the ring has those from {has} on")
            }
            Self::Prefix { to, n_prefix } => {
                write!(f, "position {to} lies within the {n_prefix} tokens that the session began with")
            }
            Self::Broken => RunError::Broken.fmt(f),
        }
    }
}

impl core::error::Error for RewindError {}

/// Error of a chunk that cannot be run. No chunk of the call was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChunkError {
    /// Place of the chunk in the call, from 0 on.
    pub chunk: usize,
    /// Error of its tokens.
    pub error: RunError,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {}: {}", self.chunk, self.error)
    }
}

impl core::error::Error for ChunkError {}
