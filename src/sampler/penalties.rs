//! Penalties: lower logits for tokens that came before.

use heapless::Vec;

use super::candidates::Candidate;
use super::config::SamplerConfig;

/// Tokens with the logits that the penalty gives them, the lowest token first.
pub(super) type Penalized = Vec<Candidate, { SamplerConfig::MAX_LAST_N }>;

/// Logits of the recent tokens, each divided by `penalty` if it is positive, and otherwise multiplied by it; once, however often
/// the token came.
///
/// Source: Keskar et al., *CTRL* (2019), section 4.1, which divides all logits; llama.cpp multiplies those that are negative.
pub(super) fn penalized(logits: &[f32], recent: impl Iterator<Item = u32>, penalty: f32) -> Penalized {
    let mut changed = Penalized::new();
    if penalty == 1.0 {
        return changed;
    }
    for token in recent {
        let Some(&logit) = logits.get(token as usize) else { continue };
        let at = changed.partition_point(|other| other.token < token);
        if changed.get(at).is_none_or(|other| other.token != token) {
            let logit = if logit > 0.0 { logit / penalty } else { logit * penalty };
            // The capacity is that of the recent tokens.
            let _ = changed.insert(at, Candidate::new(token, logit));
        }
    }
    changed
}
