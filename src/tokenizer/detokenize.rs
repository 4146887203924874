//! Tokens to text, as they come.

use core::fmt::Write;
use core::str::from_utf8;

use super::Tokenizer;
use super::error::DetokenizeError;
use super::vocab::TokenType;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 64;
/// Bytes of the longest start of a character that is not yet one.
const MAX_PENDING: usize = 3;

/// Turns a stream of tokens into text, without ever writing half a character.
///
/// A character may be spread over several tokens: its first bytes, three at most, wait here for the rest. Bytes that
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
    pending: [u8; MAX_PENDING],
    n_pending: usize,
}

impl Detokenizer {
    /// `show_control`: whether control tokens such as `<|endoftext|>` are text or nothing.
    pub fn new(show_control: bool) -> Self {
        Self { show_control, pending: [0; MAX_PENDING], n_pending: 0 }
    }

    /// Writes what is complete with `token`.
    pub fn push(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        token: u32,
        out: &mut impl Write,
    ) -> Result<(), DetokenizeError> {
        let bytes = tokenizer.bytes(token)?;
        if !self.show_control && tokenizer.token_type(token)? == TokenType::Control {
            return Ok(());
        }
        let (mut buffer, mut n) = ([0; BUFFER], self.n_pending);
        buffer[..n].copy_from_slice(&self.pending[..n]);
        for byte in bytes {
            buffer[n] = byte;
            n += 1;
            if n == BUFFER {
                n = write_complete(&mut buffer, n, out)?;
            }
        }
        self.n_pending = write_complete(&mut buffer, n, out)?;
        self.pending.copy_from_slice(&buffer[..MAX_PENDING]);
        Ok(())
    }

    /// Writes a U+FFFD if the text ends within a character; a new text may follow.
    pub fn finish(&mut self, out: &mut impl Write) -> Result<(), DetokenizeError> {
        if core::mem::take(&mut self.n_pending) > 0 {
            out.write_char(char::REPLACEMENT_CHARACTER)?;
        }
        Ok(())
    }
}

/// Writes the first `n` bytes but for a character's start at their end; moves that to the front and returns its length,
/// [`MAX_PENDING`] at most.
fn write_complete(buffer: &mut [u8; BUFFER], n: usize, out: &mut impl Write) -> Result<usize, DetokenizeError> {
    let mut start = 0;
    while let Err(error) = from_utf8(&buffer[start..n]) {
        let invalid = start + error.valid_up_to();
        out.write_str(from_utf8(&buffer[start..invalid]).unwrap_or_default())?;
        let Some(len) = error.error_len() else {
            buffer.copy_within(invalid..n, 0);
            return Ok(n - invalid);
        };
        out.write_char(char::REPLACEMENT_CHARACTER)?;
        start = invalid + len;
    }
    out.write_str(from_utf8(&buffer[start..n]).unwrap_or_default())?;
    Ok(0)
}
