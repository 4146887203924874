//! Grammars: texts that are held to a form, given as GBNF, as a JSON Schema or as choices.
//!
//! ```
//! use nearfield_host::grammar::{Grammar, Json};
//!
//! let grammar = Grammar::from_choices(["yes", "no"])?;
//! assert!(grammar.matches("yes")? && !grammar.matches("maybe")?);
//!
//! let schema = r#"{"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}"#;
//! let grammar = Grammar::from_json_schema(&Json::parse(schema)?)?;
//! assert!(grammar.matches(r#"{"age": 7}"#)? && !grammar.matches(r#"{"age": -7}"#)?);
//! # Ok::<(), nearfield_host::Error>(())
//! ```
//!
//! [`Options::grammar`](crate::generate::Options::grammar) holds texts of a [`TextModel`](crate::generate::TextModel) to a grammar.
//! Callers that generate in another way make a [`Matcher`] for each text: the grammar is compiled once, the tokens of a model are sorted
//! once ([`SortedTokens`]), and both are shared.

mod gbnf;
mod json;
pub mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use nearfield::{Arena, GrammarError, Matcher, MatcherConfig, TokenTrie};

use crate::error::{Context, Error, Result, bail, ensure};
use crate::memory::{Memory, allocate};
pub use json::{Json, Members};
pub use tokens::SortedTokens;

/// Words of memory for compiling a grammar, at most: 512 MiB.
const MAX_WORDS: usize = 1 << 27;

/// Grammar that was compiled. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    words: Arc<[u32]>,
}

impl Grammar {
    /// Compiles a grammar in GBNF, the notation of llama.cpp.
    ///
    /// # Errors
    /// When it is no GBNF, with line and column; when no text matches it.
    pub fn from_gbnf(text: &str) -> Result<Self> {
        Self::from_gbnf_within(text, MAX_WORDS)
    }

    /// Compiles a grammar in GBNF in at most `max_words` words of memory, for a grammar of a stranger.
    ///
    /// # Errors
    /// Errors of [`from_gbnf`](Self::from_gbnf), and when the memory is too small.
    pub fn from_gbnf_within(text: &str, max_words: usize) -> Result<Self> {
        let mut n_words = text.len().saturating_mul(16).saturating_add(256).min(max_words);
        loop {
            let mut memory = vec![0; n_words];
            match nearfield::Grammar::compile(text, &mut memory) {
                Err(GrammarError::Memory { .. }) if n_words < max_words => {
                    n_words = n_words.saturating_mul(4).min(max_words)
                }
                grammar => return Ok(Self { words: grammar?.words().into() }),
            }
        }
    }

    /// Compiles the grammar of JSON texts that a JSON Schema describes; [`schema`] says which keywords it knows.
    ///
    /// # Errors
    /// When the schema has a keyword that is not supported, with its path; when no text matches it.
    pub fn from_json_schema(schema: &Json) -> Result<Self> {
        match Self::from_gbnf(&schema::to_gbnf(schema)?) {
            Err(Error::Grammar(GrammarError::NoText)) => bail!("no value is valid by the schema"),
            grammar => grammar,
        }
    }

    /// Compiles the grammar of these texts and no others.
    ///
    /// # Errors
    /// When there are none.
    pub fn from_choices<T: AsRef<str>>(choices: impl IntoIterator<Item = T>) -> Result<Self> {
        let literals: Vec<String> = choices.into_iter().map(|choice| gbnf::literal(choice.as_ref())).collect();
        ensure!(!literals.is_empty(), "no choices");
        Self::from_gbnf(&format!("root ::= {}\n", literals.join(" | ")))
    }

    /// The grammar as the library takes it.
    ///
    /// # Errors
    /// None: the words are its own.
    pub fn compiled(&self) -> Result<nearfield::Grammar<'_>> {
        Ok(nearfield::Grammar::from_words(&self.words)?)
    }

    /// True if the grammar has this text.
    ///
    /// # Errors
    /// When the text has too many readings.
    pub fn matches(&self, text: &str) -> Result<bool> {
        let grammar = self.compiled()?;
        let config = MatcherConfig { n_sets: 1, ..MatcherConfig::HOST };
        let mut lines = allocate(grammar.match_bytes(&config).context("a grammar that is too large")?)?;
        Ok(grammar.matches(text.as_bytes(), &config, &mut Arena::new(&mut lines))?)
    }

    /// Memory for a [`matcher`](Self::matcher) of these tokens.
    ///
    /// # Errors
    /// When memory is short.
    pub fn memory(&self, tokens: &TokenTrie<'_>, config: &MatcherConfig) -> Result<Memory> {
        let bytes = Matcher::bytes(&self.compiled()?, tokens, config);
        allocate(bytes.context("a grammar that is too large")?)
    }

    /// Matcher at the beginning of a text, for
    /// [`Generator::with_constraint`](nearfield::Generator::with_constraint).
    ///
    /// # Errors
    /// When the model has no tokens that spell a text of the grammar.
    pub fn matcher<'m>(
        &'m self,
        tokens: TokenTrie<'m>,
        config: &MatcherConfig,
        memory: &'m mut Memory,
    ) -> Result<Matcher<'m, 'm, 'm>> {
        Ok(Matcher::new(self.compiled()?, tokens, config, &mut Arena::new(memory))?)
    }
}
