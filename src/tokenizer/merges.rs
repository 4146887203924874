//! Merges of a file: pairs of tokens, their order, and their products.

use nearfield_kernels::Arena;

use super::bpe::{self, NEVER};
use super::error::{MergePart, TokenizerError};
use super::numbers::{Numbers, NumbersMut};
use super::strings::StringArray;
use super::tokens::TokenTable;
use crate::hash::{Hash, probes};
use crate::sections::Sections;

/// Merges by rank, and a hash table of their ranks. A merge's rank is its place in the file: low ranks are applied first.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergeTable<'a> {
    /// `[n_merges, 3]`: ids of left, right and product of each merge.
    merges: Numbers<'a>,
    /// `[2 * n_merges]`: `rank + 1`, or 0 where a slot is empty.
    slots: Numbers<'a>,
}

impl<'a> MergeTable<'a> {
    /// Bytes in the index for `n_merges`.
    pub const fn bytes_of(wide: bool, n_merges: usize) -> Option<usize> {
        match (Numbers::bytes_of(wide, 3 * n_merges), Numbers::bytes_of(wide, 2 * n_merges)) {
            (Some(merges), Some(slots)) => merges.checked_add(slots),
            _ => None,
        }
    }

    /// Reads the table from a prepared index; `None` if it cannot be that of `n_merges` and `n_tokens`.
    pub fn read(parts: &mut Sections<'a>, wide: bool, n_merges: usize, n_tokens: usize) -> Option<Self> {
        let merges = Numbers::read(parts, wide, 3 * n_merges)?;
        let slots = Numbers::read(parts, wide, 2 * n_merges)?;
        (merges.all_up_to(n_tokens.checked_sub(1)?) && slots.all_up_to(n_merges)).then_some(Self { merges, slots })
    }

    /// Words of the table in a prepared index.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.merges.words().chain(self.slots.words())
    }

    /// True if the merge of this rank is that of this pair.
    fn is_pair(&self, rank: u32, left: u32, right: u32) -> bool {
        let at = 3 * rank as usize;
        self.merges.get(at) == Some(left) && self.merges.get(at + 1) == Some(right)
    }

    /// Slot in which the merge of this pair lies, or else would lie; `None` if all slots for its hash are taken.
    fn slot(&self, left: u32, right: u32) -> Option<usize> {
        probes(Hash::of_pair(left, right), self.slots.len()).find(|&slot| match self.slots.get(slot) {
            Some(0) => true,
            Some(number) => self.is_pair(number - 1, left, right),
            None => false,
        })
    }
}

impl bpe::Merges for MergeTable<'_> {
    fn rank(&self, left: u32, right: u32) -> u32 {
        // An empty slot holds 0, which wraps to NEVER.
        self.slot(left, right).and_then(|slot| self.slots.get(slot)).map_or(NEVER, |number| number.wrapping_sub(1))
    }

    fn product(&self, rank: u32, _: u32, _: u32) -> Option<u32> {
        self.merges.get((rank as usize).checked_mul(3)?.checked_add(2)?)
    }
}

/// A [`MergeTable`] that is being made.
#[derive(Debug)]
pub(super) struct MergeTableMut<'a> {
    merges: NumbersMut<'a>,
    slots: NumbersMut<'a>,
}

impl<'a> MergeTableMut<'a> {
    /// Takes a table without merges; `None` if the arena is too small.
    pub fn take(arena: &mut Arena<'a>, wide: bool, n_merges: usize) -> Option<Self> {
        let merges = NumbersMut::take(arena, wide, 3 * n_merges)?;
        let slots = NumbersMut::take(arena, wide, 2 * n_merges)?;
        Some(Self { merges, slots })
    }

    /// Enters every merge; of equal pairs the last stays, as in Hugging Face's `tokenizers`.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::MergeWithoutSpace`], [`TokenizerError::MergeNotInVocab`], or [`TokenizerError::Collision`] if all
    /// slots for a merge are taken.
    pub fn fill(
        mut self,
        merges: StringArray<'_>,
        tokens: &TokenTable<'_, '_>,
    ) -> Result<MergeTable<'a>, TokenizerError> {
        for (merge, text) in merges.iter().enumerate() {
            let [left, right, product] = ids_of(merge, text, tokens)?;
            self.merges.set(3 * merge, left);
            self.merges.set(3 * merge + 1, right);
            self.merges.set(3 * merge + 2, product);
            let table = MergeTable { merges: self.merges.view(), slots: self.slots.view() };
            let slot = table.slot(left, right).ok_or(TokenizerError::Collision { index: merge, list: "merges" })?;
            self.slots.set(slot, merge as u32 + 1);
        }
        Ok(MergeTable { merges: self.merges.finish(), slots: self.slots.finish() })
    }
}

/// Ids of left, right and product of a merge. Its text, `left right`, is split at the first space after the first byte, as in
/// llama.cpp.
fn ids_of(merge: usize, text: &[u8], tokens: &TokenTable<'_, '_>) -> Result<[u32; 3], TokenizerError> {
    let space =
        1 + text.iter().skip(1).position(|&byte| byte == b' ').ok_or(TokenizerError::MergeWithoutSpace { merge })?;
    let (left, right) = (&text[..space], &text[space + 1..]);
    let find = |part, parts: &[&[u8]]| tokens.find(parts).ok_or(TokenizerError::MergeNotInVocab { merge, part });
    Ok([find(MergePart::Left, &[left])?, find(MergePart::Right, &[right])?, find(MergePart::Product, &[left, right])?])
}
