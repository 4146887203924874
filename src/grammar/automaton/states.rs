//! States of the automaton: sets of readings of a text, each a stack with the position of its next byte on top.

use nearfield_kernels::Arena;

use super::super::error::MatchError;
use super::nodes::{NONE, Nodes};
use crate::const_math::sum_known;

/// A transition that was not computed yet.
pub(super) const UNKNOWN: u16 = u16::MAX;
/// No reading of the text goes on.
pub(in super::super) const DEAD: u16 = u16::MAX - 1;
/// States at most.
pub(super) const MAX_STATES: usize = DEAD as usize;

/// Flag of a state in which the text may end.
pub(super) const COMPLETE: u8 = 1;
/// Flag of a state from which the vocabulary can spell a text to its end.
pub(super) const ALIVE: u8 = 2;
/// Flag of a state that is kept when memory is freed.
const KEPT: u8 = 4;

/// States, their readings and transitions.
#[derive(Debug)]
pub(super) struct States<'a> {
    /// `[n_states + 1]`: first reading of each state.
    starts: &'a mut [u32],
    flags: &'a mut [u8],
    /// Next state with the same hash. While memory is freed, new number of a state.
    chains: &'a mut [u32],
    heads: &'a mut [u32],
    /// Nodes of the readings, ascending in each state.
    readings: &'a mut [u32],
    /// `[n_states, n_classes]`: next state for each class of bytes.
    next: &'a mut [u16],
    n_classes: usize,
    n: usize,
}

impl<'a> States<'a> {
    pub const fn bytes(n: usize, n_readings: usize, n_classes: usize) -> Option<usize> {
        let Some(n_next) = n.checked_mul(n_classes) else { return None };
        sum_known([
            Arena::bytes_of::<u32>(n + 1),
            Arena::bytes_of::<u8>(n),
            Arena::bytes_of::<u32>(n),
            Arena::bytes_of::<u32>(n),
            Arena::bytes_of::<u32>(n_readings),
            Arena::bytes_of::<u16>(n_next),
        ])
    }

    pub fn take(arena: &mut Arena<'a>, n: usize, n_readings: usize, n_classes: usize) -> Option<Self> {
        let mut states = Self {
            starts: arena.take(n + 1)?,
            flags: arena.take(n)?,
            chains: arena.take(n)?,
            heads: arena.take(n)?,
            readings: arena.take(n_readings)?,
            next: arena.take(n.checked_mul(n_classes)?)?,
            n_classes,
            n: 0,
        };
        states.clear();
        Some(states)
    }

    pub fn clear(&mut self) {
        self.n = 0;
        self.heads.fill(NONE);
        if let Some(start) = self.starts.first_mut() {
            *start = 0;
        }
    }

    /// First free place for readings.
    pub fn n_readings(&self) -> usize {
        self.starts.get(self.n).map_or(0, |&start| start as usize)
    }

    pub fn flags(&self, state: u16) -> u8 {
        self.flags.get(usize::from(state)).copied().unwrap_or(0)
    }

    /// Readings of a state: their number, and each by its index.
    pub fn range(&self, state: u16) -> core::ops::Range<usize> {
        let at = usize::from(state);
        let bound = |at: usize| self.starts.get(at).map_or(0, |&start| start as usize);
        bound(at)..bound(at + 1)
    }

    pub fn reading(&self, at: usize) -> u32 {
        self.readings.get(at).copied().unwrap_or(NONE)
    }

    /// Places a reading of the state that is being made, the `i`-th.
    pub fn set_reading(&mut self, i: usize, node: u32) -> Result<(), MatchError> {
        let at = self.n_readings() + i;
        *self.readings.get_mut(at).ok_or(MatchError::Full)? = node;
        Ok(())
    }

    /// The state of the first `n` readings that were placed, with these flags: an equal one, or a new one.
    pub fn finish(&mut self, n: usize, flags: u8) -> Result<u16, MatchError> {
        let start = self.n_readings();
        let new = self.readings.get_mut(start..start + n).ok_or(MatchError::Full)?;
        sort(new);
        let mut n_unique = 0;
        for i in 0..new.len() {
            let node = new.get(i).copied().unwrap_or(NONE);
            if n_unique == 0 || new.get(n_unique - 1) != Some(&node) {
                if let Some(slot) = new.get_mut(n_unique) {
                    *slot = node;
                }
                n_unique += 1;
            }
        }
        let new = self.readings.get(start..start + n_unique).unwrap_or_default();
        let list = self.list(new, flags);
        let mut state = self.heads.get(list).copied().unwrap_or(NONE);
        while let Some(&old_flags) = self.flags.get(state as usize) {
            let old = self.readings.get(self.range(state as u16)).unwrap_or_default();
            if old_flags == flags && old == new {
                return Ok(state as u16);
            }
            state = self.chains.get(state as usize).copied().unwrap_or(NONE);
        }
        let state = self.n;
        *self.flags.get_mut(state).ok_or(MatchError::Full)? = flags;
        self.n += 1;
        if let Some(end) = self.starts.get_mut(self.n) {
            *end = (start + n_unique) as u32;
        }
        self.link(state, list);
        if let Some(next) = self.next.get_mut(state * self.n_classes..(state + 1) * self.n_classes) {
            next.fill(UNKNOWN);
        }
        Ok(state as u16)
    }

    fn list(&self, readings: &[u32], flags: u8) -> usize {
        let hash = readings
            .iter()
            .fold(u32::from(flags), |hash, &node| (hash.rotate_left(5) ^ node).wrapping_mul(0x9e37_79b1));
        ((u64::from(hash) * self.heads.len() as u64) >> 32) as usize
    }

    fn link(&mut self, state: usize, list: usize) {
        if let (Some(chain), Some(head)) = (self.chains.get_mut(state), self.heads.get_mut(list)) {
            *chain = core::mem::replace(head, state as u32);
        }
    }

    /// Next state for a class of bytes, [`DEAD`] or [`UNKNOWN`].
    #[inline]
    pub fn next(&self, state: u16, class: usize) -> u16 {
        self.next.get(usize::from(state) * self.n_classes + class).copied().unwrap_or(DEAD)
    }

    pub fn set_next(&mut self, state: u16, class: usize, next: u16) {
        if let Some(slot) = self.next.get_mut(usize::from(state) * self.n_classes + class) {
            *slot = next;
        }
    }

    /// Marks a state and the nodes of its readings to be kept.
    pub fn keep(&mut self, state: u16, nodes: &mut Nodes<'_>) {
        if let Some(flags) = self.flags.get_mut(usize::from(state)).filter(|flags| **flags & KEPT == 0) {
            *flags |= KEPT;
            self.range(state).for_each(|at| nodes.keep(self.reading(at)));
        }
    }

    /// Drops the states that are not marked, and all transitions; `nodes` has new numbers. [`moved`](Self::moved) has those of
    /// states until [`relink`](Self::relink).
    pub fn sweep(&mut self, nodes: &Nodes<'_>) {
        let (n_old, mut n, mut end) = (self.n, 0, 0);
        for state in 0..n_old {
            let range = self.range(state as u16);
            let kept = self.flags.get(state).copied().filter(|flags| flags & KEPT != 0);
            if let Some(chain) = self.chains.get_mut(state) {
                *chain = if kept.is_some() { n as u32 } else { NONE };
            }
            let Some(flags) = kept else { continue };
            for at in range {
                let node = nodes.moved(self.reading(at));
                if let Some(slot) = self.readings.get_mut(end) {
                    *slot = node;
                }
                end += 1;
            }
            if let Some(slot) = self.flags.get_mut(n) {
                *slot = flags & !KEPT;
            }
            n += 1;
            // Bounds of states that were not read yet lie behind this one.
            if let Some(bound) = self.starts.get_mut(n).filter(|_| n <= state) {
                *bound = end as u32;
            }
        }
        self.n = n;
    }

    /// New number of a state that was kept; [`DEAD`] if it was not.
    pub fn moved(&self, state: u16) -> u16 {
        self.chains.get(usize::from(state)).copied().filter(|&to| to != NONE).map_or(DEAD, |to| to as u16)
    }

    /// Makes the lists of states anew.
    pub fn relink(&mut self) {
        self.heads.fill(NONE);
        self.next.fill(UNKNOWN);
        for state in 0..self.n {
            let flags = self.flags(state as u16);
            let list = self.list(self.readings.get(self.range(state as u16)).unwrap_or_default(), flags);
            self.link(state, list);
        }
    }
}

/// Sorts numbers by heapsort. `sort_unstable` would take 4 KB of a board's flash, and has a branch that panics.
fn sort(mut numbers: &mut [u32]) {
    if numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| a <= b) {
        return;
    }
    for root in (0..numbers.len() / 2).rev() {
        sift_down(numbers, root);
    }
    // The first of the heap is its greatest: it goes behind all that are left.
    while let [first, .., last] = &mut *numbers {
        core::mem::swap(first, last);
        let Some((_, rest)) = numbers.split_last_mut() else { return };
        numbers = rest;
        sift_down(numbers, 0);
    }
}

/// Moves the number at `root` down until none below it is greater.
fn sift_down(heap: &mut [u32], mut root: usize) {
    while let Some([left, others @ ..]) = heap.get(2 * root + 1..) {
        let (at, child) = match others.first() {
            Some(right) if right > left => (2 * root + 2, *right),
            _ => (2 * root + 1, *left),
        };
        let Some(parent) = heap.get_mut(root).filter(|parent| **parent < child) else { return };
        let value = core::mem::replace(parent, child);
        if let Some(slot) = heap.get_mut(at) {
            *slot = value;
        }
        root = at;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn numbers_are_sorted() {
        for n in 0..200u32 {
            let mut numbers: Vec<u32> = (0..n).map(|i| i.wrapping_mul(0x9e37_79b1) >> (i % 29)).collect();
            let mut want = numbers.clone();
            want.sort_unstable();
            sort(&mut numbers);
            assert_eq!(numbers, want, "{n}");
        }
    }
}
