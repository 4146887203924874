//! Ctrl-C: a flag that the loops look at, so that everything ends in order.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::output_file;

/// Whether Ctrl-C was pressed.
static PRESSED: AtomicBool = AtomicBool::new(false);
/// Whether nothing is looking at the flag: the command waits for a line.
static WAITING: AtomicBool = AtomicBool::new(false);

/// What ends a command after Ctrl-C.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From here on Ctrl-C sets the flag. Pressed again before anything looked, or while a line is waited for, it ends the process.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if PRESSED.swap(true, Ordering::Relaxed) || WAITING.load(Ordering::Relaxed) {
            output_file::remove_parts();
            std::process::exit(super::EXIT_INTERRUPTED.into());
        }
    })
    .context("cannot watch for Ctrl-C")
}

/// Whether Ctrl-C was pressed.
pub fn pressed() -> bool {
    PRESSED.load(Ordering::Relaxed)
}

/// An error if Ctrl-C was pressed.
pub fn check() -> Result<(), Interrupted> {
    if pressed() { Err(Interrupted) } else { Ok(()) }
}

/// Runs `wait`, which waits for a line; Ctrl-C before does not count any more.
pub fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    PRESSED.store(false, Ordering::Relaxed);
    WAITING.store(true, Ordering::Relaxed);
    let result = wait();
    WAITING.store(false, Ordering::Relaxed);
    result
}
