//! `nearfield logits`: the logits after each token, as a NumPy file.

use std::io::Write;

use anyhow::Result;
use nearfield::{Arena, MemoryPlan, Session, SessionConfig};

use crate::args::LogitsArgs;
use crate::engine::{Engine, allocate};
use crate::interrupt;
use crate::model_file::ModelFile;
use crate::npy;
use crate::output_file::OutputFile;
use crate::progress::Progress;
use crate::text;

/// Writes float32 `[n_tokens, n_vocab]`.
pub fn logits(args: &LogitsArgs) -> Result<()> {
    let tokens = text::read_ids(&args.tokens)?;
    let file = ModelFile::open(args.first.clone().or_else(|| args.model.model.clone()))?;
    let engine = Engine::new(&args.engine)?;
    let file = engine.load(file, &args.engine)?;
    let model = file.model()?;
    let config = SessionConfig {
        n_ctx: tokens.len(),
        n_batch: args.chunk,
        kv: args.engine.kv,
        ring: args.engine.ring,
        n_sinks: args.engine.sinks,
        horizon_eps: args.engine.horizon_eps,
        alibi_bf16: args.engine.alibi_bf16,
        ..SessionConfig::default()
    };
    let plan = MemoryPlan::new(model.shape(), &config)?;
    let mut lines = allocate(plan.session())?;
    let mut session = Session::new(&model, config, engine.kernels, engine.executor(), &mut Arena::new(&mut lines))?;
    let output = OutputFile::create(&args.output)?;
    output.write(|out| {
        out.write_all(&npy::header(tokens.len(), model.shape().n_vocab))?;
        write_rows(&mut session, &tokens, args.chunk, out)
    })
}

/// Runs the tokens chunk by chunk and writes a row for each.
fn write_rows(
    session: &mut Session<'_, '_, '_>,
    tokens: &[u32],
    chunk: usize,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let mut progress = Progress::of_tokens("logits", tokens.len() as u64);
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
