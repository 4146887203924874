//! DRY ("don't repeat yourself"): a penalty on tokens that would continue a repetition, which grows with its length.
//!
//! ```text
//!   logit - multiplier * base ^ (length - allowed_length)     where length >= allowed_length
//! ```
//!
//! `length` is that of the longest end of the text that came before, followed by this token. Ends do not reach across a breaker, such as a line
//! break, so that the form of a list or a dialog is no repetition.
//!
//! Source: p-e-w, *DRY: A modern repetition penalty that reliably prevents looping*, text-generation-webui, pull request 5677; llama.cpp,
//! `llama_sampler_dry_apply`, which finds the lengths by the Z-algorithm (Gusfield, *Algorithms on Strings, Trees, and Sequences*
//! (1997), section 1.4) in the reversed text, as here: one pass over the history.

use super::config::SamplerConfig;
use super::dry_breakers::DryBreakers;
use super::history::History;
use super::table::Table;

/// Subtracts the penalty from the table's logits.
///
/// - `lengths`: scratch of [`dry_penalty_last_n`](SamplerConfig::dry_penalty_last_n) words
pub(super) fn apply(
    table: &mut Table<'_>,
    history: &History<'_>,
    lengths: &mut [u32],
    config: &SamplerConfig,
    breakers: &DryBreakers<'_>,
) {
    let SamplerConfig { dry_multiplier, dry_base, dry_allowed_length, .. } = *config;
    let n = history.len().min(config.dry_window());
    if n <= dry_allowed_length {
        return;
    }
    let limit = breakers.limit(history, n);
    let Some(lengths) = lengths.get_mut(..n).filter(|_| limit >= dry_allowed_length) else { return };
    find_lengths(history, lengths);
    table.clear_repeated();
    for (i, &len) in lengths.iter().enumerate().skip(1) {
        let len = limit.min(len as usize);
        // The end of the text came before, up to `i` before the newest token; the next one there would continue it.
        if let Some(token) = history.back(i - 1).filter(|_| len >= dry_allowed_length) {
            table.note_repeated(token, len);
        }
    }
    let most = max_exponent(dry_base);
    table.change_repeated(|token, logit, len| {
        if breakers.is_breaker(token) {
            return logit;
        }
        let exponent = len.saturating_sub(dry_allowed_length as u32).min(most);
        logit - (f64::from(dry_multiplier) * power(dry_base.into(), exponent)) as f32
    });
}

/// Sets `lengths[i]`, for i from 1 on, to the number of tokens by which the history before its last `i` tokens ends as the whole.
fn find_lengths(history: &History<'_>, lengths: &mut [u32]) {
    let n = lengths.len();
    // The match that reaches farthest begins at `left` and ends before `right`.
    let (mut left, mut right) = (0usize, 0usize);
    for i in 1..n {
        let mut len = 0;
        if let Some(inside) = right.checked_sub(i) {
            let known = lengths.get(i.wrapping_sub(left)).copied().unwrap_or_default();
            len = inside.min(known as usize);
        }
        if i + len >= right {
            while i + len < n && history.back(len) == history.back(i + len) {
                len += 1;
            }
            (left, right) = (i, i + len);
        }
        if let Some(slot) = lengths.get_mut(i) {
            *slot = len as u32;
        }
    }
}

/// Greatest exponent for which a power of `base` is a finite float.
fn max_exponent(base: f32) -> u32 {
    /// Logarithm of the largest float.
    const LN_MAX: f32 = 88.722_84;
    if base > 1.000_001 { (LN_MAX / libm::logf(base)) as u32 } else { u32::MAX }
}

/// `base` to the `exponent`, by squaring: the same bits on every machine.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::super::history::Place;
    use super::*;
    use crate::sampler::rng::Rng;

    #[test]
    fn lengths_are_those_found_one_by_one() {
        let mut rng = Rng::new(5);
        for round in 0..500 {
            let n = 1 + rng.below(60) as usize;
            let (mut memory, mut place) = (std::vec![0; n], Place::default());
            let mut history = History::new(&mut memory, &mut place);
            let tokens: Vec<u32> = (0..n + 7).map(|_| rng.below(1 + round % 4) as u32).collect();
            tokens.iter().for_each(|&token| history.push(token));
            let text: Vec<u32> = tokens[7..].iter().rev().copied().collect();
            let mut lengths = std::vec![0; n];
            find_lengths(&history, &mut lengths);
            for i in 1..n {
                let want = (0..n - i).take_while(|&j| text[j] == text[i + j]).count();
                assert_eq!(lengths[i] as usize, want, "{text:?}");
            }
        }
    }

    #[test]
    fn powers() {
        assert_eq!(
            [power(1.75, 0), power(1.75, 1), power(1.75, 5), power(2.0, 100)],
            [1.0, 1.75, 16.4130859375, 2f64.powi(100)]
        );
        assert_eq!([max_exponent(1.75), max_exponent(2.0), max_exponent(1.0)], [158, 128, u32::MAX]);
    }
}
