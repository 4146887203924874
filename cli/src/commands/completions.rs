//! `nearfield completions`: prints a script with which a shell completes the command's arguments.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::terminal::StandardOutput;

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell that reads the script
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script for all commands of `cli`.
pub fn completions(args: &CompletionsArgs, mut cli: Command) -> Result<()> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    generate(args.shell, &mut cli, "nearfield", &mut script);
    Ok(StandardOutput::lock().write_all(&script)?)
}
