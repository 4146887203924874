//! Finds a small top-k in one pass.

use heapless::Vec;

use super::candidates::Candidate;

/// Greatest number of candidates in a shortlist: half a kilobyte of stack.
pub(super) const MAX: usize = 64;

/// Candidates in the order of their index.
pub(super) type Shortlist = Vec<Candidate, MAX>;

/// The first `k` candidates in the order "higher logit first, equal logits by their index", in the order of their index.
///
/// Few of many candidates get onto the list, so the cost is little more than one comparison each.
///
/// - `k`: 1 to [`MAX`]
pub(super) fn first(k: usize, candidates: impl Iterator<Item = Candidate>) -> Shortlist {
    let mut list = Shortlist::new();
    // Once the list is full: the logit that a candidate has to exceed.
    let mut last = None;
    for candidate in candidates {
        if last.is_some_and(|last| candidate.logit <= last) {
            continue;
        }
        if list.len() == k {
            list.pop();
        }
        let at = list.partition_point(|other| other.logit >= candidate.logit);
        insert(&mut list, at, candidate);
        if list.len() == k {
            last = list.last().map(|last| last.logit);
        }
    }
    // Sorts by insertion: the list is short, and the standard library's sort takes 9 KB of a board's flash.
    let mut in_order = Shortlist::new();
    for candidate in list {
        let at = in_order.partition_point(|other: &Candidate| other.token < candidate.token);
        insert(&mut in_order, at, candidate);
    }
    in_order
}

/// Inserts a candidate at `at`. The list has room: `k` is at most its capacity. (`Vec::insert` would panic behind the end, and the
/// compiler does not see that `at` never is.)
fn insert(list: &mut Shortlist, at: usize, candidate: Candidate) {
    let mut moved = candidate;
    list.iter_mut().skip(at).for_each(|place| core::mem::swap(place, &mut moved));
    let _ = list.push(moved);
}
