//! Grammars: text that obeys.
//!
//! ```text
//!   GBNF ── compile ──▶ Grammar (instructions, in memory or flash) ──▶ Automaton (states as they are needed, in the arena)
//!   vocabulary ───────▶ TokenTrie (tokens, sorted) ────────────────▶ Matcher ──▶ set of tokens that may come next ──▶ Sampler
//! ```
//!
//! Grammars are over bytes: a class of characters is compiled to the UTF-8 of its characters, and tokens may begin and end within one.
//!
//! **No dead end.** Instructions from which no text ends are never followed, so every state of the automaton has a text to its end. If
//! each byte is a token of its own, tokens can spell it. If not, states from which single bytes cannot spell a text are known, and a token
//! that leads into one is not allowed.

mod automaton;
mod compile;
mod error;
mod matcher;
mod program;
#[cfg(test)]
mod tests;
mod trie;

pub use automaton::MatcherConfig;
pub use error::{GrammarError, MatchError, Place, ProgramError, RuleName, TrieError};
pub use matcher::{Constraint, Matcher};
pub use program::Grammar;
pub use trie::{TokenTrie, TriePlan};
