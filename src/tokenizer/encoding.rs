//! Input and output of a kind: a part of a text, and the tokens of the text so far.

use core::ops::Range;

use super::bpe;
use super::error::TextError;

/// A part of a text without special tokens.
pub(super) struct Part<'t> {
    pub whole: &'t [u8],
    /// Bytes of the part in the text.
    pub range: Range<usize>,
    /// True if the part begins a text: it follows a special token, or is the first and the text does not continue another one.
    pub begins: bool,
    /// True if control tokens are looked for.
    pub parse_special: bool,
}

impl<'t> Part<'t> {
    /// Bytes of the part.
    pub fn text(&self) -> &'t [u8] {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }
}

/// Tokens of a text so far.
pub(super) struct Encoding<'o> {
    /// Tokens, then the slots that a kind works in.
    pub out: &'o mut [u32],
    /// Number of tokens.
    pub n: usize,
    /// Bytes that were left out.
    pub n_skipped: usize,
    /// Sum of the scores since the text began; used by unigram.
    pub score: f32,
}

impl Encoding<'_> {
    /// Writes a token.
    pub fn push(&mut self, token: u32) -> Result<(), TextError> {
        // `slots(1)` returned one slot at least.
        if let [slot, ..] = self.slots(1)? {
            *slot = token;
            self.n += 1;
        }
        Ok(())
    }

    /// Free slots, at least `n`.
    pub fn slots(&mut self, n: usize) -> Result<&mut [u32], TextError> {
        let have = self.out.len();
        let free = self.out.get_mut(self.n..).unwrap_or_default();
        // `encode_counted` replaces `enough`: computing it takes a pass over the text.
        if n > free.len() { Err(TextError::OutTooSmall { enough: 0, have }) } else { Ok(free) }
    }

    /// Free slots, enough to merge a piece of `n` symbols.
    pub fn room(&mut self, n: usize) -> Result<&mut [u32], TextError> {
        if n > bpe::MAX {
            return Err(TextError::PieceTooLong { n_bytes: n });
        }
        self.slots(bpe::len_of(n))
    }
}
