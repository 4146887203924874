//! Settings of the sampler.

use super::error::SamplerError;
use super::lists::SamplerLists;
use super::table::Table;

/// Settings of a [`Sampler`](super::Sampler), with the names and defaults of llama.cpp. They act in the order logit bias, penalties, DRY,
/// top-k, typical, top-p, min-p, temperature, draw.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SamplerConfig {
    /// Temperature, which divides the logits: below 1, likely tokens become likelier. 0 always takes the likeliest token.
    pub temp: f32,
    /// Number of likeliest tokens that stay in the draw; 0 for all.
    pub top_k: usize,
    /// Share of the probability that the most typical tokens in the draw have together, 0 to 1; 1 for all tokens. Below 1 for
    /// [`with_memory`](super::Sampler::with_memory) only.
    pub typical_p: f32,
    /// Share of the probability that the likeliest tokens in the draw have together, 0 to 1; 1 for all tokens.
    pub top_p: f32,
    /// Share of the highest probability that a token needs to stay in the draw, 0 to 1; 0 for all tokens.
    pub min_p: f32,
    /// Penalty on recent tokens, which divides their logits if positive, and otherwise multiplies them; 1 for none.
    pub repeat_penalty: f32,
    /// Number that is subtracted from the logit of a recent token for each of its occurrences; 0 for none.
    pub frequency_penalty: f32,
    /// Number that is subtracted from the logit of each recent token; 0 for none.
    pub presence_penalty: f32,
    /// Number of tokens that count as recent; above [`MAX_LAST_N`](Self::MAX_LAST_N) for
    /// [`with_memory`](super::Sampler::with_memory) only.
    pub repeat_last_n: usize,
    /// Penalty of DRY on a token that would continue a repetition of [`dry_allowed_length`](Self::dry_allowed_length) tokens; 0 for
    /// none. Others for [`with_memory`](super::Sampler::with_memory) only.
    pub dry_multiplier: f32,
    /// Factor of that penalty for each token by which a repetition is longer, at least 1.
    pub dry_base: f32,
    /// Length up to which a repetition has no penalty, in tokens.
    pub dry_allowed_length: usize,
    /// Number of the last tokens in which DRY looks for repetitions.
    pub dry_penalty_last_n: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl SamplerConfig {
    /// Greatest number of recent tokens of a sampler without memory, and of those that [`recent`](super::Sampler::recent) has.
    pub const MAX_LAST_N: usize = 64;

    /// Settings that always take the likeliest token.
    pub const GREEDY: Self = Self { temp: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_last_n: 0, ..Self::DEFAULT };

    /// [`Default`], for constants.
    pub const DEFAULT: Self = Self {
        temp: 0.8,
        top_k: 40,
        typical_p: 1.0,
        top_p: 0.95,
        min_p: 0.05,
        repeat_penalty: 1.0,
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        repeat_last_n: Self::MAX_LAST_N,
        dry_multiplier: 0.0,
        dry_base: 1.75,
        dry_allowed_length: 2,
        dry_penalty_last_n: 64,
        seed: 0,
    };

    /// Words of memory of a [`with_memory`](super::Sampler::with_memory) sampler with these settings and lists: 6 for each
    /// token of the longer window, 1 for each of DRY's window, 5 for each logit bias. Windows of steps that are off count nothing.
    pub const fn memory_words(&self, lists: &SamplerLists<'_>) -> usize {
        let (window, dry) = (self.window(), self.dry_window());
        window
            .saturating_mul(1 + Table::COLUMNS)
            .saturating_add(dry)
            .saturating_add(lists.logit_bias.len() * Table::COLUMNS)
    }

    /// Number of the last tokens that the steps look at: those of the longer window. Windows of steps that are off count nothing.
    pub const fn window(&self) -> usize {
        let (recent, dry) = (self.recent_window(), self.dry_window());
        if recent > dry { recent } else { dry }
    }

    /// Tokens under penalties.
    pub(super) const fn recent_window(&self) -> usize {
        let is_off = self.repeat_penalty == 1.0 && self.frequency_penalty == 0.0 && self.presence_penalty == 0.0;
        if is_off { 0 } else { self.repeat_last_n }
    }

    /// Tokens in which DRY looks for repetitions.
    pub(super) const fn dry_window(&self) -> usize {
        if self.dry_multiplier == 0.0 { 0 } else { self.dry_penalty_last_n }
    }

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
        if !self.frequency_penalty.is_finite() {
            return Err(SamplerError::FrequencyPenalty { found: self.frequency_penalty });
        }
        if !self.presence_penalty.is_finite() {
            return Err(SamplerError::PresencePenalty { found: self.presence_penalty });
        }
        Ok(())
    }

    /// Checks that the settings are those of a sampler without memory.
    pub(super) fn check_without_memory(&self) -> Result<(), SamplerError> {
        if self.repeat_last_n > Self::MAX_LAST_N {
            return Err(SamplerError::RepeatLastN { found: self.repeat_last_n });
        }
        if self.typical_p != 1.0 || self.dry_multiplier != 0.0 {
            return Err(SamplerError::NeedsMemory);
        }
        Ok(())
    }

    /// Checks the settings that only a sampler with memory has.
    pub(super) fn check_with_memory(&self) -> Result<(), SamplerError> {
        if !(0.0..=1.0).contains(&self.typical_p) {
            return Err(SamplerError::TypicalP { found: self.typical_p });
        }
        if !(self.dry_multiplier >= 0.0 && self.dry_multiplier.is_finite()) {
            return Err(SamplerError::DryMultiplier { found: self.dry_multiplier });
        }
        if !(self.dry_base >= 1.0 && self.dry_base.is_finite()) {
            return Err(SamplerError::DryBase { found: self.dry_base });
        }
        Ok(())
    }
}

impl Default for SamplerConfig {
    /// The defaults of llama.cpp, which have no penalty.
    fn default() -> Self {
        Self::DEFAULT
    }
}
