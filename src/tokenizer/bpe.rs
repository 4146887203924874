//! Byte-pair encoding of one piece: as long as any two neighbors merge, the pair of lowest rank does; of equal ranks, the first
//! pair. Each kind of BPE supplies the symbols and the ranks.
//!
//! Source: Sennrich et al. 2016 (arXiv 1508.07909); the order is that of Hugging Face's `tokenizers` and of llama.cpp. Short
//! pieces keep their ranks on the stack and scan all of them for each merge. Long pieces, whose length the input decides, keep
//! a tree of minima beside the tokens: n merges take time in proportion to n log n.

use super::min_tree::MinTree;

/// Rank of a pair that does not merge: above all others.
pub(super) const NEVER: u32 = u32::MAX;

/// Source of merges: the pairs of symbols that merge, their order, and their products.
pub(super) trait Merges: Copy {
    /// Rank of the merge of two neighbors: the lowest goes first. [`NEVER`] if they do not merge.
    fn rank(&self, left: u32, right: u32) -> u32;

    /// Symbol that two neighbors with a merge of this rank become.
    fn product(&self, rank: u32, left: u32, right: u32) -> Option<u32>;
}

/// Tokens of the longest piece that is merged on the stack.
const SHORT: usize = 64;
/// Slots under one leaf of a long piece's tree. When one of them changes, the ranks of all are looked up again.
const BLOCK: usize = 16;

/// Slots that [`merge`] needs for `n` tokens: `n`, and a fifteenth more for a long piece.
pub(super) const fn len_of(n: usize) -> usize {
    if n <= SHORT { n } else { n.saturating_add(MinTree::len_of(n.div_ceil(BLOCK))) }
}

/// Merges the first `n` tokens of `slots` in place; returns how many are left. `slots`: at least [`len_of`]`(n)`.
pub(super) fn merge(merges: &impl Merges, slots: &mut [u32], n: usize) -> usize {
    let (slots, words) = slots.split_at_mut_checked(n).unwrap_or_default();
    if n <= SHORT { merge_short(merges, slots) } else { LongPiece::new(merges, slots, words).merge() }
}

/// Implements [`merge`] for up to `SHORT` tokens.
fn merge_short(merges: &impl Merges, tokens: &mut [u32]) -> usize {
    let mut n = tokens.len();
    let mut ranks = [NEVER; SHORT];
    for (rank, pair) in ranks.iter_mut().zip(tokens.windows(2)) {
        *rank = rank_of(merges, pair);
    }
    while let Some((at, rank)) = first_least(ranks.get(..n).unwrap_or_default())
        && let (Some([left, rest @ ..]), Some([_, ranks_of_rest @ ..])) = (tokens.get_mut(at..n), ranks.get_mut(at..n))
        && let Some(product) = rest.first().and_then(|&right| merges.product(rank, *left, right))
    {
        *left = product;
        shift(rest);
        // The last rank is `NEVER`, as that of a token without a next one.
        shift(ranks_of_rest);
        n -= 1;
        for at in at.saturating_sub(1)..=at {
            if let (Some(rank), Some(pair)) = (ranks.get_mut(at), tokens.get(at..n)) {
                *rank = rank_of(merges, pair);
            }
        }
    }
    n
}

/// Rank of the first two tokens.
fn rank_of(merges: &impl Merges, tokens: &[u32]) -> u32 {
    match *tokens {
        [left, right, ..] => merges.rank(left, right),
        _ => NEVER,
    }
}

/// Moves all numbers but the first one place to the front; the last place keeps its number, too.
fn shift(numbers: &mut [u32]) {
    let mut rest = numbers;
    while let [to, after @ ..] = rest
        && let Some(&from) = after.first()
    {
        *to = from;
        rest = after;
    }
}

/// Place and value of the first of the lowest ranks; `None` if nothing merges.
fn first_least(ranks: &[u32]) -> Option<(usize, u32)> {
    let least = ranks.iter().copied().min().filter(|&rank| rank != NEVER)?;
    Some((ranks.iter().position(|&rank| rank == least)?, least))
}

/// A piece of any length.
///
/// A token that was made of `len` slots begins in the first of them. Its second and its last slot hold `INSIDE | len`, so that
/// both neighbors are found without a list; slots between them are `INSIDE`, too. The first slot holds the id, with the flag
/// `LONG` for a token of several slots.
struct LongPiece<'p, M> {
    merges: &'p M,
    slots: &'p mut [u32],
    /// Lowest rank of the pairs whose left token begins in each `BLOCK` slots.
    ranks: MinTree<'p>,
}

const LONG: u32 = 1 << 31;
const INSIDE: u32 = 1 << 30;
/// Greatest id and length: both lie below the two flags.
pub(super) const MAX: usize = INSIDE as usize - 1;

impl<'p, M: Merges> LongPiece<'p, M> {
    fn new(merges: &'p M, slots: &'p mut [u32], words: &'p mut [u32]) -> Self {
        let ranks = MinTree::new(words, slots.len().div_ceil(BLOCK), |block| lowest_rank(merges, slots, block));
        Self { merges, slots, ranks }
    }

    fn merge(mut self) -> usize {
        loop {
            let (block, rank) = self.ranks.first_least();
            let at = heads(self.slots, block).find(|&at| rank != NEVER && rank_at(self.merges, self.slots, at) == rank);
            let merge = at.and_then(|at| {
                let (left, right) = (id_at(self.slots, at), id_at(self.slots, at + len_at(self.slots, at)));
                Some((at, self.merges.product(rank, left, right)?))
            });
            let Some((at, product)) = merge else { return self.gather() };
            self.merge_at(at, product);
        }
    }

    /// Merges the token at `at` and the next one.
    fn merge_at(&mut self, at: usize, product: u32) {
        let right = at + len_at(self.slots, at);
        let end = right + len_at(self.slots, right);
        let len = (end - at) as u32;
        set(self.slots, right, INSIDE);
        set(self.slots, at, LONG | product);
        set(self.slots, at + 1, INSIDE | len);
        set(self.slots, end - 1, INSIDE | len);

        self.refresh(at / BLOCK);
        if right / BLOCK != at / BLOCK {
            self.refresh(right / BLOCK);
        }
        if let Some(left) = before(self.slots, at)
            && left / BLOCK != at / BLOCK
        {
            self.refresh(left / BLOCK);
        }
    }

    fn refresh(&mut self, block: usize) {
        self.ranks.set(block, lowest_rank(self.merges, self.slots, block));
    }

    /// Moves the tokens to the front; returns their number.
    fn gather(self) -> usize {
        let (mut n, mut at) = (0, 0);
        while at < self.slots.len() {
            let len = len_at(self.slots, at);
            set(self.slots, n, id_at(self.slots, at));
            (n, at) = (n + 1, at + len);
        }
        n
    }
}

/// Word in a slot; `INSIDE` behind the last one, where no token begins.
fn get(slots: &[u32], at: usize) -> u32 {
    slots.get(at).copied().unwrap_or(INSIDE)
}

fn set(slots: &mut [u32], at: usize, word: u32) {
    if let Some(slot) = slots.get_mut(at) {
        *slot = word;
    }
}

/// Id of the token that begins at `at`.
fn id_at(slots: &[u32], at: usize) -> u32 {
    get(slots, at) & !LONG
}

/// Slots of the token that begins at `at`.
fn len_at(slots: &[u32], at: usize) -> usize {
    if get(slots, at) & LONG == 0 { 1 } else { (get(slots, at + 1) & !INSIDE) as usize }
}

/// First slot of the token before the one at `at`; `None` if that is the first.
fn before(slots: &[u32], at: usize) -> Option<usize> {
    let last = at.checked_sub(1)?;
    let len = if get(slots, last) & INSIDE == 0 { 1 } else { get(slots, last) & !INSIDE };
    Some(at - len as usize)
}

/// Slots of a block in which tokens begin.
fn heads(slots: &[u32], block: usize) -> impl Iterator<Item = usize> {
    (block * BLOCK..slots.len().min((block + 1) * BLOCK)).filter(|&at| get(slots, at) & INSIDE == 0)
}

/// Rank of the token that begins at `at` with the next one.
fn rank_at(merges: &impl Merges, slots: &[u32], at: usize) -> u32 {
    let next = at + len_at(slots, at);
    if next < slots.len() { merges.rank(id_at(slots, at), id_at(slots, next)) } else { NEVER }
}

fn lowest_rank(merges: &impl Merges, slots: &[u32], block: usize) -> u32 {
    heads(slots, block).map(|at| rank_at(merges, slots, at)).min().unwrap_or(NEVER)
}
