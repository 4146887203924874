//! Snapshots: the keys and values of a text as bytes, from which a session continues without copying them.
//!
//! [`Session::snapshot`](crate::Session::snapshot) writes the bytes, [`Prefix::from_bytes`] proves that they are whole and
//! belong to the model, and [`Session::with_prefix`](crate::Session::with_prefix) continues: from flash or a mapped file,
//! without a copy and without running a token twice. All machines compute the same bits, so the continued text is the one that
//! the first session would have written, whichever machine wrote the bytes and whichever reads them.
//!
//! Only the keys that a query at the end sees are kept: of each ring the blocks from [`oldest`](crate::Ring) on, and the sinks.
//!
//! # Layout
//!
//! Numbers are little-endian. Parts follow each other, each padded with zeros to whole lines of 64 bytes. The first part has to
//! lie at a multiple of 8 bytes; at a multiple of 64 some machines read faster.
//!
//! | part | elements |
//! |---|---|
//! | header | 112 words, listed below |
//! | heads | `[n_head_kv, 4]` u64: first position kept, sinks kept apart, first row, first norm (of these in a layer) |
//! | keys | `[n_layer, rows of a layer]` rows of the heads in turn: sinks kept apart, then all positions kept |
//! | scales of the keys | f16 bits, for q8_0 and q4_0 |
//! | values, scales of the values | as for keys |
//! | norms | `[n_layer, norms of a layer]` f32 of the heads in turn: the largest norm of any key of the text up to the end of a block of 32, from the block of the first position kept, or of the last position if none is |
//!
//! The header, in words of 32 bits:
//!
//! | word | |
//! |---|---|
//! | 0 | `NFKV` |
//! | 1 | version of this layout |
//! | 2 | [`checksum`](crate::checksum) of all other words, to the end |
//! | 3, 4..6 | the model's [`ModelId`]: checksum, bytes |
//! | 6..8 | bytes of all parts |
//! | 8..10 | tokens: positions that were run |
//! | 10..12 | state of the random numbers |
//! | 12, 13, 14 | layers, KV heads, columns of a head |
//! | 15, 16 | types of keys and of values, as GGUF numbers them |
//! | 17 | [`horizon_eps`](crate::SessionConfig::horizon_eps), as bits |
//! | 18 | 1 for [`alibi_bf16`](crate::SessionConfig::alibi_bf16), else 0 |
//! | 19 | number of last tokens |
//! | 20 | sinks of the session that wrote it |
//! | 21, 22 | [`alibi_scale`](crate::SessionConfig::alibi_scale) of that session, for information: 0 for the model's, 1 and a factor's bits, 2 and a length |
//! | 23..32 | zeros |
//! | 32..96 | the last tokens, the oldest first |
//! | 96..112 | the name of the model's file, UTF-8, filled up with zeros |

mod error;
mod header;
mod prefix;
mod write;

pub use error::PrefixError;
pub use header::SnapshotHeader;
pub use prefix::Prefix;
pub(crate) use prefix::{Keeps, Kept};
pub use write::Snapshot;

use core::fmt;

use crate::checksum::{Checksum, Words};

/// Identity of a model's file: of its bytes on disk or in flash, in their order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelId {
    /// Length of the file.
    pub n_bytes: u64,
    /// [`checksum`](crate::checksum) of the file.
    pub checksum: u32,
}

impl ModelId {
    /// Identity of a file. Reads all of its bytes.
    pub fn of(file: &[u8]) -> Self {
        Self::of_pieces([file])
    }

    /// Identity of a file that comes in pieces.
    pub fn of_pieces<'f>(pieces: impl IntoIterator<Item = &'f [u8]>) -> Self {
        let (mut words, mut n_bytes) = (Words::behind(Checksum::EMPTY), 0);
        for piece in pieces {
            words.push(piece);
            n_bytes += piece.len() as u64;
        }
        Self { n_bytes, checksum: words.get() }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with checksum {:08x}", self.n_bytes, self.checksum)
    }
}

/// State that continuing a text needs besides keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextState<'s> {
    /// Name of the model's file, for messages; cut off at 64 bytes.
    pub model_name: &'s str,
    /// The last tokens of the text, the oldest first, [`MAX_TOKENS`](Self::MAX_TOKENS) at most: tokens under the sampler's
    /// penalty.
    ///
    /// In snapshots of the `nearfield` command and of the firmwares the last of them was not run yet: the text is one token
    /// longer than the keys, and running that token gives the logits again, which are not stored.
    pub last_tokens: &'s [u32],
    /// [Seed](crate::Sampler::seed) with which a sampler continues.
    pub seed: u64,
}

impl TextState<'_> {
    /// Greatest number of last tokens that are kept.
    pub const MAX_TOKENS: usize = 64;
}
