//! The terminal: what is read from it, and what is told on it.

mod bar;
pub mod input;
pub mod interrupt;
mod monitor;
pub mod report;
mod standard_output;

use std::fmt;
use std::io::Write;

pub use bar::Progress;
pub use monitor::monitor;
pub use nearfield_host::Bytes;
pub use standard_output::StandardOutput;

/// A line on standard error; if nobody reads that, it is lost.
pub fn note(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
