//! Standard output with errors that name it.

use std::io::{Error, IsTerminal, Result, StdoutLock, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// True if the last byte that was written ended a line, or none was written.
static ENDED_LINE: AtomicBool = AtomicBool::new(true);

/// The process's standard output, held until dropped.
#[derive(Debug)]
pub struct StandardOutput(StdoutLock<'static>);

impl StandardOutput {
    /// Locks standard output, after waiting until no other thread holds it.
    pub fn lock() -> Self {
        Self(stdout().lock())
    }

    /// Ends a line that was begun on a terminal, so that an error does not stand behind half a text; an error of writing is ignored.
    pub fn end_line() {
        if stdout().is_terminal() && !ENDED_LINE.load(Ordering::Relaxed) {
            let _ = writeln!(stdout());
        }
    }

    /// Result of writing, with an error that names standard output and keeps its kind, so that a closed pipe is still recognized.
    pub fn named<T>(result: Result<T>) -> Result<T> {
        result.map_err(|error| Error::new(error.kind(), format!("cannot write to standard output: {error}")))
    }
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let n = Self::named(self.0.write(bytes))?;
        if let Some(last) = bytes[..n].last() {
            ENDED_LINE.store(*last == b'\n', Ordering::Relaxed);
        }
        Ok(n)
    }

    fn flush(&mut self) -> Result<()> {
        Self::named(self.0.flush())
    }
}
