//! Workers for the library, which knows no threads.

use nearfield::Executor;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// A pool of threads.
///
/// Steps are short, and on a busy machine a thread may take longer to wake up than a step takes. So whoever runs a step does
/// the work, others join as they come, and nobody waits for one who has not begun. That is `rayon::join`, on a thread of the
/// pool: what uses the pool should run [`inside`](Self::inside) it (from outside, each step changes threads).
#[derive(Debug)]
pub struct Threads {
    pool: ThreadPool,
}

impl Threads {
    /// So many threads.
    pub fn new(n: usize) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self { pool: ThreadPoolBuilder::new().num_threads(n).build()? })
    }

    /// Runs `f` on one of the threads.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.pool.install(f)
    }
}

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        self.pool.install(|| call(self.n_workers(), work));
    }
}

/// Calls `work` `n` times, on as many threads as are free.
fn call(n: usize, work: &(dyn Fn() + Sync)) {
    if n <= 1 {
        return work();
    }
    rayon::join(|| call(n - n / 2, work), || call(n / 2, work));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn there_is_a_call_for_each_thread() {
        for n in 1..=9 {
            let threads = Threads::new(n).unwrap();
            let calls = AtomicUsize::new(0);
            threads.run(&|| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!((threads.n_workers(), calls.into_inner()), (n, n));
        }
    }
}
