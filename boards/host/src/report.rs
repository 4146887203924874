//! What is told on standard error, and numbers as people read them.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use nearfield::kernels;
use nearfield::{AlibiScale, MemoryPlan, Model, Ring, SessionConfig, Shape};

use crate::engine::Engine;
use crate::model_file::ModelFile;
use crate::slopes;
use crate::story::{End, Story, more_room};

/// A line on standard error; if nobody reads that, it is lost.
pub fn note(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A number of bytes in the unit that suits it.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let text = match units.iter().find(|(_, power)| self.0 >> power > 0) {
            Some((unit, power)) => format!("{:.1} {unit}", self.0 as f64 / (1u64 << power) as f64),
            None => format!("{} bytes", self.0),
        };
        f.pad(&text)
    }
}

/// Tokens and the time they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// Tokens.
    pub n: usize,
    /// Time.
    pub time: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, time } = *self;
        let tokens = if n == 1 { "token" } else { "tokens" };
        write!(f, "{n} {tokens} in {time:.2?}")?;
        if n > 0 { write!(f, ", {:.1} tokens/s", n as f64 / time.as_secs_f64().max(1e-9)) } else { Ok(()) }
    }
}

/// What a session is made of, before it runs.
pub fn session(file: &ModelFile, model: &Model<'_>, engine: &Engine, config: &SessionConfig) {
    let s = model.shape();
    let isas: Vec<&str> = kernels::available().map(|isa| isa.name()).collect();
    note(format_args!("model    {}: {}", file.name, Summary(s)));
    note(format_args!("weights  {} read for each new token", Bytes(model.bytes_per_token())));
    if let Some(bytes) = file.repacked_bytes() {
        note(format_args!("         interleaved in memory, with the file's other bytes: {}", Bytes(bytes as u64)));
    }
    note(format_args!("isa      {} (this machine has {})", engine.kernels.name(), isas.join(", ")));
    note(format_args!("threads  {}", engine.executor().n_workers()));
    note(format_args!(
        "context  {} tokens{}, keys and values in {}{}{}{}, horizon at {:e} of the sum",
        config.n_ctx,
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

/// A shape in one line.
pub struct Summary<'s>(pub &'s Shape);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        write!(f, "{}, {} layers, width {}, ", s.arch.name, s.n_layer, s.n_embd)?;
        write!(f, "{} heads of {} ({} for keys), ", s.n_head, s.head_dim, s.n_head_kv)?;
        write!(f, "feed-forward {}, vocabulary {}", s.n_ff, s.n_vocab)
    }
}

/// The parts of an arena, and their sum.
pub fn plan(plan: &MemoryPlan) {
    let total = plan.total();
    note(format_args!("memory   {} in all", Bytes(total as u64)));
    for (part, bytes) in parts(plan) {
        note(format_args!("         {part:<16} {:>12} {:>5.1} %", bytes, 100.0 * bytes as f64 / total as f64));
    }
}

/// The parts of a plan by name.
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

/// How a story went.
pub fn story(story: &Story, seed: Option<u64>) {
    if let End::ContextFull { n_ctx } = story.end {
        note(format_args!("the context of {n_ctx} tokens is full: {}", more_room(story.keys.shape(), n_ctx)));
    }
    note(format_args!("prefill  {}", story.prefill));
    note(format_args!("decode   {}", story.decode));
    note(format_args!("arena    {}", Bytes(story.arena_bytes as u64)));
    note(format_args!("keys     {:.1} % of those held were visited", 100.0 * story.keys.total_share()));
    if let Some(stored) = &story.stored {
        note(format_args!("stored   {stored}"));
    }
    if let Some(seed) = seed {
        note(format_args!("seed     {seed}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_stated_in_the_unit_that_suits_them() {
        let cases =
            [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 29, "1.5 GiB")];
        for (n, want) in cases {
            assert_eq!(Bytes(n).to_string(), want);
        }
        assert_eq!(Bytes(u64::MAX).to_string(), "16777216.0 TiB");
    }
}
