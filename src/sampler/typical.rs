//! Typical: the candidates whose surprise is nearest to the entropy.
//!
//! ```text
//!   the fewest with the lowest |H + ln p| whose probabilities add up to more than typical_p
//! ```
//!
//! With `p = exp(logit) / S`, the entropy is `H = ln S - sum(p * logit)`, and `|H + ln p| = |logit - sum(p * logit)|`: the typical
//! candidates are those whose logit is nearest to the mean logit. No logarithm is taken, and the mean is a
//! quotient of exact integer sums.
//!
//! Sources: Meister et al., *Locally Typical Sampling* (2022), section 3; llama.cpp, `llama_sampler_typical_apply`.

use super::candidates::Candidate;
use super::cut::Cut;
use super::weight::{more_than_share_of, weight};

/// Units of a distance between logits in the sum for their mean: 2^-24.
const UNIT: f32 = (1 << 24) as f32;

/// The typical candidates.
#[derive(Clone, Copy)]
pub(super) struct Typical {
    /// Mean logit.
    mean: f32,
    cut: Cut,
}

impl Typical {
    /// All candidates.
    pub const ALL: Self = Self { mean: 0.0, cut: Cut::ALL };

    /// The typical candidates whose probabilities add up to more than `p`, which is below 1.
    ///
    /// - `highest`: the highest logit
    pub fn new(candidates: impl Iterator<Item = Candidate> + Clone, p: f32, highest: f32) -> Self {
        let mass = |c: &Candidate| weight(c.logit - highest);
        let (mut total, mut sum) = (0u64, 0u128);
        for (candidate, mass) in candidates.clone().map(|c| (c, mass(&c))).filter(|(_, mass)| *mass > 0) {
            total = total.saturating_add(mass);
            // At most 28, so the sum is below 2^93.
            let distance = ((highest - candidate.logit) * UNIT) as u32;
            sum += u128::from(mass) * u128::from(distance);
        }
        let mean = highest - (sum / u128::from(total.max(1))) as f32 / UNIT;
        let key = |c: &Candidate| key(c.logit, mean);
        Self { mean, cut: Cut::reach_by(candidates, key, mass, more_than_share_of(total, p)) }
    }

    /// The typical ones of these candidates, in the order of their index.
    pub fn keep<I: Iterator<Item = Candidate> + Clone>(
        self,
        candidates: I,
    ) -> impl Iterator<Item = Candidate> + Clone + use<I> {
        self.cut.keep(candidates, move |c| key(c.logit, self.mean))
    }
}

/// Key by the distance from the mean: the nearest has the highest.
fn key(logit: f32, mean: f32) -> u32 {
    !(logit - mean).abs().to_bits()
}
