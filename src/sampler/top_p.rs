//! Top-p: the fewest likeliest candidates that have a share of the probability together.

use super::candidates::Candidate;
use super::cut::{Cut, key_of, logit_of};
use super::weight::{share_of, weight};

/// The fewest highest candidates whose probabilities add up to `p`; at least one.
///
/// Source: Holtzman et al., *The Curious Case of Neural Text Degeneration* (2019), section 3.1.
///
/// - `highest`: the highest logit
pub(super) fn top_p<I: Iterator<Item = Candidate> + Clone>(
    candidates: I,
    p: f32,
    highest: f32,
) -> impl Iterator<Item = Candidate> + Clone + use<I> {
    let mut cut = Cut::ALL;
    if p < 1.0 {
        let keys = candidates.clone().map(|c| key_of(c.logit));
        let mass = |key| weight(logit_of(key) - highest);
        let total = keys.clone().map(mass).fold(0, u64::saturating_add);
        cut = Cut::reach(keys, mass, share_of(total, p).max(1));
    }
    cut.keep(candidates, |c| key_of(c.logit))
}
