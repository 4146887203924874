//! `nearfield perplexity`: how well a model foretells a text, for one or more lengths of what it may look back on.
//!
//! - [`args`]: what can be asked
//! - [`journal`]: what is done already, so that an interrupted run goes on
//! - [`output`]: the table, the CSV file and the picture

mod args;
mod journal;
mod output;
mod text;

use anyhow::{Result, ensure};
use nearfield::{Arena, MemoryPlan, Model, Session, SessionConfig};

use crate::errors::explain;
use crate::terminal::monitor;

pub use args::PerplexityArgs;
use journal::Journal;
use nearfield_host::perplexity::{Protocol, Score, Window};
use output::{Files, Row, Table};
use text::Text;

use crate::terminal::Progress;
use crate::terminal::interrupt;
use nearfield_host::engine::{Engine, N_BATCH};
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file;
use nearfield_host::text::{index_bytes, tokenizer};

/// Measures one text at each length.
pub fn perplexity(args: &PerplexityArgs) -> Result<()> {
    let file = ModelFile::open(args.first.clone().or_else(|| args.model.model.clone()), monitor())?;
    output_file::protect(&args.file);
    Files::check(args)?;
    let engine = args.session.machine.engine()?;
    let file = engine.load(file, args.session.machine.repack)?;
    let model = file.model()?;
    let vocab = file.vocab()?;
    let mut lines = allocate(index_bytes(&vocab)?)?;
    let tokenizer = tokenizer(vocab, &mut lines, monitor())?;
    let text = Text::read(args, &tokenizer)?;
    let protocol = args.protocol();
    let lengths = args.lengths();
    let windows = |n_ctx: usize| protocol.windows(text.tokens.len(), n_ctx).collect::<Vec<_>>();
    for &n_ctx in &lengths {
        let n = text.tokens.len();
        if let Protocol::Sliding { stride } = protocol {
            ensure!(stride < n_ctx, "a stride of {stride} tokens leaves gaps between windows of {n_ctx}");
        }
        ensure!(!windows(n_ctx).is_empty(), "the text has {n} tokens: too few for a length of {n_ctx}");
    }
    let files = Files::create(args)?;
    let mut journal = Journal::open(args, &file, &text.tokens)?;
    let total = lengths.iter().flat_map(|&n_ctx| windows(n_ctx)).map(|window| window.n_tokens() as u64).sum();
    let mut evaluation = Evaluation {
        args,
        model: &model,
        engine: &engine,
        text: &text,
        progress: Progress::of_tokens("perplexity", total),
        done: 0,
    };
    let mut table = Table::new(args, &file, &text);
    for n_ctx in lengths {
        let score = evaluation.at_length(n_ctx, &windows(n_ctx), &mut journal);
        let score = score.map_err(|error| explain(&file, error))?;
        table.push(Row { n_ctx, score });
    }
    drop(evaluation);
    table.write(files)
}

/// A text that is being measured.
struct Evaluation<'s> {
    args: &'s PerplexityArgs,
    model: &'s Model<'s>,
    engine: &'s Engine,
    text: &'s Text,
    progress: Progress,
    /// Tokens run so far.
    done: u64,
}

impl Evaluation<'_> {
    fn at_length(&mut self, n_ctx: usize, windows: &[Window], journal: &mut Journal) -> Result<Score> {
        let config = self.config(n_ctx);
        let plan = MemoryPlan::new(self.model.shape(), &config)?;
        let mut lines = allocate(plan.session())?;
        let Engine { kernels, .. } = *self.engine;
        let mut session =
            Session::new(self.model, config, kernels, self.engine.executor(), &mut Arena::new(&mut lines))?;
        let mut sum = Score::default();
        for (i, window) in windows.iter().enumerate() {
            let score = match journal.find(n_ctx, i) {
                Some(score) => score,
                None => {
                    let score = self.window(&mut session, window)?;
                    journal.add(n_ctx, i, &score)?;
                    score
                }
            };
            sum.add(&score);
            self.done += window.n_tokens() as u64;
            self.progress.reached(self.done);
            let perplexity = sum.perplexity();
            self.progress.stage(format!("{n_ctx} tokens: perplexity {perplexity:.3}"));
        }
        Ok(sum)
    }

    fn config(&self, n_ctx: usize) -> SessionConfig {
        let config = self.args.session.config(n_ctx, N_BATCH);
        SessionConfig { n_sinks: config.n_sinks.min(n_ctx), endless: self.args.stream, ..config }
    }

    /// Runs the tokens of a window from an empty context and adds up those that count.
    fn window(&self, session: &mut Session<'_, '_, '_>, window: &Window) -> Result<Score> {
        session.reset();
        let mut tokens = self.text.tokens[window.tokens()].to_vec();
        if let (Some(bos), Some(first)) = (self.text.bos, tokens.first_mut()) {
            *first = bos;
        }
        let mut score = Score::default();
        let mut at = window.first;
        for part in tokens.chunks(N_BATCH) {
            interrupt::check()?;
            // Until the next token counts, nobody asks for logits.
            let n_silent = window.scored.start.saturating_sub(at + 1).min(part.len());
            let (silent, heard) = part.split_at(n_silent);
            if !silent.is_empty() {
                session.prefill(silent)?;
                at += silent.len();
            }
            if heard.is_empty() {
                continue;
            }
            session.prefill_each(heard, |logits| {
                at += 1;
                if window.scored.contains(&at) {
                    score.count(logits, self.text.tokens[at], self.text.n_bytes[at]);
                }
            })?;
        }
        Ok(score)
    }
}
