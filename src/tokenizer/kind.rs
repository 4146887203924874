//! Properties and functions of a kind of tokenizer; `kinds` has the table of all.
//!
//! A [`Kind`] is reached only by its constant, and a [`Vocab`](super::Vocab) holds the kind that its file names. So a program
//! without the feature that reads a kind of file ([`Vocab::from_gguf`](super::Vocab::from_gguf)) does not contain its code and tables.

use core::fmt;

use super::Tokenizer;
use super::encoding::{Encoding, Part};
use super::error::TextError;

/// Kind of tokenizer: the algorithm that turns a text into tokens of a vocabulary.
#[derive(Clone, Copy)]
pub struct Kind(pub(super) &'static Row);

/// Properties and functions of a kind.
pub(super) struct Row {
    /// Number of the kind in a prepared index.
    pub id: u32,
    pub name: &'static str,
    /// Spelling of the tokens.
    pub spelling: Spelling,
    /// Keys in the filter of the index.
    pub filter: Filtered,
    /// True if user-defined tokens are pieces of text among others, as in SentencePiece, and are not found before all others.
    pub defines_pieces: bool,
    /// Encodes a part of a text without special tokens, except those that the kind finds itself.
    pub encode: fn(&Tokenizer<'_, '_>, &Part<'_>, &mut Encoding<'_>) -> Result<(), TextError>,
    /// Slots that are enough for the tokens of a part and the work on them.
    pub room: fn(&Tokenizer<'_, '_>, &Part<'_>) -> usize,
}

/// Spelling of a token's bytes in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A letter of the byte-level alphabet for each byte.
    Bytes,
    /// UTF-8, with `▁` for a space and `<0x0A>` for a byte.
    Spaces,
    /// UTF-8.
    Plain,
}

/// Keys in the tokens' [filter](super::filter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filtered {
    /// Nothing.
    Nothing,
    /// Beginnings of tokens, in whole characters.
    Prefixes,
    /// Pairs of characters that are neighbors in a token.
    Neighbors,
}

impl Kind {
    /// Name of the kind, for messages.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) fn row(self) -> &'static Row {
        self.0
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn a_kind_is_told_by_its_name() {
        for (kind, name) in [
            (Kind::BYTE_LEVEL_BPE, "byte-level BPE"),
            (Kind::SENTENCEPIECE_BPE, "SentencePiece BPE"),
            (Kind::UNIGRAM, "unigram"),
            (Kind::WORDPIECE, "WordPiece"),
            (Kind::CHARACTER_BPE, "BPE over characters"),
            (Kind::BYTE_LEVEL_BPE_NFC, "byte-level BPE after NFC"),
        ] {
            assert_eq!((kind.name(), format!("{kind:?}").as_str()), (name, name));
        }
    }
}
