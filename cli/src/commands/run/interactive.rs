//! A bare `nearfield` in a terminal: type the beginning of a story, read the rest.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::Result;
use nearfield_host::engine::Engine;
use nearfield_host::generate::{Options, TextModel, load};
use nearfield_host::model_file::{ModelFile, Repack};
use nearfield_host::prompt::Prompt;

use super::print::{PrintOptions, print_text};
use crate::args::environment;
use crate::args::threads::ThreadsArgs;
use crate::errors::explain;
use crate::terminal::input::Lines;
use crate::terminal::{interrupt, monitor};

/// Asks for beginnings and generates a story for each until the end of input.
pub fn interactive() -> Result<()> {
    let file = ModelFile::open(environment::model(), monitor())?;
    with_model(file, &Options::default(), |model| {
        writeln!(stdout(), "The beginning of a story? (Ctrl-D to end, Ctrl-C to stop a story.)")?;
        ask(&mut stdin().lock(), &mut stdout(), |beginning| {
            let prompt = Prompt::of_text(model.tokenizer, beginning, monitor())?;
            match print_text(model, &prompt, &PrintOptions::default()) {
                Err(error) if interrupt::is_interrupted(&error) => Ok(()),
                result => result,
            }
        })
    })
}

/// Loads a model with these options on the best engine of this machine, and calls `then` with it.
fn with_model(file: ModelFile, options: &Options, then: impl FnOnce(&TextModel<'_>) -> Result<()>) -> Result<()> {
    let engine = Engine::new(None, ThreadsArgs::default().number()?)?;
    load(file, &engine, Repack::Auto, options, None, |model| then(model).map_err(|error| explain(model.file, error)))
}

/// Calls `answer` with each line that is not empty.
fn ask(input: &mut impl BufRead, out: &mut impl Write, mut answer: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut lines = Lines::new(input);
    loop {
        write!(out, "\n> ")?;
        out.flush()?;
        match lines.next()? {
            // Ctrl-D leaves the cursor on the line of the prompt.
            None => return Ok(writeln!(out)?),
            Some(line) if line.is_empty() => {}
            Some(line) => answer(&line)?,
        }
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
}
