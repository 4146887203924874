//! Log-probabilities of tokens, from the logits that they were drawn from.

/// Token and the natural logarithm of its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Token.
    pub token: u32,
    /// Natural logarithm of its probability, at most 0.
    pub logprob: f32,
}

/// Log-probabilities at one position of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// Token that was drawn.
    pub drawn: Candidate,
    /// Likeliest tokens, the likeliest first; of equally likely ones the lower id first.
    pub top: Vec<Candidate>,
}

impl Logprobs {
    /// Log-probabilities of `drawn` and the `n_top` likeliest tokens: `logit - ln(sum(exp(logits)))`, the softmax of the model
    /// itself, before temperature and penalties. Summed in f64, in the order of the ids, so the bits are the same everywhere.
    pub fn new(logits: &[f32], drawn: u32, n_top: usize) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - f64::from(largest))).sum();
        let ln_sum = f64::from(largest) + libm::log(sum);
        let candidate = |token: u32| {
            let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
            Candidate { token, logprob: (f64::from(logit) - ln_sum) as f32 }
        };
        Self { drawn: candidate(drawn), top: likeliest(logits, n_top).into_iter().map(candidate).collect() }
    }
}

/// Ids of the `n` largest logits, the largest first.
fn likeliest(logits: &[f32], n: usize) -> Vec<u32> {
    let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    if n > 0 && n < ids.len() {
        ids.select_nth_unstable_by(n - 1, by_logit);
    }
    ids.truncate(n);
    ids.sort_unstable_by(by_logit);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let logits = [1.5, -0.25, 3.0, 3.0, -100.0, 0.0];
        let found = Logprobs::new(&logits, 1, 6);
        let order: Vec<u32> = found.top.iter().map(|candidate| candidate.token).collect();
        assert_eq!(order, [2, 3, 0, 5, 1, 4]);
        let sum: f64 = found.top.iter().map(|candidate| f64::from(candidate.logprob).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert_eq!(found.drawn, found.top[4]);
        assert_eq!(Logprobs::new(&logits, 1, 2).top, found.top[..2]);
        assert_eq!(Logprobs::new(&logits, 1, 99).top, found.top);
        assert_eq!(Logprobs::new(&logits, 1, 0).top, []);
    }

    #[test]
    fn two_equal_tokens_have_half_each() {
        let found = Logprobs::new(&[7.0, 7.0], 0, 1);
        assert_eq!(found.drawn.logprob, -std::f32::consts::LN_2);
        assert_eq!(found.top, [found.drawn]);
    }
}
