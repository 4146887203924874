//! Executors run work on workers: the library itself knows no threads.

/// Runs the work of a step on some number of workers.
///
/// The bits of a result never depend on the number of workers: parts are cut so that each number is computed by one worker
/// alone.
pub trait Executor: Sync {
    /// Number of workers that [`run`](Self::run) uses, at least 1. The work is cut accordingly.
    fn n_workers(&self) -> usize;

    /// Calls `work` on every worker, maybe at the same time, and returns when all calls have returned.
    ///
    /// Each call takes parts until none is left, so one call alone does all the work, and extra calls do nothing.
    fn run(&self, work: &(dyn Fn() + Sync));
}

/// Executor with one worker: the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn n_workers(&self) -> usize {
        1
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        work();
    }
}
