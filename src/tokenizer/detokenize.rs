//! Tokens to text, one at a time.

use core::fmt::Write;
use core::str::from_utf8;

use heapless::Vec;

use super::Tokenizer;
use super::error::DetokenizeError;
use super::vocab::TokenType;

/// Bytes gathered before they are written.
const BUFFER: usize = 64;
/// Bytes of the longest incomplete character.
const MAX_PENDING: usize = 3;

/// Turns a stream of tokens into text, always in whole characters.
///
/// A character may be spread over several tokens: its first bytes, three at most, are kept until the rest arrives. Bytes that
/// are not UTF-8 become U+FFFD, just as `String::from_utf8_lossy` does with all bytes at once.
///
/// ```
/// # use nearfield::tokenizer::*;
/// # fn stream(tokenizer: &Tokenizer, tokens: &[u32], out: &mut impl core::fmt::Write) -> Result<(), DetokenizeError> {
/// let mut detokenizer = Detokenizer::new(false);
/// for &token in tokens {
///     detokenizer.push(tokenizer, token, out)?;
/// }
/// detokenizer.finish(out)
/// # }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Detokenizer {
    show_control: bool,
    /// True if the space that a vocabulary puts before texts is still to be dropped.
    at_start: bool,
    pending: Pending,
}

/// First bytes of a character.
type Pending = Vec<u8, MAX_PENDING>;

impl Detokenizer {
    /// Starts a stream. Control tokens such as `<|endoftext|>` are written if `show_control` is true, and otherwise left out.
    pub fn new(show_control: bool) -> Self {
        Self { show_control, at_start: false, pending: Pending::new() }
    }

    /// Starts a stream for the tokens of a whole text: drops the space that SentencePiece puts before it, or WordPiece before
    /// its first word.
    pub fn of_whole_text(show_control: bool) -> Self {
        Self { at_start: true, ..Self::new(show_control) }
    }

    /// Writes the characters that are complete with `token`.
    pub fn push(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        token: u32,
        out: &mut impl Write,
    ) -> Result<(), DetokenizeError> {
        let mut bytes = tokenizer.bytes(token)?;
        if tokenizer.token_type(token)? == TokenType::Control {
            if !self.show_control {
                return Ok(());
            }
        } else if core::mem::take(&mut self.at_start) && tokenizer.has_space_before() {
            bytes.drop_space();
        }
        let mut buffer = Vec::<u8, BUFFER>::new();
        for byte in self.pending.iter().copied().chain(bytes) {
            if buffer.is_full() {
                let pending = write_complete(&buffer, out)?;
                buffer.clear();
                // `pending` has 3 bytes at most, so it fits, and one byte more.
                let _ = buffer.extend_from_slice(&pending);
            }
            let _ = buffer.push(byte);
        }
        self.pending = write_complete(&buffer, out)?;
        Ok(())
    }

    /// Ends the text: writes a U+FFFD if it ends within a character. A new text may follow.
    pub fn finish(&mut self, out: &mut impl Write) -> Result<(), DetokenizeError> {
        if !core::mem::take(&mut self.pending).is_empty() {
            out.write_char(char::REPLACEMENT_CHARACTER)?;
        }
        Ok(())
    }
}

/// Writes `bytes`, except an incomplete character at their end, which it returns.
fn write_complete(bytes: &[u8], out: &mut impl Write) -> Result<Pending, DetokenizeError> {
    let mut n_left = bytes.len();
    for chunk in bytes.utf8_chunks() {
        let (valid, invalid) = (chunk.valid(), chunk.invalid());
        n_left -= valid.len() + invalid.len();
        out.write_str(valid)?;
        if n_left == 0 && is_start(invalid) {
            return Ok(Pending::from_slice(invalid).unwrap_or_default());
        }
        if !invalid.is_empty() {
            out.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(Pending::new())
}

/// True if `bytes` are an incomplete character (three bytes at most).
fn is_start(bytes: &[u8]) -> bool {
    from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}
