//! Counts of the guesses of a drafter.

use nearfield::Drafter;

use super::Drafts;

/// Drafter that counts its guesses.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    drafter: &'a mut dyn Drafter,
    counts: &'a mut Drafts,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(drafter: &'a mut dyn Drafter, counts: &'a mut Drafts) -> Self {
        Self { drafter, counts }
    }
}

impl Drafter for Counted<'_> {
    fn accept(&mut self, token: u32) {
        self.drafter.accept(token);
    }

    fn draft(&mut self, guesses: &mut [u32]) -> usize {
        self.drafter.draft(guesses)
    }

    fn outcome(&mut self, n_run: usize, n_true: usize) {
        self.counts.n_run += n_run;
        self.counts.n_true += n_true;
        self.drafter.outcome(n_run, n_true);
    }
}
