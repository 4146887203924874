//! Prompt lookup: guesses from the text itself.
//!
//! Source: [Saxena 2023](https://github.com/apoorvumang/prompt-lookup-decoding).

use super::Drafter;
use crate::config::SessionConfig;

/// Shortest and longest end of the text that is looked up. A longer one tells no more.
const SHORTEST: usize = 2;
const LONGEST: usize = 16;
/// Guesses of a first draft.
const FIRST_DRAFT: usize = 3;

/// Drafter that looks up the end of the text in the text before it, and guesses that what followed there follows again.
///
/// The longest end that occurred before counts, and of equally long ones the newest. Drafts grow while all guesses come true;
/// after a draft of which none did, an end has to be longer to be believed. So a text that repeats nothing costs nothing.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// The newest tokens of the text.
    tokens: &'a mut [u32],
    n: usize,
    /// Guesses of the next draft at most.
    n_next: usize,
    /// Length of an end that is believed.
    shortest: usize,
}

impl<'a> Lookup<'a> {
    /// A drafter that remembers at least half as many of the newest tokens as `memory` has room for.
    pub fn new(memory: &'a mut [u32]) -> Self {
        Self { tokens: memory, n: 0, n_next: FIRST_DRAFT, shortest: SHORTEST }
    }

    fn text(&self) -> &[u32] {
        self.tokens.get(..self.n).unwrap_or_default()
    }

    /// Place behind the newest of the longest earlier occurrences of the text's end, and the length of that end.
    fn find(&self) -> Option<(usize, usize)> {
        let text = self.text();
        let (&last, before) = text.split_last()?;
        let mut found = None;
        for (at, _) in before.iter().enumerate().rev().filter(|&(_, &token)| token == last) {
            let longest = found.map_or(self.shortest - 1, |(_, n)| n);
            let n = common_end(before.get(..=at).unwrap_or_default(), text);
            if n > longest {
                found = Some((at + 1, n));
            }
            if n == LONGEST {
                break;
            }
        }
        found
    }
}

/// Number of tokens at the ends of both texts that are the same, up to [`LONGEST`].
fn common_end(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(LONGEST).take_while(|(a, b)| a == b).count()
}

impl Drafter for Lookup<'_> {
    fn accept(&mut self, token: u32) {
        if self.n == self.tokens.len() {
            // The older half makes room.
            let half = self.n / 2;
            self.tokens.copy_within(self.n - half.., 0);
            self.n = half;
        }
        if let Some(slot) = self.tokens.get_mut(self.n) {
            *slot = token;
            self.n += 1;
        }
    }

    fn draft(&mut self, guesses: &mut [u32]) -> usize {
        let Some((at, _)) = self.find() else { return 0 };
        // Where the text repeats itself with a short period, the guesses go on into themselves.
        let period = self.n - at;
        let n = guesses.len().min(self.n_next);
        for (i, guess) in guesses.iter_mut().take(n).enumerate() {
            *guess = self.text().get(at + i % period).copied().unwrap_or_default();
        }
        n
    }

    fn outcome(&mut self, n_run: usize, n_true: usize) {
        if n_true == n_run {
            self.n_next = (2 * self.n_next + 1).min(SessionConfig::MAX_DRAFT);
        } else {
            self.n_next = FIRST_DRAFT.max(n_true);
        }
        self.shortest = if n_true > 0 { SHORTEST } else { (2 * self.shortest).min(LONGEST) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn drafted(lookup: &mut Lookup<'_>, text: &[u32], n: usize) -> Vec<u32> {
        text.iter().for_each(|&token| lookup.accept(token));
        let mut guesses = [0; 15];
        let n = lookup.draft(&mut guesses[..n]);
        guesses[..n].to_vec()
    }

    #[test]
    fn what_followed_the_longest_end_is_guessed() {
        let text = [7, 1, 2, 3, 4, 5, 9, 2, 3, 8, 1, 2, 3];
        assert_eq!(drafted(&mut Lookup::new(&mut [0; 64]), &text, 3), [4, 5, 9]);
        assert_eq!(drafted(&mut Lookup::new(&mut [0; 64]), &text, 2), [4, 5]);
    }

    #[test]
    fn of_equally_long_ends_the_newest_counts() {
        let text = [1, 2, 3, 0, 1, 2, 4, 0, 1, 2];
        assert_eq!(drafted(&mut Lookup::new(&mut [0; 64]), &text, 1), [4]);
    }

    #[test]
    fn a_text_that_repeats_nothing_is_not_guessed() {
        assert_eq!(drafted(&mut Lookup::new(&mut [0; 64]), &[1, 2, 3, 4, 5, 4], 3), []);
        assert_eq!(drafted(&mut Lookup::new(&mut [0; 64]), &[], 3), []);
        assert_eq!(drafted(&mut Lookup::new(&mut []), &[1, 2, 1, 2], 3), []);
    }

    #[test]
    fn a_short_period_is_continued() {
        let mut memory = [0; 64];
        let mut lookup = Lookup::new(&mut memory);
        assert_eq!(drafted(&mut lookup, &[5, 6, 5, 6], 15), [5, 6, 5]);
        lookup.outcome(3, 3);
        assert_eq!(drafted(&mut lookup, &[], 15), [5, 6, 5, 6, 5, 6, 5]);
        lookup.outcome(7, 7);
        assert_eq!(drafted(&mut lookup, &[], 15).len(), 15);
    }

    #[test]
    fn after_a_failure_only_a_longer_end_is_believed() {
        let mut memory = [0; 64];
        let mut lookup = Lookup::new(&mut memory);
        assert_eq!(drafted(&mut lookup, &[1, 2, 3, 4, 9, 2, 3], 1), [4]);
        lookup.outcome(1, 0);
        assert_eq!(drafted(&mut lookup, &[8, 2, 3], 1), []);
        assert_eq!(drafted(&mut lookup, &[7, 9, 2, 3, 8, 2, 3], 1), [7]);
    }

    #[test]
    fn the_newest_tokens_are_remembered() {
        let mut memory = [0; 8];
        let mut lookup = Lookup::new(&mut memory);
        let text: Vec<u32> = (0..100).chain([50, 51, 52, 50, 51]).collect();
        assert_eq!(drafted(&mut lookup, &text, 1), [52]);
        assert_eq!(drafted(&mut lookup, &[10, 11], 1), []);
    }
}
