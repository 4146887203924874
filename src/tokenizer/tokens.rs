//! Tokens by id and by text.
//!
//! Texts of tokens stay in the file. Tokens that are found in a text before it is cut are [special](super::special); all others
//! are in a hash table. Both share one list of numbers, two for each token: slots of the table first, then the numbers of
//! special tokens.

use nearfield_kernels::Arena;

use super::error::TokenizerError;
use super::numbers::{Numbers, NumbersMut};
use super::special::{self, SpecialTable};
use super::strings::StringArray;
use super::token_list::TokenList;
use super::vocab::Vocab;
use crate::hash::{Hash, probes};
use crate::sections::Sections;

/// Numbers in the index for each token.
const N_NUMBERS: usize = 2;

/// The tokens, and a hash table of the ids of those that are not special.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenTable<'f, 'a> {
    list: TokenList<'f, 'a>,
    /// First `id + 1` in each slot, 0 where a slot is empty; then the numbers of special tokens.
    numbers: Numbers<'a>,
    /// Number of slots: twice that of tokens that are not special.
    n_slots: usize,
}

impl<'f, 'a> TokenTable<'f, 'a> {
    /// Bytes in the index for `n_tokens`.
    pub const fn bytes_of(wide: bool, n_tokens: usize) -> Option<usize> {
        match (Arena::bytes_of::<u32>(TokenList::n_starts(n_tokens)), Numbers::bytes_of(wide, N_NUMBERS * n_tokens)) {
            (Some(starts), Some(numbers)) => starts.checked_add(numbers),
            _ => None,
        }
    }

    /// Reads the table from a prepared index; `None` if it cannot be that of `strings`, `n_special` of which are special.
    pub fn read(parts: &mut Sections<'a>, wide: bool, strings: StringArray<'f>, n_special: usize) -> Option<Self> {
        let starts = parts.take(TokenList::n_starts(strings.len()))?;
        let numbers = Numbers::read(parts, wide, N_NUMBERS * strings.len())?;
        let n_slots = N_NUMBERS * strings.len().checked_sub(n_special)?;
        let list = TokenList::new(strings, starts);
        numbers.all_up_to(strings.len()).then_some(Self { list, numbers, n_slots })
    }

    /// Words of the table in a prepared index.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<'a> {
        Numbers::U32(self.list.starts()).words().chain(self.numbers.words())
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Text of a token as it lies in the file; `None` if there is no such token.
    pub fn get(&self, id: u32) -> Option<&'f [u8]> {
        self.list.get(id)
    }

    /// The special tokens.
    pub fn special(&self) -> SpecialTable<'f, 'a> {
        SpecialTable::new(self.list, self.numbers, self.n_slots)
    }

    /// Id of the token whose text is all `parts` in a row; of a special one if there is no other.
    pub fn find(&self, parts: &[&[u8]]) -> Option<u32> {
        self.find_plain(parts).or_else(|| self.special().find(parts))
    }

    /// Id of the token, not special, whose text is all `parts` in a row.
    pub fn find_plain(&self, parts: &[&[u8]]) -> Option<u32> {
        self.find_where(Hash::of(parts), |token| is_all_of(token, parts))
    }

    /// Id of the token, not special, whose text `is` accepts, among tokens that may have this hash.
    pub fn find_where(&self, hash: Hash, is: impl Fn(&[u8]) -> bool) -> Option<u32> {
        self.numbers.get(slot(self.list, self.numbers, self.n_slots, hash, is)?)?.checked_sub(1)
    }
}

/// Slot in which the token that `is` accepts lies, or else would lie; `None` if all slots for its hash are taken.
fn slot(
    list: TokenList<'_, '_>,
    numbers: Numbers<'_>,
    n_slots: usize,
    hash: Hash,
    is: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    probes(hash, n_slots).find(|&slot| match numbers.get(slot) {
        Some(0) => true,
        Some(number) => list.get(number - 1).is_some_and(&is),
        None => false,
    })
}

/// A [`TokenTable`] that is being made.
#[derive(Debug)]
pub(super) struct TokenTableMut<'a> {
    starts: &'a mut [u32],
    numbers: NumbersMut<'a>,
}

impl<'a> TokenTableMut<'a> {
    /// Takes a table without tokens; `None` if the arena is too small.
    ///
    /// All `n_tokens` together have at most `u32::MAX` bytes.
    pub fn take(arena: &mut Arena<'a>, wide: bool, n_tokens: usize) -> Option<Self> {
        let starts = arena.take(TokenList::n_starts(n_tokens))?;
        let numbers = NumbersMut::take(arena, wide, N_NUMBERS * n_tokens)?;
        Some(Self { starts, numbers })
    }

    /// Enters every token; of equal ones the last stays, as in llama.cpp.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Collision`] if all slots for a token are taken, [`TokenizerError::SpecialTooLong`] if a special token
    /// is too long.
    pub fn fill<'f>(self, vocab: &Vocab<'f>) -> Result<TokenTable<'f, 'a>, TokenizerError> {
        let Self { starts, mut numbers } = self;
        let list = TokenList::fill(vocab.tokens, starts);
        let is_special = |&(id, token): &(u32, &[u8])| special::is_special(vocab.type_of(id), token);
        let special = || (0..).zip(vocab.tokens).filter(is_special);
        if let Some((token, text)) = special().find(|(_, text)| text.len() > special::MAX_LEN) {
            return Err(TokenizerError::SpecialTooLong { token, n_bytes: text.len(), max: special::MAX_LEN });
        }
        let n_slots = N_NUMBERS * (vocab.tokens.len() - special().count());
        special::fill(&mut numbers, n_slots, list, special().map(|(id, _)| id));
        for (id, token) in (0..).zip(vocab.tokens).filter(|token| !is_special(token)) {
            let place = slot(list, numbers.view(), n_slots, Hash::of(&[token]), |other| other == token);
            let place = place.ok_or(TokenizerError::Collision { index: id as usize, list: "tokens" })?;
            numbers.set(place, id + 1);
        }
        Ok(TokenTable { list, numbers: numbers.finish(), n_slots })
    }
}

/// True if `token` is all `parts` in a row.
fn is_all_of(token: &[u8], parts: &[&[u8]]) -> bool {
    let rest = parts.iter().try_fold(token, |rest, part| rest.strip_prefix(*part));
    rest.is_some_and(<[u8]>::is_empty)
}
