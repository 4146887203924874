//! Measurement of the attention that rings would cut off on a text.
//!
//! The text runs in pieces of the context's length, with every key kept and visited. For each query of each layer, the keys of
//! each block of 32 have a share of the softmax denominator. A ring of `n` blocks cuts off the sum of the shares of all blocks
//! but the newest `n`. Rings are chosen by a value that this sum exceeds for a few outliers alone, among all queries that have
//! more blocks before them.
//!
//! Every other piece is held out: it shows how much the rings cut off of a text that they were not chosen by. Neither figure is
//! a bound for other texts.

mod observer;
mod shares;

use nearfield::{Arena, MemoryPlan, Model, Ring, Session, SessionConfig};

use crate::count::Count;
use crate::engine::{N_BATCH, Workers, kernels_called, n_cores};
use crate::error::{Context, Result, ensure};
use crate::memory::allocate;
use crate::model_file::ModelFile;
use crate::monitor::Unit;
use crate::text::{Input, Notes, index_bytes, tokenizer};
use crate::watched::Watched;

use observer::Observer;
use shares::Shares;

pub use shares::Summary;

/// Result of a calibration.
#[derive(Debug)]
pub struct Calibration {
    /// Name of the text.
    pub file: String,
    /// Number of tokens that were run.
    pub n_tokens: usize,
    /// Number of pieces that rings are chosen by.
    pub n_pieces: usize,
    /// Number of pieces that are held out.
    pub n_held_out: usize,
    shares: Shares,
    held_out: Shares,
    /// Natural logarithm of the share that a ring of each number of blocks cuts off, outliers left out: `[n_head_kv, all blocks
    /// + 1]`, falling.
    ln_cut: Vec<Vec<f32>>,
}

/// Text of a calibration, with settings.
#[derive(Clone, Debug)]
pub struct CalibrationText {
    /// Text and its name.
    pub input: Input,
    /// Greatest number of its tokens to use; `None`: all.
    pub max_tokens: Option<usize>,
    /// Number of first tokens of a text that no ring cuts off.
    pub n_sinks: usize,
    /// Share of the queries that may lose more than the value that rings are chosen by.
    pub outliers: f32,
    /// Number of threads; `None`: one for each core.
    pub n_threads: Option<usize>,
}

impl Calibration {
    /// Runs a text in pieces of the context's length and adds up the shares that rings would cut off.
    ///
    /// # Errors
    /// When the text is shorter than the context, when two heads have the same slope, and any error of a
    /// session.
    pub fn measure(
        text: &CalibrationText,
        file: &ModelFile,
        model: &Model<'_>,
        config: &SessionConfig,
    ) -> Result<Self> {
        let (name, monitor) = (&text.input.name, file.monitor());
        let tokens = tokens(text, file).context(name)?;
        let shape = model.shape();
        let config = SessionConfig {
            n_batch: N_BATCH,
            ring: Ring::Full,
            n_sinks: 0,
            endless: false,
            horizon_eps: 0.0,
            ..*config
        };
        let plan = MemoryPlan::new(shape, &config)?;
        let pieces: Vec<&[u32]> = tokens.chunks_exact(config.n_ctx).collect();
        let (n, n_ctx) = (tokens.len(), config.n_ctx);
        ensure!(!pieces.is_empty(), "{name}: {}, fewer than the context of {n_ctx}", Count(n, "token"));
        let workers = Workers::new(text.n_threads.unwrap_or_else(n_cores))?;
        let kernels = kernels_called(None)?;
        let watched = Watched { kernels, watch: Observer::new(kernels, shape, &config, text.n_sinks)? };
        let mut lines = allocate(plan.session())?;
        let mut session = Session::new(model, config, &watched, workers.executor(), &mut Arena::new(&mut lines))?;
        let mut found = [Shares::new(shape.n_head_kv, n_ctx), Shares::new(shape.n_head_kv, n_ctx)];
        let mut progress = monitor.begin("calibrating", Unit::Tokens, (pieces.len() * n_ctx) as u64);
        for (i, piece) in pieces.iter().enumerate() {
            session.reset();
            for part in piece.chunks(N_BATCH) {
                monitor.check()?;
                session.prefill(part)?;
                progress.reached((i * n_ctx + session.pos()) as u64);
            }
            watched.watch.move_to(&mut found[i % 2])?;
        }
        let [shares, held_out] = found;
        Ok(Self {
            file: name.clone(),
            n_tokens: pieces.len() * n_ctx,
            n_pieces: pieces.len().div_ceil(2),
            n_held_out: pieces.len() / 2,
            ln_cut: (0..shape.n_head_kv).map(|head| shares.curve(head, text.outliers)).collect(),
            shares,
            held_out,
        })
    }

    /// Natural logarithm of the share that a ring of `n_blocks` cuts off, for [`nearfield::fit_rings`].
    pub fn ln_cut(&self, head: usize, n_blocks: usize) -> f32 {
        self.ln_cut[head][n_blocks]
    }

    /// Shares that a ring of `n_blocks` cuts off, and those of the pieces held out, if there are any.
    pub fn cut(&self, head: usize, n_blocks: usize) -> (Summary, Option<Summary>) {
        let held_out = (self.n_held_out > 0).then(|| self.held_out.summary(head, n_blocks));
        (self.shares.summary(head, n_blocks), held_out)
    }
}

/// Tokens of the text.
fn tokens(text: &CalibrationText, file: &ModelFile) -> Result<Vec<u32>> {
    let vocab = file.vocab()?;
    let mut lines = allocate(index_bytes(&vocab)?)?;
    let tokenizer = tokenizer(vocab, &mut lines, file.monitor())?;
    let mut notes = Notes::default();
    let mut tokens = notes.encode(&tokenizer, &text.input.bytes, tokenizer.options())?;
    notes.tell(file.monitor());
    tokens.truncate(text.max_tokens.unwrap_or(usize::MAX));
    Ok(tokens)
}
