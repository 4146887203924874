//! Workers for the library, which knows no threads.

use std::io;

use nearfield::Executor;
use nearfield::kernels::Pool;

/// A pool of threads, of which whoever runs a step is one.
#[derive(Debug)]
pub struct Threads {
    pool: Pool,
}

impl Threads {
    /// So many threads.
    pub fn new(n: usize) -> io::Result<Self> {
        Ok(Self { pool: Pool::new(n)? })
    }
}

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.pool.n_workers()
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        self.pool.run(work);
    }
}
