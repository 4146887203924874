//! Draw: a random token among the candidates that are left.

use super::rng::Rng;

/// Draws a token, each with the chance of its weight among all weights; `None` if there are no weights.
pub(super) fn draw(mut weights: impl Iterator<Item = (u32, u64)> + Clone, rng: &mut Rng) -> Option<u32> {
    let total = weights.clone().map(|(_, weight)| weight).fold(0, u64::saturating_add);
    let mut rest = rng.below(total.max(1));
    let (token, _) = weights.find(|&(_, weight)| {
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })?;
    Some(token)
}
