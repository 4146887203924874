//! Threads for the library, which has none.

use std::io;

use nearfield::Executor;
use nearfield::kernels::Pool;

/// Pool of threads; the calling thread is one of them.
#[derive(Debug)]
pub struct Threads {
    pool: Pool,
}

impl Threads {
    /// Starts a pool of `n` threads.
    pub fn new(n: usize) -> io::Result<Self> {
        Ok(Self { pool: Pool::new(n)? })
    }
}

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.pool.n_workers()
    }

    fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        self.pool.run_on(n_workers, work);
    }
}
