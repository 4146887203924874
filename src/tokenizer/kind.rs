//! The kinds of tokenizers, as rows of a table.
//!
//! A [`Kind`] is reached only by its constant, and a [`Vocab`](super::Vocab) holds the kind that its file names. So a program
//! that reads one kind of file ([`Vocab::byte_level_from_gguf`](super::Vocab::byte_level_from_gguf)) does not contain the code
//! and tables of the others.

use core::fmt;

use super::encode::{Encoding, Part};
use super::error::EncodeError;
use super::{Tokenizer, byte_level, byte_level_nfc, character_bpe, sentencepiece_bpe, unigram, wordpiece};

/// Kind of tokenizer: the algorithm that turns a text into tokens of a vocabulary.
#[derive(Clone, Copy)]
pub struct Kind(&'static Row);

/// Properties and functions of a kind.
pub(super) struct Row {
    /// Number of the kind in a prepared index.
    pub id: u32,
    name: &'static str,
    /// Spelling of the tokens.
    pub spelling: Spelling,
    /// Keys in the filter of the index.
    pub filter: Filtered,
    /// True if user-defined tokens are pieces of text among others, as in SentencePiece, and are not found before all others.
    pub defines_pieces: bool,
    /// Encodes a part of a text without special tokens, except those that the kind finds itself.
    pub encode: fn(&Tokenizer<'_, '_>, &Part<'_>, &mut Encoding<'_>) -> Result<(), EncodeError>,
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
    /// BPE over bytes (GPT-2): `tokenizer.ggml.model` is `gpt2`.
    ///
    /// Models: GPT-2, BLOOM, Replit-code v1.5, Refact, Jais, BTLM, Falcon-RW, and the encoders with RoBERTa's tokenizer.
    pub const BYTE_LEVEL_BPE: Self = Self(&Row {
        id: 0,
        name: "byte-level BPE",
        spelling: Spelling::Bytes,
        filter: Filtered::Nothing,
        defines_pieces: false,
        encode: byte_level::encode,
        room: byte_level::room,
    });

    /// BPE of SentencePiece, whose merges are ordered by the tokens' scores: `tokenizer.ggml.model` is `llama`.
    ///
    /// Model: Baichuan.
    pub const SENTENCEPIECE_BPE: Self = Self(&Row {
        id: 1,
        name: "SentencePiece BPE",
        spelling: Spelling::Spaces,
        filter: Filtered::Neighbors,
        defines_pieces: true,
        encode: sentencepiece_bpe::encode,
        room: sentencepiece_bpe::room,
    });

    /// Unigram of SentencePiece, the likeliest of all ways to cut a text: `tokenizer.ggml.model` is `t5`.
    ///
    /// Model: Replit-code v1.
    pub const UNIGRAM: Self = Self(&Row {
        id: 2,
        name: "unigram",
        spelling: Spelling::Spaces,
        filter: Filtered::Prefixes,
        defines_pieces: true,
        encode: unigram::encode,
        room: unigram::room,
    });

    /// WordPiece, the longest token first: `tokenizer.ggml.model` is `bert`.
    ///
    /// Models: Jina embeddings v2 small and base in English, MosaicBERT.
    pub const WORDPIECE: Self = Self(&Row {
        id: 3,
        name: "WordPiece",
        spelling: Spelling::Spaces,
        filter: Filtered::Prefixes,
        defines_pieces: false,
        encode: wordpiece::encode,
        room: wordpiece::room,
    });

    /// BPE over characters of words, between white space that is left out: `tokenizer.ggml.model` is `whitespace`, or
    /// `tokenizer.ggml.pre` is `dnabert-2`.
    ///
    /// Models: Jina embeddings v2 base in Chinese, DNABERT-2.
    pub const CHARACTER_BPE: Self = Self(&Row {
        id: 4,
        name: "BPE over characters",
        spelling: Spelling::Plain,
        filter: Filtered::Nothing,
        defines_pieces: false,
        encode: character_bpe::encode,
        room: character_bpe::room,
    });

    /// BPE over bytes of texts in Unicode's normalization form C: `tokenizer.ggml.normalizer.nfc`, or a `pre` that means it.
    ///
    /// Models: MPT and others with GPT-NeoX's tokenizer.
    pub const BYTE_LEVEL_BPE_NFC: Self = Self(&Row {
        id: 5,
        name: "byte-level BPE after NFC",
        spelling: Spelling::Bytes,
        filter: Filtered::Nothing,
        defines_pieces: false,
        encode: byte_level_nfc::encode,
        room: byte_level_nfc::room,
    });

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
