//! Reads little-endian values from bytes that may end at any point.
//!
//! All functions are `const fn`s, so that a board can read its model's shape at compile time.

use super::GgufError;
use crate::const_math::attempt;

/// `n` bytes of `file` from `at` on; `None` if they are not all there.
pub(super) const fn split_off(file: &[u8], at: usize, n: usize) -> Option<&[u8]> {
    let Some((_, rest)) = file.split_at_checked(at) else { return None };
    match rest.split_at_checked(n) {
        Some((bytes, _)) => Some(bytes),
        None => None,
    }
}

/// A position in the file; every read is checked and moves the position forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Cursor<'f> {
    pub(crate) const fn new(file: &'f [u8], at: usize) -> Self {
        Self { file, at }
    }

    /// Byte offset in the file.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    const fn remaining(&self) -> usize {
        self.file.len().saturating_sub(self.at)
    }

    /// Reads the next `n` bytes; `what` names them in the error.
    pub(crate) const fn take(&mut self, n: u64, what: &'static str) -> Result<&'f [u8], GgufError> {
        let has = self.remaining();
        if n > has as u64 {
            return Err(GgufError::Truncated { what, at: self.at as u64, needs: n, has: has as u64 });
        }
        // `n <= has <= usize::MAX`, and `at + n <= file.len()`.
        match split_off(self.file, self.at, n as usize) {
            Some(bytes) => {
                self.at += n as usize;
                Ok(bytes)
            }
            None => Err(GgufError::Truncated { what, at: self.at as u64, needs: n, has: has as u64 }),
        }
    }

    const fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let bytes = attempt!(self.take(N as u64, what));
        match bytes.first_chunk::<N>() {
            Some(chunk) => Ok(*chunk),
            None => Err(GgufError::Truncated { what, at: self.at as u64, needs: N as u64, has: 0 }),
        }
    }

    pub(crate) const fn u8(&mut self, what: &'static str) -> Result<u8, GgufError> {
        Ok(attempt!(self.array::<1>(what))[0])
    }

    pub(crate) const fn u16(&mut self, what: &'static str) -> Result<u16, GgufError> {
        Ok(u16::from_le_bytes(attempt!(self.array(what))))
    }

    pub(crate) const fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(attempt!(self.array(what))))
    }

    pub(crate) const fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(attempt!(self.array(what))))
    }

    /// Reads a string: u64 length, then bytes, which need not be UTF-8.
    pub(crate) const fn string(&mut self, what: &'static str) -> Result<&'f [u8], GgufError> {
        let len = attempt!(self.u64(what));
        self.take(len, what)
    }

    /// Reads a key or a tensor's name: a string of 1 to `limit` bytes that has to be UTF-8.
    pub(crate) const fn name(&mut self, what: &'static str, limit: u64) -> Result<&'f str, GgufError> {
        let at = self.at as u64;
        let bytes = attempt!(self.string(what));
        if bytes.is_empty() {
            return Err(GgufError::EmptyName { what, at });
        }
        if bytes.len() as u64 > limit {
            return Err(GgufError::LongName { what, at, found: bytes.len() as u64, limit });
        }
        match core::str::from_utf8(bytes) {
            Ok(name) => Ok(name),
            Err(_) => Err(GgufError::NotUtf8 { what, at }),
        }
    }
}
