//! Tree that finds the first of the smallest of many changing numbers.

/// Numbers under one parent.
const FAN: usize = 16;

/// A tree of minima in memory of the caller: first a level of the numbers, then levels with the minimum of each 16 numbers
/// below, up to a level of one number.
#[derive(Debug)]
pub(super) struct MinTree<'t> {
    words: &'t mut [u32],
    n_leaves: usize,
}

impl<'t> MinTree<'t> {
    /// Words of a tree over `n_leaves`: 16/15 of them and a few.
    pub const fn len_of(n_leaves: usize) -> usize {
        let (mut len, mut level) = (n_leaves, n_leaves);
        while level > 1 {
            level = level.div_ceil(FAN);
            len += level;
        }
        len
    }

    /// Builds a tree over the values of `leaf`; there has to be one at least. `words` has at least [`len_of`](Self::len_of)
    /// words.
    pub fn new(words: &'t mut [u32], n_leaves: usize, leaf: impl FnMut(usize) -> u32) -> Self {
        let words = words.get_mut(..Self::len_of(n_leaves)).unwrap_or_default();
        let (mut below, mut above) = words.split_at_mut_checked(n_leaves).unwrap_or_default();
        below.iter_mut().zip((0..).map(leaf)).for_each(|(word, value)| *word = value);
        while below.len() > 1
            && let Some((level, rest)) = above.split_at_mut_checked(below.len().div_ceil(FAN))
        {
            level.iter_mut().zip(below.chunks(FAN)).for_each(|(word, children)| *word = least(children));
            (below, above) = (level, rest);
        }
        Self { words, n_leaves }
    }

    /// Sets the value of a leaf.
    pub fn set(&mut self, leaf: usize, value: u32) {
        let (mut start, mut level, mut at, mut value) = (0, self.n_leaves, leaf, value);
        while let Some(word) = self.words.get_mut(start + at)
            && *word != value
        {
            *word = value;
            if level == 1 {
                break;
            }
            value = least(self.children(start, level, at / FAN));
            (start, level, at) = (start + level, level.div_ceil(FAN), at / FAN);
        }
    }

    /// First leaf with the least value, and that value.
    pub fn first_least(&self) -> (usize, u32) {
        let least = self.words.last().copied().unwrap_or(u32::MAX);
        (self.first_equal(0, self.n_leaves, least), least)
    }

    /// Index of the first of the `level` numbers from `start` on that equals `value`, the least of them.
    fn first_equal(&self, start: usize, level: usize, value: u32) -> usize {
        let parent = if level <= FAN { 0 } else { self.first_equal(start + level, level.div_ceil(FAN), value) };
        let numbers = self.children(start, level, parent);
        FAN * parent + numbers.iter().position(|&number| number == value).unwrap_or(0)
    }

    /// Numbers under one parent, in the level of `level` numbers from `start` on.
    fn children(&self, start: usize, level: usize, parent: usize) -> &[u32] {
        let first = FAN * parent;
        self.words.get(start + first..start + level.min(first + FAN)).unwrap_or_default()
    }
}

fn least(numbers: &[u32]) -> u32 {
    numbers.iter().copied().min().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_first_least_is_that_of_a_scan() {
        let mut state = 1u32;
        let mut random = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % n
        };
        for n in [1, 2, 15, 16, 17, 255, 256, 257, 700, 5000] {
            let mut values: Vec<u32> = (0..n).map(|_| random(50)).collect();
            let mut words = vec![7; MinTree::len_of(n) + 1];
            let mut tree = MinTree::new(&mut words, n, |leaf| values[leaf]);
            for _ in 0..2000 {
                let least = *values.iter().min().unwrap();
                assert_eq!(tree.first_least(), (values.iter().position(|&v| v == least).unwrap(), least), "{n}");
                let (leaf, value) = (random(n as u32) as usize, [random(50), u32::MAX, random(3)][random(3) as usize]);
                values[leaf] = value;
                tree.set(leaf, value);
            }
        }
    }

    #[test]
    fn a_tree_is_hardly_larger_than_its_leaves() {
        assert_eq!(MinTree::len_of(1), 1);
        assert_eq!(MinTree::len_of(16), 17);
        assert_eq!(MinTree::len_of(17), 20);
        assert!((1..10_000).all(|n| MinTree::len_of(n) <= n + n / 15 + 5));
    }
}
