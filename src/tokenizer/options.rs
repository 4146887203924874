//! Normalizations of texts as a vocabulary's file sets them.

/// Normalization of SentencePiece: `tokenizer.ggml.{add_space_prefix,remove_extra_whitespaces,precompiled_charsmap}`.
#[derive(Clone, Copy, Debug)]
pub struct SpaceOptions<'f> {
    /// Puts a space before the text.
    pub add_prefix: bool,
    /// Drops spaces at both ends, and all but one of other spaces in a row.
    pub remove_extra: bool,
    /// Replacements, as the file holds them.
    pub charsmap: Option<&'f [u8]>,
}

impl SpaceOptions<'_> {
    /// A space before the text, and nothing else.
    pub const DEFAULT: Self = Self { add_prefix: true, remove_extra: false, charsmap: None };
}

/// Normalization of WordPiece: `tokenizer.ggml.normalizer.{lowercase,strip_accents}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BertOptions {
    /// Lowercases letters.
    pub lowercase: bool,
    /// Decomposes characters (NFD) and drops marks without space (category Mn).
    pub strip_accents: bool,
}

impl BertOptions {
    /// Options of uncased models.
    pub const DEFAULT: Self = Self { lowercase: true, strip_accents: true };
}

/// Normalization and cuts of BPE over characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CharacterOptions {
    /// Lowercases letters: `tokenizer.ggml.normalizer.lowercase`.
    pub lowercase: bool,
    /// Cuts words from signs, `\w+|[^\w\s]+`: `tokenizer.ggml.model` is `whitespace`. If false, only white space cuts.
    pub cuts_signs: bool,
}
