//! Tokens that are found in a text before it is cut: control tokens such as `<|endoftext|>`, and those that a user
//! defined.
//!
//! The first place wins, and at each place the longest token (Hugging Face's `tokenizers`; llama.cpp takes the longest first
//! wherever it is, which differs only where two tokens overlap).
//!
//! Tokens lie sorted, each with its *stem*: the longest other token that it begins with. The longest token that a text begins
//! with is then the last one that is not greater than the text, or its stem, or the stem of that, and so on. A filter of a few
//! bytes passes over nearly all places of most texts. At the others there are `log2(n) + 1` comparisons, each of which
//! continues behind the bytes that both neighbors share with the text, and at most as many stems as the longest token has
//! bytes. So a text takes time in proportion to its length and the logarithm of the number of tokens. The worst text, which
//! nearly agrees with the longest token at each place, takes time in proportion to that token's length, too.

use core::cmp::Ordering;

use nearfield_kernels::Arena;

use super::numbers::{Numbers, NumbersMut};
use super::token_list::TokenList;
use super::vocab::TokenType;
use crate::hash::Hash;
use crate::sections::Sections;

/// Greatest length of a special token, in bytes. Published ones have some dozens; the limit keeps a search short in any text.
pub(super) const MAX_LEN: usize = 512;
/// Bits of the filter.
const BITS: usize = 4096;
const WORDS: usize = BITS / 32;
/// Greatest number of bytes of a token in the filter's key.
pub(super) const MAX_KEY: usize = 4;

/// True if a token is found in a text before it is cut. A token without text is never found.
pub(super) fn is_special(ty: TokenType, token: &[u8]) -> bool {
    matches!(ty, TokenType::Control | TokenType::UserDefined) && !token.is_empty()
}

/// A text that can be read byte by byte.
pub(super) trait Bytes {
    /// Byte at a place; `None` behind the end.
    fn byte(&mut self, at: usize) -> Option<u8>;
}

impl Bytes for &[u8] {
    fn byte(&mut self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }
}

impl Bytes for &[&[u8]] {
    fn byte(&mut self, at: usize) -> Option<u8> {
        let mut at = at;
        self.iter().find_map(|part| {
            let byte = part.get(at).copied();
            at = at.saturating_sub(part.len());
            byte
        })
    }
}

/// Special tokens in the order of their texts, then of their ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecialTable<'f, 'a> {
    list: TokenList<'f, 'a>,
    /// From `first` on: the `n` ids, then for each of them the place of its stem plus one, or 0 if it has none.
    numbers: Numbers<'a>,
    first: usize,
    n: usize,
}

impl<'f, 'a> SpecialTable<'f, 'a> {
    /// Table in the `numbers` from `first` on.
    pub fn new(list: TokenList<'f, 'a>, numbers: Numbers<'a>, first: usize) -> Self {
        Self { list, numbers, first, n: numbers.len().saturating_sub(first) / 2 }
    }

    /// Number of special tokens.
    pub fn len(&self) -> usize {
        self.n
    }

    fn id(&self, at: usize) -> Option<u32> {
        self.numbers.get(self.first + at)
    }

    /// Text of the token at a place. Not inlined: the compiler would copy the whole walk to a token into each caller.
    #[inline(never)]
    fn text(&self, at: usize) -> &'f [u8] {
        self.id(at).and_then(|id| self.list.get(id)).unwrap_or_default()
    }

    fn stem(&self, at: usize) -> Option<usize> {
        let stem = self.numbers.get(self.first + self.n + at)?.checked_sub(1)? as usize;
        // Always true, except in a forged index. The check ends every walk over stems.
        (stem < at).then_some(stem)
    }

    /// Lengths and ids of all tokens that `text` begins with, the longest first, of equal ones the last first.
    pub fn matches(self, mut text: impl Bytes) -> impl Iterator<Item = (usize, u32)> {
        let found = last_not_greater(self.n, |at| self.text(at), &mut text);
        let (last, n_shared) = found.map_or((None, 0), |(at, n_shared)| (Some(at), n_shared));
        let tokens = self.stems(last).filter_map(move |at| Some((self.text(at).len(), self.id(at)?)));
        tokens.filter(move |&(len, _)| len > 0 && len <= n_shared)
    }

    /// Places of a token, its stem, the stem of that, and so on.
    fn stems(self, token: Option<usize>) -> impl Iterator<Item = usize> {
        core::iter::successors(token, move |&at| self.stem(at))
    }

    /// Id of the token with this text.
    pub fn find(self, text: impl Bytes + Copy) -> Option<u32> {
        let (len, id) = self.matches(text).next()?;
        { text }.byte(len).is_none().then_some(id)
    }
}

/// Place of the last of `n` sorted strings that is not greater than `text`, and the number of bytes that both share.
fn last_not_greater<'s>(n: usize, string: impl Fn(usize) -> &'s [u8], text: &mut impl Bytes) -> Option<(usize, usize)> {
    // Strings below `low` are not greater than the text, and those from `high` on are.
    let (mut low, mut high) = (0, n);
    let (mut shared_low, mut shared_high) = (0, 0);
    while low < high {
        let middle = low + (high - low) / 2;
        // Every string between shares at least as many bytes with the text as the end that shares fewer.
        let (n_shared, order) = compare(string(middle), text, shared_low.min(shared_high));
        if order == Ordering::Greater {
            (high, shared_high) = (middle, n_shared);
        } else {
            (low, shared_low) = (middle + 1, n_shared);
        }
    }
    Some((low.checked_sub(1)?, shared_low))
}

/// Compares two texts that share at least `n_shared` bytes; returns the number of bytes that they share, and their order.
fn compare(left: &[u8], right: &mut impl Bytes, n_shared: usize) -> (usize, Ordering) {
    let mut n = n_shared;
    loop {
        match (left.get(n).copied(), right.byte(n)) {
            (Some(left), Some(right)) if left == right => n += 1,
            (left, right) => return (n, left.cmp(&right)),
        }
    }
}

/// Writes the sorted ids of special tokens and their stems to the numbers from `first` on, which has room for two numbers for
/// each token.
pub(super) fn fill(
    numbers: &mut NumbersMut<'_>,
    first: usize,
    list: TokenList<'_, '_>,
    ids: impl Iterator<Item = u32>,
) {
    let n = (numbers.len() - first) / 2;
    (first..).zip(ids).for_each(|(at, id)| numbers.set(at, id));
    let text = |id| list.get(id).unwrap_or_default();
    numbers.sort(first..first + n, |a, b| text(a).cmp(text(b)).then(a.cmp(&b)));
    for at in 1..n {
        let table = SpecialTable::new(list, numbers.view(), first);
        let mut stem = Some(at - 1);
        while let Some(place) = stem
            && !table.text(at).starts_with(table.text(place))
        {
            stem = table.stem(place);
        }
        let number = stem.map_or(0, |place| place + 1) as u32;
        numbers.set(first + n + at, number);
    }
}

/// Bloom filter over the beginnings of special tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecialFilter<'a> {
    words: &'a [u32; WORDS],
    /// Bytes of each token in its key; 0 if there are no tokens.
    n_key: usize,
}

impl<'a> SpecialFilter<'a> {
    /// Bytes in the index.
    pub const fn bytes() -> Option<usize> {
        Arena::bytes_of::<u32>(WORDS)
    }

    /// Reads the filter from a prepared index, whose header has `n_key`; `None` if that ends before.
    pub fn read(parts: &mut Sections<'a>, n_key: usize) -> Option<Self> {
        Some(Self { words: parts.take(WORDS)?.first_chunk()?, n_key })
    }

    /// Words of the filter in a prepared index.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        Numbers::U32(self.words).words()
    }

    /// Bytes of each token in its key.
    pub fn n_key(&self) -> usize {
        self.n_key
    }

    /// True if `text` may begin with a special token.
    pub fn may_begin(&self, text: &mut impl Bytes) -> bool {
        let mut hash = Hash::EMPTY;
        for at in 0..self.n_key {
            let Some(byte) = text.byte(at) else { return false };
            hash = hash.then(byte);
        }
        let bit = hash.below(BITS);
        self.n_key > 0 && self.words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 != 0)
    }
}

/// A [`SpecialFilter`] that is being made.
#[derive(Debug)]
pub(super) struct SpecialFilterMut<'a> {
    words: &'a mut [u32; WORDS],
}

impl<'a> SpecialFilterMut<'a> {
    /// Takes a filter that lets nothing pass; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>) -> Option<Self> {
        let words = arena.take(WORDS)?.first_chunk_mut()?;
        words.fill(0);
        Some(Self { words })
    }

    /// Enters all tokens of the table.
    pub fn fill(self, table: SpecialTable<'_, '_>) -> SpecialFilter<'a> {
        let tokens = || (0..table.len()).map(|at| table.text(at));
        let n_key = tokens().map(<[u8]>::len).min().unwrap_or(0).min(MAX_KEY);
        for token in tokens() {
            let bit = Hash::of(&[token.get(..n_key).unwrap_or_default()]).below(BITS);
            if let Some(word) = self.words.get_mut(bit / 32) {
                *word |= 1 << (bit % 32);
            }
        }
        SpecialFilter { words: self.words, n_key }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::Cell;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use nearfield_kernels::Line;

    use super::super::strings::StringArray;
    use super::super::tokens::TokenTableMut;
    use super::super::vocab::Vocab;
    use super::super::{PreTokenizer, Tokenizer};
    use super::*;

    /// A text that counts how often a byte is read.
    #[derive(Clone, Copy)]
    struct Counted<'t>(&'t [u8], &'t Cell<usize>);

    impl Bytes for Counted<'_> {
        fn byte(&mut self, at: usize) -> Option<u8> {
            self.1.set(self.1.get() + 1);
            self.0.get(at).copied()
        }
    }

    /// Token found at each place of a text, with the number of steps: bytes read and stems visited.
    fn search(tokens: &[String], text: &str) -> Vec<(Option<(usize, u32)>, usize)> {
        let body: Vec<u8> =
            tokens.iter().flat_map(|t| [&(t.len() as u64).to_le_bytes()[..], t.as_bytes()].concat()).collect();
        let types: Vec<u8> = tokens.iter().flat_map(|_| 4i32.to_le_bytes()).collect();
        let strings = StringArray::split(tokens.len() as u64, &body).unwrap().0;
        let vocab =
            Vocab { token_types: Some(&types), ..Vocab::byte_level(strings, StringArray::EMPTY, PreTokenizer::Gpt2) };
        let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(tokens.len(), 0).unwrap() / Line::BYTES];
        let mut arena = Arena::new(&mut lines);
        let table = TokenTableMut::take(&mut arena, false, tokens.len()).unwrap().fill(&vocab).unwrap().special();
        let filter = SpecialFilterMut::take(&mut arena).unwrap().fill(table);
        assert_eq!(table.len(), tokens.len());
        let search_at = |at: usize| {
            let n_steps = Cell::new(0);
            let text = Counted(&text.as_bytes()[at..], &n_steps);
            if !filter.may_begin(&mut { text }) {
                return (None, n_steps.get());
            }
            let found = table.matches(text).next();
            let last = last_not_greater(table.n, |at| table.text(at), &mut { text }.0);
            let n_stems = last.map_or(0, |(last, _)| table.stems(Some(last)).count());
            (found, n_steps.get() + n_stems)
        };
        (0..text.len()).map(search_at).collect()
    }

    /// 4,000 tokens of 1 to 200 bytes, many of which have the same long runs.
    fn tokens() -> Vec<String> {
        let run = |n: usize| "a".repeat(n);
        let runs = (1..=200).map(run);
        let ended = (1..200).flat_map(|n| [run(n) + "!", run(n) + "b", run(n) + "ab", run(n) + "bc"]);
        let mut tokens: Vec<String> = runs.chain(ended).filter(|token| token.len() <= 200).collect();
        let mut state = 1u32;
        let mut random = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % n
        };
        while tokens.len() < 4000 {
            let letters = (0..=random(199)).map(|_| char::from(b'a' + random(2 + tokens.len() as u32 % 25) as u8));
            let token: String = letters.collect();
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// Counts steps, not seconds: at each place of the worst text at most four times the longest token's length, in plain text
    /// few.
    #[test]
    fn steps_are_bounded_for_thousands_of_long_tokens() {
        let tokens = tokens();
        let with_a = |n: usize| "a".repeat(n);
        let worst = [with_a(3000), (with_a(199) + "c").repeat(15), (with_a(150) + "bb").repeat(20), "ab".repeat(1500)];
        let plain = "Once upon a time there was a little girl who lived near the forest. ".repeat(40);
        for (text, most_each) in worst.iter().map(|text| (text, None)).chain([(&plain, Some(24))]) {
            let found = search(&tokens, text);
            let most = found.iter().map(|(_, n_steps)| *n_steps).max().unwrap();
            // Steps: the filter's key, twelve comparisons, few of which read the same bytes again, and the stems.
            assert!(most <= 4 * 200, "{most}");
            let n_steps: usize = found.iter().map(|(_, n_steps)| n_steps).sum();
            assert!(most_each.is_none_or(|most| n_steps <= most * text.len()), "{}", n_steps / text.len());
            for (at, (found, _)) in found.iter().enumerate() {
                let is_there = |token: &&String| text[at..].starts_with(&***token);
                let want = tokens.iter().filter(is_there).map(String::len).max();
                assert_eq!(found.map(|(len, _)| len), want, "{at}");
            }
        }
    }

    /// Ten times as many tokens take at most twice as many steps.
    #[test]
    fn steps_hardly_depend_on_the_number_of_tokens() {
        let tokens = tokens();
        let text = "Once upon a time there was a little girl who lived near the forest. ".repeat(20);
        let n_steps = |tokens: &[String]| search(tokens, &text).iter().map(|(_, n_steps)| n_steps).sum::<usize>();
        let few: Vec<String> = tokens.iter().step_by(10).cloned().collect();
        assert!(n_steps(&tokens) <= n_steps(&few) * 2, "{} {}", n_steps(&tokens), n_steps(&few));
    }

    #[test]
    fn of_equal_tokens_the_last_is_first_and_shorter_ones_follow() {
        let tokens = ["ab", "a", "ab", "abc", "b"].map(String::from);
        assert_eq!(search(&tokens, "abd")[0].0, Some((2, 2)));
        assert_eq!(
            search(&tokens, "abcd").iter().map(|(found, _)| *found).collect::<Vec<_>>(),
            [Some((3, 3)), Some((1, 4)), None, None]
        );
    }
}
