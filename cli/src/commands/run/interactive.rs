//! A bare `nearfield` in a terminal: type the beginning of a story, read the rest.

use std::io::{Write, stdout};

use anyhow::Result;
use nearfield_host::engine::Engine;
use nearfield_host::generate::{Options, TextModel, load};
use nearfield_host::model_file::{ModelFile, Repack};
use nearfield_host::prompt::Prompt;

use super::print::{PrintOptions, print_text};
use crate::args::environment;
use crate::args::threads::ThreadsArgs;
use crate::errors::explain;
use crate::terminal::editor::Messages;
use crate::terminal::{interrupt, monitor};

/// Asks for beginnings and generates a story for each until the end of input.
pub fn interactive() -> Result<()> {
    let file = ModelFile::open(environment::model(), monitor())?;
    with_model(file, &Options::default(), |model| {
        writeln!(stdout(), "The beginning of a story? (Ctrl-D to end, Ctrl-C to stop a story.)\n")?;
        ask(&mut Messages::new(&[], true)?, |beginning| {
            let prompt = Prompt::of_text(model.tokenizer, beginning, monitor())?;
            match print_text(model, &prompt, &PrintOptions::default()) {
                Err(error) if interrupt::is_interrupted(&error) && !interrupt::ends_the_command() => {}
                result => result?,
            }
            Ok(writeln!(stdout())?)
        })
    })
}

/// Loads a model with these options on the best engine of this machine, and calls `then` with it.
fn with_model(file: ModelFile, options: &Options, then: impl FnOnce(&TextModel<'_>) -> Result<()>) -> Result<()> {
    let engine = Engine::new(None, ThreadsArgs::default().number()?)?;
    load(file, &engine, Repack::Auto, options, None, |model| then(model).map_err(|error| explain(model.file, error)))
}

/// Calls `answer` with each message that is not empty.
fn ask(messages: &mut Messages, mut answer: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    while let Some(message) = messages.next()? {
        if !message.is_empty() {
            answer(&message)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(input: &'static [u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let answer = |line: &[u8]| {
            lines.push(line.to_vec());
            Ok(())
        };
        ask(&mut Messages::of(input), answer).unwrap();
        lines
    }

    #[test]
    fn only_the_end_of_input_ends_it() {
        let want = [b"One day".to_vec(), b" Two ".to_vec(), b"caf\xe9".to_vec()];
        assert_eq!(answered(b"One day\r\n Two \n\r\n\ncaf\xe9\n"), want);
        assert_eq!(answered(b"Once"), [b"Once".to_vec()]);
        assert_eq!(answered(b""), [b""; 0]);
    }
}
