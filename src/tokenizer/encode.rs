//! Text to tokens.

use core::ops::Range;

use super::error::EncodeError;
use super::vocab::TokenType;
use super::{Tokenizer, bpe};

/// What [`Tokenizer::encode`] makes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeOptions {
    /// The token that begins a text comes first.
    pub add_bos: bool,
    /// Control tokens in the text, such as `<|endoftext|>`, are one token and not their letters. User-defined tokens
    /// always are.
    pub parse_special: bool,
    /// Bytes for which the vocabulary has no token are left out, as Hugging Face's `tokenizers` and llama.cpp do;
    /// otherwise they are an error. Published vocabularies have all bytes that occur in text, except for some of
    /// unassigned characters.
    pub skip_unknown: bool,
}

impl Tokenizer<'_, '_> {
    /// A length of `out` that is enough to encode any text of `n_bytes`.
    ///
    /// The text, as if each byte stayed a token, 1/15 for the work on a piece that is as long, and one.
    pub const fn encode_bound(n_bytes: usize) -> usize {
        bpe::len_of(n_bytes).saturating_add(1)
    }

    /// Writes the tokens of `text` to `out`; returns how many.
    ///
    /// Any bytes are a text, and the bytes of its tokens are the text again, unless some were skipped. `out` needs room
    /// for the result and, while a piece (about a word) is worked on, for all of its bytes;
    /// [`encode_bound`](Self::encode_bound) is always enough. Time: n log n for a single piece of n bytes, the worst
    /// case.
    pub fn encode(
        &self,
        text: impl AsRef<[u8]>,
        options: EncodeOptions,
        out: &mut [u32],
    ) -> Result<usize, EncodeError> {
        self.encode_bytes(text.as_ref(), options, out)
    }

    fn encode_bytes(&self, text: &[u8], options: EncodeOptions, out: &mut [u32]) -> Result<usize, EncodeError> {
        let mut out = Encoding { enough: Self::encode_bound(text.len()), out, n: 0 };
        if options.add_bos {
            out.push(self.vocab.bos.ok_or(EncodeError::NoBos)?)?;
        }
        let mut start = 0;
        while let Some((at, len, token)) = self.next_special(text, start, options) {
            self.encode_plain(text, start..at, options, &mut out)?;
            out.push(token)?;
            start = at + len;
        }
        self.encode_plain(text, start..text.len(), options, &mut out)?;
        Ok(out.n)
    }

    /// The first special token in `text[start..]`: where it is, its length and id.
    fn next_special(&self, text: &[u8], start: usize, options: EncodeOptions) -> Option<(usize, usize, u32)> {
        if self.special.is_empty() || !(options.parse_special || self.has_user_defined) {
            return None;
        }
        let accept = |hash, token: &[u8]| {
            let id = self.tokens.find_hashed(hash, &[token])?;
            let wanted = match self.vocab.type_of(id) {
                TokenType::UserDefined => true,
                TokenType::Control => options.parse_special,
                TokenType::Normal | TokenType::Unused => false,
            };
            wanted.then_some(id)
        };
        (start..text.len()).find_map(|at| {
            let (len, id) = self.special.longest_match(text.get(at..)?, accept)?;
            Some((at, len, id))
        })
    }

    /// Encodes a part of `text` without special tokens.
    fn encode_plain(
        &self,
        text: &[u8],
        part: Range<usize>,
        options: EncodeOptions,
        out: &mut Encoding<'_>,
    ) -> Result<(), EncodeError> {
        let mut at = part.start;
        for piece in self.vocab.pre.pieces(text.get(part).unwrap_or_default()) {
            let slots = out.room(piece.len())?;
            let mut n = 0;
            let mut free = slots.iter_mut();
            for (i, &byte) in piece.iter().enumerate() {
                match self.bytes.get(byte.into()).and_then(|number| number.checked_sub(1)) {
                    // There is a slot for each byte.
                    Some(id) => {
                        n += free.next().map_or(0, |slot| {
                            *slot = id;
                            1
                        })
                    }
                    None if options.skip_unknown => {}
                    None => return Err(EncodeError::NoTokenForByte { byte, at: at + i }),
                }
            }
            out.n += bpe::merge(&self.merges, slots, n);
            at += piece.len();
        }
        Ok(())
    }
}

/// The tokens of a text so far.
struct Encoding<'o> {
    out: &'o mut [u32],
    n: usize,
    /// A length of `out` that would be enough.
    enough: usize,
}

impl Encoding<'_> {
    fn push(&mut self, token: u32) -> Result<(), EncodeError> {
        // There is a slot where there is room for a byte.
        if let [slot, ..] = self.room(1)? {
            *slot = token;
            self.n += 1;
        }
        Ok(())
    }

    /// What is free, if that is enough for a piece of `n_bytes`.
    fn room(&mut self, n_bytes: usize) -> Result<&mut [u32], EncodeError> {
        let (enough, have) = (self.enough, self.out.len());
        let free = self.out.get_mut(self.n..).unwrap_or_default();
        if n_bytes > bpe::MAX {
            return Err(EncodeError::PieceTooLong { n_bytes });
        }
        if bpe::len_of(n_bytes) > free.len() {
            return Err(EncodeError::OutTooSmall { enough, have });
        }
        Ok(free)
    }
}
