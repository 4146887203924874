//! Lists of token ids and of places, as small as the vocabulary allows.

use nearfield_kernels::Arena;

/// Numbers in the arena: of two bytes where all of them fit, of four otherwise.
#[derive(Debug)]
pub(super) enum Numbers<'a> {
    U16(&'a mut [u16]),
    U32(&'a mut [u32]),
}

impl<'a> Numbers<'a> {
    /// Whether numbers up to `max` need four bytes.
    pub const fn wide(max: usize) -> bool {
        max > u16::MAX as usize
    }

    /// Bytes of arena that `len` numbers take.
    pub const fn bytes_of(wide: bool, len: usize) -> Option<usize> {
        if wide { Arena::bytes_of::<u32>(len) } else { Arena::bytes_of::<u16>(len) }
    }

    /// `len` zeros; `None` if the arena has not that much.
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

    pub fn len(&self) -> usize {
        match self {
            Self::U16(numbers) => numbers.len(),
            Self::U32(numbers) => numbers.len(),
        }
    }

    pub fn get(&self, at: usize) -> u32 {
        match self {
            Self::U16(numbers) => numbers[at].into(),
            Self::U32(numbers) => numbers[at],
        }
    }

    /// `number` fits: [`wide`](Self::wide) was asked with the largest.
    pub fn set(&mut self, at: usize, number: u32) {
        match self {
            Self::U16(numbers) => numbers[at] = number as u16,
            Self::U32(numbers) => numbers[at] = number,
        }
    }
}
