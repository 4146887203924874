//! Tokens by id and by text.

use nearfield_kernels::Arena;

use super::hash::{Hash, probes};
use super::numbers::{Numbers, NumbersMut};
use super::vocab::StringArray;
use crate::sections::Sections;

/// Tokens from one whose place in the file is kept to the next: what lies between is found by walking.
const STRIDE: usize = 8;

/// The strings of the vocabulary, by id, and a hash table of their ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenTable<'f, 'a> {
    strings: StringArray<'f>,
    /// Byte in `strings` of each `STRIDE`-th token.
    starts: &'a [u32],
    /// `id + 1`, or 0 where nothing lies. Twice as many as tokens.
    slots: Numbers<'a>,
}

impl<'f, 'a> TokenTable<'f, 'a> {
    /// Bytes of index for `n_tokens`.
    pub const fn bytes_of(wide: bool, n_tokens: usize) -> Option<usize> {
        match (Arena::bytes_of::<u32>(n_tokens.div_ceil(STRIDE)), Numbers::bytes_of(wide, 2 * n_tokens)) {
            (Some(starts), Some(slots)) => starts.checked_add(slots),
            _ => None,
        }
    }

    /// The next parts of a prepared index; `None` if they cannot be those of `strings`.
    pub fn read(parts: &mut Sections<'a>, wide: bool, strings: StringArray<'f>) -> Option<Self> {
        let starts = parts.take(strings.len().div_ceil(STRIDE))?;
        let slots = Numbers::read(parts, wide, 2 * strings.len())?;
        slots.all_up_to(strings.len()).then_some(Self { strings, starts, slots })
    }

    /// The parts as a prepared index holds them.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        Numbers::U32(self.starts).words().chain(self.slots.words())
    }

    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// The text of a token as it lies in the file; `None` if there is no such token.
    pub fn get(&self, id: u32) -> Option<&'f [u8]> {
        let id = id as usize;
        if id >= self.len() {
            return None;
        }
        let start = *self.starts.get(id / STRIDE)?;
        self.strings.iter_from(start as usize)?.nth(id % STRIDE)
    }

    /// The id of the token whose text is all `parts` in a row.
    pub fn find(&self, parts: &[&[u8]]) -> Option<u32> {
        self.find_hashed(Hash::of(parts), parts)
    }

    /// [`find`](Self::find), with the hash already known.
    pub fn find_hashed(&self, hash: Hash, parts: &[&[u8]]) -> Option<u32> {
        self.find_where(hash, |token| is_all_of(token, parts))
    }

    /// The id of the token of which `is` says that it is the one, among those that may have this hash.
    pub fn find_where(&self, hash: Hash, is: impl Fn(&[u8]) -> bool) -> Option<u32> {
        self.slots.get(self.slot(hash, is)?)?.checked_sub(1)
    }

    /// Where the token of this text lies or would lie; `None` if all places that it may take are taken.
    fn slot(&self, hash: Hash, is: impl Fn(&[u8]) -> bool) -> Option<usize> {
        probes(hash, self.slots.len()).find(|&slot| match self.slots.get(slot) {
            Some(0) => true,
            Some(number) => self.get(number - 1).is_some_and(&is),
            None => false,
        })
    }
}

/// A [`TokenTable`] that is being made.
#[derive(Debug)]
pub(super) struct TokenTableMut<'f, 'a> {
    strings: StringArray<'f>,
    starts: &'a mut [u32],
    slots: NumbersMut<'a>,
}

impl<'f, 'a> TokenTableMut<'f, 'a> {
    /// A table without tokens yet; `None` if the arena is too small.
    ///
    /// `strings` has at most `u32::MAX` bytes.
    pub fn take(arena: &mut Arena<'a>, wide: bool, strings: StringArray<'f>) -> Option<Self> {
        let starts = arena.take(strings.len().div_ceil(STRIDE))?;
        let slots = NumbersMut::take(arena, wide, 2 * strings.len())?;
        Some(Self { strings, starts, slots })
    }

    /// Enters every token; of equal ones the last stays, as in llama.cpp. Fails with the id of a token that has too
    /// many neighbors.
    pub fn fill(mut self) -> Result<TokenTable<'f, 'a>, usize> {
        let mut strings = self.strings.iter();
        for id in 0..self.strings.len() {
            if id % STRIDE == 0 {
                self.starts[id / STRIDE] = (self.strings.n_bytes() - strings.n_bytes()) as u32;
            }
            let token = strings.next().unwrap_or_default();
            let table = TokenTable { strings: self.strings, starts: &*self.starts, slots: self.slots.view() };
            let slot = table.slot(Hash::of(&[token]), |other| other == token).ok_or(id)?;
            self.slots.set(slot, id as u32 + 1);
        }
        Ok(TokenTable { strings: self.strings, starts: self.starts, slots: self.slots.finish() })
    }
}

/// Whether `token` is `parts` in a row.
fn is_all_of(token: &[u8], parts: &[&[u8]]) -> bool {
    let rest = parts.iter().try_fold(token, |rest, part| rest.strip_prefix(*part));
    rest.is_some_and(<[u8]>::is_empty)
}
