//! The `nearfield` command.
//!
//! `cli` defines the command line; each command has the file of its name in `commands`; `args` has the arguments that they
//! share, `terminal` reads input and writes output.

mod args;
mod chart;
mod cli;
mod commands;
mod errors;
mod json;
mod terminal;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};

use crate::args::model::names_a_model;
use crate::terminal::interrupt;

use args::hub::with_long_flags;
use cli::{Cli, Command};
use commands::{
    bench, completions, convert, embed, imatrix, inspect, logits, man, pack, perplexity, plan, quantize, rerank, run,
    serve, tokenize,
};
use terminal::{StandardOutput, tell};

/// Exit code for wrong arguments, the same as in other Unix commands.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(with_long_flags(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    exit_code(answer(cli.command))
}

/// Exit code of a command; an error is told on standard error.
fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if interrupt::is_interrupted(&error) => ExitCode::from(interrupt::exit_code()),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            StandardOutput::end_line();
            tell(format_args!("nearfield: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn answer(command: Option<Command>) -> Result<()> {
    interrupt::install()?;
    dispatch(command)?;
    Ok(StandardOutput::lock().flush()?)
}

fn dispatch(command: Option<Command>) -> Result<()> {
    match command {
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Tokenize(args)) => tokenize::tokenize(&args),
        Some(Command::Detokenize(args)) => tokenize::detokenize(&args),
        Some(Command::Logits(args)) => logits::logits(&args),
        Some(Command::Embed(args)) => embed::embed(&args),
        Some(Command::Rerank(args)) => rerank::rerank(&args),
        Some(Command::Inspect(args)) => inspect::inspect(&args),
        Some(Command::Plan(args)) => plan::plan(&args),
        Some(Command::Pack(args)) => pack::pack(&args),
        Some(Command::Convert(args)) => convert::convert(&args),
        Some(Command::Imatrix(args)) => imatrix::imatrix(&args),
        Some(Command::Quantize(args)) => quantize::quantize(&args),
        Some(Command::Bench(args)) => bench::bench(&args),
        Some(Command::Perplexity(args)) => perplexity::perplexity(&args),
        Some(Command::Completions(args)) => completions::completions(&args, Cli::command()),
        Some(Command::Man(args)) => man::man(&args, Cli::command()),
        None if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() => run::interactive::interactive(),
        None => Ok(StandardOutput::named(Cli::command().print_long_help())?),
    }
}

/// Prints help to standard output, and a wrong argument as one line on standard error.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return exit_code(StandardOutput::named(error.print()).map_err(Into::into));
    }
    let text = error.render().to_string();
    // The first paragraph describes the error; usage and hints follow it.
    let what: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let what = what.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let instead = instead(error).map_or(String::new(), |word| format!(": did you mean {word}?"));
    tell(format_args!("nearfield: {what}{instead} (try --help)"));
    ExitCode::from(EXIT_USAGE)
}

/// Command, argument or value that is like the wrong one.
fn instead(error: &clap::Error) -> Option<String> {
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    match suggested.into_iter().find_map(|kind| error.get(kind)) {
        Some(ContextValue::String(word)) => return Some(word.clone()),
        Some(ContextValue::Strings(words)) => return words.first().cloned(),
        _ => {}
    }
    // A model without a command.
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if names_a_model(word.as_ref()) => Some(format!("nearfield run {word}")),
        _ => None,
    }
}

/// True if the reader of standard output has closed it, which is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<nearfield_host::Error>() {
        Some(error) => error.io_kind(),
        None => cause.downcast_ref().map(std::io::Error::kind),
    };
    error.chain().any(|cause| kind(cause) == Some(ErrorKind::BrokenPipe))
}
