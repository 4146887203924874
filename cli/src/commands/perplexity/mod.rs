//! `nearfield perplexity`: perplexity of a text at one or more context lengths.
//!
//! - [`args`]: arguments of the command
//! - [`heading`]: everything that a score depends on, in one line
//! - [`output`]: the table, the CSV file and the picture

mod args;
mod heading;
mod output;

use anyhow::{Result, ensure};
use nearfield::SessionConfig;

use crate::args::text::Source;
use crate::errors::explain;
use crate::terminal::monitor;

pub use args::PerplexityArgs;
use heading::heading;
use nearfield_host::perplexity::{Evaluation, Journal, Protocol, Text};
use output::{Files, Row, Table};

use crate::terminal::{Count, Progress};
use nearfield_host::engine::N_BATCH;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::text::index_bytes;

/// Measures one text at each length.
pub fn perplexity(args: &PerplexityArgs) -> Result<()> {
    let file = ModelFile::open(args.model.or(&args.first)?, monitor())?;
    let input = Source::of_file(&args.file).input()?;
    Files::check(args)?;
    let engine = args.session.machine.engine()?;
    let file = engine.load(file, args.session.machine.repack)?;
    let model = file.model()?;
    let vocab = file.vocab_of(&model)?;
    let mut lines = allocate(index_bytes(&vocab)?)?;
    let tokenizer = file.tokenizer(vocab, &mut lines)?;
    let text = Text::new(&input, &tokenizer, args.special, args.max_tokens, monitor())?;
    let protocol = args.protocol();
    let lengths = args.lengths();
    let windows = |n_ctx: usize| protocol.windows(text.tokens.len(), n_ctx).collect::<Vec<_>>();
    for &n_ctx in &lengths {
        let n = text.tokens.len();
        if let Protocol::Sliding { stride } = protocol {
            ensure!(stride < n_ctx, "a stride of {stride} tokens leaves gaps between windows of {n_ctx}");
        }
        ensure!(!windows(n_ctx).is_empty(), "the text has {}: too few for a length of {n_ctx}", Count(n, "token"));
    }
    let files = Files::create(args)?;
    // The heading is made only for a journal file, since it hashes all bytes of the model.
    let heading = args.resume.as_ref().map(|_| heading(args, &file, &text.tokens)).unwrap_or_default();
    let mut journal = Journal::open(args.resume.as_deref(), &heading)?;
    let total = lengths.iter().flat_map(|&n_ctx| windows(n_ctx)).map(|window| window.n_tokens() as u64).sum();
    let session =
        SessionConfig { endless: args.stream, ..args.session.config(SessionConfig::default().n_ctx, N_BATCH) };
    let evaluation = Evaluation { model: &model, engine: &engine, text: &text, session, monitor: monitor() };
    let (mut progress, mut done) = (Progress::of_tokens("perplexity", total), 0);
    let mut table = Table::new(args, &file, &text, input.name);
    for n_ctx in lengths {
        let score = evaluation.at_length(n_ctx, &windows(n_ctx), &mut journal, |window, so_far| {
            done += window.n_tokens() as u64;
            progress.reached(done);
            progress.stage(format!("{n_ctx} tokens: perplexity {:.3}", so_far.perplexity()));
        });
        let score = score.map_err(|error| explain(&file, error.into()))?;
        table.push(Row { n_ctx, score });
    }
    drop(progress);
    table.write(files)
}
