//! Rules by which tokens that were added to a vocabulary are found in texts: those of Hugging Face's `AddedToken`.
//!
//! Source: `added_vocabulary.rs` of Hugging Face's `tokenizers`.

use super::unicode::is_word;

/// Ids of tokens: `u32`, little-endian, ascending.
#[derive(Clone, Copy, Debug, Default)]
struct Ids<'f>(&'f [u8]);

impl Ids<'_> {
    const EMPTY: Self = Self(&[]);

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id))
    }

    #[inline(never)]
    fn has(&self, id: u32) -> bool {
        self.0.as_chunks().0.binary_search_by_key(&id, |id| u32::from_le_bytes(*id)).is_ok()
    }
}

/// Rules by which added tokens are found in texts, beside their spelling: `tokenizer.ggml.added_tokens.*`, keys of ours.
///
/// Each list has the ids of some control and user-defined tokens as `u32`, little-endian, in ascending order.
///
/// ```
/// # use nearfield::tokenizer::AddedTokens;
/// let ids: Vec<u8> = [3u32, 17].into_iter().flat_map(u32::to_le_bytes).collect();
/// let added = AddedTokens::NONE.with_lstrip(&ids).with_single_word(&ids);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AddedTokens<'f> {
    lstrip: Ids<'f>,
    rstrip: Ids<'f>,
    single_word: Ids<'f>,
    normalized: Ids<'f>,
    /// True if a character is part of a word. A function pointer keeps the table of characters out of programs that never call
    /// [`with_single_word`](Self::with_single_word).
    is_word: fn(char) -> bool,
}

impl<'f> AddedTokens<'f> {
    /// No rules: all tokens are found by their text alone.
    pub const NONE: Self = Self {
        lstrip: Ids::EMPTY,
        rstrip: Ids::EMPTY,
        single_word: Ids::EMPTY,
        normalized: Ids::EMPTY,
        is_word: |_| false,
    };

    /// Sets the tokens that take the white space before them.
    pub const fn with_lstrip(self, ids: &'f [u8]) -> Self {
        Self { lstrip: Ids(ids), ..self }
    }

    /// Sets the tokens that take the white space behind them.
    pub const fn with_rstrip(self, ids: &'f [u8]) -> Self {
        Self { rstrip: Ids(ids), ..self }
    }

    /// Sets the tokens that are found only where no letter, digit, mark or `_` stands next to them.
    pub const fn with_single_word(self, ids: &'f [u8]) -> Self {
        Self { single_word: Ids(ids), is_word, ..self }
    }

    /// Sets the tokens that are found in the normalized text, after all others were found in the text as it stands. The
    /// vocabulary spells them as they are when normalized.
    pub const fn with_normalized(self, ids: &'f [u8]) -> Self {
        Self { normalized: Ids(ids), ..self }
    }

    /// True if some tokens are found in normalized text.
    pub(super) fn has_normalized(&self) -> bool {
        !self.normalized.0.is_empty()
    }

    pub(super) fn is_normalized(&self, id: u32) -> bool {
        self.normalized.has(id)
    }

    pub(super) fn takes_space_before(&self, id: u32) -> bool {
        self.lstrip.has(id)
    }

    pub(super) fn takes_space_behind(&self, id: u32) -> bool {
        self.rstrip.has(id)
    }

    /// True if a token may stand between these two characters.
    pub(super) fn may_stand(&self, id: u32, before: Option<char>, behind: Option<char>) -> bool {
        !self.single_word.has(id) || ![before, behind].into_iter().flatten().any(self.is_word)
    }

    /// Key of the first list that does not consist of ascending ids below `n_tokens`, if there is one.
    pub(super) fn wrong(&self, n_tokens: usize) -> Option<&'static str> {
        let lists = [
            ("lstrip", self.lstrip),
            ("rstrip", self.rstrip),
            ("single_word", self.single_word),
            ("normalized", self.normalized),
        ];
        let is_right = |ids: Ids<'_>| {
            let in_order = ids.iter().zip(ids.iter().skip(1)).all(|(id, next)| id < next);
            in_order && ids.iter().all(|id| (id as usize) < n_tokens) && ids.0.len().is_multiple_of(4)
        };
        lists.into_iter().find(|(_, ids)| !is_right(*ids)).map(|(key, _)| key)
    }
}

impl Default for AddedTokens<'_> {
    fn default() -> Self {
        Self::NONE
    }
}
