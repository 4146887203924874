//! Min-p: the candidates that are not much less likely than the likeliest.

use super::candidates::Candidate;

/// Candidates with at least `p` times the highest probability.
///
/// Source: Nguyen et al., *Turning Up the Heat: Min-p Sampling* (2024).
///
/// - `ln_p`: logarithm of `p`
/// - `highest`: the highest logit
pub(super) fn min_p<I: Iterator<Item = Candidate> + Clone>(
    candidates: I,
    ln_p: f32,
    highest: f32,
) -> impl Iterator<Item = Candidate> + Clone + use<I> {
    candidates.filter(move |c| c.logit - highest >= ln_p)
}

/// Logarithm of a min-p, -∞ for 0.
pub(super) fn ln(p: f32) -> f32 {
    if p > 0.0 { libm::logf(p) } else { f32::NEG_INFINITY }
}
