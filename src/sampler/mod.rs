//! Sampler: chooses the next token from logits.
//!
//! The chain, in llama.cpp's order: repetition penalty, top-k, top-p, min-p, temperature, draw.
//! 1. **Penalty.** The logits of the last `repeat_last_n` tokens, each once: divided by the penalty if positive, else multiplied.
//! 2. **Top-k.** The k highest logits.
//! 3. **Top-p.** The fewest highest of these whose probabilities (at temperature 1) add up to p; at least one.
//! 4. **Min-p.** Those of these with at least p times the highest probability (at temperature 1).
//! 5. **Temperature.** Logits are divided by it; at 0, the highest logit is taken without a draw.
//! 6. **Draw.** A token, with the probability of its logit among those that are left.
//!
//! Of equal logits, the lower token comes first. A NaN counts as -∞, and +∞ as the largest float.
//!
//! A seed gives the same text on every machine: a probability is an integer weight (the kernels' `exp` of the distance to the
//! highest logit, in units of 2^-39), so sums are exact in any order, and the random numbers are integers, too.
//!
//! The logits are only read, and no memory grows with the vocabulary. Each filter keeps the first candidates of one order, so
//! no sorting is needed: a top-k of up to 64 is a shortlist (`shortlist`) made in one pass; otherwise the candidates are
//! described by a cut through the order (`cut`), which takes a dozen passes to find.
//!
//! Each step is a file: `penalties`, `top_k`, `top_p`, `min_p`, `temp`, `draw`. Steps work on iterators of candidates, which come
//! from all logits or from those of a [`TokenSet`].

mod candidates;
mod config;
mod cut;
mod draw;
mod error;
mod likely;
mod min_p;
mod penalties;
mod rng;
mod shortlist;
mod temp;
#[cfg(test)]
mod tests;
mod token_set;
mod top_k;
mod top_p;
mod weight;

use candidates::{Candidate, all, among, best, with_changed};
pub use config::SamplerConfig;
use draw::draw;
pub use error::SamplerError;
use heapless::Deque;
pub(crate) use likely::likely;
use rng::Rng;
use shortlist::Shortlist;
pub use token_set::{TokenSet, Tokens};

/// Chooses tokens.
///
/// ```
/// use nearfield::{Sampler, SamplerConfig};
///
/// let mut sampler = Sampler::new(SamplerConfig { temp: 0.5, seed: 1, ..SamplerConfig::default() })?;
/// let token = sampler.sample(&[0.1, 2.5, 1.0]);
/// sampler.accept(token);
/// # Ok::<(), nearfield::SamplerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    /// `ln(min_p)`.
    ln_min_p: f32,
    recent: Deque<u32, { SamplerConfig::MAX_LAST_N }>,
    rng: Rng,
}

impl Sampler {
    /// Creates a sampler that remembers no tokens yet.
    ///
    /// # Errors
    /// [`SamplerError`] names the setting that is out of range.
    pub fn new(config: SamplerConfig) -> Result<Self, SamplerError> {
        config.check()?;
        Ok(Self { config, ln_min_p: min_p::ln(config.min_p), recent: Deque::new(), rng: Rng::new(config.seed) })
    }

    /// Chooses the next token. The penalty counts it only after [`accept`](Self::accept).
    ///
    /// Any floats are allowed. Without logits, or if all are -∞ or NaN, the token is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        self.choose(logits, all(logits), logits.len()).unwrap_or(0)
    }

    /// Chooses the next token among those that are allowed, as if no other existed; `None` if the logits have none of them.
    ///
    /// The cost is that of the allowed tokens, and of reading the set's words. If the logits of all allowed tokens are -∞ or NaN,
    /// the lowest is chosen.
    ///
    /// ```
    /// use nearfield::{Sampler, SamplerConfig, TokenSet};
    ///
    /// let mut sampler = Sampler::new(SamplerConfig::GREEDY)?;
    /// let mut words = [0; TokenSet::n_words(4)];
    /// assert_eq!(sampler.sample_among(&[0.1, 2.5, 1.0, 0.3], &TokenSet::new(&words)), None);
    /// TokenSet::insert(&mut words, 0);
    /// TokenSet::insert(&mut words, 3);
    /// assert_eq!(sampler.sample_among(&[0.1, 2.5, 1.0, 0.3], &TokenSet::new(&words)), Some(3));
    /// # Ok::<(), nearfield::SamplerError>(())
    /// ```
    pub fn sample_among(&mut self, logits: &[f32], allowed: &TokenSet<'_>) -> Option<u32> {
        self.choose(logits, among(logits, allowed), allowed.len())
    }

    /// Remembers a token of the text, for the repetition penalty.
    pub fn accept(&mut self, token: u32) {
        if self.config.repeat_last_n == 0 {
            return;
        }
        if self.recent.len() >= self.config.repeat_last_n {
            self.recent.pop_front();
        }
        // The capacity is enough: `repeat_last_n` is at most `MAX_LAST_N`.
        let _ = self.recent.push_back(token);
    }

    /// Seed with which another sampler continues after this one: the state of the random numbers.
    pub fn seed(&self) -> u64 {
        self.rng.state()
    }

    /// Tokens that count as recent, the oldest first.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        self.recent.iter().copied()
    }

    /// Chooses one of `tokens`, which come with their logits, the lowest first; `None` if there are none.
    ///
    /// - `n`: greatest number of tokens
    fn choose(&mut self, logits: &[f32], tokens: impl Iterator<Item = (u32, f32)> + Clone, n: usize) -> Option<u32> {
        let changed = penalties::penalized(logits, self.recent(), self.config.repeat_penalty);
        let candidates = with_changed(tokens, &changed);
        let best = best(candidates.clone())?;
        if self.config.temp == 0.0 || best.logit == f32::NEG_INFINITY {
            return Some(best.token);
        }
        let shortlist = top_k::shortlist(candidates.clone(), self.config.top_k, n);
        let kept = self.kept(candidates, n, &shortlist, best.logit);
        let weights = temp::weights(kept, self.config.temp, best.logit);
        draw(weights, &mut self.rng).or(Some(best.token))
    }

    /// Candidates that the filters keep.
    ///
    /// - `shortlist`: top-k, if it is a list
    /// - `highest`: the highest logit
    fn kept<'c, I: Iterator<Item = Candidate> + Clone>(
        &self,
        candidates: I,
        n: usize,
        shortlist: &'c Shortlist,
        highest: f32,
    ) -> impl Iterator<Item = Candidate> + Clone + use<'c, I> {
        let kept = top_k::top_k(candidates, self.config.top_k, n, shortlist);
        let kept = top_p::top_p(kept, self.config.top_p, highest);
        min_p::min_p(kept, self.ln_min_p, highest)
    }
}
