//! Settings of the sampler.

use super::error::SamplerError;

/// Settings of a [`Sampler`](super::Sampler). They act in the order penalty, top-k, top-p, min-p, temperature, draw.
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

    /// Checks that each setting is in its range.
    pub(super) fn check(&self) -> Result<(), SamplerError> {
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
