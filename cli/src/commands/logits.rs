//! `nearfield logits`: writes the logits after each token as a NumPy file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield::{Arena, MemoryPlan, Session};
use nearfield_host::engine::N_BATCH;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::npy;
use nearfield_host::output_file::OutputFile;

use crate::args::tokens::read_ids;
use crate::args::{ModelArgs, SessionArgs};
use crate::errors::explain;
use crate::terminal::Progress;
use crate::terminal::interrupt;
use crate::terminal::monitor;

#[derive(Args, Debug)]
pub struct LogitsArgs {
    /// Model file [default: the built-in model]
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Token ids separated by commas, or @FILE with ids separated by commas or white space, @- for standard input
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    pub tokens: String,

    /// Output file: float32 [n_tokens, n_vocab]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: PathBuf,

    /// Replace FILE.npy if it exists
    #[arg(long)]
    pub force: bool,

    /// Batch size: tokens that pass a layer together; does not change the logits
    #[arg(long, value_name = "N", default_value_t = N_BATCH)]
    pub chunk: usize,

    #[command(flatten)]
    pub session: SessionArgs,
}

/// Writes the logits as float32 `[n_tokens, n_vocab]`.
pub fn logits(args: &LogitsArgs) -> Result<()> {
    let tokens = read_ids(&args.tokens)?;
    let file = ModelFile::open(args.model.or(&args.first)?, monitor())?;
    OutputFile::check_new(&args.output, args.force)?;
    let engine = args.session.machine.engine()?;
    let file = engine.load(file, args.session.machine.repack)?;
    let model = file.model()?;
    let config = args.session.config(tokens.len(), args.chunk);
    let plan = MemoryPlan::new(model.shape(), &config)?;
    let mut lines = allocate(plan.session())?;
    let mut session = Session::new(&model, config, engine.kernels, engine.executor(), &mut Arena::new(&mut lines))?;
    let n_bytes = tokens.len() as u64 * model.shape().n_vocab as u64 * size_of::<f32>() as u64;
    let output = OutputFile::create_new(&args.output, n_bytes, args.force)?;
    let written = output.write(|out| {
        out.write_all(&npy::header(tokens.len(), model.shape().n_vocab))?;
        write_rows(&mut session, &tokens, args.chunk, out)
    });
    written.map_err(|error| explain(&file, error))
}

/// Runs the tokens chunk by chunk and writes a row for each.
fn write_rows(
    session: &mut Session<'_, '_, '_>,
    tokens: &[u32],
    chunk: usize,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let mut progress = Progress::of_positions("logits", tokens.len() as u64);
    let mut bytes = Vec::new();
    for chunk in tokens.chunks(chunk) {
        interrupt::check()?;
        bytes.clear();
        session.prefill_each(chunk, |row| bytes.extend(row.iter().flat_map(|logit| logit.to_le_bytes())))?;
        out.write_all(&bytes)?;
        progress.reached(session.pos() as u64);
    }
    Ok(())
}
