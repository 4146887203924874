//! Temperature: divides the logits.

use super::candidates::Candidate;
use super::weight::weight;

/// Weights of the candidates' tokens at a temperature above 0.
///
/// - `highest`: the highest logit
pub(super) fn weights<I: Iterator<Item = Candidate> + Clone>(
    candidates: I,
    temp: f32,
    highest: f32,
) -> impl Iterator<Item = (u32, u64)> + Clone + use<I> {
    candidates.map(move |c| (c.token, weight((c.logit - highest) / temp)))
}
