//! Grammars as a whole: against llama.cpp's tests, and against a slow reading of random grammars.

extern crate std;

mod examples;
mod notation;
mod oracle;
mod random;
mod vocab;

use std::vec;

use super::*;
use nearfield_kernels::{Arena, Line};

/// Compiles a grammar, in twice as much memory until it fits.
pub(super) fn words(text: &str) -> Result<std::vec::Vec<u32>, GrammarError> {
    let mut memory = vec![0; 128];
    loop {
        match Grammar::compile(text, &mut memory) {
            Err(GrammarError::Memory { .. }) => memory = vec![0; 2 * memory.len()],
            result => return Ok(result?.words().to_vec()),
        }
    }
}

/// Sizes that are enough for all grammars here.
pub(super) const CONFIG: MatcherConfig =
    MatcherConfig { n_states: 512, n_readings: 1 << 14, n_frames: 1 << 12, n_sets: 4, max_steps: u32::MAX };

/// True if a grammar has this text.
pub(super) fn matches(words: &[u32], text: &str) -> bool {
    let grammar = Grammar::from_words(words).expect("words of a grammar");
    let mut lines = vec![Line::ZERO; grammar.match_bytes(&CONFIG).expect("a size") / Line::BYTES];
    grammar.matches(text.as_bytes(), &CONFIG, &mut Arena::new(&mut lines)).expect("enough memory")
}
