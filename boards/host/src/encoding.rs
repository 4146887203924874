//! What the commands for encoders share.

use anyhow::{Context, Result};
use clap::Args;
use nearfield::tokenizer::Tokenizer;
use nearfield::{Arena, Encoder, EncoderConfig, EncoderError, EncoderPlan, KvTypes, Model};

use crate::args::{MachineArgs, kv_types, share};
use crate::engine::{Engine, N_BATCH, allocate};
use crate::model_file::ModelFile;
use crate::text;

/// How an encoder runs.
#[derive(Args, Debug)]
pub struct EncoderArgs {
    /// Tokens of the longest text that there is room for [default: those of the longest text]
    #[arg(long, value_name = "N")]
    pub ctx: Option<usize>,

    /// Tokens that go through a layer together; the numbers are the same for any
    #[arg(long, value_name = "N", default_value_t = N_BATCH)]
    pub chunk: usize,

    /// How the keys and values of a layer are stored
    #[arg(long, value_name = "TYPE|K,V", default_value = "f32", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Attention stops where all keys farther away add less than this share; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    #[command(flatten)]
    pub machine: MachineArgs,
}

impl EncoderArgs {
    /// For texts of `longest` tokens at most.
    pub fn config(&self, longest: usize) -> EncoderConfig {
        let n_ctx = self.ctx.unwrap_or(longest);
        EncoderConfig { n_ctx, n_batch: self.chunk, kv: self.kv, horizon_eps: self.horizon_eps }
    }
}

/// The model in `file`, which has to be an encoder: said before any of its weights are read.
pub fn check(file: &ModelFile) -> Result<()> {
    let arch = file.model()?.shape().arch;
    if arch.is_encoder() {
        return Ok(());
    }
    Err(EncoderError::Decoder { arch: arch.name }).with_context(|| file.name.clone())
}

/// Calls `then` with the file's tokenizer.
pub fn with_tokenizer<R>(file: &ModelFile, then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<R>) -> Result<R> {
    let vocab = file.vocab()?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    then(&text::tokenizer(vocab, &mut lines)?)
}

/// Calls `then` with an encoder that has room for texts of `longest` tokens.
pub fn with_encoder<R>(
    file: ModelFile,
    args: &EncoderArgs,
    longest: usize,
    then: impl FnOnce(&Model<'_>, &mut Encoder<'_, '_, '_>) -> Result<R>,
) -> Result<R> {
    let engine = Engine::new(&args.machine)?;
    let file = engine.load(file, &args.machine)?;
    let model = file.model()?;
    let config = args.config(longest);
    let plan = EncoderPlan::new(model.shape(), &config)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let mut encoder = Encoder::new(&model, config, engine.kernels, engine.executor(), &mut arena)?;
    then(&model, &mut encoder).map_err(|error| file.explain(error))
}
