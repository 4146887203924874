//! The chain behind the changes of logits: filters, temperature, draw.

use super::candidates::{Candidate, best};
use super::config::SamplerConfig;
use super::draw::draw;
use super::rng::Rng;
use super::shortlist::Shortlist;
use super::typical::Typical;
use super::{min_p, temp, top_k, top_p};

/// Settings and state of the chain.
#[derive(Debug)]
pub(super) struct Chain {
    pub config: SamplerConfig,
    /// `ln(min_p)`.
    ln_min_p: f32,
    pub rng: Rng,
}

impl Chain {
    pub fn new(config: SamplerConfig) -> Self {
        Self { config, ln_min_p: min_p::ln(config.min_p), rng: Rng::new(config.seed) }
    }

    /// Chooses a token among candidates, of which there are `n` at most; `None` if there are none.
    ///
    /// - `TYPICAL`: false leaves the code of that step out
    pub fn choose<const TYPICAL: bool>(
        &mut self,
        candidates: impl Iterator<Item = Candidate> + Clone,
        n: usize,
    ) -> Option<u32> {
        let best = best(candidates.clone())?;
        if best.logit == f32::NEG_INFINITY || (self.config.temp == 0.0 && !self.is_typical::<TYPICAL>()) {
            return Some(best.token);
        }
        let shortlist = top_k::shortlist(candidates.clone(), self.config.top_k, n);
        let (kept, best) = self.kept::<TYPICAL, _>(candidates, n, &shortlist, best);
        if self.config.temp == 0.0 {
            return Some(best.token);
        }
        draw(temp::weights(kept, self.config.temp, best.logit), &mut self.rng).or(Some(best.token))
    }

    /// Calls `each` with the tokens among which [`choose`](Self::choose) draws, and their weights.
    pub fn weigh<const TYPICAL: bool>(
        &self,
        candidates: impl Iterator<Item = Candidate> + Clone,
        n: usize,
        mut each: impl FnMut(u32, u64),
    ) {
        let Some(best) = best(candidates.clone()) else { return };
        let shortlist = top_k::shortlist(candidates.clone(), self.config.top_k, n);
        let (kept, best) = self.kept::<TYPICAL, _>(candidates, n, &shortlist, best);
        if self.config.temp == 0.0 || best.logit == f32::NEG_INFINITY {
            return each(best.token, 1);
        }
        temp::weights(kept, self.config.temp, best.logit).for_each(|(token, weight)| each(token, weight));
    }

    fn is_typical<const TYPICAL: bool>(&self) -> bool {
        TYPICAL && self.config.typical_p < 1.0
    }

    /// Candidates that the filters keep, and the one with the highest logit behind top-k and typical.
    ///
    /// - `shortlist`: top-k, if it is a list
    /// - `best`: candidate with the highest logit
    pub fn kept<'c, const TYPICAL: bool, I: Iterator<Item = Candidate> + Clone>(
        &self,
        candidates: I,
        n: usize,
        shortlist: &'c Shortlist,
        best: Candidate,
    ) -> (impl Iterator<Item = Candidate> + Clone + use<'c, I, TYPICAL>, Candidate) {
        let kept = top_k::top_k(candidates, self.config.top_k, n, shortlist);
        let mut typical = Typical::ALL;
        let mut highest = best;
        if self.is_typical::<TYPICAL>() {
            typical = Typical::new(kept.clone(), self.config.typical_p, best.logit);
        }
        let kept = typical.keep(kept);
        if self.is_typical::<TYPICAL>() {
            // The likeliest candidate need not be typical.
            highest = super::candidates::best(kept.clone()).unwrap_or(best);
        }
        let kept = top_p::top_p(kept, self.config.top_p, highest.logit);
        (min_p::min_p(kept, self.ln_min_p, highest.logit), highest)
    }
}
