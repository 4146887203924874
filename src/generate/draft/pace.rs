//! Pace of a draft model: the number of guesses of the next draft, by how those before came true.

use crate::config::SessionConfig;

/// Guesses of a first draft.
const FIRST_DRAFT: usize = 3;
/// Failures in a row that are nothing unusual.
const USUAL: u32 = 3;
/// Drafts that are left out in a row, at most: 2^5 - 1.
const LONGEST_PAUSE: u32 = 5;

/// Number of guesses of the next draft.
///
/// Each guess takes a pass of the draft model. So a draft has one guess more than came true before, or twice as many and one where all
/// did. A draft fails if none of its guesses comes true, or if it has none. After four failures in a row a draft is left out,
/// and after each more about twice as many, so that a model that guesses no better than chance costs little more than reading
/// the text.
#[derive(Debug)]
pub(super) struct Pace {
    n_next: usize,
    /// Failures in a row, as far as they count.
    n_failed: u32,
    /// Drafts that are left out.
    pause: u32,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { n_next: FIRST_DRAFT, n_failed: 0, pause: 0 }
    }

    /// Guesses of the draft that is due; 0 to leave it out.
    pub(super) fn n_guesses(&mut self) -> usize {
        if self.pause > 0 {
            self.pause -= 1;
            return 0;
        }
        self.n_next
    }

    /// Notes a draft without a guess.
    pub(super) fn empty(&mut self) {
        self.pause = (1 << self.n_failed.saturating_sub(USUAL)) - 1;
        self.n_failed = (self.n_failed + 1).min(USUAL + LONGEST_PAUSE);
    }

    /// Notes how many guesses of a draft came true.
    pub(super) fn outcome(&mut self, n_run: usize, n_true: usize) {
        if n_true == 0 {
            self.n_next = 1;
            self.empty();
            return;
        }
        let n = if n_true == n_run { 2 * self.n_next.max(n_true) + 1 } else { n_true + 1 };
        (self.n_next, self.n_failed) = (n.min(SessionConfig::MAX_DRAFT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_grow_while_all_guesses_come_true() {
        let mut pace = Pace::new();
        for want in [3, 7, 15, 15] {
            assert_eq!(pace.n_guesses(), want);
            pace.outcome(want, want);
        }
        pace.outcome(15, 4);
        assert_eq!(pace.n_guesses(), 5);
    }

    #[test]
    fn after_failures_drafts_are_left_out() {
        let mut pace = Pace::new();
        for (i, want) in [0, 0, 0, 0, 1, 3, 7, 15, 31, 31].into_iter().enumerate() {
            if i % 3 == 1 {
                pace.empty()
            } else {
                pace.outcome(1, 0)
            }
            let n_left_out = (0..100).position(|_| pace.n_guesses() > 0);
            assert_eq!(n_left_out, Some(want));
        }
        pace.outcome(1, 1);
        assert_eq!(pace.n_guesses(), 3);
        pace.outcome(3, 0);
        assert_eq!(pace.n_guesses(), 1);
    }
}
