//! Threads that share one step of work at a time (feature `std`).
//!
//! Steps are as short as a few microseconds, and on a busy machine a thread may take longer to be given a processor than a step
//! takes. So the thread that runs a step does the work, the pool's threads join as they come, and nobody waits for one that has
//! not begun. A thread that finds nothing to do spins for `SPIN`, since the next step of a forward pass comes soon, and then
//! sleeps, so that an idle pool costs nothing.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Time that a thread spins for work, or the caller for the end of a step, before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Bits of [`Shared::state`]: the number of threads in the step, whether more may join, whether the caller sleeps until the
/// last has left, whether the pool ends; all bits from `STEP` on count the steps.
const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const AWAITED: u64 = 1 << 17;
const END: u64 = 1 << 18;
const STEP: u64 = 1 << 19;

type Work = dyn Fn() + Sync;

/// State that the threads and the caller share.
struct Shared {
    state: AtomicU64,
    /// The work of the step. Written by the caller while the step is not open and nobody is inside; read by those inside.
    work: UnsafeCell<Option<*const Work>>,
    /// Number of threads that may be in the step together. Written before the step opens.
    limit: AtomicU64,
    /// Threads that sleep or are about to.
    n_sleeping: AtomicUsize,
    /// Thread that sleeps until the step is over.
    caller: Mutex<Option<Thread>>,
    /// True if the work panicked in a thread of the pool.
    panicked: AtomicBool,
}

// SAFETY: `work` is the only part that is not `Sync` by itself, or `Send`; it points to something `Sync`, and is written only
// while nobody else reads it (see there).
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// Pool of threads; the thread that runs a step is one more worker.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// True while a step is running.
    busy: AtomicBool,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts a pool of `n_workers`, the caller included: at least 1, at most 2^16.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn new(n_workers: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            limit: AtomicU64::new(0),
            n_sleeping: AtomicUsize::new(0),
            caller: Mutex::new(None),
            panicked: AtomicBool::new(false),
        });
        let mut pool = Self { shared, threads: Vec::new(), busy: AtomicBool::new(false) };
        for _ in 1..n_workers.min(INSIDE as usize + 1) {
            let shared = Arc::clone(&pool.shared);
            pool.threads.push(thread::Builder::new().name("worker".into()).spawn(move || shared.serve())?);
        }
        Ok(pool)
    }

    /// Number of workers, the caller included.
    pub fn n_workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `work` here, and at the same time on those threads of the pool that are free; returns when all calls have
    /// returned. If the pool is running a step already (one inside the other, or of another thread), it calls `work` here
    /// alone.
    ///
    /// # Panics
    /// When `work` does, in any thread.
    pub fn run(&self, work: &(dyn Fn() + Sync)) {
        self.run_on(self.n_workers(), work);
    }

    /// Calls `work` as [`run`](Self::run) does, on at most `n_workers` workers, the caller included.
    ///
    /// # Panics
    /// When `work` does, in any thread.
    pub fn run_on(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        let n_threads = self.threads.len().min(n_workers.saturating_sub(1));
        if n_threads == 0 || self.busy.swap(true, Ordering::Acquire) {
            return work();
        }
        let step = Step { pool: self };
        step.open(n_threads, work);
        work();
        drop(step);
        if self.shared.panicked.load(Ordering::Relaxed) {
            panic!("a worker panicked");
        }
    }
}

/// Running step, which ends when it is dropped, also while a panic of the work unwinds.
struct Step<'p> {
    pool: &'p Pool,
}

impl Step<'_> {
    fn open(&self, n_threads: usize, work: &(dyn Fn() + Sync)) {
        let Shared { state, limit, n_sleeping, .. } = &*self.pool.shared;
        // SAFETY: only the lifetime changes, which the pointer does not keep: threads call it between joining the step and
        // leaving it, and `drop` returns after the last of them has left and none can join, which is before `run` does.
        let work: *const Work = unsafe { core::mem::transmute::<&(dyn Fn() + Sync), &'static Work>(work) };
        // SAFETY: `busy` lets one caller in at a time; the step is not open (the last one was closed, or there was none) and
        // nobody is inside (its `drop` waited), so nobody reads it.
        unsafe { *self.pool.shared.work.get() = Some(work) };
        // The store to `state` releases, so that a thread that joins sees `work`. (The number of steps wraps after
        // years of steps without a pause; it is only compared for equality.)
        self.pool.shared.panicked.store(false, Ordering::Relaxed);
        limit.store(n_threads as u64, Ordering::Relaxed);
        let before = state.load(Ordering::Relaxed);
        state.store((before & !AWAITED).wrapping_add(STEP) | OPEN, Ordering::SeqCst);
        // A thread that goes to sleep counts itself and then reads `state` once more: either it sees the step, or it is seen
        // here.
        if n_sleeping.load(Ordering::SeqCst) > 0 {
            self.pool.threads.iter().take(n_threads).for_each(|thread| thread.thread().unpark());
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let Shared { state, caller, .. } = &*self.pool.shared;
        let mut inside = state.fetch_and(!OPEN, Ordering::Acquire) & INSIDE;
        let mut patience = Patience::new();
        while inside > 0 && patience.spin() {
            inside = state.load(Ordering::Acquire) & INSIDE;
        }
        if inside > 0 {
            // A thread was interrupted in the middle of its part. The caller sleeps, which leaves a processor for that thread.
            *caller.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
            inside = state.fetch_or(AWAITED, Ordering::Acquire) & INSIDE;
            while inside > 0 {
                thread::park();
                inside = state.load(Ordering::Acquire) & INSIDE;
            }
        }
        self.pool.busy.store(false, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.fetch_or(END, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // `run` has reported the panic, if there was one.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Body of a thread of the pool.
    fn serve(&self) {
        let mut done = 0;
        while let Some(state) = self.next_step(done) {
            // Joins only if nothing has changed: the step was neither closed nor joined by others meanwhile.
            if self.state.compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            done = state / STEP;
            // SAFETY: this thread is inside the step, which the caller has not left: `work` is written and lives (`open`).
            let work = unsafe { (*self.work.get()).map(|work| &*work) };
            if let Some(work) = work
                && catch_unwind(AssertUnwindSafe(work)).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            // Releases, so that the caller sees what was written.
            let left = self.state.fetch_sub(1, Ordering::Release);
            if left & (INSIDE | AWAITED) == AWAITED | 1
                && let Some(caller) = &*self.caller.lock().unwrap_or_else(PoisonError::into_inner)
            {
                // A late thread may wake the caller of another step, which then goes back to sleep.
                caller.unpark();
            }
        }
    }

    /// Waits for an open step other than `done`; returns its state, or `None` at the end of the pool.
    fn next_step(&self, done: u64) -> Option<u64> {
        // The limit is read after the state, so it belongs to the same step or to a later one; with a later one, the exchange in
        // `serve` fails.
        let may_join = |state: u64| state & INSIDE < self.limit.load(Ordering::Relaxed);
        let found = |state: u64| state & END != 0 || state & OPEN != 0 && state / STEP != done && may_join(state);
        let mut patience = Patience::new();
        loop {
            let mut state = self.state.load(Ordering::Acquire);
            if !found(state) && !patience.spin() {
                self.n_sleeping.fetch_add(1, Ordering::SeqCst);
                state = self.state.load(Ordering::SeqCst);
                if !found(state) {
                    thread::park();
                    patience = Patience::new();
                }
                self.n_sleeping.fetch_sub(1, Ordering::Relaxed);
            }
            if found(state) {
                return (state & END == 0).then_some(state);
            }
        }
    }
}

/// Wait that spins for [`SPIN`].
struct Patience {
    n_spins: u32,
    until: Option<Instant>,
}

impl Patience {
    fn new() -> Self {
        Self { n_spins: 0, until: None }
    }

    /// Spins a little; true while time is left. Reads the clock in one call of 32.
    fn spin(&mut self) -> bool {
        spin_loop();
        self.n_spins += 1;
        if !self.n_spins.is_multiple_of(32) {
            return true;
        }
        let now = Instant::now();
        now < *self.until.get_or_insert(now + SPIN)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::{Parts, RowsMut};

    /// Steps of a test: few under Miri, which is slow.
    const STEPS: u32 = if cfg!(miri) { 8 } else { 2000 };

    #[test]
    fn all_parts_are_done_whoever_comes() {
        for n_workers in [1, 2, 3, 16] {
            let pool = Pool::new(n_workers).unwrap();
            assert_eq!(pool.n_workers(), n_workers);
            let mut x = vec![0_u32; 1000];
            for step in 0..STEPS {
                if step % (STEPS / 4) == 0 {
                    // Sleeps long enough for all threads to fall asleep.
                    thread::sleep(4 * SPIN);
                }
                let parts = Parts::new(RowsMut::new(&mut x, 1 + step as usize % 97));
                pool.run(&|| {
                    while let Some((_, part)) = parts.take() {
                        part.iter_mut().for_each(|x| *x += 1);
                    }
                });
            }
            assert!(x.iter().all(|&x| x == STEPS));
        }
    }

    #[test]
    fn threads_join_a_step_that_lasts() {
        let pool = Pool::new(4).unwrap();
        let (n_inside, deadline) = (AtomicUsize::new(0), Instant::now() + Duration::from_secs(60));
        pool.run(&|| {
            n_inside.fetch_add(1, Ordering::SeqCst);
            while n_inside.load(Ordering::SeqCst) < 4 && Instant::now() < deadline {
                thread::yield_now();
            }
        });
        assert_eq!(n_inside.into_inner(), 4);
    }

    #[test]
    fn no_more_threads_join_than_are_asked_for() {
        let pool = Pool::new(4).unwrap();
        for n_workers in [2, 1, 4, 3] {
            let (n_inside, most, deadline) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now() + 8 * SPIN);
            pool.run_on(n_workers, &|| {
                most.fetch_max(n_inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                while Instant::now() < deadline {
                    thread::yield_now();
                }
                n_inside.fetch_sub(1, Ordering::SeqCst);
            });
            assert!(most.into_inner() <= n_workers, "{n_workers}");
        }
    }

    #[test]
    fn the_caller_waits_for_a_thread_that_began() {
        let pool = Pool::new(2).unwrap();
        let here = thread::current().id();
        for _ in 0..20 {
            let (began, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            pool.run(&|| {
                if thread::current().id() == here {
                    while !began.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                } else {
                    began.store(true, Ordering::SeqCst);
                    // Sleeps longer than the caller spins.
                    thread::sleep(4 * SPIN);
                    ended.store(true, Ordering::SeqCst);
                }
            });
            assert!(ended.into_inner());
        }
    }

    #[test]
    fn steps_inside_and_beside_each_other_are_done() {
        const N: usize = if cfg!(miri) { 3 } else { 200 };
        let pool = Pool::new(3).unwrap();
        let n = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..N {
                        let parts = [(); 2].map(|()| AtomicUsize::new(0));
                        let is_first = |i: usize| parts[i].fetch_add(1, Ordering::SeqCst) == 0;
                        pool.run(&|| {
                            if is_first(0) {
                                pool.run(&|| {
                                    n.fetch_add(usize::from(is_first(1)), Ordering::SeqCst);
                                });
                            }
                        });
                    }
                });
            }
        });
        assert_eq!(n.into_inner(), 4 * N);
    }

    #[test]
    fn a_panic_is_the_callers() {
        let pool = Pool::new(3).unwrap();
        let here = thread::current().id();
        for in_caller in [true, false] {
            let began = AtomicBool::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|| {
                    let is_caller = thread::current().id() == here;
                    began.fetch_or(!is_caller, Ordering::SeqCst);
                    while !began.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                    assert!(is_caller != in_caller, "expected");
                });
            }));
            assert!(result.is_err(), "{in_caller}");
            let calls = AtomicUsize::new(0);
            pool.run(&|| {
                calls.fetch_add(1, Ordering::SeqCst);
            });
            assert!((1..=3).contains(&calls.into_inner()));
        }
    }
}
