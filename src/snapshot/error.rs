//! Error of a snapshot that a session cannot begin with.

use core::fmt;

use nearfield_kernels::Digits;

use super::ModelId;
use super::header::VERSION;
use crate::kv_type::KvTypes;

/// Error of a snapshot that a session cannot begin with: it is incomplete, damaged, or of another model or configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PrefixError {
    /// The snapshot is shorter or longer than its header says.
    Size {
        /// Bytes that it should have.
        need: u64,
        /// Bytes that it has.
        have: u64,
    },
    /// The bytes do not begin as a snapshot does.
    Magic,
    /// The snapshot was written by another version of this library.
    Version {
        /// Version of its layout.
        found: u32,
    },
    /// Keys or values have an unknown type.
    Type {
        /// Number of the type.
        found: u32,
    },
    /// The snapshot does not lie at a multiple of 8 bytes.
    Misaligned,
    /// The checksum is wrong, or the parts contradict each other.
    Damaged,
    /// The snapshot counts more than this machine can address.
    TooLarge,
    /// The snapshot was made with another model.
    Model {
        /// The model that the snapshot was made with.
        made_with: ModelId,
        /// The session's model.
        found: ModelId,
    },
    /// The model has another number of layers, KV heads or columns.
    Shape {
        /// The things that are counted.
        what: &'static str,
        /// Number in the snapshot.
        snapshot: usize,
        /// Number in the model.
        model: usize,
    },
    /// Keys or values have another type.
    KvTypes {
        /// Types in the snapshot.
        snapshot: KvTypes,
        /// Types in the session.
        session: KvTypes,
    },
    /// The snapshot has keys or values in Q4_0, and the feature `kv_q4_0` is not built in.
    Q4NotBuilt,
    /// The snapshot was made with another [`horizon_eps`](crate::SessionConfig::horizon_eps).
    HorizonEps {
        /// Share in the snapshot.
        snapshot: f32,
        /// Share in the session.
        session: f32,
    },
    /// The bias is rounded to bfloat16 in the snapshot or in the session, but not in both.
    AlibiBf16 {
        /// True if the snapshot's bias is rounded.
        snapshot: bool,
    },
    /// The ring of a head reaches back further than the keys in the snapshot.
    Ring {
        /// The KV head.
        head: usize,
        /// Oldest position that the ring needs.
        needs: usize,
        /// Oldest position in the snapshot.
        has: usize,
    },
    /// The session has more sinks than the snapshot keeps.
    Sinks {
        /// Sinks of the session: first tokens that it always keeps.
        needs: usize,
        /// Sinks in the snapshot.
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
                f.write_str("the snapshot has keys or values in q4_0, which is not built in: see the feature kv_q4_0")
            }
            Self::HorizonEps { snapshot, session } => write!(
                f,
                "the snapshot was made with a horizon's epsilon of {}, the session has one of {}",
                Digits(snapshot),
                Digits(session)
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
