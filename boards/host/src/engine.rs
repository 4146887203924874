//! What a session computes with: kernels, workers and memory.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use nearfield::kernels::{self, Kernels};
use nearfield::{Executor, Inline, Line};

use crate::args::EngineArgs;
use crate::threads::Threads;

/// Kernels and workers.
pub struct Engine {
    /// The arithmetic.
    pub kernels: &'static dyn Kernels,
    /// Who does it; without threads, whoever asks for it.
    threads: Option<Threads>,
}

impl Engine {
    /// As the arguments say, else the best of the machine.
    pub fn new(args: &EngineArgs) -> Result<Self> {
        let kernels = match &args.isa {
            None => kernels::best(),
            Some(name) => kernels::by_name(name).with_context(|| no_such_isa(name))?,
        };
        let n_threads = args.threads.map_or_else(|| available_parallelism().map_or(1, NonZero::get), usize::from);
        let threads = match n_threads {
            1 => None,
            n => Some(Threads::new(n).context("cannot start threads")?),
        };
        Ok(Self { kernels, threads })
    }

    /// For sessions.
    pub fn executor(&self) -> &dyn Executor {
        match &self.threads {
            None => &Inline,
            Some(threads) => threads,
        }
    }

    /// Runs `f`, which uses the executor, where that is fastest.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            None => f(),
            Some(threads) => threads.inside(f),
        }
    }
}

fn no_such_isa(name: &str) -> String {
    let available: Vec<&str> = kernels::available().map(|isa| isa.name()).collect();
    format!("no kernels called {name:?} for this machine: it has {}", available.join(", "))
}

/// Memory for an arena of so many bytes, a multiple of a line's.
pub fn allocate(bytes: usize) -> Result<Vec<Line>> {
    let n_lines = bytes.div_ceil(Line::BYTES);
    let mut lines = Vec::new();
    lines
        .try_reserve_exact(n_lines)
        .with_context(|| format!("no memory for an arena of {}", crate::report::Bytes(bytes as u64)))?;
    lines.resize(n_lines, Line::ZERO);
    Ok(lines)
}
