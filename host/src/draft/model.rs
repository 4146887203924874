//! Draft model: a smaller model with the same vocabulary, in a file of its own.

use std::path::Path;

use nearfield::{Arena, DraftModel, MemoryPlan, Model, Ring, Session, SessionConfig, SessionError};

use crate::engine::{Engine, N_BATCH};
use crate::error::{Error, NoDraft, Result};
use crate::model_file::ModelFile;
use crate::output_file::are_one_file;

/// Opens the file of a draft model for `model`; `None` if it is the model's own file.
///
/// # Errors
/// [`NoDraft`] when the file cannot be opened, is no model, an encoder or has another vocabulary; errors of the model's own
/// vocabulary.
pub(crate) fn open(path: &Path, model: &ModelFile) -> Result<Option<ModelFile>> {
    let vocab = model.vocab()?;
    let opened = || -> Result<Option<ModelFile>> {
        if are_one_file(path, Path::new(&model.name)) {
            return Ok(None);
        }
        let file = ModelFile::open(Some(path.into()), model.monitor())?;
        let draft = file.model()?;
        let arch = draft.shape().arch;
        let error = if arch.is_encoder() {
            Error::from(SessionError::Encoder { arch: arch.name })
        } else {
            match DraftModel::check_vocab(&vocab, &file.vocab_of(&draft)?) {
                Ok(()) => return Ok(Some(file)),
                Err(error) => error.into(),
            }
        };
        Err(error.context(&file.name))
    };
    opened().map_err(|error| NoDraft::new(error).into())
}

/// Loaded draft model.
#[derive(Clone, Copy)]
pub struct LoadedDraft<'s> {
    /// File of the draft model.
    pub file: &'s ModelFile,
    /// Tables and weights of the draft model.
    pub model: &'s Model<'s>,
}

impl<'s> LoadedDraft<'s> {
    /// Configuration of the draft's session beside a session of the model, and the memory that it takes.
    ///
    /// The context is the model's, or as much of it as the draft has learned positions for. Rings by head are for the heads
    /// of the model, so the draft keeps all keys instead.
    ///
    /// # Errors
    /// When the configuration has no plan.
    pub fn plan(&self, config: &SessionConfig) -> Result<(SessionConfig, MemoryPlan)> {
        let n_positions = self.model.shape().n_positions;
        let n_ctx = config.n_ctx.min(n_positions.unwrap_or(usize::MAX));
        let config = SessionConfig {
            n_ctx,
            n_batch: N_BATCH,
            ring: match config.ring {
                Ring::Heads(_) => Ring::Full,
                ring => ring,
            },
            n_sinks: config.n_sinks.min(n_ctx),
            endless: config.endless && n_positions.is_none(),
            n_prefix: 0,
            // A ring has room for guesses with it, however short the context is.
            n_draft: 1,
            ..*config
        };
        let plan = MemoryPlan::new(self.model.shape(), &config).map_err(SessionError::from)?;
        Ok((config, plan.without_tokenizer()))
    }
}

/// Session of a draft model. Texts that begin alike share what was read, as those of the model do.
pub(crate) struct DraftSession<'s, 'a> {
    session: Session<'s, 's, 'a>,
    /// Room for the tokens that wait to be read.
    waiting: Vec<u32>,
}

impl<'s, 'a> DraftSession<'s, 'a> {
    /// A session at the beginning of a text, with its memory from `arena`.
    pub(crate) fn new(
        draft: LoadedDraft<'s>,
        config: SessionConfig,
        engine: &'s Engine,
        arena: &mut Arena<'a>,
    ) -> Result<Self> {
        let session = Session::new(draft.model, config, engine.kernels, engine.executor(), arena)?;
        Ok(Self { session, waiting: vec![0; N_BATCH] })
    }

    /// Drafter of a text that has its first `n_same` tokens in common with the text before.
    pub(crate) fn begin(&mut self, n_same: usize) -> Result<DraftModel<'_, 's, 's, 'a>> {
        // Guesses behind the text before lie behind all of its tokens, so they are not among these.
        let n_known = n_same.min(self.session.pos());
        // A ring may have dropped keys that are needed there.
        if self.session.rewind(n_known).is_err() {
            self.session.reset();
        }
        Ok(DraftModel::new(&mut self.session, &mut self.waiting)?)
    }
}
