//! What the commands for encoders share.

use anyhow::{Context, Result};
use nearfield::tokenizer::Tokenizer;
use nearfield::{Arena, Encoder, EncoderError, EncoderPlan, Model};

use crate::args::EncoderArgs;
use crate::engine::{Engine, allocate};
use crate::model_file::ModelFile;
use crate::text;

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
    let engine = Engine::new(&args.engine())?;
    let file = engine.load(file, &args.engine())?;
    let model = file.model()?;
    let config = args.config(longest);
    let plan = EncoderPlan::new(model.shape(), &config)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let mut encoder = Encoder::new(&model, config, engine.kernels, engine.executor(), &mut arena)?;
    then(&model, &mut encoder)
}
