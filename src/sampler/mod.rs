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

mod cut;
mod likely;
mod rng;
mod shortlist;
#[cfg(test)]
mod tests;

use core::fmt;

use cut::{Cut, key_of, logit_of};
use heapless::{Deque, Vec};
pub(crate) use likely::likely;
use nearfield_kernels::scalar::exp;
use rng::Rng;
use shortlist::Shortlist;

/// Settings of a [`Sampler`]. They act in the order penalty, top-k, top-p, min-p, temperature, draw.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SamplerConfig {
    /// Temperature, which divides the logits: below 1, likely tokens become likelier. 0 always takes the likeliest token.
    pub temp: f32,
    /// Number of likeliest tokens that stay in the draw; 0 for all.
    pub top_k: usize,
    /// Share of the probability that the likeliest tokens in the draw have together, 0 to 1; 1 for all tokens.
    pub top_p: f32,
    /// Share of the highest probability that a token needs to stay in the draw, 0 to 1; 0 for all tokens.
    pub min_p: f32,
    /// Penalty on recent tokens, which divides their logits if positive, and otherwise multiplies them; 1 for none.
    pub repeat_penalty: f32,
    /// Number of tokens that count as recent, at most [`MAX_LAST_N`](Self::MAX_LAST_N).
    pub repeat_last_n: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl SamplerConfig {
    /// Greatest number of recent tokens.
    pub const MAX_LAST_N: usize = 64;

    /// Settings that always take the likeliest token.
    pub const GREEDY: Self =
        Self { temp: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.0, repeat_last_n: 0, seed: 0 };

    fn check(&self) -> Result<(), SamplerError> {
        let share = |x: f32| (0.0..=1.0).contains(&x);
        if !(self.temp >= 0.0 && self.temp.is_finite()) {
            return Err(SamplerError::Temp { found: self.temp });
        }
        if !share(self.top_p) {
            return Err(SamplerError::TopP { found: self.top_p });
        }
        if !share(self.min_p) {
            return Err(SamplerError::MinP { found: self.min_p });
        }
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()) {
            return Err(SamplerError::RepeatPenalty { found: self.repeat_penalty });
        }
        if self.repeat_last_n > Self::MAX_LAST_N {
            return Err(SamplerError::RepeatLastN { found: self.repeat_last_n });
        }
        Ok(())
    }
}

impl Default for SamplerConfig {
    /// The defaults of llama.cpp, which have no penalty.
    fn default() -> Self {
        Self {
            temp: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: Self::MAX_LAST_N,
            seed: 0,
        }
    }
}

/// Error of a setting that is out of range.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum SamplerError {
    /// The temperature is negative or not finite.
    Temp { found: f32 },
    /// Top-p does not lie between 0 and 1.
    TopP { found: f32 },
    /// Min-p does not lie between 0 and 1.
    MinP { found: f32 },
    /// The penalty is not a positive finite number.
    RepeatPenalty { found: f32 },
    /// More recent tokens than [`SamplerConfig::MAX_LAST_N`].
    RepeatLastN { found: usize },
}

impl fmt::Display for SamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Temp { found } => write!(f, "a temperature of {found}: it has to be finite and at least 0"),
            Self::TopP { found } => write!(f, "a top-p of {found}: it has to lie between 0 and 1"),
            Self::MinP { found } => write!(f, "a min-p of {found}: it has to lie between 0 and 1"),
            Self::RepeatPenalty { found } => {
                write!(f, "a repetition penalty of {found}: it has to be finite and above 0 (1 for none)")
            }
            Self::RepeatLastN { found } => {
                write!(f, "a penalty on the last {found} tokens: {} are remembered", SamplerConfig::MAX_LAST_N)
            }
        }
    }
}

impl core::error::Error for SamplerError {}

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
        let ln_min_p = if config.min_p > 0.0 { libm::logf(config.min_p) } else { f32::NEG_INFINITY };
        Ok(Self { config, ln_min_p, recent: Deque::new(), rng: Rng::new(config.seed) })
    }

    /// Chooses the next token. The penalty counts it only after [`accept`](Self::accept).
    ///
    /// Any floats are allowed. Without logits, or if all are -∞ or NaN, the token is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let recent = self.recent_in_order();
        let candidates = Candidates { logits, recent: &recent, penalty: self.config.repeat_penalty };
        let best = candidates.best();
        if self.config.temp == 0.0 || best.logit == f32::NEG_INFINITY {
            return best.token;
        }
        let shortlist = self.shortlist(&candidates);
        let kept = self.kept(self.top_k(&candidates, &shortlist), best.logit);
        let temp = self.config.temp;
        let weights = kept.map(|c| (c.token, weight((c.logit - best.logit) / temp)));
        draw(weights, &mut self.rng).unwrap_or(best.token)
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

    /// Candidates in a top-k of 1 to [`shortlist::MAX`]; empty for any other top-k.
    fn shortlist(&self, candidates: &Candidates<'_>) -> Shortlist {
        match self.config.top_k {
            k @ 1..=shortlist::MAX => shortlist::first(k, candidates.iter()),
            _ => Shortlist::new(),
        }
    }

    /// Candidates in the top-k: the shortlist if there is one.
    fn top_k<'c>(
        &self,
        candidates: &'c Candidates<'_>,
        shortlist: &'c Shortlist,
    ) -> impl Iterator<Item = Candidate> + Clone + use<'c> {
        let cut = match self.config.top_k {
            k if 0 < k && k < candidates.logits.len() && shortlist.is_empty() => {
                Cut::reach(candidates.iter().map(|c| key_of(c.logit)), |_| 1, k as u64)
            }
            _ => Cut::ALL,
        };
        // Either `shortlist` or `all` is empty.
        let all = if shortlist.is_empty() { candidates.iter() } else { Candidates::NONE.iter() };
        shortlist.iter().copied().chain(cut.keep(all, |c| key_of(c.logit)))
    }

    /// Candidates in top-p and min-p; `highest` is the highest logit.
    fn kept<I: Iterator<Item = Candidate> + Clone>(
        &self,
        candidates: I,
        highest: f32,
    ) -> impl Iterator<Item = Candidate> + Clone + use<I> {
        let SamplerConfig { top_p, .. } = self.config;
        let mut cut = Cut::ALL;
        if top_p < 1.0 {
            let keys = candidates.clone().map(|c| key_of(c.logit));
            let mass = |key| weight(logit_of(key) - highest);
            let total = keys.clone().map(mass).fold(0, u64::saturating_add);
            cut = Cut::reach(keys, mass, share_of(total, top_p).max(1));
        }
        let ln_min_p = self.ln_min_p;
        cut.keep(candidates, |c| key_of(c.logit)).filter(move |c| c.logit - highest >= ln_min_p)
    }

    /// Tokens under penalty, the lowest first.
    fn recent_in_order(&self) -> Vec<u32, { SamplerConfig::MAX_LAST_N }> {
        let mut recent = Vec::new();
        if self.config.repeat_penalty != 1.0 {
            for &token in &self.recent {
                let at = recent.partition_point(|&other| other < token);
                // The capacity is enough: it is that of `self.recent`.
                let _ = recent.insert(at, token);
            }
        }
        recent
    }
}

/// A token that may come next.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    /// Logit after the penalty; never NaN, +∞ or -0.
    logit: f32,
}

/// All tokens, with the penalty on those in `recent` (ascending, some maybe twice).
struct Candidates<'s> {
    logits: &'s [f32],
    recent: &'s [u32],
    penalty: f32,
}

impl<'s> Candidates<'s> {
    const NONE: Candidates<'static> = Candidates { logits: &[], recent: &[], penalty: 1.0 };

    fn iter(&self) -> impl Iterator<Item = Candidate> + Clone + use<'s> {
        let penalty = self.penalty;
        let mut recent = self.recent;
        (0..).zip(self.logits).map(move |(token, &logit)| {
            let mut logit = logit;
            if recent.first() == Some(&token) {
                logit = penalized(logit, penalty);
                while let [first, rest @ ..] = recent
                    && *first == token
                {
                    recent = rest;
                }
            }
            Candidate { token, logit: ordinary(logit) }
        })
    }

    fn best(&self) -> Candidate {
        let lowest = Candidate { token: 0, logit: f32::NEG_INFINITY };
        self.iter().fold(lowest, |best, c| if c.logit > best.logit { c } else { best })
    }
}

fn penalized(logit: f32, penalty: f32) -> f32 {
    if logit > 0.0 { logit / penalty } else { logit * penalty }
}

/// Replaces NaN by -∞, +∞ by the largest float, and -0 by 0.
fn ordinary(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) + 0.0 }
}

/// Weight of the highest logit.
const ONE: f32 = (1u64 << 39) as f32;

/// Weight `exp(distance)` in units of 2^-39, rounded down. Fewer than 2^24 weights add up without overflow.
///
/// - `distance`: logit minus the highest logit, at most 0
fn weight(distance: f32) -> u64 {
    // exp(-27.04) is 2^-39: smaller weights are 0, and need no `exp`.
    if distance < -28.0 { 0 } else { (exp(distance) * ONE) as u64 }
}

/// `share` (0 to 1) of `total`, rounded up.
fn share_of(total: u64, share: f32) -> u64 {
    // A float times a power of two is exact. Bits below 2^-40 are dropped.
    let share = (share * (1u64 << 40) as f32) as u128;
    ((u128::from(total) * share).div_ceil(1 << 40)) as u64
}

/// Draws a token, each with the chance of its weight among all weights; `None` if there are no weights.
fn draw(mut weights: impl Iterator<Item = (u32, u64)> + Clone, rng: &mut Rng) -> Option<u32> {
    let total = weights.clone().map(|(_, weight)| weight).fold(0, u64::saturating_add);
    let mut rest = rng.below(total.max(1));
    let (token, _) = weights.find(|&(_, weight)| {
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })?;
    Some(token)
}
