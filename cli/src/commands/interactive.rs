//! A bare `nearfield` in a terminal: type the beginning of a story, read the rest.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::Result;
use clap::Parser;
use nearfield_host::model_file::ModelFile;

use crate::cli::{Cli, Command};
use crate::commands::run::{RunArgs, tell, with_teller};
use crate::prompt::Prompt;
use crate::terminal::input::Lines;
use crate::terminal::interrupt;
use crate::terminal::monitor;

/// Asks for beginnings and tells stories until the end of input.
pub fn interactive() -> Result<()> {
    let args = default_args()?;
    let file = ModelFile::open(None, monitor())?;
    with_teller(file, &args, |teller| {
        writeln!(stdout(), "The beginning of a story? (Ctrl-D to end, Ctrl-C to stop a story.)")?;
        ask(&mut stdin().lock(), &mut stdout(), |beginning| {
            match tell(teller, &Prompt::of_text(teller.tokenizer, beginning)?) {
                Err(error) if interrupt::is_interrupted(&error) => Ok(()),
                result => result,
            }
        })
    })
}

/// Hands each line to `answer` but those that are empty.
fn ask(input: &mut impl BufRead, out: &mut impl Write, mut answer: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut lines = Lines::new(input);
    loop {
        write!(out, "\n> ")?;
        out.flush()?;
        match lines.next()? {
            // Ctrl-D leaves the cursor behind the question.
            None => return Ok(writeln!(out)?),
            Some(line) if line.is_empty() => {}
            Some(line) => answer(&line)?,
        }
    }
}

/// Those of `nearfield run`.
fn default_args() -> Result<RunArgs> {
    match Cli::try_parse_from(["nearfield", "run"])?.command {
        Some(Command::Run(args)) => Ok(args),
        _ => unreachable!("`run` is the command that was parsed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(mut input: &[u8]) -> (Vec<Vec<u8>>, String) {
        let (mut lines, mut out) = (Vec::new(), Vec::new());
        let answer = |line: &[u8]| {
            lines.push(line.to_vec());
            Ok(())
        };
        ask(&mut input, &mut out, answer).unwrap();
        (lines, String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_the_end_of_input_ends_it() {
        assert_eq!(
            answered(b"One day\r\n Two \n\r\n\ncaf\xe9\n"),
            (vec![b"One day".to_vec(), b" Two ".to_vec(), b"caf\xe9".to_vec()], "\n> ".repeat(6) + "\n")
        );
        assert_eq!(answered(b"Once"), (vec![b"Once".to_vec()], "\n> \n> \n".into()));
        assert_eq!(answered(b""), (vec![], "\n> \n".into()));
    }

    #[test]
    fn the_default_arguments_parse() {
        assert!(!default_args().unwrap().verbose);
    }
}
