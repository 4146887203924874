//! An executor with threads, as a host would write one, but with a new set of threads for every step.

use nearfield::Executor;

/// Executor with a number of workers: the caller, and new threads in every step.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.0
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for _ in 1..self.0 {
                scope.spawn(work);
            }
            work();
        });
    }
}
