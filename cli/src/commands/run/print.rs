//! Generated text on standard output, and its report on standard error.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use nearfield_host::Error;
use nearfield_host::generate::{End, Generated, Generator, TextModel};
use nearfield_host::output_file::OutputFile;
use nearfield_host::prompt::Prompt;

use crate::args::seed;
use crate::chart::keys::Keys;
use crate::errors::{of_prompt, of_session};
use crate::terminal::{StandardOutput, note, report};

use super::json::TextObject;

/// Settings of the report on standard error, and the seed of each text.
#[derive(Clone, Debug, Default)]
pub struct PrintOptions {
    /// Random seed; the same seed gives the same text. `None` takes the snapshot's, or a new one each time.
    pub seed: Option<u64>,
    /// True for no report.
    pub quiet: bool,
    /// True for a JSON object instead of the text and the report.
    pub json: bool,
    /// True to also report memory, machine, shape, drafts and keys.
    pub verbose: bool,
    /// True to also report the hashes.
    pub hash: bool,
    /// File for the chart of the keys visited.
    pub plot_keys: Option<PathBuf>,
}

/// Generates one text to standard output, and reports on standard error.
pub fn print_text(model: &TextModel<'_>, prompt: &Prompt, print: &PrintOptions) -> Result<()> {
    let out = &mut StandardOutput::lock();
    let generated =
        with_generator(model, prompt.tokens.len(), print, |generator| print_with(generator, prompt, print, out))?;
    if generated.end == End::Cancelled { Err(Error::Cancelled.into()) } else { Ok(()) }
}

/// Calls `then` with a generator that has room for a prompt of `n_prompt` tokens.
pub fn with_generator<T>(
    model: &TextModel<'_>,
    n_prompt: usize,
    print: &PrintOptions,
    then: impl FnOnce(&mut Generator<'_, '_>) -> Result<T>,
) -> Result<T> {
    let (config, plan) = model.plan(n_prompt).map_err(|error| of_session(error.into()))?;
    if print.verbose {
        report::session(model.file, model.model, model.engine, &config);
        if let Some(draft) = &model.draft {
            report::draft(draft);
        }
        let draft = model.draft_plan(&config).map_err(|error| of_session(error.into()))?;
        report::plan(&plan, draft.as_ref());
    }
    model.with_generator(n_prompt, then).map_err(of_session)
}

/// Generates one text to `out`, after the tokens that the generator has already processed, and reports on standard error.
pub fn print_with(
    generator: &mut Generator<'_, '_>,
    prompt: &Prompt,
    print: &PrintOptions,
    out: &mut impl Write,
) -> Result<Generated> {
    let model = generator.model();
    let shape = model.model.shape();
    let stored = model.prefix.map(|prefix| prefix.text().seed);
    let seed = print.seed.or(stored).unwrap_or_else(seed::any);
    let mut text = Vec::new();
    let generated = match print.json {
        true => generator.generate(prompt, seed, &mut text),
        false => generator.generate(prompt, seed, out),
    };
    let generated = generated.map_err(|error| of_prompt(error, shape))?;
    let keys = Keys::new(shape, &generated);
    if print.json {
        let object = TextObject::new(model, prompt, &text, &generated, &keys, seed);
        writeln!(out, "{}", serde_json::to_string(&object)?)?;
        out.flush()?;
    } else {
        writeln!(out)?;
    }
    if !print.quiet && (!print.json || print.verbose) {
        report::generated(&generated, &keys, (model.options.sampler.config.temp > 0.0).then_some(seed), print.verbose);
    }
    if print.hash {
        let (text, logits) = (generated.hashes.text.get(), generated.hashes.logits.get());
        note(format_args!("hash     text {text:016x} logits {logits:016x}"));
    }
    if print.verbose {
        note(&keys);
    }
    if let Some(path) = &print.plot_keys {
        OutputFile::create(path)?.write_all(keys.plot()?.as_bytes())?;
    }
    Ok(generated)
}
