//! The kinds of tokenizers, as rows of a table.

use super::kind::{Filtered, Kind, Row, Spelling};
use super::{byte_level, byte_level_nfc, character_bpe, sentencepiece_bpe, unigram, wordpiece};

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
}
