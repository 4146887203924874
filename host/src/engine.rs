//! Kernels and threads for sessions.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};

use nearfield::kernels::{self, Kernels};
use nearfield::{Executor, Inline};

use crate::error::{Context, Result};
use crate::model_file::{ModelFile, Repack};
use crate::threads::Threads;

/// Number of tokens that go through a layer together: all of them use the weights each time these are read from memory.
pub const N_BATCH: usize = 256;

/// Kernels and threads.
pub struct Engine {
    /// Kernels that compute.
    pub kernels: &'static dyn Kernels,
    /// Threads that share the work.
    workers: Workers,
}

impl Engine {
    /// Takes the kernels called `isa`, or the machine's best, and `n_threads` threads, or one for each core.
    ///
    /// # Errors
    /// When this machine has no kernels of that name, and when threads cannot be started.
    pub fn new(isa: Option<&str>, n_threads: Option<usize>) -> Result<Self> {
        let kernels = kernels_called(isa)?;
        Ok(Self { kernels, workers: Workers::new(n_threads.unwrap_or_else(n_cores))? })
    }

    /// Reads the model into memory, its weights interleaved for the kernels as `repack` says.
    pub fn load(&self, file: ModelFile, repack: Repack) -> Result<ModelFile> {
        let file = self.interleave(file, repack)?;
        file.page_in()?;
        Ok(file)
    }

    /// Interleaves weights as `repack` says, and reads nothing else of the file yet: for [`read_while`](Self::read_while).
    pub fn interleave(&self, file: ModelFile, repack: Repack) -> Result<ModelFile> {
        file.interleaved(repack, self.kernels, self.executor().n_workers())
    }

    /// Result of `make`, which reads the file's tables. With 2 or more threads, another one reads the weights meanwhile.
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

    /// Executor for sessions.
    pub fn executor(&self) -> &dyn Executor {
        self.workers.executor()
    }
}

/// Threads that share work; none where the calling thread is the only one.
pub struct Workers(Option<Threads>);

impl Workers {
    /// Starts `n_threads` threads; for 0 and 1 the caller does the work.
    pub fn new(n_threads: usize) -> Result<Self> {
        Ok(Self(match n_threads {
            0 | 1 => None,
            n => Some(Threads::new(n).context("cannot start threads")?),
        }))
    }

    /// Executor for sessions.
    pub fn executor(&self) -> &dyn Executor {
        match &self.0 {
            None => &Inline,
            Some(threads) => threads,
        }
    }
}

/// Number of threads that this machine runs at a time.
pub fn n_cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Kernels called `name`, or the machine's best.
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
