//! Importance matrices: the weight that each column of a model's matrices should have in rounding errors, measured on a text.
//!
//! An error `e` of a weight in column `j` changes an output by `e x_j`. On average over the rows `x` that the matrix is
//! multiplied with, the square of this change is `e²` times the mean of `x_j²`. These means are the importance matrix.
//!
//! - `collector`: the sums, while the model runs
//! - `file`: files, in two forms

mod collector;
pub mod file;

use std::path::PathBuf;

use nearfield::tokenizer::{EncodeOptions, Tokenizer};
use nearfield::{
    Arena, Encoder, EncoderConfig, EncoderPlan, KvType, KvTypes, MemoryPlan, Model, Session, SessionConfig,
};

use crate::count::Count;
use crate::encode::with_tokenizer;
use crate::engine::{Engine, N_BATCH};
use crate::error::{Context, Result, ensure};
use crate::memory::allocate;
use crate::model_file::{ModelFile, Repack};
use crate::monitor::{Monitor, Unit};
use crate::output_file::OutputFile;
use crate::text::{Input, Notes};
use crate::watched::Watched;

use collector::Collector;
use file::Imatrix;

/// Keys and values are not rounded, so that they do not change the weights' inputs.
const KV: KvTypes = KvTypes::both(KvType::F32);

/// Paths and settings of a measurement.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Path of the model, best in F16 or F32; `None`: the built-in one.
    pub model: Option<PathBuf>,
    /// Text and its name.
    pub text: Input,
    /// Path of the importance matrix.
    pub output: PathBuf,
    /// Number of tokens of a chunk, at least 2. Each chunk runs on its own.
    pub ctx: u32,
    /// Greatest number of chunks to run; `None`: all.
    pub n_chunks: Option<u32>,
    /// True if `output.weight` is measured, too.
    pub process_output: bool,
    /// True if names of control tokens in the text stand for the tokens.
    pub special: bool,
    /// True if an existing file is replaced.
    pub force: bool,
    /// Name of the kernels; `None`: the best of the machine.
    pub isa: Option<String>,
    /// Number of threads; `None`: one for each core.
    pub n_threads: Option<usize>,
    /// Condition for interleaving weights.
    pub repack: Repack,
}

/// Runs the text and writes the inputs that it gives each matrix.
///
/// # Errors
/// When a file cannot be read or written, when the text is too short for a chunk, and when the model computes a value that is
/// not finite.
pub fn measure(args: &Measurement, monitor: &Monitor) -> Result<Imatrix> {
    let file = ModelFile::open(args.model.clone(), monitor)?;
    OutputFile::check_new(&args.output, args.force)?;
    let model = file.model()?;
    let is_encoder = model.shape().arch.is_encoder();
    let chunks = with_tokenizer(&file, &model, |tokenizer| chunks(args, tokenizer, is_encoder, monitor))?;
    let engine = Engine::new(args.isa.as_deref(), args.n_threads)?;
    let file = engine.load(file, args.repack)?;
    let model = file.model()?;
    let wanted = |name: &str| {
        let is_matrix = name.starts_with("blk.") && name.ends_with(".weight") && !name.ends_with("_norm.weight");
        is_matrix || args.process_output && name == "output.weight"
    };
    let watched = Watched { kernels: engine.kernels, watch: Collector::new(&model, wanted) };
    let run = Run { args, model: &model, engine: &engine, watched: &watched, chunks: &chunks, monitor };
    let ran = if is_encoder { run.encoder() } else { run.decoder() };
    ran.map_err(|error| file.explain(error))?;
    let inputs = watched.watch.finish();
    let imatrix = Imatrix {
        datasets: vec![args.text.name.clone()],
        n_chunks: Some(chunks.len() as u32),
        chunk_size: Some(args.ctx),
        inputs,
    };
    imatrix.write(&args.output, args.force, monitor)?;
    Ok(imatrix)
}

/// Chunks of the text, `--ctx` tokens each. The model's tokens for the beginning and the end of a text replace a chunk's own
/// tokens. A rest shorter than a chunk is dropped.
fn chunks(
    args: &Measurement,
    tokenizer: &Tokenizer<'_, '_>,
    is_encoder: bool,
    monitor: &Monitor,
) -> Result<Vec<Vec<u32>>> {
    let Input { name, bytes } = &args.text;
    let of_model = tokenizer.options();
    // An encoder sees whole texts, so a chunk has both of their ends. In a decoder the first token is replaced by the
    // beginning's.
    let options = EncodeOptions {
        parse_special: args.special,
        add_bos: of_model.add_bos && !is_encoder,
        add_eos: false,
        ..of_model
    };
    let mut notes = Notes::default();
    let tokens = notes.encode_looking_for_names(tokenizer, bytes, options)?;
    notes.tell(monitor);
    let vocab = tokenizer.vocab();
    let bos = vocab.bos.filter(|_| of_model.add_bos);
    let eos = vocab.end().filter(|_| of_model.add_eos && is_encoder);
    let n_ctx = args.ctx as usize;
    let n_own = if is_encoder { n_ctx - usize::from(bos.is_some()) - usize::from(eos.is_some()) } else { n_ctx };
    ensure!(n_own > 0, "chunks of {n_ctx} tokens have room for the ends of a text and none for the text");
    let n = tokens.len();
    ensure!(
        n >= n_own,
        "{name}: {}, fewer than a chunk has of a text ({n_own}): a longer text, or a smaller --ctx",
        Count(n, "token")
    );
    let chunks = tokens.chunks_exact(n_own).take(args.n_chunks.map_or(usize::MAX, |n| n as usize));
    let chunk = |tokens: &[u32]| match bos {
        Some(bos) if !is_encoder => [&[bos], &tokens[1..]].concat(),
        _ => [bos.as_slice(), tokens, eos.as_slice()].concat(),
    };
    Ok(chunks.map(chunk).collect())
}

/// Measurement while it runs.
struct Run<'r, 'f> {
    args: &'r Measurement,
    model: &'r Model<'f>,
    engine: &'r Engine,
    watched: &'r Watched<Collector<'f>>,
    chunks: &'r [Vec<u32>],
    monitor: &'r Monitor,
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
                self.monitor.check()?;
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

    /// Number of tokens of a chunk.
    fn n_ctx(&self) -> usize {
        self.chunks.first().map_or(1, Vec::len)
    }

    fn each(&self, mut run: impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
        let n_ctx = self.n_ctx() as u64;
        let mut progress = self.monitor.begin("measuring", Unit::Tokens, n_ctx * self.chunks.len() as u64);
        for (i, chunk) in self.chunks.iter().enumerate() {
            self.monitor.check()?;
            run(chunk).with_context(|| format!("chunk {}", i + 1))?;
            self.watched.watch.check()?;
            progress.reached(n_ctx * (i as u64 + 1));
        }
        Ok(())
    }
}
