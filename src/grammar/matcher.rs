//! A text that is held to a grammar: which tokens may come next, and the state after each.

use core::fmt;

use nearfield_kernels::Arena;

use super::automaton::{Automaton, DEAD, MatcherConfig};
use super::error::MatchError;
use super::program::{Grammar, GrammarSizes};
use super::trie::{TokenSizes, TokenTrie};
use crate::checksum::Checksum;
use crate::const_math::{max, sum_known, times};
use crate::sampler::{Sampler, TokenSet};

impl Grammar<'_> {
    /// Bytes of arena for [`matches`](Self::matches); `None` if they overflow.
    pub fn match_bytes(&self, config: &MatcherConfig) -> Option<usize> {
        Automaton::bytes(self.sizes(), config)
    }

    /// True if the grammar has this text, and all of it.
    ///
    /// ```
    /// use nearfield::{Arena, Grammar, Line, MatcherConfig};
    ///
    /// let mut memory = [0; 1024];
    /// let grammar = Grammar::compile(r#"root ::= "blink " [1-9] [0-9]{0,2}"#, &mut memory)?;
    /// let config = MatcherConfig::SMALL;
    /// let mut lines = vec![Line::ZERO; grammar.match_bytes(&config).ok_or("size")? / Line::BYTES];
    /// assert!(grammar.matches(b"blink 12", &config, &mut Arena::new(&mut lines))?);
    /// assert!(!grammar.matches(b"blink 0", &config, &mut Arena::new(&mut lines))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MatchError::Arena`] if the arena has fewer than [`match_bytes`](Self::match_bytes), [`MatchError::Full`] if they are too few
    /// for the readings of the text.
    pub fn matches(&self, text: &[u8], config: &MatcherConfig, arena: &mut Arena<'_>) -> Result<bool, MatchError> {
        let (need, have) = (self.match_bytes(config).unwrap_or(usize::MAX), arena.free_bytes());
        let too_small = MatchError::Arena { need, have };
        if have < need {
            return Err(too_small);
        }
        let mut automaton = Automaton::take(*self, config, &[u32::MAX; 8], arena).ok_or(too_small)?;
        let mut state = automaton.start(&mut [])?;
        for &byte in text {
            automaton.begin_token();
            state = match automaton.next(state, automaton.class(byte)) {
                Some(next) => next,
                None => automaton.step(&mut [], &mut [], state, byte)?,
            };
            if state == DEAD {
                return Ok(false);
            }
        }
        Ok(automaton.is_complete(state))
    }
}

/// A rule for texts, by which a [`Generator`](crate::Generator) chooses tokens. [`Matcher`] is one.
pub trait Constraint: fmt::Debug {
    /// Begins a new text.
    ///
    /// # Errors
    /// [`MatchError`].
    fn begin(&mut self) -> Result<(), MatchError>;

    /// Tokens that may come next: those of text, and where the text may end, those that end it. None if it has to end, and no token
    /// says so.
    ///
    /// - `ends`: tokens that end the text, besides those that the vocabulary names
    ///
    /// # Errors
    /// [`MatchError`].
    fn allowed(&mut self, ends: &[u32]) -> Result<TokenSet<'_>, MatchError>;

    /// Draws one of the tokens that may come next; `None` if there are none, or none has a logit. A method of the constraint, so that a
    /// firmware without one has no code for sampling among some of the tokens.
    ///
    /// - `ends`: as of [`allowed`](Self::allowed)
    ///
    /// # Errors
    /// [`MatchError`].
    fn sample(&mut self, sampler: &mut Sampler<'_>, logits: &[f32], ends: &[u32]) -> Result<Option<u32>, MatchError> {
        Ok(sampler.sample_among(logits, &self.allowed(ends)?))
    }

    /// Goes on with a token of text, which has these bytes.
    ///
    /// # Errors
    /// [`MatchError::Token`] if it is not allowed, [`MatchError::Full`] if memory is short; the state is as before.
    fn accept(&mut self, token: u32, bytes: &mut dyn Iterator<Item = u8>) -> Result<(), MatchError>;

    /// True if the text may end here.
    fn is_complete(&self) -> bool;

    /// True if the text has to end here.
    fn is_final(&self) -> bool;
}

/// A text that is held to a [`Grammar`], token by token.
///
/// The tokens that are allowed are found in one walk over the [`TokenTrie`], and kept for states that come again. A token is allowed
/// if the text with it can be completed: with tokens of single bytes if the grammar's characters need more than one token.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use nearfield::tokenizer::{Tokenizer, Vocab};
/// use nearfield::{Arena, Constraint, Gguf, Grammar, Line, Matcher, MatcherConfig, TokenTrie, TriePlan};
/// # let file = std::fs::read("models/pocket.gguf")?;
/// # let vocab = Vocab::from_gguf(&Gguf::parse(&file)?)?;
/// # let mut lines = vec![Line::ZERO; Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap() / Line::BYTES];
/// # let tokenizer = Tokenizer::new(vocab, &mut Arena::new(&mut lines))?;
/// let mut memory = [0; 1024];
/// let grammar = Grammar::compile(r#"root ::= "yes" | "no""#, &mut memory)?;
///
/// let plan = TriePlan::new(&tokenizer)?;
/// let (mut lines, mut scratch) = (vec![Line::ZERO; plan.bytes / Line::BYTES], vec![Line::ZERO; plan.scratch / Line::BYTES]);
/// let trie = TokenTrie::new(&tokenizer, &plan, &mut Arena::new(&mut lines), &mut Arena::new(&mut scratch))?;
///
/// let config = MatcherConfig::SMALL;
/// let mut lines = vec![Line::ZERO; Matcher::bytes(&grammar, &trie, &config).ok_or("size")? / Line::BYTES];
/// let mut matcher = Matcher::new(grammar, trie, &config, &mut Arena::new(&mut lines))?;
/// let allowed: Vec<u32> = matcher.allowed(&[])?.iter().collect();
/// assert!(allowed.iter().all(|&token| "yes no".contains(std::str::from_utf8(&tokenizer.bytes(token).unwrap().collect::<Vec<u8>>()).unwrap())));
///
/// let y = tokenizer.find("y").ok_or("no y")?;
/// matcher.accept(y, &mut tokenizer.bytes(y)?)?;
/// assert!(!matcher.is_complete());
/// # Ok(())
/// # }
/// ```
pub struct Matcher<'g, 't, 'a> {
    automaton: Automaton<'g, 'a>,
    trie: TokenTrie<'t>,
    /// The state of the text, and behind it those of the token that is looked at.
    path: &'a mut [u16],
    /// State of each set that is kept; [`DEAD`] for none.
    keys: &'a mut [u16],
    /// `[n_sets, n_words]`: tokens that are allowed in these states.
    sets: &'a mut [u32],
    /// Set that is made next.
    oldest: usize,
    /// Checksum of the other tokens that end the text.
    ends: u32,
}

impl<'g, 't, 'a> Matcher<'g, 't, 'a> {
    /// Bytes of arena for a text of this grammar in these tokens; `None` if they overflow.
    pub fn bytes(grammar: &Grammar<'_>, trie: &TokenTrie<'_>, config: &MatcherConfig) -> Option<usize> {
        Self::bytes_of(grammar.sizes(), trie.sizes(), config)
    }

    /// [`bytes`](Self::bytes) for a grammar and sorted tokens in flash, as [`Grammar::from_bytes`] and [`TokenTrie::prepared`] take
    /// them, for a `const`. `None` also if these are no such bytes; only their headers are checked.
    pub const fn bytes_in_flash(grammar: &[u8], tokens: &[u8], config: &MatcherConfig) -> Option<usize> {
        match (GrammarSizes::read(grammar), TokenSizes::read(tokens)) {
            (Some(grammar), Some(tokens)) => Self::bytes_of(grammar, tokens, config),
            _ => None,
        }
    }

    const fn bytes_of(grammar: GrammarSizes, tokens: TokenSizes, config: &MatcherConfig) -> Option<usize> {
        let n_sets = max(config.n_sets, 1);
        let Some(n_words) = times(TokenSet::n_words(tokens.n_tokens), n_sets) else { return None };
        sum_known([
            Automaton::bytes(grammar, config),
            Arena::bytes_of::<u16>(tokens.longest + 2),
            Arena::bytes_of::<u16>(n_sets),
            Arena::bytes_of::<u32>(n_words),
        ])
    }

    /// Begins a text.
    ///
    /// # Errors
    /// [`MatchError::Arena`] if the arena has fewer than [`bytes`](Self::bytes), [`MatchError::Full`] if they are too few for the
    /// grammar, [`MatchError::DeadEnd`] if the vocabulary cannot spell any of its texts.
    pub fn new(
        grammar: Grammar<'g>,
        trie: TokenTrie<'t>,
        config: &MatcherConfig,
        arena: &mut Arena<'a>,
    ) -> Result<Self, MatchError> {
        let (need, have) = (Self::bytes(&grammar, &trie, config).unwrap_or(usize::MAX), arena.free_bytes());
        let too_small = MatchError::Arena { need, have };
        if have < need {
            return Err(too_small);
        }
        let mut matcher = Self::take(grammar, trie, config, arena).ok_or(too_small)?;
        matcher.begin()?;
        // Tokens of several bytes may be the only way to spell a text.
        matcher.allowed(&[])?;
        Ok(matcher)
    }

    fn take(grammar: Grammar<'g>, trie: TokenTrie<'t>, config: &MatcherConfig, arena: &mut Arena<'a>) -> Option<Self> {
        let n_sets = config.n_sets.max(1);
        let automaton = Automaton::take(grammar, config, trie.bytes(), arena)?;
        let (path, keys) = (arena.take(trie.sizes().longest + 2)?, arena.take(n_sets)?);
        let sets = arena.take(TokenSet::n_words(trie.n_tokens()) * n_sets)?;
        path.fill(DEAD);
        keys.fill(DEAD);
        Some(Self { automaton, trie, path, keys, sets, oldest: 0, ends: 0 })
    }

    fn state(&self) -> u16 {
        self.path.first().copied().unwrap_or(DEAD)
    }

    /// Finds the tokens that are allowed in the present state.
    fn fill(&mut self, slot: usize) -> Result<(), MatchError> {
        let n_words = TokenSet::n_words(self.trie.n_tokens());
        let set = self.sets.get_mut(slot * n_words..(slot + 1) * n_words).unwrap_or_default();
        set.fill(0);
        let mut cursor = self.trie.cursor();
        while let Some((token, n_shared, rest)) = cursor.next() {
            let mut depth = n_shared;
            let mut state = self.path.get(depth).copied().unwrap_or(DEAD);
            for &byte in rest {
                let next = match self.automaton.next(state, self.automaton.class(byte)) {
                    Some(next) => next,
                    None => {
                        let path = self.path.get_mut(..=depth).unwrap_or_default();
                        self.automaton.step(path, self.keys, state, byte)?
                    }
                };
                if next == DEAD {
                    break;
                }
                state = next;
                depth += 1;
                if let Some(place) = self.path.get_mut(depth) {
                    *place = state;
                }
            }
            if depth < n_shared + rest.len() {
                cursor.skip(depth);
            } else if self.automaton.is_alive(state) {
                TokenSet::insert(set, token);
            }
        }
        Ok(())
    }
}

/// Without the parts: each [`Constraint`] carries the code of its `Debug`, 7 KB of a board's flash for all parts.
impl fmt::Debug for Matcher<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Matcher { .. }")
    }
}

impl Constraint for Matcher<'_, '_, '_> {
    fn begin(&mut self) -> Result<(), MatchError> {
        self.automaton.begin_token();
        let start = self.automaton.start(self.keys)?;
        if start == DEAD {
            return Err(MatchError::DeadEnd);
        }
        if let Some(state) = self.path.first_mut() {
            *state = start;
        }
        Ok(())
    }

    fn allowed(&mut self, ends: &[u32]) -> Result<TokenSet<'_>, MatchError> {
        self.automaton.begin_token();
        let n_words = TokenSet::n_words(self.trie.n_tokens());
        let ends_checksum = Checksum::of(ends.iter().copied());
        if core::mem::replace(&mut self.ends, ends_checksum) != ends_checksum {
            self.keys.fill(DEAD);
        }
        let state = self.state();
        let slot = match self.keys.iter().position(|&key| key == state) {
            Some(slot) => slot,
            None => {
                let slot = self.oldest;
                if let Some(key) = self.keys.get_mut(slot) {
                    *key = DEAD;
                }
                self.fill(slot)?;
                let complete = self.is_complete();
                let set = self.sets.get_mut(slot * n_words..(slot + 1) * n_words).unwrap_or_default();
                for &end in self.trie.ends().iter().chain(ends) {
                    let put = if complete { TokenSet::insert } else { TokenSet::remove };
                    put(set, end);
                }
                if let (Some(key), Some(&state)) = (self.keys.get_mut(slot), self.path.first()) {
                    *key = state;
                }
                self.oldest = if slot + 1 < self.keys.len() { slot + 1 } else { 0 };
                slot
            }
        };
        let set = TokenSet::new(self.sets.get(slot * n_words..(slot + 1) * n_words).unwrap_or_default());
        if set.is_empty() && !self.is_complete() {
            return Err(MatchError::DeadEnd);
        }
        Ok(set)
    }

    fn accept(&mut self, token: u32, bytes: &mut dyn Iterator<Item = u8>) -> Result<(), MatchError> {
        self.automaton.begin_token();
        let mut state = self.state();
        for byte in bytes {
            state = match self.automaton.next(state, self.automaton.class(byte)) {
                Some(next) => next,
                None => {
                    let path = self.path.get_mut(..1).unwrap_or_default();
                    self.automaton.step(path, self.keys, state, byte)?
                }
            };
            if state == DEAD {
                return Err(MatchError::Token { token });
            }
        }
        if !self.automaton.is_alive(state) {
            return Err(MatchError::Token { token });
        }
        if let Some(place) = self.path.first_mut() {
            *place = state;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.automaton.is_complete(self.state())
    }

    fn is_final(&self) -> bool {
        self.automaton.is_final(self.state())
    }
}
