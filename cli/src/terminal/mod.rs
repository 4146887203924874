//! The terminal: what is read from it, and what is told on it.

pub mod input;
pub mod report;
mod standard_output;

pub use nearfield_host::report::{Bytes, note};
pub use standard_output::StandardOutput;
