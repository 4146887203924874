//! Characters for which a SentencePiece vocabulary has no token: their bytes, or the unknown token for all in a row.
//!
//! While a part of a text is worked on, such a character is a symbol in a range of its own above the ids of tokens.

use super::Tokenizer;
use super::encoding::Encoding;
use super::error::TextError;
use super::unit::Unit;

/// First symbol that is a character. From 2^21 above it, symbols are bytes that belong to no character.
const UNKNOWN: u32 = 1 << 29;
const BYTES: u32 = 1 << 21;
/// Greatest number of tokens: their ids lie below the symbols of characters.
pub(super) const MAX_TOKENS: usize = UNKNOWN as usize;

/// Symbol of a character or byte that has no token.
pub(super) fn unknown(unit: Unit) -> u32 {
    UNKNOWN
        | match unit {
            Unit::Char(char) => char.into(),
            Unit::Byte(byte) => BYTES | u32::from(byte),
        }
}

/// True if a symbol is not a token.
pub(super) fn is_unknown(symbol: u32) -> bool {
    symbol >= UNKNOWN
}

/// Character or byte of a symbol of [`unknown`].
fn unit(symbol: u32) -> Unit {
    let code = symbol & (UNKNOWN - 1);
    match char::from_u32(code) {
        Some(char) if code < BYTES => Unit::Char(char),
        _ => Unit::Byte(code as u8),
    }
}

/// Bytes of a symbol that is not a token.
fn bytes_of(symbol: u32, buffer: &mut [u8; 4]) -> &[u8] {
    match unit(symbol) {
        Unit::Char(char) => char.encode_utf8(buffer).as_bytes(),
        Unit::Byte(byte) => {
            *buffer = [byte, 0, 0, 0];
            &buffer[..1]
        }
    }
}

/// Text of a symbol, if it is a token or a character.
pub(super) fn text<'b>(tokenizer: &Tokenizer<'b, '_>, symbol: u32, buffer: &'b mut [u8; 4]) -> Option<&'b [u8]> {
    match unit(symbol) {
        _ if !is_unknown(symbol) => tokenizer.tokens.get(symbol),
        Unit::Char(char) => Some(char.encode_utf8(buffer).as_bytes()),
        Unit::Byte(_) => None,
    }
}

/// Makes tokens of all symbols in `out` from `start` on. A character without a token becomes the tokens of its bytes or, if any
/// of these is missing, the unknown token; without that it is left out.
///
/// # Errors
/// [`TextError::OutTooSmall`] if `out` is too small for the bytes.
pub(super) fn expand(tokenizer: &Tokenizer<'_, '_>, out: &mut Encoding<'_>, start: usize) -> Result<(), TextError> {
    let has_bytes = |symbol| bytes_of(symbol, &mut [0; 4]).iter().all(|&byte| tokenizer.byte_token(byte).is_some());
    // First pass: moves symbols to the front, replaces those that need one slot at most, and counts the further slots that
    // bytes need.
    let (mut n, mut n_more, mut is_done, mut after_unknown) = (start, 0usize, true, false);
    for at in start..out.n {
        let Some(&symbol) = out.out.get(at) else { break };
        let kept = if !is_unknown(symbol) {
            after_unknown = false;
            Some(symbol)
        } else if has_bytes(symbol) {
            (after_unknown, is_done) = (false, false);
            n_more += bytes_of(symbol, &mut [0; 4]).len() - 1;
            Some(symbol)
        } else {
            match tokenizer.vocab.unk {
                Some(unk) => (!core::mem::replace(&mut after_unknown, true)).then_some(unk),
                None => {
                    out.n_skipped += bytes_of(symbol, &mut [0; 4]).len();
                    None
                }
            }
        };
        if let Some(kept) = kept
            && let Some(slot) = out.out.get_mut(n)
        {
            *slot = kept;
            n += 1;
        }
    }
    out.n = n;
    if is_done {
        return Ok(());
    }
    // Second pass: writes bytes from the back, so that nothing is overwritten before it was read.
    out.slots(n_more)?;
    let mut end = n + n_more;
    out.n = end;
    for at in (start..n).rev() {
        let Some(&symbol) = out.out.get(at) else { break };
        if !is_unknown(symbol) {
            end -= 1;
            set(out.out, end, symbol);
            continue;
        }
        for &byte in bytes_of(symbol, &mut [0; 4]).iter().rev() {
            end -= 1;
            set(out.out, end, tokenizer.byte_token(byte).unwrap_or(0));
        }
    }
    Ok(())
}

fn set(out: &mut [u32], at: usize, token: u32) {
    if let Some(slot) = out.get_mut(at) {
        *slot = token;
    }
}
