//! Table of the tokens whose logits may change: those of the history, and those with a bias. In borrowed memory, by token.

/// Rows by token, the lowest first.
pub(super) struct Table<'m> {
    n: &'m mut usize,
    tokens: &'m mut [u32],
    /// Reasons to keep a row: occurrences in the history, and biases.
    held: &'m mut [u32],
    /// Occurrences among the tokens under penalties.
    recent: &'m mut [u32],
    /// Bits of the logits that the steps give.
    logits: &'m mut [u32],
    /// Scratch of DRY: length of the longest repetition that the token would continue, plus 1; 0 for none.
    repeated: &'m mut [u32],
}

impl<'m> Table<'m> {
    /// Number of columns.
    pub const COLUMNS: usize = 5;

    /// Table in memory that holds `capacity` rows.
    ///
    /// - `n`: number of rows in use
    pub fn new(memory: &'m mut [u32], capacity: usize, n: &'m mut usize) -> Self {
        let mut memory = memory;
        let mut column = || memory.split_off_mut(..capacity).unwrap_or_default();
        let [tokens, held, recent, logits, repeated] = [column(), column(), column(), column(), column()];
        Self { n, tokens, held, recent, logits, repeated }
    }

    fn find(&self, token: u32) -> Result<usize, usize> {
        self.tokens.get(..*self.n).unwrap_or_default().binary_search(&token)
    }

    /// Adds a reason to keep the row of a token.
    pub fn hold(&mut self, token: u32) {
        match self.find(token) {
            Ok(row) => add(self.held, row, 1),
            // The capacity is the number of reasons.
            Err(row) => {
                for (column, value) in [(&mut *self.tokens, token), (self.held, 1), (self.recent, 0)] {
                    insert(column.get_mut(row..=*self.n).unwrap_or_default(), value);
                }
                *self.n += 1;
            }
        }
    }

    /// Takes a reason back, and with the last one the row.
    pub fn release(&mut self, token: u32) {
        let Ok(row) = self.find(token) else { return };
        add(self.held, row, u32::MAX);
        if self.held.get(row) == Some(&0) {
            for column in [&mut *self.tokens, self.held, self.recent] {
                remove(column.get_mut(row..*self.n).unwrap_or_default());
            }
            *self.n -= 1;
        }
    }

    /// Counts a token that came under penalties.
    pub fn count(&mut self, token: u32) {
        if let Ok(row) = self.find(token) {
            add(self.recent, row, 1);
        }
    }

    /// Takes back the count of a token that is under penalties no more.
    pub fn discount(&mut self, token: u32) {
        if let Ok(row) = self.find(token) {
            add(self.recent, row, u32::MAX);
        }
    }

    /// Begins with the logits of the model: NaN where there is none.
    pub fn load(&mut self, logits: &[f32]) {
        for (to, &token) in self.logits.iter_mut().zip(self.tokens.iter().take(*self.n)) {
            *to = logits.get(token as usize).copied().unwrap_or(f32::NAN).to_bits();
        }
    }

    /// Changes the logit of a token.
    pub fn change(&mut self, token: u32, change: impl FnOnce(f32) -> f32) {
        if let Some(logit) = self.find(token).ok().and_then(|row| self.logits.get_mut(row)) {
            *logit = change(f32::from_bits(*logit)).to_bits();
        }
    }

    /// Changes the logits of tokens under penalties; `change` gets logit and count.
    pub fn change_recent(&mut self, change: impl Fn(f32, u32) -> f32) {
        let counts = self.recent.iter().take(*self.n);
        for (logit, &count) in self.logits.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
            *logit = change(f32::from_bits(*logit), count).to_bits();
        }
    }

    /// Forgets all repetitions.
    pub fn clear_repeated(&mut self) {
        self.repeated.iter_mut().take(*self.n).for_each(|longest| *longest = 0);
    }

    /// Notes that a token would continue a repetition of `len` tokens.
    pub fn note_repeated(&mut self, token: u32, len: usize) {
        if let Some(longest) = self.find(token).ok().and_then(|row| self.repeated.get_mut(row)) {
            *longest = (*longest).max((len as u32).saturating_add(1));
        }
    }

    /// Changes the logits of tokens that would continue a repetition; `change` gets token, logit and length.
    pub fn change_repeated(&mut self, change: impl Fn(u32, f32, u32) -> f32) {
        let rows = self.tokens.iter().zip(&*self.repeated).take(*self.n);
        for (logit, (&token, &longest)) in self.logits.iter_mut().zip(rows) {
            if let Some(len) = longest.checked_sub(1) {
                *logit = change(token, f32::from_bits(*logit), len).to_bits();
            }
        }
    }

    /// Tokens of the rows with their logits, the lowest token first.
    pub fn changed(&self) -> impl Iterator<Item = (u32, f32)> + Clone + use<'_> {
        self.tokens.iter().zip(&*self.logits).take(*self.n).map(|(&token, &logit)| (token, f32::from_bits(logit)))
    }
}

/// Adds to a number of a column; `u32::MAX` takes 1 away.
fn add(column: &mut [u32], row: usize, n: u32) {
    if let Some(value) = column.get_mut(row) {
        *value = value.wrapping_add(n);
    }
}

/// Moves all values one row on, over the last, and puts `value` into the first.
fn insert(rows: &mut [u32], value: u32) {
    let mut value = value;
    rows.iter_mut().for_each(|row| core::mem::swap(row, &mut value));
}

/// Moves all values one row back, over the first.
fn remove(rows: &mut [u32]) {
    let mut value = 0;
    rows.iter_mut().rev().for_each(|row| core::mem::swap(row, &mut value));
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;

    use super::*;
    use crate::sampler::rng::Rng;

    #[test]
    fn rows_are_those_of_a_map() {
        let (mut memory, mut n, mut rng) = ([0; 20 * Table::COLUMNS], 0, Rng::new(3));
        let (mut held, mut recent) = (BTreeMap::<u32, u32>::new(), BTreeMap::<u32, u32>::new());
        for _ in 0..3000 {
            let mut table = Table::new(&mut memory, 20, &mut n);
            let token = rng.below(30) as u32;
            if held.len() < 20 && rng.below(2) == 0 {
                table.hold(token);
                table.count(token);
                *held.entry(token).or_default() += 1;
                *recent.entry(token).or_default() += 1;
            } else if held.contains_key(&token) {
                table.discount(token);
                table.release(token);
                for map in [&mut held, &mut recent] {
                    let count = map.get_mut(&token).unwrap();
                    *count -= 1;
                    if *count == 0 {
                        map.remove(&token);
                    }
                }
            }
            table.load(&[1.0; 25]);
            table.change_recent(|logit, count| logit + count as f32);
            let got: BTreeMap<u32, f32> = table.changed().filter(|row| !row.1.is_nan()).collect();
            let want =
                recent.iter().filter(|row| *row.0 < 25).map(|(&token, &count)| (token, 1.0 + count as f32)).collect();
            assert_eq!(got, want);
            assert!(table.changed().map(|row| row.0).eq(held.keys().copied()));
        }
    }
}
