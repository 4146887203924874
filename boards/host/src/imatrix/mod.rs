//! `nearfield imatrix`: how much each column of a model's matrices matters on a text, for `quantize --imatrix`.
//!
//! An error `e` of a weight in column `j` changes an output by `e x_j`: on average over the rows `x` that the matrix is multiplied
//! with, the square of that is `e²` times the mean of `x_j²`. These means are the importance matrix.
//!
//! - [`args`]: what can be asked
//! - [`collector`]: the sums, while the model runs
//! - [`file`]: the forms that files have

mod args;
mod collector;
pub mod file;

use std::fs;

use anyhow::{Context, Result, ensure};
use nearfield::tokenizer::{EncodeOptions, Tokenizer};
use nearfield::{
    Arena, Encoder, EncoderConfig, EncoderPlan, KvType, KvTypes, MemoryPlan, Model, Session, SessionConfig,
};

pub use args::ImatrixArgs;
use collector::Collector;
use file::Imatrix;

use crate::encoding::with_tokenizer;
use crate::engine::{Engine, N_BATCH, allocate};
use crate::interrupt;
use crate::model_file::ModelFile;
use crate::output_file::{self, OutputFile};
use crate::progress::Progress;
use crate::report::note;
use crate::text::Notes;
use crate::watched::Watched;

/// Keys and values as they are: nothing is to be measured but the weights' inputs.
const KV: KvTypes = KvTypes::both(KvType::F32);

/// Runs the text and writes what its tokens brought to each matrix.
pub fn imatrix(args: &ImatrixArgs) -> Result<()> {
    let file = ModelFile::open(args.first.clone().or_else(|| args.model.model.clone()))?;
    output_file::protect(&args.file);
    OutputFile::check_new(&args.output, args.force)?;
    let is_encoder = file.model()?.shape().arch.is_encoder();
    let chunks = with_tokenizer(&file, |tokenizer| chunks(args, tokenizer, is_encoder))?;
    let engine = Engine::new(&args.machine)?;
    let file = engine.load(file, &args.machine)?;
    let model = file.model()?;
    let wanted = |name: &str| {
        let is_matrix = name.starts_with("blk.") && name.ends_with(".weight") && !name.ends_with("_norm.weight");
        is_matrix || args.process_output && name == "output.weight"
    };
    let watched = Watched { kernels: engine.kernels, watch: Collector::new(&model, wanted) };
    let run = Run { args, model: &model, engine: &engine, watched: &watched, chunks: &chunks };
    let ran = if is_encoder { run.encoder() } else { run.decoder() };
    ran.map_err(|error| file.explain(error))?;
    let inputs = watched.watch.finish();
    let imatrix = Imatrix {
        datasets: vec![args.file.display().to_string()],
        n_chunks: Some(chunks.len() as u32),
        chunk_size: Some(args.ctx),
        inputs,
    };
    imatrix.write(&args.output, args.force)?;
    let n = imatrix.inputs.len();
    let (path, n_chunks) = (args.output.display(), chunks.len());
    note(format_args!("written  {path}: {n} matrices, {n_chunks} chunks of {} tokens", args.ctx));
    Ok(())
}

/// The text in chunks of `--ctx` tokens, each with what begins and ends a text of the model in place of its own tokens. What is
/// left over is dropped.
fn chunks(args: &ImatrixArgs, tokenizer: &Tokenizer<'_, '_>, is_encoder: bool) -> Result<Vec<Vec<u32>>> {
    let path = args.file.display();
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read {path}"))?;
    let of_model = tokenizer.options();
    // An encoder sees whole texts: a chunk has both of their ends. Elsewhere the first token makes room for the beginning.
    let options = EncodeOptions {
        parse_special: args.special,
        add_bos: of_model.add_bos && !is_encoder,
        add_eos: false,
        ..of_model
    };
    let mut notes = Notes::default();
    let tokens = notes.encode_looking_for_names(tokenizer, &bytes, options)?;
    notes.tell();
    let vocab = tokenizer.vocab();
    let bos = vocab.bos.filter(|_| of_model.add_bos);
    let eos = vocab.end().filter(|_| of_model.add_eos && is_encoder);
    let n_ctx = args.ctx as usize;
    let n_own = if is_encoder { n_ctx - usize::from(bos.is_some()) - usize::from(eos.is_some()) } else { n_ctx };
    ensure!(n_own > 0, "chunks of {n_ctx} tokens have room for the ends of a text and none for the text");
    let n = tokens.len();
    ensure!(
        n >= n_own,
        "{path}: {n} tokens, fewer than a chunk has of a text ({n_own}): a longer text, or a smaller --ctx"
    );
    let chunks = tokens.chunks_exact(n_own).take(args.chunks.map_or(usize::MAX, |n| n as usize));
    let chunk = |tokens: &[u32]| match bos {
        Some(bos) if !is_encoder => [&[bos], &tokens[1..]].concat(),
        _ => [bos.as_slice(), tokens, eos.as_slice()].concat(),
    };
    Ok(chunks.map(chunk).collect())
}

/// A text on its way through a model.
struct Run<'r, 'f> {
    args: &'r ImatrixArgs,
    model: &'r Model<'f>,
    engine: &'r Engine,
    watched: &'r Watched<Collector<'f>>,
    chunks: &'r [Vec<u32>],
}

impl Run<'_, '_> {
    fn decoder(&self) -> Result<()> {
        let config = SessionConfig { n_ctx: self.n_ctx(), n_batch: N_BATCH, kv: KV, ..SessionConfig::default() };
        let plan = MemoryPlan::new(self.model.shape(), &config)?;
        let mut lines = allocate(plan.session())?;
        let (executor, mut arena) = (self.engine.executor(), Arena::new(&mut lines));
        let mut session = Session::new(self.model, config, self.watched, executor, &mut arena)?;
        self.each(|tokens| {
            session.reset();
            for part in tokens.chunks(N_BATCH) {
                interrupt::check()?;
                match self.args.process_output {
                    true => session.prefill_each(part, |_| ())?,
                    false => session.prefill(part).map(drop)?,
                }
            }
            Ok(())
        })
    }

    fn encoder(&self) -> Result<()> {
        let config = EncoderConfig { n_ctx: self.n_ctx(), n_batch: N_BATCH, kv: KV, ..EncoderConfig::default() };
        let plan = EncoderPlan::new(self.model.shape(), &config)?;
        let mut lines = allocate(plan.encoder())?;
        let (executor, mut arena) = (self.engine.executor(), Arena::new(&mut lines));
        let mut encoder = Encoder::new(self.model, config, self.watched, executor, &mut arena)?;
        self.each(|tokens| Ok(encoder.rows(tokens).map(drop)?))
    }

    /// Tokens of a chunk.
    fn n_ctx(&self) -> usize {
        self.chunks.first().map_or(1, Vec::len)
    }

    fn each(&self, mut run: impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
        let n_ctx = self.n_ctx() as u64;
        let mut progress = Progress::of_tokens("measuring", n_ctx * self.chunks.len() as u64);
        for (i, chunk) in self.chunks.iter().enumerate() {
            interrupt::check()?;
            run(chunk).with_context(|| format!("chunk {}", i + 1))?;
            self.watched.watch.check()?;
            progress.reached(n_ctx * (i as u64 + 1));
        }
        Ok(())
    }
}
