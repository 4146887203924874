//! Turns with another program, so that both are measured in the same minute but never at the same time.

use std::fmt;
use std::io::{Write, stdin};

use anyhow::Result;
use nearfield_host::Error;

use crate::terminal::StandardOutput;
use crate::terminal::interrupt;

/// True if another program takes turns with this one.
#[derive(Clone, Copy, Debug)]
pub struct Turns(pub bool);

impl Turns {
    /// Waits for a line on standard input.
    pub fn wait(self) -> Result<()> {
        let mut line = String::new();
        if self.0 && interrupt::while_waiting(|| stdin().read_line(&mut line))? == 0 {
            return Err(Error::Cancelled.into());
        }
        Ok(())
    }

    /// Writes to standard output that the turn is over.
    pub fn done(self, what: impl fmt::Display) -> Result<()> {
        if self.0 {
            let mut out = StandardOutput::lock();
            writeln!(out, "{what}")?;
            out.flush()?;
        }
        Ok(())
    }
}
