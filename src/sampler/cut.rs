//! Finds the best candidates without sorting: the key at which they end, digit by digit.

use core::cmp::Ordering;

/// Key of a float: an integer of the same order. The caller replaces -0 by 0.
pub(super) fn key_of(logit: f32) -> u32 {
    let bits = logit.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Float of a key.
pub(super) fn logit_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// A cut behind the first candidates in the order "higher logit first, equal logits by their index": all above a key, and some
/// at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Key of the last candidate.
    key: u32,
    /// Number of candidates with this very key; the first ones count.
    n_equal: u64,
}

/// Bits of a digit. A pass over the candidates finds one digit, with a sum for each of its values (2 KiB) on the stack.
const DIGIT: u32 = 8;

impl Cut {
    /// Every candidate.
    pub(super) const ALL: Self = Self { key: 0, n_equal: u64::MAX };

    /// Cut behind the fewest candidates whose masses add up to `target`; all if their sum is below it.
    ///
    /// - `keys`: keys of the candidates, in the order of their index
    /// - `mass`: mass of a candidate with this key
    /// - `target`: at least 1
    pub(super) fn reach(keys: impl Iterator<Item = u32> + Clone, mass: impl Fn(u32) -> u64, target: u64) -> Self {
        match last_key(keys, |&key| key, |&key| mass(key), target) {
            // The candidates at this key have a mass, since the last of them reached the target.
            Some((key, above)) => Self { key, n_equal: (target - above).div_ceil(mass(key).max(1)) },
            None => Self::ALL,
        }
    }

    /// [`reach`](Self::reach) for candidates of which those with the same key may differ in mass.
    ///
    /// - `candidates`: in the order of their index
    pub(super) fn reach_by<T>(
        candidates: impl Iterator<Item = T> + Clone,
        key: impl Fn(&T) -> u32,
        mass: impl Fn(&T) -> u64,
        target: u64,
    ) -> Self {
        let Some((last, above)) = last_key(candidates.clone(), &key, &mass, target) else { return Self::ALL };
        let (mut rest, mut n_equal) = (target - above, 0);
        for candidate in candidates.filter(|candidate| key(candidate) == last) {
            if rest == 0 {
                break;
            }
            rest = rest.saturating_sub(mass(&candidate));
            n_equal += 1;
        }
        Self { key: last, n_equal }
    }

    /// Iterates over the candidates before the cut; `candidates` come in the order of their index.
    pub(super) fn keep<T>(
        self,
        candidates: impl Iterator<Item = T> + Clone,
        key: impl Fn(&T) -> u32 + Clone,
    ) -> impl Iterator<Item = T> + Clone {
        let mut n_equal = self.n_equal;
        candidates.filter(move |candidate| match key(candidate).cmp(&self.key) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal if n_equal == 0 => false,
            Ordering::Equal => {
                n_equal -= 1;
                true
            }
        })
    }
}

/// Key of the last candidate before the cut at which masses add up to `target`, and the mass of all candidates above this key.
fn last_key<T>(
    candidates: impl Iterator<Item = T> + Clone,
    key: impl Fn(&T) -> u32,
    mass: impl Fn(&T) -> u64,
    target: u64,
) -> Option<(u32, u64)> {
    // Digits found so far, and the mass of all candidates above them.
    let mut found = 0;
    let mut above = 0;
    for shift in (0..u32::BITS).step_by(DIGIT as usize).rev() {
        let mut sums = [0u64; 1 << DIGIT];
        for candidate in candidates.clone() {
            let key = key(&candidate);
            // Two shifts: no digit lies before the first, and a single shift by 32 would overflow.
            if (key ^ found) >> shift >> DIGIT == 0 {
                let sum = &mut sums[(key >> shift) as usize % sums.len()];
                *sum = sum.saturating_add(mass(&candidate));
            }
        }
        found |= last_digit(&sums, &mut above, target)? << shift;
    }
    Some((found, above))
}

/// Digit at which the sums, from the highest on, reach `target`; adds the sums above it to `above`.
fn last_digit(sums: &[u64], above: &mut u64, target: u64) -> Option<u32> {
    for (digit, &sum) in sums.iter().enumerate().rev() {
        let with = above.saturating_add(sum);
        if with >= target {
            return Some(digit as u32);
        }
        *above = with;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_and_come_back() {
        let floats = [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-40, 0.0, 1e-40, f32::MIN_POSITIVE, 1.0, f32::MAX];
        assert!(floats.is_sorted_by_key(|&x| key_of(x)));
        assert!(floats.iter().all(|&x| logit_of(key_of(x)).to_bits() == x.to_bits()));
    }

    #[test]
    fn a_target_that_is_out_of_reach_keeps_all() {
        let keys = [3, 1, 2];
        assert_eq!(Cut::reach(keys.into_iter(), |_| 1, 4), Cut::ALL);
        assert_eq!(Cut::reach([].into_iter(), |_| 1, 1), Cut::ALL);
    }

    #[test]
    fn candidates_of_one_key_count_with_their_own_mass() {
        let candidates = [(7, 1), (9, 5), (7, 4), (7, 2), (1, 9)];
        for (target, kept) in [(1, 1), (5, 1), (6, 2), (7, 3), (10, 3), (11, 4), (12, 4), (13, 5), (21, 5)] {
            let cut = Cut::reach_by(candidates.iter(), |c| c.0, |c| c.1, target);
            assert_eq!(cut.keep(candidates.iter(), |c| c.0).count(), kept, "{target}");
        }
        assert_eq!(Cut::reach_by(candidates.iter(), |c| c.0, |c| c.1, 22), Cut::ALL);
    }

    #[test]
    fn equal_keys_are_kept_from_the_first_on() {
        let candidates = [(7, 'a'), (9, 'b'), (7, 'c'), (7, 'd'), (1, 'e')];
        let cut = Cut::reach(candidates.iter().map(|c| c.0), |_| 1, 3);
        let mut kept = cut.keep(candidates.iter(), |c| c.0).map(|c| c.1);
        assert_eq!([kept.next(), kept.next(), kept.next(), kept.next()], [Some('a'), Some('b'), Some('c'), None]);
    }
}
