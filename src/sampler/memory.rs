//! Steps that need memory of the caller: long windows of tokens, DRY, logit biases. Typical comes with them.
//!
//! A sampler reaches them by the functions in [`STEPS`], which only `Sampler::with_memory` names: firmwares that do not call it
//! contain none of their code.

use core::fmt;

use super::candidates::{all, among, with_changed};
use super::chain::Chain;
use super::config::SamplerConfig;
use super::history::{History, Place};
use super::lists::SamplerLists;
use super::penalties::Penalties;
use super::table::Table;
use super::token_set::TokenSet;
use super::{dry, logit_bias};

/// Caller of [`weigh`](super::Sampler::weigh), who gets tokens and their weights.
type Each<'e> = dyn FnMut(u32, u64) + 'e;

/// Functions of a sampler with memory.
pub(super) struct Steps {
    pub accept: fn(&mut Memory<'_>, &SamplerConfig, u32),
    pub choose: fn(&mut Memory<'_>, &mut Chain, &[f32], Option<&TokenSet<'_>>) -> Option<u32>,
    pub weigh: fn(&mut Memory<'_>, &Chain, &[f32], &mut Each<'_>),
}

static STEPS: Steps = Steps { accept, choose, weigh };

/// Memory of a sampler.
pub(super) struct Memory<'s> {
    words: &'s mut [u32],
    lists: SamplerLists<'s>,
    /// Place in the history.
    place: Place,
    /// Rows of the table in use.
    n_rows: usize,
    pub steps: &'static Steps,
}

impl fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("n_words", &self.words.len())
            .field("n_rows", &self.n_rows)
            .finish_non_exhaustive()
    }
}

impl<'s> Memory<'s> {
    /// Memory without a history. `None` if the words are fewer than [`SamplerConfig::memory_words`].
    pub fn new(config: &SamplerConfig, lists: SamplerLists<'s>, words: &'s mut [u32]) -> Option<Self> {
        let words = words.get_mut(..config.memory_words(&lists))?;
        let mut memory = Self { words, lists, place: Place::default(), n_rows: 0, steps: &STEPS };
        let mut table = memory.parts(config).0;
        lists.logit_bias.iter().for_each(|&(token, _)| table.hold(token));
        Some(memory)
    }

    /// Table, history and the scratch of DRY.
    fn parts(&mut self, config: &SamplerConfig) -> (Table<'_>, History<'_>, &mut [u32]) {
        let mut words = &mut *self.words;
        let mut take = |n| words.split_off_mut(..n).unwrap_or_default();
        let (history, lengths) = (take(config.window()), take(config.dry_window()));
        let table = Table::new(words, config.window().saturating_add(self.lists.logit_bias.len()), &mut self.n_rows);
        (table, History::new(history, &mut self.place), lengths)
    }

    /// Table with the logits that biases, penalties and DRY give.
    fn changed(&mut self, config: &SamplerConfig, logits: &[f32]) -> Table<'_> {
        let SamplerLists { logit_bias, dry_breakers } = self.lists;
        let (mut table, history, lengths) = self.parts(config);
        table.load(logits);
        logit_bias::add(&mut table, logit_bias);
        let penalties = Penalties::new(config);
        table.change_recent(|logit, n| penalties.of(logit, n));
        dry::apply(&mut table, &history, lengths, config, &dry_breakers);
        table
    }
}

fn accept(memory: &mut Memory<'_>, config: &SamplerConfig, token: u32) {
    let (mut table, mut history, _) = memory.parts(config);
    let leaving = |n: usize| history.back(n.checked_sub(1)?);
    let (not_recent, oldest) = (leaving(config.recent_window()), leaving(config.window()));
    if let Some(token) = not_recent {
        table.discount(token);
    }
    if let Some(token) = oldest {
        table.release(token);
    }
    history.push(token);
    if config.window() > 0 {
        table.hold(token);
    }
    if config.recent_window() > 0 {
        table.count(token);
    }
}

fn choose(memory: &mut Memory<'_>, chain: &mut Chain, logits: &[f32], allowed: Option<&TokenSet<'_>>) -> Option<u32> {
    let table = memory.changed(&chain.config, logits);
    match allowed {
        None => chain.choose::<true>(with_changed(all(logits), table.changed()), logits.len()),
        Some(allowed) => chain.choose::<true>(with_changed(among(logits, allowed), table.changed()), allowed.len()),
    }
}

fn weigh(memory: &mut Memory<'_>, chain: &Chain, logits: &[f32], each: &mut Each<'_>) {
    let table = memory.changed(&chain.config, logits);
    chain.weigh::<true>(with_changed(all(logits), table.changed()), logits.len(), each);
}
