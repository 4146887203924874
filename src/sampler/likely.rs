//! The likeliest token, if its probability is high: a question that needs no draw.

use nearfield_kernels::exp;

use super::candidates::{Candidate, all, best};

/// Distance to the highest logit from which on a token's probability counts as 0. Half a million of these have less than 0.06 of
/// the likeliest token's probability together.
const FAR: f32 = 16.0;

/// The token with the highest logit, as a greedy [`Sampler`](super::Sampler) takes it, if its probability at temperature 1 is at
/// least `least`; `None` if no token has that.
///
/// Takes one pass for the token, and one for the sum of the probabilities over that of the token, which ends once it is above
/// `1 / least`.
pub(crate) fn likely(logits: &[f32], least: f32) -> Option<u32> {
    let best = best(all(logits).map(|(token, logit)| Candidate::new(token, logit)))?;
    if best.logit == f32::NEG_INFINITY {
        return None;
    }
    let (mut sum, most) = (0.0, 1.0 / least);
    for distance in logits.iter().map(|logit| logit - best.logit).filter(|&distance| distance > -FAR) {
        sum += exp(distance);
        if sum > most {
            return None;
        }
    }
    Some(best.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_needs_its_share() {
        // Probabilities of 0.5, 0.25 and 0.25.
        let logits = [0.0, core::f32::consts::LN_2, 0.0];
        assert_eq!([0.4, 0.49, 0.51, 0.9].map(|least| likely(&logits, least)), [Some(1), Some(1), None, None]);
        assert_eq!(likely(&[-3.0; 3], 0.3), Some(0), "of equal logits, the lower token comes first");
        assert_eq!(likely(&[1.0, 60.0, 44.0, 43.0, -1e30], 0.999), Some(1));
    }

    #[test]
    fn any_floats_are_allowed() {
        assert_eq!(likely(&[], 0.4), None);
        assert_eq!(likely(&[f32::NAN, f32::NEG_INFINITY], 0.4), None);
        assert_eq!(likely(&[f32::NAN, 1.0], 0.4), Some(1));
        assert_eq!(likely(&[f32::INFINITY, 1.0], 0.4), None, "an infinite logit has no share");
    }
}
