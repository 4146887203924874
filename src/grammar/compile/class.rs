//! Character classes as sequences of byte ranges: the UTF-8 of each character, and nothing else.

use super::super::error::GrammarError;
use super::super::program::Op;
use super::memory::Memory;

const MAX: u32 = char::MAX as u32;
/// First and last surrogate, which are no characters.
const SURROGATES: (u32, u32) = (0xd800, 0xdfff);

/// Ranges of code points, ascending and disjoint.
pub(super) struct Ranges;

impl Ranges {
    /// Every character.
    pub const ANY: [(u32, u32); 1] = [(0, MAX)];
}

/// Writes a class of these ranges.
pub(super) fn emit(memory: &mut Memory<'_>, ranges: &[(u32, u32)]) -> Result<(), GrammarError> {
    let mut out = Alternatives::new(memory);
    ranges.iter().try_for_each(|&(lo, hi)| out.range(lo, hi))?;
    out.finish()
}

/// Writes a class of the `n / 2` ranges that lie in the free memory, or of all other characters.
pub(super) fn emit_pairs(memory: &mut Memory<'_>, n: usize, negated: bool) -> Result<(), GrammarError> {
    // Instructions are written from the front, so the ranges move to the back.
    let free = memory.free();
    let start = free.len().saturating_sub(n);
    free.copy_within(..n, start);
    let n_pairs = {
        let pairs = free.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>().0;
        pairs.sort_unstable();
        merge(pairs)
    };
    let n_code = memory.len();
    let mut next = 0;
    let mut out = Alternatives::new(memory);
    for i in 0..n_pairs {
        // The free memory shrinks from the front as instructions are written.
        let too_small = out.memory.too_small();
        let Some(at) = start.checked_sub(out.memory.len() - n_code) else { return Err(too_small) };
        let pair = out.memory.free().get(at + 2 * i..).and_then(|rest| rest.first_chunk::<2>());
        let Some(&[lo, hi]) = pair else { return Err(too_small) };
        match negated {
            true if next < lo => out.range(next, lo - 1)?,
            true => {}
            false => out.range(lo, hi)?,
        }
        next = hi + 1;
        if out.memory.len() - n_code > start {
            // Instructions ran over the ranges.
            return Err(out.memory.too_small());
        }
    }
    if negated && next <= MAX {
        out.range(next, MAX)?;
    }
    out.finish()
}

/// Merges sorted ranges that overlap or touch; returns their number.
fn merge(pairs: &mut [[u32; 2]]) -> usize {
    let mut n = 0usize;
    for i in 0..pairs.len() {
        let Some(&[lo, hi]) = pairs.get(i) else { break };
        match pairs.get_mut(n.wrapping_sub(1)) {
            Some(last) if lo <= last[1].saturating_add(1) => last[1] = last[1].max(hi),
            _ => {
                if let Some(pair) = pairs.get_mut(n) {
                    *pair = [lo, hi];
                }
                n += 1;
            }
        }
    }
    n
}

/// Alternatives, each a sequence of byte ranges.
struct Alternatives<'o, 'm> {
    memory: &'o mut Memory<'m>,
    start: usize,
    /// The sequence that was found last and is not written yet.
    last: Option<([(u8, u8); 4], usize)>,
    n_written: usize,
}

impl<'o, 'm> Alternatives<'o, 'm> {
    fn new(memory: &'o mut Memory<'m>) -> Self {
        let start = memory.len();
        Self { memory, start, last: None, n_written: 0 }
    }

    /// Adds the characters from `lo` to `hi`.
    fn range(&mut self, lo: u32, hi: u32) -> Result<(), GrammarError> {
        if lo > hi {
            return Ok(());
        }
        if lo <= SURROGATES.1 && hi >= SURROGATES.0 {
            self.range(lo, SURROGATES.0 - 1)?;
            return self.range(SURROGATES.1 + 1, hi);
        }
        for last in [0x7f, 0x7ff, 0xffff] {
            if lo <= last && last < hi {
                self.range(lo, last)?;
                return self.range(last + 1, hi);
            }
        }
        // Cuts until all bytes but the first that differ run from their least to their greatest.
        for bits in [6, 12, 18] {
            let mask = (1 << bits) - 1;
            if lo > 0x7f && lo & !mask != hi & !mask {
                if lo & mask != 0 {
                    self.range(lo, lo | mask)?;
                    return self.range((lo | mask) + 1, hi);
                }
                if hi & mask != mask {
                    self.range(lo, (hi & !mask) - 1)?;
                    return self.range(hi & !mask, hi);
                }
            }
        }
        self.bytes(lo, hi)
    }

    /// Adds characters whose UTF-8 is one sequence of byte ranges.
    fn bytes(&mut self, lo: u32, hi: u32) -> Result<(), GrammarError> {
        let (mut first, mut last) = ([0; 4], [0; 4]);
        let utf8 = |code, bytes: &mut [u8; 4]| char::from_u32(code).map(|c| c.encode_utf8(bytes).len());
        let (Some(n), Some(_)) = (utf8(lo, &mut first), utf8(hi, &mut last)) else { return Ok(()) };
        self.write(true)?;
        let mut ranges = [(0, 0); 4];
        ranges.iter_mut().zip(first.into_iter().zip(last)).for_each(|(range, bytes)| *range = bytes);
        self.last = Some((ranges, n));
        Ok(())
    }

    /// Writes the last sequence; with a way around it if more follow.
    fn write(&mut self, more: bool) -> Result<(), GrammarError> {
        let Some((ranges, n)) = self.last.take() else { return Ok(()) };
        if more {
            self.memory.push(Op::Split(n as i32 + 2))?;
        }
        for &(lo, hi) in ranges.iter().take(n) {
            self.memory.push(Op::Byte(lo, hi))?;
        }
        if more {
            // The length of the rest is not known yet.
            self.memory.push(Op::Jump(0))?;
        }
        self.n_written += 1;
        Ok(())
    }

    /// Ends the class. One without characters becomes a jump to itself, from which no text ends.
    fn finish(mut self) -> Result<(), GrammarError> {
        self.write(false)?;
        if self.n_written == 0 {
            return self.memory.push(Op::Jump(0));
        }
        let end = self.memory.len();
        for at in self.start..end {
            if self.memory.code().get(at) == Some(&Op::Jump(0).encode()) {
                self.memory.set(at, Op::Jump((end - at) as i32));
            }
        }
        Ok(())
    }
}
