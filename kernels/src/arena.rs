//! Arena: one block of memory that holds all state that changes, handed out in aligned parts.

use core::mem::{align_of, size_of};

use crate::BlockQ8;
use crate::atomic::AtomicU32;
use crate::conformance::Scratch;

mod sealed {
    pub trait Sealed {}
}

/// Types that any bytes are a valid value of, so that a part of an arena may be seen as a slice of them.
///
/// Sealed: the list below is all of it.
pub trait Plain: sealed::Sealed + 'static {}

macro_rules! plain {
    ($($ty:ty),*) => { $(impl sealed::Sealed for $ty {} impl Plain for $ty {})* };
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, BlockQ8, AtomicU32, Scratch);

/// 64 bytes, aligned: one cache line. Arenas are made of whole lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line([u8; 64]);

impl Line {
    /// Bytes of a line, and its alignment.
    pub const BYTES: usize = 64;
    /// A line of zeros.
    pub const ZERO: Self = Self([0; 64]);

    /// Whole lines that lie in a piece of memory.
    pub fn whole(memory: &[u8]) -> &[Self] {
        // SAFETY: any bytes are a line.
        unsafe { memory.align_to() }.1
    }

    /// Whole lines that lie in a piece of memory, to be written.
    pub fn whole_mut(memory: &mut [u8]) -> &mut [Self] {
        // SAFETY: as above.
        unsafe { memory.align_to_mut() }.1
    }

    /// Bytes of lines.
    pub fn bytes(lines: &[Self]) -> &[u8] {
        // SAFETY: the slice covers exactly the lines, which are bytes without padding.
        unsafe { core::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
    }

    /// Bytes of lines, to be written.
    pub fn bytes_mut(lines: &mut [Self]) -> &mut [u8] {
        // SAFETY: as above; any bytes are a line.
        unsafe { core::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
    }
}

/// Hands out the parts of one buffer, in order, each aligned to a [`Line`].
#[derive(Debug)]
pub struct Arena<'a> {
    free: &'a mut [Line],
}

impl<'a> Arena<'a> {
    /// Creates an arena over `lines`; their former content does not matter.
    pub fn new(lines: &'a mut [Line]) -> Self {
        Self { free: lines }
    }

    /// Bytes not yet handed out.
    pub fn free_bytes(&self) -> usize {
        self.free.len() * Line::BYTES
    }

    /// Bytes that [`take`](Self::take) will use for `len` elements of `T`; `None` if that overflows.
    pub const fn bytes_of<T>(len: usize) -> Option<usize> {
        match len.checked_mul(size_of::<T>()) {
            Some(bytes) => bytes.checked_next_multiple_of(Line::BYTES),
            None => None,
        }
    }

    /// Takes the next `len` elements, with the values that the memory held; `None` if they do not fit.
    pub fn take<T: Plain>(&mut self, len: usize) -> Option<&'a mut [T]> {
        const { assert!(align_of::<T>() <= Line::BYTES) };
        let n_lines = Self::bytes_of::<T>(len)? / Line::BYTES;
        if n_lines > self.free.len() {
            return None;
        }
        let (taken, free) = core::mem::take(&mut self.free).split_at_mut(n_lines);
        self.free = free;
        // SAFETY: `len * size_of::<T>() <= taken` bytes, aligned to 64 >= align_of::<T>(), borrowed alone for 'a,
        // and any bytes are a valid `T` (`Plain`).
        Some(unsafe { core::slice::from_raw_parts_mut(taken.as_mut_ptr().cast::<T>(), len) })
    }
}

/// Views `bytes` as numbers, in place; `None` if they are not aligned or not a whole number of them.
pub fn view<T: Plain + Copy>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: any bytes are a valid `T` (`Plain`), none of which changes behind a shared reference (`Copy`), and `align_to`
    // finds the aligned middle.
    let (before, middle, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}

/// Views numbers as bytes, in place, in the byte order of this machine.
pub fn bytes<T: Plain + Copy>(numbers: &[T]) -> &[u8] {
    const { assert!(size_of::<T>() == align_of::<T>()) };
    // SAFETY: the slice covers exactly the numbers, which have no padding (the assertion holds for numbers alone), and none of
    // them changes behind a shared reference (`Copy`).
    unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_aligned_and_bounded() {
        let mut lines = [Line::ZERO; 3];
        let mut arena = Arena::new(&mut lines);
        let a = arena.take::<f32>(17).unwrap();
        let b = arena.take::<u8>(64).unwrap();
        a.fill(1.0);
        b.fill(7);
        assert!(a.iter().all(|&x| x == 1.0));
        assert_eq!(a.as_ptr() as usize % 64, 0);
        assert_eq!(arena.free_bytes(), 0);
        assert!(arena.take::<u8>(1).is_none());
        assert!(arena.take::<u8>(usize::MAX).is_none());
    }

    #[test]
    fn numbers_and_their_bytes() {
        let numbers = [1.0f32, -0.0];
        assert_eq!(view::<f32>(bytes(&numbers)).unwrap(), numbers);
        assert_eq!(bytes(&[0x0201u16.to_le(), 0x0403u16.to_le()]), [1, 2, 3, 4]);
    }

    #[test]
    fn misaligned_bytes_are_not_viewed() {
        let lines = [Line::ZERO];
        assert!(view::<f32>(&lines[0].0[..8]).is_some());
        assert!(view::<f32>(&lines[0].0[1..9]).is_none());
        assert!(view::<f32>(&lines[0].0[..7]).is_none());
    }
}
