//! Both cores as the library's executor: core 0 runs the session, core 1 helps with each step.
//!
//! Two cores need no read-modify-write, which the M0+ lacks: each word has one writer.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use cortex_m::asm;
use embassy_rp::Peri;
use embassy_rp::multicore::{Stack, spawn_core1};
use embassy_rp::pac::SIO;
use embassy_rp::peripherals::CORE1;
use nearfield::{Executor, Inline};
use static_cell::ConstStaticCell;

/// Stack of core 1. A guard below it faults when it overflows.
const STACK: usize = 12 * 1024;

/// Function that both cores call.
type Work<'w> = &'w (dyn Fn() + Sync);

/// The step's [`Work`], on core 0's stack while `run` is there.
static WORK: AtomicPtr<Work<'static>> = AtomicPtr::new(ptr::null_mut());
/// Number of the newest step; written by core 0.
static STEP: AtomicUsize = AtomicUsize::new(0);
/// Number of the last step that core 1 is done with; written by core 1.
static DONE: AtomicUsize = AtomicUsize::new(0);

static CORE1_STACK: ConstStaticCell<Stack<STACK>> = ConstStaticCell::new(Stack::new());

/// Both cores.
struct Cores;

/// Starts core 1, and returns both cores as an executor; core 0 alone where there is no other, as in an emulator. Called once.
pub fn cores(core1: Peri<'static, CORE1>) -> &'static dyn Executor {
    // Bits 31 to 4 of the mailbox's status are 0 (RP2040 datasheet, 2.3.1.7; RP2350 datasheet, 3.1.11). An emulator without core 1
    // has no mailbox either: it reads as ones.
    if SIO.fifo().st().read().0 >> 4 != 0 {
        return &Inline;
    }
    spawn_core1(core1, CORE1_STACK.take(), || help());
    &Cores
}

/// Loop of core 1: waits for a step, works, and waits again.
fn help() -> ! {
    let mut seen = 0;
    loop {
        let step = STEP.load(Ordering::Acquire);
        if step == seen {
            // `run` sends an event after each new step. One that came before this line is remembered.
            asm::wfe();
            continue;
        }
        seen = step;
        // SAFETY: `run` stored a pointer to its argument before it counted the step, and stays until this core is done.
        let work = unsafe { *WORK.load(Ordering::Relaxed) };
        work();
        DONE.store(step, Ordering::Release);
    }
}

impl Executor for Cores {
    fn n_workers(&self) -> usize {
        2
    }

    /// An estimate, as no board was timed: some 10,000 cycles, where the other core joins within a hundred.
    fn least_work(&self) -> usize {
        1 << 11
    }

    fn run(&self, _: usize, work: Work<'_>) {
        let last = STEP.load(Ordering::Relaxed);
        if DONE.load(Ordering::Acquire) != last {
            // Called within a step: the other core has work already, and one call alone does it all.
            return work();
        }
        let step = last.wrapping_add(1);
        WORK.store((&raw const work).cast_mut().cast(), Ordering::Relaxed);
        STEP.store(step, Ordering::Release);
        // The step is visible before the event.
        asm::dsb();
        asm::sev();
        work();
        // The newest step, not this one: a call within `work`, made when core 1 was done already, was a step of its own.
        while DONE.load(Ordering::Acquire) != STEP.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
    }
}
