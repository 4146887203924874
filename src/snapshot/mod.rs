//! A text so far, as bytes: its keys and values, to go on from where they lie.
//!
//! [`Session::snapshot`](crate::Session::snapshot) writes them, [`Prefix::from_bytes`] proves that they are whole and belong
//! to the model at hand, and [`Session::with_prefix`](crate::Session::with_prefix) goes on: in flash, in a mapped file,
//! without a copy and without a token run twice. Numbers are the same everywhere, so what follows has the bits that it would
//! have had without the interruption, whichever machine wrote the bytes and whichever reads them.
//!
//! Only what a query at the end sees is kept: of each ring the blocks from [`oldest`](crate::Ring) on, and the sinks.
//!
//! # Layout
//!
//! Little-endian; parts one after the other, each filled up with zeros to whole lines of 64 bytes, which the first one has to be
//! aligned to (8 are enough where nothing is read faster for it).
//!
//! | part | elements |
//! |---|---|
//! | header | 112 words: below |
//! | heads | `[n_head_kv, 4]` u64: first position kept, sinks kept apart, first row, first norm (of these in a layer) |
//! | keys | `[n_layer, rows of a layer]` rows of the heads in turn: sinks kept apart, then all positions kept |
//! | their scales | f16 bits, for q8_0 and q4_0 |
//! | values, their scales | in the same way |
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
//! | 19 | how many last tokens |
//! | 20 | sinks of the session that wrote it |
//! | 21, 22 | [`alibi_scale`](crate::SessionConfig::alibi_scale) of that session, to be told: 0 for the model's, 1 and a factor's bits, 2 and a length |
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

/// Which file a model came from: the bytes on disk or in flash, in the order that they have there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelId {
    /// Its length.
    pub n_bytes: u64,
    /// Its [`checksum`](crate::checksum).
    pub checksum: u32,
}

impl ModelId {
    /// That of a file. Reads all of it.
    pub fn of(file: &[u8]) -> Self {
        Self::of_pieces([file])
    }

    /// The same of a file that comes in pieces.
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

/// What going on with a text takes besides keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextState<'s> {
    /// What the model's file is called, for messages: what does not fit 64 bytes is left out.
    pub model_name: &'s str,
    /// The last tokens of the text, the oldest first, [`MAX_TOKENS`](Self::MAX_TOKENS) at most: what a sampler makes less likely.
    ///
    /// The `nearfield` command and the firmwares leave the last of them to be run by who goes on: the text is one token longer
    /// than what the keys tell, so logits are there again without being stored.
    pub last_tokens: &'s [u32],
    /// The [seed](crate::Sampler::seed) with which a sampler goes on.
    pub seed: u64,
}

impl TextState<'_> {
    /// Tokens that are kept.
    pub const MAX_TOKENS: usize = 64;
}
