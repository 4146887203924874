//! Standard output, whose errors say what they are about.

use std::io::{Error, Result, StdoutLock, Write, stdout};

/// The process's standard output, held until dropped.
#[derive(Debug)]
pub struct StandardOutput(StdoutLock<'static>);

impl StandardOutput {
    /// Waits until nobody else holds it.
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

/// The error of the same kind, so that a closed pipe is still known as one.
fn named(error: Error) -> Error {
    Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}
