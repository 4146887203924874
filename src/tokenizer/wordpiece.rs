//! WordPiece: takes the longest token that a word begins with, then the longest that the rest begins with, and so on.
//!
//! Source: BERT's `tokenization.py` (Devlin et al. 2018) as Hugging Face's `tokenizers` has it. A GGUF file spells tokens
//! as llama.cpp's converter does: `▁` before those that begin a word, and no `##` before the others.

use heapless::Vec;

use super::Tokenizer;
use super::bert::{self, Class};
use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::unicode::first_char;
use super::unit::{SPACE, Unit};
use crate::hash::Hash;

/// Characters of the longest word that is split into tokens; longer words are unknown.
const MAX_CHARS: usize = 100;

/// Implements [`Row::encode`](super::kind::Row::encode): cuts the normalized part into words and splits each into tokens.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    let mut word = Word::new();
    for (units, special) in part.split_stream(tokenizer, bert::Normalized::new(part.text(), tokenizer.vocab.bert)) {
        for unit in units {
            let Unit::Char(char) = unit else { continue };
            let class = if char.is_ascii_alphanumeric() { Class::Other } else { bert::class(char) };
            let is_alone = class == Class::Punctuation;
            if is_alone || class == Class::Space {
                word.end(tokenizer, out)?;
            }
            if class != Class::Space {
                word.push(char);
            }
            if is_alone {
                word.end(tokenizer, out)?;
            }
        }
        word.end(tokenizer, out)?;
        special.map_or(Ok(()), |token| out.push(token))?;
    }
    Ok(())
}

/// Implements [`Row::room`](super::kind::Row::room): one slot for each byte of the part.
pub(super) fn room(_: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    // No character becomes more characters than it has bytes.
    part.range.len()
}

/// A word whose characters are being gathered.
struct Word {
    /// The word with `▁` in front, as tokens that begin a word are spelled; its first [`MAX_CHARS`] characters at most.
    text: Vec<u8, { SPACE.len_utf8() + 4 * MAX_CHARS }>,
    n_chars: usize,
    n_bytes: usize,
}

impl Word {
    fn new() -> Self {
        Self { text: Vec::new(), n_chars: 0, n_bytes: 0 }
    }

    /// Adds a character. Characters beyond [`MAX_CHARS`] are counted but not kept.
    fn push(&mut self, char: char) {
        let mut buffer = [0; 4];
        if self.n_chars == 0 {
            self.text.clear();
            let _ = self.text.extend_from_slice(SPACE.encode_utf8(&mut buffer).as_bytes());
        }
        self.n_chars = self.n_chars.saturating_add(1);
        self.n_bytes = self.n_bytes.saturating_add(char.len_utf8());
        if self.n_chars <= MAX_CHARS {
            let _ = self.text.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes());
        }
    }

    /// Writes the tokens of the word, and begins another.
    fn end(&mut self, tokenizer: &Tokenizer<'_, '_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
        let (n_chars, n_bytes) = (core::mem::take(&mut self.n_chars), core::mem::take(&mut self.n_bytes));
        if n_chars == 0 {
            return Ok(());
        }
        let start = out.n;
        let mut rest = if n_chars > MAX_CHARS { None } else { Some(&*self.text) };
        let mut at_least = SPACE.len_utf8() + 1;
        while let Some(text) = rest.filter(|text| !text.is_empty()) {
            let found = longest_match(tokenizer, text, at_least);
            if let Some((_, token)) = found {
                out.push(token)?;
            }
            (rest, at_least) = (found.and_then(|(len, _)| text.get(len..)), 1);
        }
        if rest.is_some() {
            return Ok(());
        }
        // A word with one unknown part is unknown as a whole.
        out.n = start;
        match tokenizer.vocab.unk {
            Some(unk) => out.push(unk),
            None => {
                out.n_skipped += n_bytes;
                Ok(())
            }
        }
    }
}

/// Length and id of the longest token that `text` begins with and that has `at_least` bytes.
fn longest_match(tokenizer: &Tokenizer<'_, '_>, text: &[u8], at_least: usize) -> Option<(usize, u32)> {
    let (mut hash, mut end, mut found) = (Hash::EMPTY, 0, None);
    while let Some((_, len)) = text.get(end..).and_then(first_char) {
        hash = text.get(end..end + len)?.iter().copied().fold(hash, Hash::then);
        if !tokenizer.filter.may_have(hash) {
            break;
        }
        end += len;
        if end >= at_least
            && let Some(token) = tokenizer.find_hashed(hash, |token| text.get(..end) == Some(token))
        {
            found = Some((end, token));
        }
    }
    found
}
