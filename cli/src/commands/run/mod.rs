//! `nearfield run`: generates text from a prompt.

mod args;
mod chat;
pub mod interactive;
mod json;
mod print;

use anyhow::{Result, ensure};
use nearfield_host::generate::{TextModel, load};
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file::{OutputFile, are_one_file};
use nearfield_host::prompt::Prompt;

use crate::args::model::model_and_text;
use crate::args::text::{Source, piped_prompt};
use crate::errors::{explain, of_draft};
use crate::terminal::{be_quiet, monitor};

pub use args::RunArgs;
use chat::ChatOptions;
use print::{PrintOptions, print_text};

/// Generates one text, or with `--chat` answers.
pub fn run(args: &RunArgs) -> Result<()> {
    ensure!(
        !(args.json && args.options().endless),
        "--json prints an object at the end of a text, and this one has none: -n N gives it a length"
    );
    if args.quiet {
        be_quiet();
    }
    let (model, source) = model_and_text([&args.first, &args.second], &args.model, &args.prompt, &args.file)?;
    let file = ModelFile::open(model, monitor())?;
    let engine = args.session.machine.engine()?;
    let prompt = read_prompt(source, args.chat.is_some())?;
    ensure!(
        !(args.json && args.chat.is_some() && prompt.is_none()),
        "--json with --chat answers one question: -p TEXT or -f FILE asks it, -p - takes it from a pipe"
    );
    if let Some(path) = &args.save_kv {
        OutputFile::check_new(path, args.force)?;
    }
    if let Some(path) = &args.plot_keys {
        OutputFile::check(path)?;
        ensure!(
            !args.save_kv.as_ref().is_some_and(|save| are_one_file(save, path)),
            "--save-kv and --plot-keys name the same file: {}",
            path.display()
        );
    }
    let (mut options, print) = (args.options(), args.print_options());
    options.grammar = args.grammar.grammar()?;
    ensure!(
        options.grammar.is_none() || !options.endless,
        "a text without end cannot be held to a grammar: -n N ends it"
    );
    let prefix = args.load_kv.as_deref().filter(|_| args.chat.is_none());
    load(file, &engine, args.session.machine.repack, &options, prefix, |model| -> Result<()> {
        let done = match args.chat {
            Some(format) => {
                let options = ChatOptions {
                    chat: format,
                    system: args.system.as_ref().map(|text| text.as_encoded_bytes()),
                    stop: &args.stop,
                    question: prompt.as_deref(),
                    load: args.load_kv.clone(),
                    save: args.save(),
                    keeps_history: !args.no_history,
                    print: &print,
                };
                chat::chat(model, options)
            }
            None => continue_text(args, model, prompt.as_deref(), &print),
        };
        done.map_err(|error| explain(model.file, error))
    })
    .map_err(of_draft)
}

/// Text of the prompt; without one, a pipe is the prompt, and in a conversation each of its lines is a question.
fn read_prompt(source: Option<Source>, is_chat: bool) -> Result<Option<Vec<u8>>> {
    match source {
        Some(source) => source.read_prompt().map(Some),
        None if is_chat => Ok(None),
        None => piped_prompt(),
    }
}

/// Generates text after a prompt, in the hole before a suffix, or after a snapshot.
fn continue_text(args: &RunArgs, model: &TextModel<'_>, text: Option<&[u8]>, print: &PrintOptions) -> Result<()> {
    let mut prompt = match (&args.suffix, &model.prefix, text) {
        (Some(suffix), _, prefix) => {
            Prompt::with_hole(model.file, model.tokenizer, prefix.unwrap_or_default(), suffix.as_encoded_bytes())?
        }
        (None, Some(stored), text) => Prompt::behind(stored, model.tokenizer, text.unwrap_or_default(), monitor())?,
        (None, None, text) => Prompt::of_text(model.tokenizer, text.unwrap_or(b"Once upon a time"), monitor())?,
    };
    prompt.stops.add(model.tokenizer, &args.stop);
    print_text(model, &prompt, print)
}
