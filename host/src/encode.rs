//! Encoders: vectors and scores of texts.

use nearfield::tokenizer::Tokenizer;
use nearfield::{Arena, Encoder, EncoderConfig, EncoderError, EncoderPlan, Model};

use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::memory::allocate;
use crate::model_file::ModelFile;
use crate::text;

/// Checks that the model in `file` is an encoder, before any of its weights are read.
pub fn check(file: &ModelFile) -> Result<()> {
    let arch = file.model()?.shape().arch;
    if arch.is_encoder() {
        return Ok(());
    }
    Err(EncoderError::Decoder { arch: arch.name }).with_context(|| file.name.clone())
}

/// Calls `then` with the file's tokenizer.
pub fn with_tokenizer<R, E: From<Error>>(
    file: &ModelFile,
    then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<R, E>,
) -> Result<R, E> {
    let vocab = file.vocab()?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    then(&text::tokenizer(vocab, &mut lines, file.monitor())?)
}

/// Calls `then` with an encoder of the model in `file`, which the engine has loaded.
///
/// # Errors
/// When the model is no encoder or memory is short, and any error of `then`.
pub fn with_encoder<R, E: From<Error>>(
    file: &ModelFile,
    engine: &Engine,
    config: EncoderConfig,
    then: impl FnOnce(&Model<'_>, &mut Encoder<'_, '_, '_>) -> Result<R, E>,
) -> Result<R, E> {
    let model = file.model()?;
    let plan = EncoderPlan::new(model.shape(), &config).map_err(Error::from)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let encoder = Encoder::new(&model, config, engine.kernels, engine.executor(), &mut arena);
    then(&model, &mut encoder.map_err(Error::from)?)
}
