//! Negative log-likelihoods of tokens.

/// Sum of the negative log-likelihoods of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Sum of negative log-likelihoods, in nats.
    pub nll: f64,
    /// Sum of their squares, for the error of the mean.
    pub nll_squared: f64,
    /// Number of tokens.
    pub n_tokens: u64,
    /// Number of bytes that the tokens stand for.
    pub n_bytes: u64,
}

impl Score {
    /// Adds a token of `n_bytes` bytes, for which the model gave `logits`. `[n_vocab]`
    pub fn count(&mut self, logits: &[f32], token: u32, n_bytes: u32) {
        let nll = log_sum_exp(logits) - f64::from(logits[token as usize]);
        self.nll += nll;
        self.nll_squared += nll * nll;
        self.n_tokens += 1;
        self.n_bytes += u64::from(n_bytes);
    }

    /// Adds another score.
    pub fn add(&mut self, other: &Self) {
        self.nll += other.nll;
        self.nll_squared += other.nll_squared;
        self.n_tokens += other.n_tokens;
        self.n_bytes += other.n_bytes;
    }

    /// Perplexity: `exp` of the mean.
    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
    }

    /// Standard error of the perplexity, as if tokens did not depend on each other.
    pub fn error(&self) -> f64 {
        let n = self.n_tokens as f64;
        let variance = (self.nll_squared / n - self.mean() * self.mean()).max(0.0);
        self.perplexity() * (variance / (n - 1.0).max(1.0)).sqrt()
    }

    /// Bits per byte, which do not depend on how a tokenizer cuts a text.
    pub fn bits_per_byte(&self) -> f64 {
        self.nll / std::f64::consts::LN_2 / self.n_bytes as f64
    }

    fn mean(&self) -> f64 {
        self.nll / self.n_tokens as f64
    }
}

/// Logarithm `ln Σ exp(x)`.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    f64::from(max) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() {
        let mut score = Score::default();
        (0..10).for_each(|token| score.count(&[3.5; 10], token, 2));
        assert!((score.perplexity() - 10.0).abs() < 1e-12 && score.error() < 1e-6);
        assert!((score.bits_per_byte() - 10f64.log2() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn likely_tokens_cost_little() {
        let mut score = Score::default();
        score.count(&[0.0, 3f32.ln()], 1, 1);
        assert!((score.perplexity() - 4.0 / 3.0).abs() < 1e-7);
        score.count(&[1000.0, -1000.0], 0, 1);
        assert!((score.nll - (4f64 / 3.0).ln()).abs() < 1e-7);
        let mut twice = score;
        twice.add(&score);
        assert_eq!((twice.perplexity(), twice.n_tokens), (score.perplexity(), 4));
    }
}
