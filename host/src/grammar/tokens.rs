//! The sorted tokens of a model, made once.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use nearfield::tokenizer::Tokenizer;
use nearfield::{Arena, Line, TokenTrie, TriePlan};

use crate::error::Result;
use crate::memory::{Memory, allocate};

/// Tokens of a vocabulary, sorted when they are first needed (0.2 s for the 250,880 tokens of BLOOM).
pub struct SortedTokens<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    index: OnceLock<Memory>,
    /// Held while the tokens are sorted, so that this happens once.
    sorting: Mutex<()>,
}

impl fmt::Debug for SortedTokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedTokens").field("is_sorted", &self.index.get().is_some()).finish_non_exhaustive()
    }
}

impl<'t> SortedTokens<'t> {
    /// Tokens that are not sorted yet.
    pub const fn new(tokenizer: &'t Tokenizer<'t, 't>) -> Self {
        Self { tokenizer, index: OnceLock::new(), sorting: Mutex::new(()) }
    }

    /// The sorted tokens.
    ///
    /// # Errors
    /// When memory is short.
    pub fn trie(&self) -> Result<TokenTrie<'_>> {
        let _lock = self.sorting.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match self.index.get() {
            Some(index) => index,
            None => {
                let index = self.sort()?;
                self.index.get_or_init(|| index)
            }
        };
        Ok(TokenTrie::prepared(self.tokenizer.vocab(), Line::bytes(index))?)
    }

    /// Sorts the tokens: bytes of [`TokenTrie::index`].
    fn sort(&self) -> Result<Memory> {
        let plan = TriePlan::new(self.tokenizer)?;
        let (mut lines, mut scratch) = (allocate(plan.bytes)?, allocate(plan.scratch)?);
        let (mut arena, mut scratch) = (Arena::new(&mut lines), Arena::new(&mut scratch));
        let trie = TokenTrie::new(self.tokenizer, &plan, &mut arena, &mut scratch)?;
        let vocab = self.tokenizer.vocab();
        let mut index = allocate(trie.index(vocab).count())?;
        Line::bytes_mut(&mut index).iter_mut().zip(trie.index(vocab)).for_each(|(slot, byte)| *slot = byte);
        Ok(index)
    }
}
