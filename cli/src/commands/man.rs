//! `nearfield man`: manual pages, one for the program and one for each command.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;
use nearfield_host::output_file::OutputFile;

use crate::terminal::StandardOutput;

#[derive(Args, Debug)]
pub struct ManArgs {
    /// Folder for the pages of the program and of each command, made if missing [default: the program's page on standard output]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Prints the page of the program, or writes `nearfield.1` and `nearfield-COMMAND.1` for each command of `cli`.
pub fn man(args: &ManArgs, cli: Command) -> Result<()> {
    // `help` has no page of its own.
    let mut cli = cli.disable_help_subcommand(true);
    cli.build();
    let Some(folder) = &args.folder else { return Ok(StandardOutput::lock().write_all(&page(cli)?)?) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let commands: Vec<Command> = cli.get_subcommands().cloned().collect();
    for command in commands.into_iter().chain([cli]) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        OutputFile::create(&folder.join(format!("{name}.1")))?.write_all(&page(command)?)?;
    }
    Ok(())
}

/// Page of a command in roff.
fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
