//! Grammars that texts are held to, and matchers that wait for the next text.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nearfield::{Constraint, MatchError, Matcher, MatcherConfig, TokenSet, TokenTrie};
use nearfield_host::Result;
use nearfield_host::grammar::{Grammar, SortedTokens};
use nearfield_host::memory::Memory;
use self_cell::{MutBorrow, self_cell};

/// Matchers that wait for a text at most. Each has some megabytes.
const MAX_IDLE: usize = 16;

/// Words of memory for compiling a grammar at most, 4 MiB: each job that waits may hold as much.
const MAX_WORDS: usize = 1 << 20;
/// Sizes of a matcher: the other texts of a pass wait while the tokens of one are chosen, so that its time is bounded.
const CONFIG: MatcherConfig = MatcherConfig { max_steps: 1 << 20, ..MatcherConfig::HOST };

/// Matchers of a model.
pub struct Grammars {
    tokens: SortedTokens<'static>,
    /// Matchers that wait for a text, the newest in front.
    idle: Mutex<VecDeque<Held>>,
    /// Held while a grammar is compiled: one at a time bounds their memory.
    compiling: Mutex<()>,
}

impl Grammars {
    /// No matchers, for these tokens.
    pub const fn new(tokens: SortedTokens<'static>) -> Self {
        Self { tokens, idle: Mutex::new(VecDeque::new()), compiling: Mutex::new(()) }
    }

    /// Compiles a grammar in GBNF and makes sure that the model's tokens can spell a text of it. Takes milliseconds, so that no handler
    /// may call it outside [`blocking`](crate::app::blocking).
    ///
    /// # Errors
    /// When it is no grammar, takes too much memory or time, or the model cannot spell it.
    pub fn compile(&'static self, text: &str) -> Result<HeldGrammar> {
        let _one = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.idle().iter().find(|held| *held.grammar.text == *text).map(|held| held.grammar.clone());
        if let Some(grammar) = known {
            return Ok(grammar);
        }
        let grammar = HeldGrammar { text: text.into(), compiled: Grammar::from_gbnf_within(text, MAX_WORDS)? };
        self.put(Held::new(grammar.clone(), &self.tokens)?);
        Ok(grammar)
    }

    /// Matcher at the beginning of a text.
    ///
    /// # Errors
    /// When memory is short.
    pub fn take(&'static self, grammar: &HeldGrammar) -> Result<Lease> {
        let mut idle = self.idle();
        let found = idle.iter().position(|held| held.grammar.text == grammar.text);
        let found = found.and_then(|index| idle.remove(index));
        drop(idle);
        let held = match found {
            Some(held) => held,
            None => Held::new(grammar.clone(), &self.tokens)?,
        };
        Ok(Lease { held: Some(held), home: self })
    }

    fn put(&self, mut held: Held) {
        // A matcher that cannot begin anew is dropped.
        if held.cell.with_dependent_mut(|_, matcher| matcher.begin()).is_ok() {
            let mut idle = self.idle();
            idle.push_front(held);
            idle.truncate(MAX_IDLE);
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiled grammar, with its text.
#[derive(Clone, Debug)]
pub struct HeldGrammar {
    text: Arc<str>,
    compiled: Grammar,
}

struct Owned {
    grammar: Grammar,
    tokens: TokenTrie<'static>,
    memory: MutBorrow<Memory>,
}

type MatcherOf<'m> = Matcher<'m, 'm, 'm>;

self_cell! {
    /// Matcher with the memory that it borrows.
    struct Cell {
        owner: Owned,
        #[not_covariant]
        dependent: MatcherOf,
    }
}

/// Matcher of a grammar.
struct Held {
    grammar: HeldGrammar,
    cell: Cell,
}

impl Held {
    fn new(grammar: HeldGrammar, tokens: &'static SortedTokens<'static>) -> Result<Self> {
        let tokens = tokens.trie()?;
        let memory = MutBorrow::new(grammar.compiled.memory(&tokens, &CONFIG)?);
        let owned = Owned { grammar: grammar.compiled.clone(), tokens, memory };
        let cell =
            Cell::try_new(owned, |owned| owned.grammar.matcher(owned.tokens, &CONFIG, owned.memory.borrow_mut()))?;
        Ok(Self { grammar, cell })
    }
}

/// Matcher of one text; it waits for the next when the text ends.
pub struct Lease {
    held: Option<Held>,
    home: &'static Grammars,
}

impl Lease {
    fn matcher<'s, T>(
        &'s mut self,
        then: impl for<'m> FnOnce(&'s mut MatcherOf<'m>) -> Result<T, MatchError>,
    ) -> Result<T, MatchError> {
        // Only `drop` takes it.
        let held = self.held.as_mut().ok_or(MatchError::DeadEnd)?;
        held.cell.with_dependent_mut(|_, matcher| then(matcher))
    }

    fn is(&self, test: impl FnOnce(&dyn Constraint) -> bool) -> bool {
        self.held.as_ref().is_some_and(|held| held.cell.with_dependent(|_, matcher| test(matcher)))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.home.put(held);
        }
    }
}

impl Constraint for Lease {
    fn begin(&mut self) -> Result<(), MatchError> {
        self.matcher(|matcher| matcher.begin())
    }

    fn allowed(&mut self, ends: &[u32]) -> Result<TokenSet<'_>, MatchError> {
        self.matcher(|matcher| matcher.allowed(ends))
    }

    fn accept(&mut self, token: u32, bytes: &mut dyn Iterator<Item = u8>) -> Result<(), MatchError> {
        self.matcher(|matcher| matcher.accept(token, bytes))
    }

    fn is_complete(&self) -> bool {
        self.is(|matcher| matcher.is_complete())
    }

    fn is_final(&self) -> bool {
        self.is(|matcher| matcher.is_final())
    }
}
