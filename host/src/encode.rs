//! Encoders: vectors and scores of texts.

use anyhow::{Context, Result};
use nearfield::tokenizer::Tokenizer;
use nearfield::{Arena, Encoder, EncoderConfig, EncoderError, EncoderPlan, Model};

use crate::engine::{Engine, allocate};
use crate::model_file::{ModelFile, Repack};
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

/// Loads the model and calls `then` with an encoder of it.
pub fn with_encoder<R>(
    file: ModelFile,
    engine: &Engine,
    repack: Repack,
    config: EncoderConfig,
    then: impl FnOnce(&Model<'_>, &mut Encoder<'_, '_, '_>) -> Result<R>,
) -> Result<R> {
    let file = engine.load(file, repack)?;
    let model = file.model()?;
    let plan = EncoderPlan::new(model.shape(), &config)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let mut encoder = Encoder::new(&model, config, engine.kernels, engine.executor(), &mut arena)?;
    then(&model, &mut encoder).map_err(|error| file.explain(error))
}
