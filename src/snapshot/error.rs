//! Why a session cannot begin with a snapshot.

use core::fmt;

use super::ModelId;
use super::header::VERSION;
use crate::kv_type::KvTypes;

/// Why a session cannot begin with a snapshot: it is not whole, or one of something else.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PrefixError {
    /// It is shorter or longer than it says.
    Size {
        /// Bytes that it should have.
        need: u64,
        /// Bytes that it has.
        have: u64,
    },
    /// It does not begin as a snapshot does.
    Magic,
    /// It is of another version of this library.
    Version {
        /// Its version.
        found: u32,
    },
    /// A type of keys or values that is none.
    Type {
        /// Its number.
        found: u32,
    },
    /// It does not lie at a multiple of 8 bytes.
    Misaligned,
    /// Its checksum is another, or its parts contradict each other.
    Damaged,
    /// It counts more than this machine can.
    TooLarge,
    /// It was made with another model.
    Model {
        /// The model that it was made with.
        made_with: ModelId,
        /// The model at hand.
        found: ModelId,
    },
    /// The model has another number of something.
    Shape {
        /// What is counted.
        what: &'static str,
        /// How many the snapshot has.
        snapshot: usize,
        /// How many the model has.
        model: usize,
    },
    /// Keys or values are of another type.
    KvTypes {
        /// Those in the snapshot.
        snapshot: KvTypes,
        /// Those of the session.
        session: KvTypes,
    },
    /// Keys or values of 4 bits where the feature `q4_0` is missing.
    Q4NotBuilt,
    /// Attention stops elsewhere.
    HorizonEps {
        /// The share in the snapshot.
        snapshot: f32,
        /// That of the session.
        session: f32,
    },
    /// The bias is rounded in one of the two.
    AlibiBf16 {
        /// Whether it is in the snapshot.
        snapshot: bool,
    },
    /// The ring of a head reaches back further than what the snapshot keeps.
    Ring {
        /// The KV head.
        head: usize,
        /// The oldest position that it wants.
        needs: usize,
        /// The oldest position that there is.
        has: usize,
    },
    /// More sinks than the snapshot keeps.
    Sinks {
        /// First tokens that are to be kept.
        needs: usize,
        /// First tokens that there are.
        has: usize,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { need, have } => write!(f, "the snapshot should have {need} bytes, it has {have}"),
            Self::Magic => f.write_str("no snapshot: it does not begin with NFKV"),
            Self::Version { found } => write!(f, "a snapshot of version {found}, where {VERSION} can be read"),
            Self::Type { found } => write!(f, "the snapshot has keys or values of type {found}, which is none"),
            Self::Misaligned => f.write_str("the snapshot does not lie at a multiple of 8 bytes"),
            Self::Damaged => f.write_str("the snapshot is damaged: its checksum is not that of its bytes"),
            Self::TooLarge => f.write_str("the snapshot counts more than this machine can address"),
            Self::Model { made_with, found } => {
                write!(f, "the snapshot was made with another model: one of {made_with}, where this one has {found}")
            }
            Self::Shape { what, snapshot, model } => {
                write!(f, "the snapshot has {snapshot} {what}, the model {model}")
            }
            Self::KvTypes { snapshot, session } => {
                write!(f, "the snapshot has keys and values in {snapshot}, the session in {session}")
            }
            Self::Q4NotBuilt => {
                f.write_str("the snapshot has keys or values in q4_0, which is not built in: see the feature q4_0")
            }
            Self::HorizonEps { snapshot, session } => write!(
                f,
                "the snapshot was made with a horizon's epsilon of {snapshot:e}, the session has one of {session:e}"
            ),
            Self::AlibiBf16 { snapshot } => {
                let (with, without) =
                    if snapshot { ("the snapshot", "the session") } else { ("the session", "the snapshot") };
                write!(f, "{with} has biases rounded to bfloat16, {without} has not")
            }
            Self::Ring { head, needs, has } => write!(
                f,
                "the ring of KV head {head} wants the keys from position {needs} on, the snapshot has those from {has} on"
            ),
            Self::Sinks { needs, has } => {
                write!(f, "{needs} sinks are asked for, the snapshot has the keys of the first {has} tokens")
            }
        }
    }
}

impl core::error::Error for PrefixError {}
