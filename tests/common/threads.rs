//! An executor with threads, as a host would write one, but with a new set of threads for every step.

use nearfield::Executor;

/// Executor with a number of workers: the caller, and new threads in every step.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.0
    }

    /// All workers take part in the smallest step, as tests are to see them.
    fn least_work(&self) -> usize {
        1
    }

    fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for _ in 1..n_workers {
                scope.spawn(work);
            }
            work();
        });
    }
}
