//! Candidates: the tokens that may come next.

use super::token_set::TokenSet;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub token: u32,
    /// Logit; never NaN, +∞ or -0.
    pub logit: f32,
}

impl Candidate {
    /// Candidate with the logit of a model.
    pub fn new(token: u32, logit: f32) -> Self {
        Self { token, logit: ordinary(logit) }
    }
}

/// Replaces NaN by -∞, +∞ by the largest float, and -0 by 0.
fn ordinary(logit: f32) -> f32 {
    // `f32::min` would be a call on Cortex-M.
    match logit {
        logit if logit.is_nan() => f32::NEG_INFINITY,
        logit if logit > f32::MAX => f32::MAX,
        logit => logit + 0.0,
    }
}

/// All tokens with their logits, the lowest first.
pub(super) fn all(logits: &[f32]) -> impl Iterator<Item = (u32, f32)> + Clone {
    (0..).zip(logits.iter().copied())
}

/// The allowed tokens with their logits, the lowest first.
pub(super) fn among<'s>(
    logits: &'s [f32],
    allowed: &TokenSet<'s>,
) -> impl Iterator<Item = (u32, f32)> + Clone + use<'s> {
    // Tokens behind the last logit are no candidates.
    allowed.iter().map_while(|token| Some((token, *logits.get(token as usize)?)))
}

/// Candidates of tokens with their logits, of which some are changed.
///
/// - `tokens`: tokens and logits, the lowest token first
/// - `changed`: tokens with other logits, the lowest first
pub(super) fn with_changed(
    tokens: impl Iterator<Item = (u32, f32)> + Clone,
    mut changed: impl Iterator<Item = (u32, f32)> + Clone,
) -> impl Iterator<Item = Candidate> + Clone {
    let mut next = changed.next();
    tokens.map(move |(token, logit)| {
        let mut logit = logit;
        while let Some(first) = next.filter(|first| first.0 <= token) {
            if first.0 == token {
                logit = first.1;
            }
            next = changed.next();
        }
        Candidate::new(token, logit)
    })
}

/// Candidate with the highest logit: of several, the lowest token.
pub(super) fn best(mut candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    let first = candidates.next()?;
    Some(candidates.fold(first, |best, c| if c.logit > best.logit { c } else { best }))
}
