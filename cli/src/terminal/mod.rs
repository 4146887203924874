//! Terminal: input, notes, progress and signals.

mod bar;
pub mod columns;
pub mod editor;
mod history;
pub mod input;
pub mod interrupt;
mod left;
mod monitor;
pub mod report;
mod standard_output;
mod tty;

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

pub use bar::Progress;
pub use monitor::monitor;
pub use nearfield_host::{Bytes, Count};
pub use standard_output::StandardOutput;

/// True if nothing but errors is written to standard error.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses notes and progress bars from here on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// True if notes and progress bars are suppressed.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line to standard error, unless notes are suppressed; an error of writing is ignored.
pub fn note(line: impl fmt::Display) {
    if !is_quiet() {
        tell(line);
    }
}

/// Writes an error to standard error; an error of writing is ignored.
pub fn tell(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
