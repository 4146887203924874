//! The four cores as the library's executor: core 0 runs the session, the others help with each step.

use core::arch::asm;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use nearfield::Executor;

const N_CORES: usize = 4;
/// Table of the Pi's firmware: core `n` waits until it finds an address at `SPIN_TABLE + 8 n`, and jumps there.
const SPIN_TABLE: usize = 0xd8;

/// Function that the helpers of one step call.
type Work<'w> = &'w (dyn Fn() + Sync);

/// The step's [`Work`], on core 0's stack while `run` is there.
static WORK: AtomicPtr<Work<'static>> = AtomicPtr::new(ptr::null_mut());
/// Counts steps: a core that sees it change takes part.
static STEP: AtomicUsize = AtomicUsize::new(0);
/// Number of helpers that are done with the step; before the first step, of helpers that have started.
static DONE: AtomicUsize = AtomicUsize::new(0);

/// True while a step runs: work that calls `run` itself runs on the core that it is on.
static BUSY: AtomicBool = AtomicBool::new(false);

/// All four cores: exists once the helpers run.
pub struct Cores(());

impl Cores {
    /// Wakes the helpers, which go through [`help`]; called with caches off, since they look at memory with caches off.
    ///
    /// # Safety
    /// By core 0, once; everything that the helpers need before their caches are on is in memory.
    pub unsafe fn wake() {
        unsafe extern "C" {
            fn _start();
        }
        for core in 1..N_CORES {
            // SAFETY: the spin table's word of that core, which the firmware left for this.
            unsafe { ((SPIN_TABLE + 8 * core) as *mut u64).write_volatile(_start as *const () as u64) };
        }
        // SAFETY: a barrier and an event change no memory.
        unsafe { asm!("dsb sy", "sev") };
    }

    /// Waits until the helpers have started.
    pub fn ready() -> Self {
        while DONE.load(Ordering::Acquire) < N_CORES - 1 {
            spin_loop();
        }
        Self(())
    }
}

/// Loop of a helper core: waits for a step, works, and waits again.
pub fn help() -> ! {
    DONE.fetch_add(1, Ordering::Release);
    let mut seen = 0;
    loop {
        let step = STEP.load(Ordering::Acquire);
        if step == seen {
            // SAFETY: waits for an event; `run` sends one after each new step.
            unsafe { asm!("wfe", options(nomem, nostack)) };
            continue;
        }
        seen = step;
        // SAFETY: `run` stored a pointer to its argument before it counted the step, and stays until all are done.
        let work = unsafe { *WORK.load(Ordering::Relaxed) };
        work();
        DONE.fetch_add(1, Ordering::Release);
    }
}

impl Executor for Cores {
    fn n_workers(&self) -> usize {
        N_CORES
    }

    /// Less than on a laptop: cores that wait together join at once, and each is slower. An estimate, as no board was timed.
    fn least_work(&self) -> usize {
        1 << 14
    }

    /// All cores are called, since they wait together; those that are not needed find nothing to do.
    ///
    /// Within a step that runs already, on any core, the caller alone does all the work: the helpers still hold that step's.
    fn run(&self, _: usize, work: Work<'_>) {
        if BUSY.swap(true, Ordering::Acquire) {
            return work();
        }
        DONE.store(0, Ordering::Relaxed);
        WORK.store((&raw const work).cast_mut().cast(), Ordering::Relaxed);
        STEP.fetch_add(1, Ordering::Release);
        // SAFETY: a barrier and an event change no memory. The barrier makes the step visible before the event.
        unsafe { asm!("dsb ish", "sev", options(nostack)) };
        work();
        while DONE.load(Ordering::Acquire) < N_CORES - 1 {
            spin_loop();
        }
        BUSY.store(false, Ordering::Release);
    }
}
