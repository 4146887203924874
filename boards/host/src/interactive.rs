//! A bare `nearfield` in a terminal: type the beginning of a story, read the rest.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::Result;
use clap::Parser;

use crate::args::{Cli, Command};
use crate::interrupt::{Interrupted, while_waiting};
use crate::model_file::ModelFile;
use crate::prompt::Prompt;
use crate::run::{RunArgs, tell, with_teller};

/// Asks for beginnings and tells stories until an empty line or the end of input.
pub fn interactive() -> Result<()> {
    let args = default_args()?;
    let file = ModelFile::open(None)?;
    with_teller(file, &args, |teller| {
        writeln!(stdout(), "The beginning of a story? (Empty line or Ctrl-D to end, Ctrl-C to stop a story.)")?;
        ask(&mut stdin().lock(), &mut stdout(), |beginning| {
            match tell(teller, &Prompt::of_text(teller.tokenizer, beginning.as_bytes())?) {
                Err(error) if error.is::<Interrupted>() => Ok(()),
                result => result,
            }
        })
    })
}

/// Hands each line to `answer`.
fn ask(input: &mut impl BufRead, out: &mut impl Write, mut answer: impl FnMut(&str) -> Result<()>) -> Result<()> {
    loop {
        write!(out, "\n> ")?;
        out.flush()?;
        let mut line = String::new();
        let n = while_waiting(|| input.read_line(&mut line))?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            // Ctrl-D leaves the cursor behind the question.
            return if n == 0 { Ok(writeln!(out)?) } else { Ok(()) };
        }
        answer(line)?;
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

    fn answered(input: &str) -> (Vec<String>, String) {
        let (mut lines, mut out) = (Vec::new(), Vec::new());
        let answer = |line: &str| {
            lines.push(line.to_owned());
            Ok(())
        };
        ask(&mut input.as_bytes(), &mut out, answer).unwrap();
        (lines, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_empty_line_or_the_end_of_input_ends_it() {
        assert_eq!(
            answered("One day\r\n Two \n\nThree\n"),
            (vec!["One day".into(), " Two ".into()], "\n> \n> \n> ".into())
        );
        assert_eq!(answered("Once"), (vec!["Once".into()], "\n> \n> \n".into()));
        assert_eq!(answered(""), (vec![], "\n> \n".into()));
    }

    #[test]
    fn the_default_arguments_parse() {
        assert!(!default_args().unwrap().verbose);
    }
}
