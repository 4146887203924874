//! Kernels and threads that sessions compute with.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};

use nearfield::kernels::{self, Kernels};
use nearfield::{Executor, Inline};

use crate::error::{Context, Result};
use crate::model_file::{ModelFile, Repack};
use crate::threads::Threads;

/// Tokens that go through a layer together: so many meet weights each time they are read from memory.
pub const N_BATCH: usize = 256;

/// Kernels and workers.
pub struct Engine {
    /// The arithmetic.
    pub kernels: &'static dyn Kernels,
    /// Who does it.
    workers: Workers,
}

impl Engine {
    /// Kernels by name, or the best of the machine, and so many threads, or one for each core.
    ///
    /// # Errors
    /// When this machine has no kernels of that name, and when threads cannot be started.
    pub fn new(isa: Option<&str>, n_threads: Option<usize>) -> Result<Self> {
        let kernels = kernels_called(isa)?;
        Ok(Self { kernels, workers: Workers::new(n_threads.unwrap_or_else(n_cores))? })
    }

    /// The model in memory, its weights interleaved for the kernels when `repack` says so.
    pub fn load(&self, file: ModelFile, repack: Repack) -> Result<ModelFile> {
        let file = self.in_order(file, repack)?;
        file.page_in()?;
        Ok(file)
    }

    /// The same, of which nothing is read yet that stays as it is in the file: for [`read_while`](Self::read_while).
    pub fn in_order(&self, file: ModelFile, repack: Repack) -> Result<ModelFile> {
        file.repacked(repack, self.kernels, self.executor().n_workers())
    }

    /// What `make` makes of the file's tables. If there may be several threads, one reads the weights meanwhile.
    pub fn read_while<T>(&self, file: &ModelFile, make: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.executor().n_workers() < 2 {
            file.page_in()?;
            return make();
        }
        thread::scope(|scope| {
            let reading = scope.spawn(|| file.page_in());
            let made = make();
            reading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            made
        })
    }

    /// For sessions.
    pub fn executor(&self) -> &dyn Executor {
        self.workers.executor()
    }
}

/// Threads; a single one is whoever asks for the work.
pub struct Workers(Option<Threads>);

impl Workers {
    /// So many, at least one.
    pub fn new(n_threads: usize) -> Result<Self> {
        Ok(Self(match n_threads {
            0 | 1 => None,
            n => Some(Threads::new(n).context("cannot start threads")?),
        }))
    }

    /// For sessions.
    pub fn executor(&self) -> &dyn Executor {
        match &self.0 {
            None => &Inline,
            Some(threads) => threads,
        }
    }
}

/// Threads that this machine runs at a time.
pub fn n_cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// The kernels of this name, or the machine's best.
pub fn kernels_called(name: Option<&str>) -> Result<&'static dyn Kernels> {
    match name {
        None => Ok(kernels::best()),
        Some(name) => kernels::by_name(name).with_context(|| no_such_isa(name)),
    }
}

fn no_such_isa(name: &str) -> String {
    let available: Vec<&str> = kernels::available().map(|isa| isa.name()).collect();
    format!("no kernels called {name:?} for this machine: it has {}", available.join(", "))
}
