//! Who does the work: the library knows no threads, it is given workers.

/// Runs one step's work on some number of workers.
///
/// The bits of a result never depend on the number of workers: parts are cut so that each number is computed whole by one.
pub trait Executor: Sync {
    /// Workers that [`run`](Self::run) uses: a hint for cutting the work. At least 1.
    fn n_workers(&self) -> usize;

    /// Calls `work` on every worker, maybe at the same time, and returns when all calls have returned.
    ///
    /// Each call takes parts until none is left, so one call alone does all the work, and extra calls do nothing.
    fn run(&self, work: &(dyn Fn() + Sync));
}

/// One worker: the caller.
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
