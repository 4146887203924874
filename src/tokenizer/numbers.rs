//! Lists of token ids and of places, in two or four bytes each as the vocabulary needs.

use core::cmp::Ordering;
use core::mem::size_of;
use core::ops::Range;

use nearfield_kernels::Arena;

use crate::sections::Sections;

/// Numbers in the arena or in flash: of two bytes if all of them fit, of four otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers<'a> {
    U16(&'a [u16]),
    U32(&'a [u32]),
}

impl<'a> Numbers<'a> {
    /// True if numbers up to `max` need four bytes.
    pub const fn wide(max: usize) -> bool {
        max > u16::MAX as usize
    }

    /// Bytes in the index for `len` numbers.
    pub const fn bytes_of(wide: bool, len: usize) -> Option<usize> {
        if wide { Arena::bytes_of::<u32>(len) } else { Arena::bytes_of::<u16>(len) }
    }

    /// Reads the next `len` numbers of a prepared index; `None` if it ends before.
    pub fn read(parts: &mut Sections<'a>, wide: bool, len: usize) -> Option<Self> {
        Some(if wide { Self::U32(parts.take(len)?) } else { Self::U16(parts.take(len)?) })
    }

    pub fn len(&self) -> usize {
        match self {
            Self::U16(numbers) => numbers.len(),
            Self::U32(numbers) => numbers.len(),
        }
    }

    pub fn get(&self, at: usize) -> Option<u32> {
        match self {
            Self::U16(numbers) => numbers.get(at).map(|&number| number.into()),
            Self::U32(numbers) => numbers.get(at).copied(),
        }
    }

    /// True if no number is above `max`.
    pub fn all_up_to(&self, max: usize) -> bool {
        match self {
            Self::U16(numbers) => numbers.iter().all(|&number| usize::from(number) <= max),
            Self::U32(numbers) => numbers.iter().all(|&number| number as usize <= max),
        }
    }

    /// Words of the numbers in a prepared index: four bytes each, with zeros up to the end of the line.
    pub fn words(self) -> impl Iterator<Item = u32> {
        let bytes = Self::bytes_of(matches!(self, Self::U32(_)), self.len()).unwrap_or(0);
        // Zeros follow the last number.
        let number = move |at| self.get(at).unwrap_or(0);
        (0..bytes / size_of::<u32>()).map(move |i| match self {
            Self::U16(_) => number(2 * i) | number(2 * i + 1) << 16,
            Self::U32(_) => number(i),
        })
    }
}

/// [`Numbers`] that are being made.
#[derive(Debug)]
pub(crate) enum NumbersMut<'a> {
    U16(&'a mut [u16]),
    U32(&'a mut [u32]),
}

impl<'a> NumbersMut<'a> {
    /// Takes `len` zeros; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>, wide: bool, len: usize) -> Option<Self> {
        if wide {
            let numbers = arena.take(len)?;
            numbers.fill(0);
            Some(Self::U32(numbers))
        } else {
            let numbers = arena.take(len)?;
            numbers.fill(0);
            Some(Self::U16(numbers))
        }
    }

    /// View of the numbers so far.
    pub fn view(&self) -> Numbers<'_> {
        match self {
            Self::U16(numbers) => Numbers::U16(numbers),
            Self::U32(numbers) => Numbers::U32(numbers),
        }
    }

    /// Stores `number`, which fits because `wide` was chosen for the largest one.
    pub fn set(&mut self, at: usize, number: u32) {
        match self {
            Self::U16(numbers) => numbers[at] = number as u16,
            Self::U32(numbers) => numbers[at] = number,
        }
    }

    /// Sorts the numbers in `range` by `order`; none if the range is not inside.
    pub fn sort(&mut self, range: Range<usize>, mut order: impl FnMut(u32, u32) -> Ordering) {
        match self {
            Self::U16(numbers) => {
                numbers.get_mut(range).unwrap_or_default().sort_unstable_by(|&a, &b| order(a.into(), b.into()));
            }
            Self::U32(numbers) => {
                numbers.get_mut(range).unwrap_or_default().sort_unstable_by(|&a, &b| order(a, b));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Ends the writing: returns the numbers for reading only.
    pub fn finish(self) -> Numbers<'a> {
        match self {
            Self::U16(numbers) => Numbers::U16(numbers),
            Self::U32(numbers) => Numbers::U32(numbers),
        }
    }
}
