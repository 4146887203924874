//! Penalties on tokens that came before: repetition, frequency and presence.
//!
//! ```text
//!   logit / repeat (if positive) or logit * repeat, then - count * frequency - presence
//! ```
//!
//! Sources: Keskar et al., *CTRL* (2019), section 4.1, for the repetition penalty, which divides all logits there; OpenAI's API
//! reference for frequency and presence; llama.cpp, `llama_sampler_penalties_apply`, for their order, and for multiplying
//! logits that are not positive.

use heapless::Vec;

use super::config::SamplerConfig;

/// Recent tokens, the lowest first, each with its number of occurrences.
pub(super) type Counts = Vec<(u32, u32), { SamplerConfig::MAX_LAST_N }>;

/// Counts the recent tokens; none if no penalty is on.
pub(super) fn counts(recent: impl Iterator<Item = u32>, config: &SamplerConfig) -> Counts {
    let mut counts = Counts::new();
    if config.recent_window() == 0 {
        return counts;
    }
    for token in recent {
        let at = counts.partition_point(|other| other.0 < token);
        match counts.get_mut(at) {
            Some((other, n)) if *other == token => *n += 1,
            _ => {
                // The capacity is that of the recent tokens.
                let _ = counts.insert(at, (token, 1));
            }
        }
    }
    counts
}

/// The counted tokens with the logits that the penalties give them.
pub(super) fn penalized<'c>(
    logits: &'c [f32],
    counts: &'c Counts,
    penalties: Penalties,
) -> impl Iterator<Item = (u32, f32)> + Clone {
    counts.iter().filter_map(move |&(token, n)| {
        let logit = *logits.get(token as usize)?;
        Some((token, penalties.of(logit, n)))
    })
}

/// The three penalties.
#[derive(Clone, Copy)]
pub(super) struct Penalties {
    repeat_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
}

impl Penalties {
    pub fn new(config: &SamplerConfig) -> Self {
        let SamplerConfig { repeat_penalty, frequency_penalty, presence_penalty, .. } = *config;
        Self { repeat_penalty, frequency_penalty, presence_penalty }
    }

    /// Logit of a token that came `n` times, at least once.
    pub fn of(self, logit: f32, n: u32) -> f32 {
        let logit = if logit > 0.0 { logit / self.repeat_penalty } else { logit * self.repeat_penalty };
        logit - (n as f32 * self.frequency_penalty + self.presence_penalty)
    }
}
