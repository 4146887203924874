//! Top-k: the k highest logits.

use super::candidates::Candidate;
use super::cut::{Cut, key_of};
use super::shortlist::{self, Shortlist};

/// Top-k as a list, if it is that short; empty otherwise.
///
/// - `k`: number of candidates in the top-k; 0 for all
/// - `n`: greatest number of candidates
pub(super) fn shortlist(candidates: impl Iterator<Item = Candidate>, k: usize, n: usize) -> Shortlist {
    match if k == 0 { n } else { k.min(n) } {
        k @ 1..=shortlist::MAX => shortlist::first(k, candidates),
        _ => Shortlist::new(),
    }
}

/// Candidates in the top-k: the shortlist if there is one.
pub(super) fn top_k<I: Iterator<Item = Candidate> + Clone>(
    candidates: I,
    k: usize,
    n: usize,
    shortlist: &Shortlist,
) -> impl Iterator<Item = Candidate> + Clone + use<'_, I> {
    let cut = match k {
        k if 0 < k && k < n && shortlist.is_empty() => {
            Cut::reach(candidates.clone().map(|c| key_of(c.logit)), |_| 1, k as u64)
        }
        _ => Cut::ALL,
    };
    // Either `shortlist` or `all` is empty.
    let all = candidates.take(if shortlist.is_empty() { usize::MAX } else { 0 });
    shortlist.iter().copied().chain(cut.keep(all, |c| key_of(c.logit)))
}
