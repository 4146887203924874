//! Choice of the slot for a prompt.

/// Number of tokens from which on a common beginning is worth a slot that was used later than another.
const LEAST_COMMON: usize = 16;

/// Free slot, as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub struct FreeSlot<'s> {
    /// Number of the slot.
    pub index: usize,
    /// Tokens whose keys and values it has.
    pub tokens: &'s [u32],
    /// Number of the pass that used it last; 0 for none.
    pub used: u64,
}

/// Slot for `prompt` and the number of tokens that need not be read again: of the slot with the longest common beginning, else
/// of the one that was used longest ago. `None` without a free slot. At least one token is left to run.
pub fn choose<'s>(slots: impl Iterator<Item = FreeSlot<'s>> + Clone, prompt: &[u32]) -> Option<(usize, usize)> {
    let most = prompt.len().saturating_sub(1);
    let n_common = |tokens: &[u32]| tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count().min(most);
    let longest = slots.clone().map(|slot| (slot, n_common(slot.tokens))).max_by_key(|&(slot, n)| (n, slot.used))?;
    // A whole prompt or a whole text goes on, however short.
    let is_whole = |&(slot, n): &(FreeSlot<'_>, usize)| n > 0 && (n == most || n == slot.tokens.len());
    let (slot, n) = match longest {
        found if found.1 >= LEAST_COMMON || is_whole(&found) => found,
        _ => slots.map(|slot| (slot, n_common(slot.tokens))).min_by_key(|(slot, _)| slot.used)?,
    };
    Some((slot.index, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_common_beginning_wins_else_the_oldest() {
        let long: Vec<u32> = (0..40).collect();
        let (a, b) = ([&long[..20], &[7]].concat(), [&long[..30], &[7]].concat());
        let slot = |index, tokens, used| FreeSlot { index, tokens, used };
        let slots = [slot(0, &a[..], 9), slot(1, &b[..], 5), slot(2, &[], 0)];
        assert_eq!(choose(slots.into_iter(), &long), Some((1, 30)));
        assert_eq!(choose(slots.into_iter(), &[50, 51]), Some((2, 0)));
        // A beginning that all texts share is no reason to drop the newest text.
        assert_eq!(choose(slots.into_iter(), &[0, 1, 99]), Some((0, 2)), "the whole prompt but one token");
        assert_eq!(choose(slots.into_iter(), &[0, 1, 99, 98, 97]), Some((2, 0)));
        // A token is left to run.
        assert_eq!(choose(slots.into_iter(), &a), Some((0, 20)));
        assert_eq!(choose(slots.into_iter(), &[a.clone(), vec![8]].concat()), Some((0, 21)));
        assert_eq!(choose([].into_iter(), &long), None);
    }

    #[test]
    fn of_equal_beginnings_the_newest_slot_goes_on() {
        let tokens: Vec<u32> = (0..20).collect();
        let slot = |index, used| FreeSlot { index, tokens: &tokens, used };
        assert_eq!(choose([slot(0, 3), slot(1, 8), slot(2, 5)].into_iter(), &tokens), Some((1, 19)));
    }
}
