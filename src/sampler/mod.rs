//! Sampler: chooses the next token from logits.
//!
//! The chain, in llama.cpp's order. Each step is a file, which names its formula and source:
//! 1. **Logit bias** (`logit_bias`). Numbers are added to the logits of tokens.
//! 2. **Penalties** (`penalties`). The logits of the last `repeat_last_n` tokens are divided by the repetition penalty if positive,
//!    else multiplied; frequency penalty, for each occurrence, and presence penalty are subtracted.
//! 3. **DRY** (`dry`). The longer a repetition is, the more is subtracted from the logit of a token that would continue it.
//! 4. **Top-k** (`top_k`). The k highest logits.
//! 5. **Typical** (`typical`). The fewest of these whose surprise is nearest to the entropy, with more than p of the probability.
//! 6. **Top-p** (`top_p`). The fewest highest of these whose probabilities (at temperature 1) add up to p; at least one.
//! 7. **Min-p** (`min_p`). Those of these with at least p times the highest probability (at temperature 1).
//! 8. **Temperature** (`temp`). Logits are divided by it; at 0, the highest logit is taken without a draw.
//! 9. **Draw** (`draw`). A token, with the probability of its logit among those that are left.
//!
//! Of equal logits, the lower token comes first. A NaN counts as -∞, and +∞ as the largest float.
//!
//! A seed gives the same text on every machine: a probability is an integer weight (the kernels' `exp` of the distance to the
//! highest logit, in units of 2^-39), so sums are exact in any order, and the random numbers are integers, too.
//!
//! The logits are only read, and no memory grows with the vocabulary. Each filter keeps the first candidates of one order, so
//! no sorting is needed: a top-k of up to 64 is a shortlist (`shortlist`) made in one pass; otherwise the candidates are
//! described by a cut through the order (`cut`), which takes a dozen passes to find. Steps work on iterators of candidates, which
//! come from all logits or from those of a [`TokenSet`].
//!
//! Logit bias, DRY, typical and windows of more than 64 tokens are steps of [`Sampler::with_memory`] (`memory`), whose history
//! and table of changed logits lie in memory that the caller gives.

mod candidates;
mod chain;
mod config;
mod cut;
mod draw;
mod dry;
mod dry_breakers;
mod error;
mod history;
mod likely;
mod lists;
mod logit_bias;
mod memory;
mod min_p;
mod penalties;
mod rng;
mod shortlist;
mod table;
mod temp;
#[cfg(test)]
mod tests;
mod token_set;
mod top_k;
mod top_p;
mod typical;
mod weight;

use candidates::{all, among, with_changed};
use chain::Chain;
pub use config::SamplerConfig;
pub use dry_breakers::DryBreakers;
pub use error::SamplerError;
use heapless::Deque;
pub(crate) use likely::likely;
pub use lists::SamplerLists;
use memory::Memory;
use penalties::{Penalties, counts, penalized};
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
#[derive(Debug)]
pub struct Sampler<'s> {
    chain: Chain,
    recent: Deque<u32, { SamplerConfig::MAX_LAST_N }>,
    memory: Option<Memory<'s>>,
}

impl<'s> Sampler<'s> {
    /// Creates a sampler that remembers no tokens yet.
    ///
    /// # Errors
    /// [`SamplerError`] names the setting that is out of range.
    pub fn new(config: SamplerConfig) -> Result<Self, SamplerError> {
        config.check()?;
        config.check_without_memory()?;
        Ok(Self { chain: Chain::new(config), recent: Deque::new(), memory: None })
    }

    /// Creates a sampler with all steps, which remembers no tokens yet.
    ///
    /// - `memory`: [`SamplerConfig::memory_words`] words, of the arena or elsewhere
    ///
    /// ```
    /// use nearfield::{Sampler, SamplerConfig, SamplerLists};
    ///
    /// const CONFIG: SamplerConfig = SamplerConfig { dry_multiplier: 0.8, ..SamplerConfig::DEFAULT };
    /// const LISTS: SamplerLists = SamplerLists { logit_bias: &[(7, f32::NEG_INFINITY)], ..SamplerLists::NONE };
    /// let mut memory = [0; CONFIG.memory_words(&LISTS)];
    /// let mut sampler = Sampler::with_memory(CONFIG, LISTS, &mut memory)?;
    /// assert_ne!(sampler.sample(&[0.0; 8]), 7);
    /// # Ok::<(), nearfield::SamplerError>(())
    /// ```
    ///
    /// # Errors
    /// [`SamplerError`] names the setting that is out of range, or the memory that is missing.
    pub fn with_memory(
        config: SamplerConfig,
        lists: SamplerLists<'s>,
        memory: &'s mut [u32],
    ) -> Result<Self, SamplerError> {
        config.check()?;
        config.check_with_memory()?;
        lists.check()?;
        let (needed, found) = (config.memory_words(&lists), memory.len());
        let memory = Memory::new(&config, lists, memory).ok_or(SamplerError::Memory { needed, found })?;
        Ok(Self { chain: Chain::new(config), recent: Deque::new(), memory: Some(memory) })
    }

    /// Chooses the next token. Penalties count it only after [`accept`](Self::accept).
    ///
    /// Any floats are allowed. Without logits, or if all are -∞ or NaN, the token is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let token = match &mut self.memory {
            Some(memory) => (memory.steps.choose)(memory, &mut self.chain, logits, None),
            None => self.choose(logits, all(logits), logits.len()),
        };
        token.unwrap_or(0)
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
        match &mut self.memory {
            Some(memory) => (memory.steps.choose)(memory, &mut self.chain, logits, Some(allowed)),
            None => self.choose(logits, among(logits, allowed), allowed.len()),
        }
    }

    /// Calls `each` with each token that is left for the draw, the lowest first, and its weight: the draw takes a token with the
    /// chance of its weight among all weights. At temperature 0, one token is left.
    ///
    /// ```
    /// use nearfield::{Sampler, SamplerConfig};
    ///
    /// let mut sampler = Sampler::new(SamplerConfig { top_k: 2, temp: 1.0, ..SamplerConfig::default() })?;
    /// let mut left = Vec::new();
    /// sampler.weigh(&[0.0, 3.0, -1.0, 3.0], |token, weight| left.push((token, weight)));
    /// assert_eq!(left, [(1, 1 << 39), (3, 1 << 39)]);
    /// # Ok::<(), nearfield::SamplerError>(())
    /// ```
    pub fn weigh(&mut self, logits: &[f32], mut each: impl FnMut(u32, u64)) {
        match &mut self.memory {
            Some(memory) => (memory.steps.weigh)(memory, &self.chain, logits, &mut each),
            None => {
                let counts = counts(self.recent(), &self.chain.config);
                let changed = penalized(logits, &counts, Penalties::new(&self.chain.config));
                self.chain.weigh::<false>(with_changed(all(logits), changed), logits.len(), each);
            }
        }
    }

    /// Remembers a token of the text, for penalties and DRY.
    pub fn accept(&mut self, token: u32) {
        let config = &self.chain.config;
        if let Some(memory) = &mut self.memory {
            (memory.steps.accept)(memory, config, token);
        }
        let n = config.repeat_last_n.max(config.dry_window()).min(SamplerConfig::MAX_LAST_N);
        if n == 0 {
            return;
        }
        if self.recent.len() >= n {
            self.recent.pop_front();
        }
        // The capacity is enough: `n` is at most `MAX_LAST_N`.
        let _ = self.recent.push_back(token);
    }

    /// Seed with which another sampler continues after this one: the state of the random numbers.
    pub fn seed(&self) -> u64 {
        self.chain.rng.state()
    }

    /// The last tokens that penalties or DRY look at, at most [`SamplerConfig::MAX_LAST_N`] of them, the oldest first.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        self.recent.iter().copied()
    }

    /// Chooses one of `tokens`, which come with their logits, the lowest first; `None` if there are none.
    ///
    /// - `n`: greatest number of tokens
    fn choose(&mut self, logits: &[f32], tokens: impl Iterator<Item = (u32, f32)> + Clone, n: usize) -> Option<u32> {
        let counts = counts(self.recent(), &self.chain.config);
        let changed = penalized(logits, &counts, Penalties::new(&self.chain.config));
        self.chain.choose::<false>(with_changed(tokens, changed), n)
    }
}
