//! Reads bytes part by part, each where it lies.

use nearfield_kernels::Arena;
use nearfield_kernels::arena::{Plain, view};

/// Rest of bytes that were written part by part, each padded to whole lines, as in an [`Arena`].
#[derive(Debug)]
pub(crate) struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Sections<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes the next `len` elements; `None` if the bytes end before, or are not aligned.
    pub(crate) fn take<T: Plain + Copy>(&mut self, len: usize) -> Option<&'a [T]> {
        let (part, rest) = self.rest.split_at_checked(Arena::bytes_of::<T>(len)?)?;
        self.rest = rest;
        view(part)?.get(..len)
    }

    /// True if nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
