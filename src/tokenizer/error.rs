//! Errors of a vocabulary, a text or a token.

use core::fmt;

/// Error of a vocabulary that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenizerError {
    /// No tokens, 2^30 or more, 2^30 or more merges, or tokens of 4 GiB together.
    Size {
        /// Tokens in the file.
        n_tokens: usize,
        /// Merges in the file.
        n_merges: usize,
    },
    /// `tokenizer.ggml.token_type` does not have one entry for each token.
    TokenTypes {
        /// Bytes of an array with one entry for each token.
        need: usize,
        /// Bytes of the array in the file.
        have: usize,
    },
    /// `tokenizer.ggml.scores` does not have one entry for each token.
    Scores {
        /// Bytes of an array with one entry for each token.
        need: usize,
        /// Bytes of the array in the file.
        have: usize,
    },
    /// A score is infinite or not a number.
    ScoreNotFinite {
        /// Id of the token that has the score.
        token: usize,
    },
    /// `tokenizer.ggml.precompiled_charsmap` ends too early, or has a replacement of more than 256 bytes.
    Charsmap,
    /// `tokenizer.ggml.{key}` is not a token.
    SpecialToken {
        /// The key, without `tokenizer.ggml.`.
        key: &'static str,
        /// Value of the key.
        id: u32,
        /// Tokens in the file.
        n_tokens: usize,
    },
    /// `tokenizer.ggml.added_tokens.{key}` is not a list of tokens in ascending order.
    AddedTokens {
        /// The end of the key.
        key: &'static str,
        /// Tokens in the file.
        n_tokens: usize,
    },
    /// A control or user-defined token is too long to be looked for in texts.
    SpecialTooLong {
        /// Id of the token.
        token: u32,
        /// Length of the token.
        n_bytes: usize,
        /// Greatest length that can be looked for.
        max: usize,
    },
    /// A merge is not two strings with a space between.
    MergeWithoutSpace {
        /// Index of the merge in `tokenizer.ggml.merges`.
        merge: usize,
    },
    /// A merge names a token that is not in the vocabulary.
    MergeNotInVocab {
        /// Index of the merge in `tokenizer.ggml.merges`.
        merge: usize,
        /// The part of the merge that is missing.
        part: MergePart,
    },
    /// Too many tokens or merges share one hash; no trained vocabulary is known to.
    Collision {
        /// Index in `tokenizer.ggml.tokens` or `tokenizer.ggml.merges`.
        index: usize,
        /// The array: `tokens` or `merges`.
        list: &'static str,
    },
    /// The index does not fit the arena.
    ArenaTooSmall {
        /// Bytes of the index.
        need: usize,
        /// Bytes free in the arena.
        have: usize,
    },
    /// A prepared index cannot be used.
    Index(IndexError),
}

/// Error of a prepared index that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IndexError {
    /// The index does not lie at an address that is a multiple of four.
    Misaligned,
    /// The bytes do not begin as an index does, or the processor is big-endian.
    Magic,
    /// The index was made by another version of this library.
    Version {
        /// Version of the index's layout.
        found: u32,
    },
    /// The index was made for another vocabulary.
    Vocabulary,
    /// The index does not have the length of an index of this vocabulary.
    Size {
        /// Bytes of an index of this vocabulary.
        need: usize,
        /// Bytes that were given.
        have: usize,
    },
    /// The checksum of the index is wrong, or it names tokens or merges that do not exist.
    Damaged,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("the tokenizer's index does not lie at a multiple of 4 bytes"),
            Self::Magic => f.write_str("these bytes are not a tokenizer's index, or not one for this byte order"),
            Self::Version { found } => {
                write!(f, "the tokenizer's index is of version {found}: it has to be made by this version of nearfield")
            }
            Self::Vocabulary => f.write_str("the tokenizer's index belongs to another vocabulary than the model's"),
            Self::Size { need, have } => {
                write!(f, "the tokenizer's index has {have} bytes: expected {need} for this vocabulary")
            }
            Self::Damaged => f.write_str("the tokenizer's index is damaged: its checksum or its contents are wrong"),
        }
    }
}

/// Part of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MergePart {
    /// The token that comes first.
    Left,
    /// The token that comes second.
    Right,
    /// The token that both become.
    Product,
}

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { n_tokens, n_merges } => write!(
                f,
                "a vocabulary of {n_tokens} tokens and {n_merges} merges: expected 1 to 2^30 - 1 tokens in less than 4 GiB, and \
                 less than 2^30 merges"
            ),
            Self::TokenTypes { need, have } => {
                write!(f, "tokenizer.ggml.token_type has {have} bytes: expected {need}, four for each token")
            }
            Self::Scores { need, have } => {
                write!(f, "tokenizer.ggml.scores has {have} bytes: expected {need}, four for each token")
            }
            Self::ScoreNotFinite { token } => {
                write!(f, "tokenizer.ggml.scores[{token}] is infinite or not a number")
            }
            Self::Charsmap => f.write_str(
                "tokenizer.ggml.precompiled_charsmap is damaged: expected a length, as many bytes of trie, and replacements \
                 of at most 256 bytes, each ended by a zero",
            ),
            Self::SpecialToken { key, id, n_tokens } => {
                write!(f, "tokenizer.ggml.{key} is {id}: expected less than {n_tokens}, the number of tokens")
            }
            Self::AddedTokens { key, n_tokens } => {
                write!(f, "tokenizer.ggml.added_tokens.{key} is not a list of ascending ids below {n_tokens}")
            }
            Self::SpecialTooLong { token, n_bytes, max } => {
                write!(f, "control or user-defined token {token} has {n_bytes} bytes: expected {max} at most")
            }
            Self::MergeWithoutSpace { merge } => write!(f, "merge {merge} is not two strings with a space between"),
            Self::MergeNotInVocab { merge, part } => {
                let part = match part {
                    MergePart::Left => "left side",
                    MergePart::Right => "right side",
                    MergePart::Product => "product",
                };
                write!(f, "the {part} of merge {merge} is not in the vocabulary")
            }
            Self::Collision { index, list } => {
                write!(f, "tokenizer.ggml.{list}[{index}] shares its hash with too many others")
            }
            Self::ArenaTooSmall { need, have } => {
                write!(f, "the tokenizer needs {need} bytes of arena, {have} are free")
            }
            Self::Index(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TokenizerError {}

impl core::error::Error for IndexError {}

impl From<IndexError> for TokenizerError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// Error of a name in `tokenizer.ggml.pre` that [`PreTokenizer::from_name`](super::PreTokenizer::from_name) does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownPreTokenizer;

impl fmt::Display for UnknownPreTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a known pre-tokenizer: expected gpt-2, mpt, jais, bloom, gpt3-finnish, poro-chat, refact, starcoder, falcon \
             or one that cuts texts as they do (convert the model anew where the name is a stand-in)",
        )
    }
}

impl core::error::Error for UnknownPreTokenizer {}

/// Error of a text that cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TextError {
    /// `out` is too small.
    OutTooSmall {
        /// Length that is enough for this text: [`Tokenizer::room`](super::Tokenizer::room).
        enough: usize,
        /// Length of `out`.
        have: usize,
    },
    /// A piece of the text is too long: 2^30 bytes or more without a cut.
    PieceTooLong {
        /// Length of the piece.
        n_bytes: usize,
    },
    /// `add_bos` was asked for, and the vocabulary has no such token.
    NoBos,
    /// `add_eos` was asked for, and the vocabulary has no such token.
    NoEos,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutTooSmall { enough, have } => {
                write!(f, "no room for the tokens of this text: {have} places, {enough} are enough")
            }
            Self::PieceTooLong { n_bytes } => {
                write!(f, "a piece of {n_bytes} bytes without a cut: expected less than 2^30")
            }
            Self::NoBos => f.write_str("the vocabulary has no token that begins a text (tokenizer.ggml.bos_token_id)"),
            Self::NoEos => f.write_str("the vocabulary has no token that ends a text (tokenizer.ggml.eos_token_id)"),
        }
    }
}

impl core::error::Error for TextError {}

/// Error of tokens that cannot be turned into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DetokenizeError {
    /// The vocabulary has no token with this id.
    NoSuchToken {
        /// The id.
        token: u32,
        /// Tokens in the vocabulary.
        n_tokens: usize,
    },
    /// `out` is too small.
    OutTooSmall {
        /// Bytes of the token.
        need: usize,
        /// Bytes of `out`.
        have: usize,
    },
    /// The writer of the text returned an error.
    Write,
}

impl fmt::Display for DetokenizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchToken { token, n_tokens } => write!(f, "no token {token}: the vocabulary has {n_tokens}"),
            Self::OutTooSmall { need, have } => write!(f, "a token of {need} bytes does not fit {have}"),
            Self::Write => f.write_str("the text could not be written"),
        }
    }
}

impl core::error::Error for DetokenizeError {}

impl From<fmt::Error> for DetokenizeError {
    fn from(_: fmt::Error) -> Self {
        Self::Write
    }
}
