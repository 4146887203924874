//! Drafts: guessed tokens that run with a token in one pass over the weights. They change the speed of a text, and no bit of it.

mod counted;
mod model;

use std::path::PathBuf;

pub(crate) use counted::Counted;
pub use model::LoadedDraft;
pub(crate) use model::{DraftSession, open};

/// Source of guesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Draft {
    /// [`Lookup`](Self::Lookup) for models that no cache holds, whose weights are read from memory in each pass; else
    /// [`Off`](Self::Off), since a wrong guess takes longer than it saves.
    #[default]
    Auto,
    /// No guesses.
    Off,
    /// The text so far: what followed an earlier occurrence of its end.
    Lookup,
    /// A smaller model with the same vocabulary, in this file.
    Model(PathBuf),
}

impl Draft {
    /// Greatest number of guesses in a pass. With the token before them they are eight, the most for which x86
    /// kernels unpack weights in registers.
    const N: usize = 7;
    /// Bytes of weights that caches hold.
    const CACHED: u64 = 32 << 20;
    /// Newest tokens that are looked through, half of them at least.
    const MEMORY: usize = 1 << 13;

    /// True if tokens are guessed for a model of `n_bytes`.
    pub fn is_on(&self, n_bytes: u64) -> bool {
        match self {
            Self::Auto => n_bytes > Self::CACHED,
            Self::Off => false,
            Self::Lookup | Self::Model(_) => true,
        }
    }

    /// [`SessionConfig::n_draft`](nearfield::SessionConfig::n_draft) for a model of `n_bytes`.
    pub fn n_draft(&self, n_bytes: u64) -> usize {
        if self.is_on(n_bytes) { Self::N } else { 0 }
    }

    /// Memory in which [`Lookup`](nearfield::Lookup) remembers the newest tokens of a text; none where it does not guess.
    pub(crate) fn memory(&self, n_draft: usize) -> Vec<u32> {
        let is_used = n_draft > 0 && !matches!(self, Self::Model(_));
        vec![0; if is_used { Self::MEMORY } else { 0 }]
    }
}

/// Counts of guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafts {
    /// Guesses that were run. A last draft that the end of the text cut short is not counted.
    pub n_run: usize,
    /// Guesses among them that came true.
    pub n_true: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_made_by_themselves_for_models_that_no_cache_holds() {
        let mib = |n: u64| n << 20;
        assert_eq!([mib(3), mib(32), mib(32) + 1].map(|n| Draft::Auto.n_draft(n)), [0, 0, 7]);
        assert_eq!([mib(3), mib(400)].map(|n| Draft::Off.n_draft(n)), [0, 0]);
        assert_eq!([mib(3), mib(400)].map(|n| Draft::Lookup.n_draft(n)), [7, 7]);
        assert_eq!([mib(3), mib(400)].map(|n| Draft::Model("small.gguf".into()).n_draft(n)), [7, 7]);
    }
}
