//! `nearfield run`: generates text from a prompt.

mod args;
mod chat;
pub mod interactive;
mod print;

use anyhow::{Result, ensure};
use nearfield_host::generate::{TextModel, load};
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file::{OutputFile, are_one_file};
use nearfield_host::prompt::Prompt;

use crate::args::model_and_text;
use crate::errors::{explain, of_draft};
use crate::terminal::{input, monitor};

pub use args::RunArgs;
use print::{PrintOptions, print_text};

/// Generates one text, or with `--chat` answers.
pub fn run(args: &RunArgs) -> Result<()> {
    let (model, prompt) = model_and_text([&args.first, &args.second], &args.model, &args.prompt)?;
    let file = ModelFile::open(model, monitor())?;
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
    let (options, print) = (args.options(), args.print_options());
    let engine = args.session.machine.engine()?;
    let prefix = args.load_kv.as_deref();
    load(file, &engine, args.session.machine.repack, &options, prefix, |model| -> Result<()> {
        let done = match args.chat {
            Some(format) => {
                let system = args.system.as_ref().map(input::bytes_of);
                chat::chat(model, format, system, &args.stop, prompt.as_ref().map(input::bytes_of), &print)
            }
            None => continue_text(args, model, prompt.as_ref().map(input::bytes_of), &print),
        };
        done.map_err(|error| explain(model.file, error))
    })
    .map_err(of_draft)
}

/// Generates text after a prompt, in the hole before a suffix, or after a snapshot.
fn continue_text(args: &RunArgs, model: &TextModel<'_>, text: Option<&[u8]>, print: &PrintOptions) -> Result<()> {
    let mut prompt = match (&args.suffix, &model.prefix, text) {
        (Some(suffix), _, prefix) => {
            Prompt::with_hole(model.file, model.tokenizer, prefix.unwrap_or_default(), input::bytes_of(suffix))?
        }
        (None, Some(stored), text) => Prompt::behind(stored, model.tokenizer, text.unwrap_or_default(), monitor())?,
        (None, None, text) => Prompt::of_text(model.tokenizer, text.unwrap_or(b"Once upon a time"), monitor())?,
    };
    prompt.stops.add(model.tokenizer, &args.stop);
    print_text(model, &prompt, print)
}
