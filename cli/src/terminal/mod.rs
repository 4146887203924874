//! Terminal: input, notes, progress and signals.

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

/// Writes a line to standard error; an error of writing is ignored.
pub fn note(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
