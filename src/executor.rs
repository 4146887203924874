//! Executors run work on workers: the library itself knows no threads.

/// Runs the work of a step on some number of workers.
///
/// The bits of a result never depend on the number of workers: parts are cut so that each number is computed by one worker
/// alone.
pub trait Executor: Sync {
    /// Number of workers, the caller among them: at least 1.
    fn n_workers(&self) -> usize;

    /// Least multiply-accumulates of each worker in a step: a step below twice as many runs on the caller alone. A worker with
    /// less would take longer to join than it saves. The size alone decides, never a clock, so speed does not depend on luck.
    fn least_work(&self) -> usize {
        LEAST_WORK
    }

    /// Calls `work` on at most `n_workers` workers, maybe at the same time, and returns when all calls have returned.
    ///
    /// Each call takes parts until none is left, so one call alone does all the work, and extra calls do nothing.
    fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync));
}

/// Multiply-accumulates of 10 microseconds or so on a laptop's core; about one more passes until a second core has joined a step.
const LEAST_WORK: usize = 1 << 18;

/// Executor with one worker: the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn n_workers(&self) -> usize {
        1
    }

    fn run(&self, _: usize, work: &(dyn Fn() + Sync)) {
        work();
    }
}
