//! Branches of a step that wait to be followed, each only once.

use nearfield_kernels::Arena;

use super::super::error::MatchError;

/// Positions with their stacks, in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    /// Position, stack, and slot in the table.
    items: &'a mut [[u32; 3]],
    /// `[2 * items]`: number of an item plus one, by hash; 0 for none.
    table: &'a mut [u32],
    n: usize,
}

impl<'a> Queue<'a> {
    pub const fn bytes(n: usize) -> Option<usize> {
        let (Some(items), Some(slots)) = (n.checked_mul(3), n.checked_mul(2)) else { return None };
        match (Arena::bytes_of::<u32>(items), Arena::bytes_of::<u32>(slots)) {
            (Some(items), Some(table)) => items.checked_add(table),
            _ => None,
        }
    }

    pub fn take(arena: &mut Arena<'a>, n: usize) -> Option<Self> {
        let items = arena.take::<u32>(n.checked_mul(3)?)?.as_chunks_mut().0;
        let table = arena.take::<u32>(n.checked_mul(2)?)?;
        table.fill(0);
        Some(Self { items, table, n: 0 })
    }

    pub fn clear(&mut self) {
        for &[_, _, slot] in self.items.iter().take(self.n) {
            if let Some(slot) = self.table.get_mut(slot as usize) {
                *slot = 0;
            }
        }
        self.n = 0;
    }

    pub fn get(&self, i: usize) -> Option<(usize, u32)> {
        self.items.get(..self.n)?.get(i).map(|&[at, stack, _]| (at as usize, stack))
    }

    /// Adds a position on a stack if it is new.
    pub fn push(&mut self, at: usize, stack: u32) -> Result<(), MatchError> {
        let at = at as u32;
        let n_slots = self.table.len();
        let hash = (at.wrapping_mul(0x9e37_79b1) ^ stack).wrapping_mul(0x85eb_ca6b);
        let mut slot = ((u64::from(hash) * n_slots as u64) >> 32) as usize;
        // Half of the slots are free, so the search ends.
        while let Some(&number) = self.table.get(slot) {
            let Some(item) = number.checked_sub(1) else { break };
            if self.items.get(item as usize).is_some_and(|item| item[..2] == [at, stack]) {
                return Ok(());
            }
            slot = if slot + 1 == n_slots { 0 } else { slot + 1 };
        }
        *self.items.get_mut(self.n).ok_or(MatchError::Full)? = [at, stack, slot as u32];
        self.n += 1;
        if let Some(number) = self.table.get_mut(slot) {
            *number = self.n as u32;
        }
        Ok(())
    }
}
