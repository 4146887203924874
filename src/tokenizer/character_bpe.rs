//! BPE over characters: a text is cut into words, each character of a word is a token, and neighbors merge. White space is
//! left out.
//!
//! Source: Hugging Face's `tokenizers` with the model `BPE`, no byte-level alphabet, and the pre-tokenizer `Whitespace` or
//! `WhitespaceSplit`, as jina-embeddings-v2-base-zh and DNABERT-2 are published. llama.cpp's tokenizer `whitespace` cuts as
//! `WhitespaceSplit` where the model means `Whitespace`, and drops characters that have no token.

use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::options::CharacterOptions;
use super::unicode::{Class, class, first_char, is_word, lowered};
use super::unit::Unit;
use super::{Tokenizer, bpe};

/// Role of a character where texts are cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Space,
    Word,
    Sign,
}

impl CharacterOptions {
    fn side(self, char: char) -> Side {
        match class(char) {
            Class::Space => Side::Space,
            _ if self.cuts_signs && !is_word(char) => Side::Sign,
            _ => Side::Word,
        }
    }
}

/// Implements [`Row::encode`](super::kind::Row::encode): cuts the part into words and merges the characters of each.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    let options = tokenizer.vocab.characters;
    let mut word = Word { n: 0, after_unknown: false, side: Side::Space };
    let units = Lowered { rest: part.text(), lowercase: options.lowercase, second: None };
    for (units, special) in part.split_stream(tokenizer, units) {
        for unit in units {
            let char = match unit {
                Unit::Char(char) => char,
                Unit::Byte(_) => char::REPLACEMENT_CHARACTER,
            };
            let side = options.side(char);
            if side != word.side {
                word.end(tokenizer, out)?;
                word.side = side;
            }
            if side != Side::Space {
                word.push(tokenizer, char, unit.len(), out)?;
            }
        }
        word.end(tokenizer, out)?;
        word.side = Side::Space;
        special.map_or(Ok(()), |token| out.push(token))?;
    }
    Ok(())
}

/// Characters of a text, lowercased if `lowercase` is true.
#[derive(Clone, Debug)]
struct Lowered<'t> {
    rest: &'t [u8],
    lowercase: bool,
    /// Second of the two characters that one character became.
    second: Option<char>,
}

impl Iterator for Lowered<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if let Some(char) = self.second.take() {
            return Some(Unit::Char(char));
        }
        let Some((char, len)) = first_char(self.rest) else {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            return Some(Unit::Byte(byte));
        };
        self.rest = self.rest.get(len..).unwrap_or_default();
        let mut chars = lowered(char, self.lowercase);
        let first = chars.next()?;
        self.second = chars.next();
        Some(Unit::Char(first))
    }
}

/// A word whose characters are being written behind the tokens so far.
struct Word {
    n: usize,
    /// True if the last character had no token.
    after_unknown: bool,
    side: Side,
}

impl Word {
    /// Adds the token of a character, or the unknown token if the character has none and the model names one. `n_bytes` is the
    /// character's length in the text.
    fn push(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        char: char,
        n_bytes: usize,
        out: &mut Encoding<'_>,
    ) -> Result<(), TextError> {
        let known = tokenizer.find_char(Unit::Char(char));
        let was_unknown = core::mem::replace(&mut self.after_unknown, known.is_none());
        match known.or(tokenizer.vocab.unk) {
            None => out.n_skipped += n_bytes,
            Some(_) if known.is_none() && was_unknown && tokenizer.vocab.fuse_unk => {}
            Some(token) => {
                if let Some(slot) = out.room(self.n + 1)?.get_mut(self.n) {
                    *slot = token;
                    self.n += 1;
                }
            }
        }
        Ok(())
    }

    /// Merges the characters of the word, and begins another word.
    fn end(&mut self, tokenizer: &Tokenizer<'_, '_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
        let slots = out.room(self.n)?;
        out.n += bpe::merge(&tokenizer.merges, slots, self.n);
        (self.n, self.after_unknown) = (0, false);
        Ok(())
    }
}

/// Implements [`Row::room`](super::kind::Row::room): the room for the part as a single word.
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    // No character becomes more characters than it has bytes.
    bpe::len_of(part.range.len())
}
