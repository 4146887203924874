//! Reports on standard error, and numbers in readable form.

use std::fmt;

use nearfield::kernels;
use nearfield::{AlibiScale, MemoryPlan, Model, Ring, SessionConfig, Shape};
use nearfield_host::draft::LoadedDraft;
use nearfield_host::engine::Engine;
use nearfield_host::generate::{End, Generated, Timing};
use nearfield_host::model_file::ModelFile;

use crate::args::slopes;
use crate::chart::keys::Keys;
use crate::errors::more_room;
use crate::terminal::{Bytes, Count, note};

/// Number of tokens, the time that they took and tokens per second.
struct Speed {
    /// Number of tokens read, or generated.
    n: usize,
    /// Number of tokens that were run, and their time. The last one that is generated is not run.
    timing: Timing,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { n, time } = self.timing;
        write!(f, "{} in {time:.2?}", Count(self.n, "token"))?;
        if n > 0 { write!(f, ", {:.1} tokens/s", n as f64 / time.as_secs_f64().max(1e-9)) } else { Ok(()) }
    }
}

/// Reports the settings of a session, before it runs.
pub fn session(file: &ModelFile, model: &Model<'_>, engine: &Engine, config: &SessionConfig) {
    let s = model.shape();
    let isas: Vec<&str> = kernels::available().map(|isa| isa.name()).collect();
    note(format_args!("model    {}: {}", file.name, Summary(s)));
    note(format_args!("weights  {} read for each new token", Bytes(model.bytes_per_token())));
    if let Some(bytes) = file.interleaved_bytes() {
        note(format_args!("         interleaved in memory, with the file's other bytes: {}", Bytes(bytes as u64)));
    }
    note(format_args!("isa      {} (this machine has {})", engine.kernels.name(), isas.join(", ")));
    note(format_args!("threads  {}", engine.executor().n_workers()));
    note(format_args!(
        "context  {}{}, keys and values in {}{}{}{}, horizon at {:e} of the sum",
        Count(config.n_ctx, "token"),
        if config.endless { " of an endless text" } else { "" },
        config.kv,
        match config.ring {
            Ring::Full => String::new(),
            Ring::Keys(n) => format!(", the newest {n} of them"),
            Ring::Bias(eps) => format!(", those within {eps:e} of the bias"),
            Ring::Heads(keys) => format!(", the newest {keys:?} of them by head"),
        },
        match config.n_sinks {
            0 => String::new(),
            n => format!(" and the first {n}"),
        },
        match config.alibi_scale {
            AlibiScale::Model => String::new(),
            scale => format!(", slopes scaled by {}", slopes::word(scale)),
        },
        config.horizon_eps
    ));
}

/// Shape in one line.
pub struct Summary<'s>(pub &'s Shape);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        write!(f, "{}, {}, width {}, ", s.arch.name, Count(s.n_layer, "layer"), s.n_embd)?;
        write!(f, "{} of {} ({} for keys), ", Count(s.n_head, "head"), s.head_dim, s.n_head_kv)?;
        write!(f, "feed-forward {}, vocabulary {}", s.n_ff, s.n_vocab)
    }
}

/// Reports a draft model.
pub fn draft(draft: &LoadedDraft<'_>) {
    let LoadedDraft { file, model } = draft;
    note(format_args!("draft    {}: {}", file.name, Summary(model.shape())));
    note(format_args!("         {} read for each guess", Bytes(model.bytes_per_token())));
    if let Some(bytes) = file.interleaved_bytes() {
        note(format_args!("         interleaved in memory, with the file's other bytes: {}", Bytes(bytes as u64)));
    }
}

/// Reports the parts of an arena, and their sum. The session of a draft model is one part.
pub fn plan(plan: &MemoryPlan, draft: Option<&MemoryPlan>) {
    let draft = draft.map(|draft| ("draft model", draft.session()));
    let total = plan.total() + draft.map_or(0, |(_, bytes)| bytes);
    note(format_args!("memory   {} in all", Bytes(total as u64)));
    for (part, bytes) in parts(plan).into_iter().chain(draft) {
        note(format_args!("         {part:<16} {:>12} {:>5.1} %", bytes, 100.0 * bytes as f64 / total as f64));
    }
}

/// Parts of a plan by name, in bytes.
pub fn parts(plan: &MemoryPlan) -> [(&'static str, usize); 6] {
    [
        ("keys and values", plan.kv_cache),
        ("key norms", plan.key_norms),
        ("layer table", plan.layer_table),
        ("activations", plan.activations),
        ("logits", plan.logits),
        ("tokenizer index", plan.tokenizer),
    ]
}

/// Reports on a generated text: tokens and speed of the prompt and the text, the snapshot and the seed; if `verbose`, also
/// drafts, memory and the keys visited.
pub fn generated(text: &Generated, keys: &Keys, seed: Option<u64>, verbose: bool) {
    if let End::ContextFull { n_ctx } = text.end {
        note(format_args!("the context of {} is full: {}", Count(n_ctx, "token"), more_room(keys.shape(), n_ctx)));
    }
    if !text.is_complete {
        let more = if text.end == End::Length { ": -n N makes room for more" } else { "" };
        note(format_args!("the text was cut off before it was complete by its grammar{more}"));
    }
    note(format_args!("prompt   {}", Speed { n: text.prefill.n, timing: text.prefill }));
    note(format_args!("text     {}", Speed { n: text.n_tokens, timing: text.decode }));
    if verbose {
        if text.drafts.n_run > 0 {
            note(format_args!("drafts   {} of {} guesses came true", text.drafts.n_true, text.drafts.n_run));
        }
        note(format_args!("arena    {}", Bytes(text.arena_bytes as u64)));
        note(format_args!("keys     {:.1} % of those held were visited", 100.0 * keys.total_share()));
    }
    if let Some(stored) = &text.saved {
        let (tokens, bytes) = (Count(stored.n_tokens, "token"), Bytes(stored.n_bytes));
        note(format_args!("snapshot {tokens} in {bytes}: {}", stored.name));
    }
    if let Some(seed) = seed {
        note(format_args!("seed     {seed}"));
    }
}
