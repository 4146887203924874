//! Standard output with errors that name it.

use std::io::{Error, Result, StdoutLock, Write, stdout};

/// The process's standard output, held until dropped.
#[derive(Debug)]
pub struct StandardOutput(StdoutLock<'static>);

impl StandardOutput {
    /// Locks standard output, after waiting until no other thread holds it.
    pub fn lock() -> Self {
        Self(stdout().lock())
    }
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(named)
    }
}

/// Adds the name to an error and keeps its kind, so that a closed pipe is still recognized.
fn named(error: Error) -> Error {
    Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}
