//! `nearfield run`: continue a text.

mod args;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;

use anyhow::Result;
use nearfield_host::Error;
use nearfield_host::engine::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file::OutputFile;
use nearfield_host::snapshot_file::SnapshotFile;
use nearfield_host::text;

use crate::args::model_and_text;
use crate::commands::chat;
use crate::errors::explain;
use crate::prompt::Prompt;
use crate::story::{End, Reader, Story, Teller};
use crate::terminal::StandardOutput;
use crate::terminal::input;
use crate::terminal::monitor;
use crate::terminal::note;
use crate::terminal::report;

pub use args::{Length, RunArgs};

/// Continues one text.
pub fn run(args: &RunArgs) -> Result<()> {
    let (model, prompt) = model_and_text([&args.first, &args.second], &args.model, &args.prompt)?;
    let file = ModelFile::open(model, monitor())?;
    if let Some(path) = &args.save_kv {
        OutputFile::check_new(path, args.force)?;
    }
    if let Some(path) = &args.plot_keys {
        OutputFile::check(path)?;
    }
    with_teller(file, args, |teller| {
        if let Some(format) = args.chat {
            return chat::chat(teller, format, prompt.as_ref().map(input::bytes_of));
        }
        let mut prompt = match (&args.suffix, &teller.prefix, &prompt) {
            (Some(suffix), _, prefix) => {
                let prefix = prefix.as_ref().map(input::bytes_of).unwrap_or_default();
                Prompt::with_hole(teller.file, teller.tokenizer, prefix, input::bytes_of(suffix))?
            }
            (None, Some(stored), prompt) => {
                Prompt::behind(stored, teller.tokenizer, prompt.as_ref().map(input::bytes_of).unwrap_or_default())?
            }
            (None, None, Some(prompt)) => Prompt::of_text(teller.tokenizer, input::bytes_of(prompt))?,
            (None, None, None) => Prompt::of_text(teller.tokenizer, b"Once upon a time")?,
        };
        prompt.stops.add(teller.tokenizer, &args.stop);
        tell(teller, &prompt)
    })
}

/// Loads what stories need and hands it to `then`.
pub fn with_teller(file: ModelFile, args: &RunArgs, then: impl FnOnce(&Teller<'_>) -> Result<()>) -> Result<()> {
    let engine = args.session.machine.engine()?;
    // Before its weights may be put into another order.
    let model_id = (args.save_kv.is_some() || args.load_kv.is_some()).then(|| file.id());
    let kv_file = args.load_kv.as_deref().map(SnapshotFile::open).transpose()?;
    let prefix = kv_file.as_ref().zip(model_id).map(|(kv_file, model)| kv_file.prefix(model)).transpose()?;
    let file = engine.in_order(file, args.session.machine.repack)?;
    let mut lines = None;
    let (model, tokenizer) = engine.read_while(&file, || {
        let model = file.model()?;
        let vocab = file.vocab_of(&model)?;
        let lines = lines.insert(allocate(text::index_bytes(&vocab)?)?);
        Ok((model, text::tokenizer(vocab, lines, monitor())?))
    })?;
    let teller = Teller { file: &file, model: &model, tokenizer: &tokenizer, engine: &engine, args, model_id, prefix };
    then(&teller).map_err(|error| explain(&file, error))
}

/// Tells one story on standard output, and how it went on standard error.
pub fn tell(teller: &Teller<'_>, prompt: &Prompt) -> Result<()> {
    let out = &mut StandardOutput::lock();
    let story = teller.with_reader(prompt.tokens.len(), |reader| tell_on(reader, prompt, out))?;
    if story.end == End::Interrupted { Err(Error::Cancelled.into()) } else { Ok(()) }
}

/// Tells one story to `out`, after what `reader` has read, and how it went on standard error.
pub fn tell_on(reader: &mut Reader<'_, '_>, prompt: &Prompt, out: &mut impl Write) -> Result<Story> {
    let args = reader.teller().args;
    let stored = reader.teller().prefix.map(|prefix| prefix.text().seed);
    let seed = args.sampler.seed.or(stored).unwrap_or_else(any_seed);
    let story = reader.tell(prompt, seed, out)?;
    writeln!(out)?;
    report::story(&story, (args.sampler.temp > 0.0).then_some(seed));
    if args.hash {
        let (text, logits) = (story.hashes.text.get(), story.hashes.logits.get());
        note(format_args!("hash     story {text:016x} logits {logits:016x}"));
    }
    if args.verbose {
        note(&story.keys);
    }
    if let Some(path) = &args.plot_keys {
        let svg = story.keys.plot()?;
        OutputFile::create(path)?.write_all(svg.as_bytes())?;
    }
    Ok(story)
}

/// Another number each time: the standard library's hash maps have one, too.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}
