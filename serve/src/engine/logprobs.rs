//! Log probabilities of tokens.

use std::cmp::Ordering;

use super::job::Logprobs;

/// Log probability of `token` and of the `n` likeliest tokens, at temperature 1: logit less the logarithm of the sum of all
/// exponentials, which is added up in f64. Of equal logits the lower token comes first.
pub fn logprobs(logits: &[f32], token: u32, n: usize) -> Logprobs {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    let of = |logit: f32| (f64::from(logit - highest) - sum.ln()) as f32;
    let mut top: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    for (token, &logit) in (0..).zip(logits) {
        if top.len() < n || top.last().is_some_and(|&(_, least)| logit > least) {
            let at = top.partition_point(|&(_, other)| other.total_cmp(&logit) != Ordering::Less);
            top.insert(at, (token, logit));
            top.truncate(n);
        }
    }
    let of_token = logits.get(token as usize).map_or(f32::NEG_INFINITY, |&logit| of(logit));
    Logprobs { of_token, top: top.into_iter().map(|(token, logit)| (token, of(logit))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_a_softmax() {
        let ln = std::f32::consts::LN_2;
        // Probabilities of 1/4, 1/2, 1/4.
        let found = logprobs(&[3.0, 3.0 + ln, 3.0], 2, 2);
        assert_eq!(found.top.iter().map(|&(token, _)| token).collect::<Vec<_>>(), [1, 0]);
        for (found, want) in [(found.of_token, -2.0 * ln), (found.top[0].1, -ln), (found.top[1].1, -2.0 * ln)] {
            assert!((found - want).abs() < 1e-6, "{found} {want}");
        }
        assert_eq!(logprobs(&[1.0], 0, 0), Logprobs { of_token: 0.0, top: vec![] });
        assert_eq!(logprobs(&[0.0, 5.0, 9.0, 5.0, 7.0], 0, 3).top.iter().map(|t| t.0).collect::<Vec<_>>(), [2, 4, 1]);
    }
}
