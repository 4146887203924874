//! Tokens by id: their texts stay in the file.

use super::strings::StringArray;

/// Distance between tokens whose place in the file is kept. Tokens between them are found by walking.
const STRIDE: usize = 8;

/// Strings of the vocabulary, by id.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenList<'f, 'a> {
    strings: StringArray<'f>,
    /// Offset in `strings` of each `STRIDE`-th token, in bytes.
    starts: &'a [u32],
}

impl<'f, 'a> TokenList<'f, 'a> {
    /// Number of offsets that a list of `n_tokens` keeps.
    pub const fn n_starts(n_tokens: usize) -> usize {
        n_tokens.div_ceil(STRIDE)
    }

    /// List with offsets that were prepared. Wrong ones give no token, or other texts.
    pub fn new(strings: StringArray<'f>, starts: &'a [u32]) -> Self {
        Self { strings, starts }
    }

    /// List with offsets computed here, [`n_starts`](Self::n_starts) of them. The strings together have at most `u32::MAX` bytes.
    pub fn fill(strings: StringArray<'f>, starts: &'a mut [u32]) -> Self {
        let mut rest = strings.iter();
        for start in starts.iter_mut() {
            *start = (strings.n_bytes() - rest.n_bytes()) as u32;
            let _ = rest.nth(STRIDE - 1);
        }
        Self { strings, starts }
    }

    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// Offsets of the list.
    pub fn starts(&self) -> &'a [u32] {
        self.starts
    }

    /// Text of a token as it lies in the file; `None` if there is no such token.
    pub fn get(&self, id: u32) -> Option<&'f [u8]> {
        let id = id as usize;
        if id >= self.len() {
            return None;
        }
        let start = *self.starts.get(id / STRIDE)?;
        self.strings.iter_from(start as usize)?.nth(id % STRIDE)
    }
}
