//! Sessions: a session runs a model over a text, with its memory from an arena. Several texts share a batch.

mod batch;
mod error;
pub(crate) mod sequence;

use core::fmt;

use nearfield_kernels::{Arena, Kernels};

use crate::config::{AlibiScale, PlanError, SessionConfig};
use crate::executor::Executor;
use crate::model::Model;
use crate::snapshot::{ModelId, Prefix, Snapshot, TextState};
use crate::stream::Stream;

pub use batch::Batch;
pub use error::{ChunkError, RewindError, RunError, SessionError};
use sequence::Last;
pub use sequence::{Chunk, KeyStats, Sequence};

/// A running text: a model, its memory, and the position reached.
pub struct Session<'m, 'f, 'a> {
    batch: Batch<'m, 'f, 'a>,
    sequence: Sequence<'m, 'a>,
}

impl fmt::Debug for Session<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Session");
        out.field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl<'m, 'f, 'a> Session<'m, 'f, 'a> {
    /// Creates a session at position 0, with its memory from `arena`, which has to have [`MemoryPlan::session`] bytes free.
    ///
    /// # Errors
    /// [`SessionError::ArenaTooSmall`] tells the bytes needed and free; [`SessionError::Plan`] for a bad configuration;
    /// [`SessionError::Encoder`] for an encoder.
    ///
    /// [`MemoryPlan::session`]: crate::MemoryPlan::session
    pub fn new(
        model: &'m Model<'f>,
        config: SessionConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
    ) -> Result<Self, SessionError> {
        Self::begin(model, config, kernels, executor, arena, None)
    }

    /// Creates a session that continues where `prefix` ends, as if its tokens had been run here: results have the same bits,
    /// and the same keys are visited.
    ///
    /// Keys and values of the prefix are read where they lie, except for a block of 32 at most and the sinks, which are copied.
    /// [`n_prefix`](SessionConfig::n_prefix) has to be the prefix's length, so that the plan knows what the arena need not
    /// hold. The prefix has to keep all positions that the session's rings need; one that was written with a full cache serves
    /// any ring.
    ///
    /// # Errors
    /// [`SessionError::Prefix`] if the prefix was made with other settings or keeps too few positions;
    /// [`SessionError::PrefixLength`] if its length is not `n_prefix`; otherwise the errors of [`new`](Self::new).
    pub fn with_prefix(
        model: &'m Model<'f>,
        config: SessionConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
        prefix: Prefix<'a>,
    ) -> Result<Self, SessionError> {
        Self::begin(model, config, kernels, executor, arena, Some(prefix))
    }

    /// The same session, with `stream` as the source of the layers that are not in memory
    /// ([`Gguf::parse_resident`](crate::Gguf::parse_resident)). Results have the bits of a session whose model is in memory.
    ///
    /// # Errors
    /// [`SessionError::StreamTooSmall`] if the longest of these layers does not fit a buffer.
    pub fn with_stream(self, stream: Stream<'m>) -> Result<Self, SessionError> {
        Ok(Self { batch: self.batch.with_stream(stream)?, ..self })
    }

    fn begin(
        model: &'m Model<'f>,
        config: SessionConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
        prefix: Option<Prefix<'a>>,
    ) -> Result<Self, SessionError> {
        let shape = model.shape();
        if shape.arch.is_encoder() {
            return Err(SessionError::Encoder { arch: shape.arch.name });
        }
        let need = sequence::check(shape, &config, prefix.as_ref())?.session();
        let have = arena.free_bytes();
        if need > have {
            return Err(SessionError::ArenaTooSmall { need, have });
        }
        let batch = Batch::new(model, config.batch(), kernels, executor, arena)?;
        let sequence = batch.begin(config, arena, prefix)?;
        Ok(Self { batch, sequence })
    }

    /// Runs `tokens` at the next positions and returns the logits after the last of them, one for each token of the file's
    /// tokenizer ([`Shape::n_logits`](crate::Shape::n_logits)).
    ///
    /// The logits have the same bits, however the tokens are cut into calls.
    ///
    /// # Errors
    /// [`RunError`]. Nothing was run then, unless it is [`RunError::NotFinite`], or [`RunError::Storage`]: the tokens before [`pos`](Self::pos) were run.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], RunError> {
        self.run(tokens)?;
        self.logits()
    }

    /// Runs `tokens` at the next positions and computes no logits: for the parts of a long prompt.
    ///
    /// # Errors
    /// [`RunError`]. Nothing was run then, unless it is [`RunError::Storage`]: the tokens before [`pos`](Self::pos) were run.
    pub fn run(&mut self, tokens: &[u32]) -> Result<(), RunError> {
        self.sequence.check(tokens)?;
        let mut rest = tokens;
        while let [token, after @ ..] = rest
            && self.batch.advance(&mut self.sequence, *token)
        {
            rest = after;
        }
        while !rest.is_empty() {
            let n_run = self.pass(rest)?;
            rest = rest.get(n_run..).ok_or(RunError::Broken)?;
        }
        Ok(())
    }

    /// Runs `token`, and with it guesses of the tokens behind it, in one pass over the weights; returns the logits after `token`.
    ///
    /// The session stands behind `token` alone. Whatever is asked of it next has the results of a session without guesses, bit
    /// for bit: [`decode`](Self::decode) of the token that was guessed only moves on, since its logits are there; anything else
    /// first takes back the guesses that are left. Wrong guesses cost time and change no result. Guesses from the
    /// first that is no token of the vocabulary on are left out.
    ///
    /// The guesses that are run, which [`ahead`](Self::ahead) returns, end where [`n_draft`](SessionConfig::n_draft), a chunk or the
    /// context has no room for more. [`key_stats`](Self::key_stats) counts them all. In a ring they took the place of as many of the
    /// oldest keys, so [`rewind`](Self::rewind) may go back less far.
    ///
    /// # Errors
    /// Errors of [`prefill`](Self::prefill).
    pub fn decode_ahead(&mut self, token: u32, guesses: &[u32]) -> Result<&[f32], RunError> {
        let token = [token];
        self.sequence.check(&token)?;
        if !self.batch.advance(&mut self.sequence, token[0]) {
            self.batch.pass(&mut [Chunk::new(&mut self.sequence, &token).with_guesses(guesses)])?;
        }
        self.logits()
    }

    /// Guessed tokens at the next positions that were run and not yet taken back.
    pub fn ahead(&self) -> &[u32] {
        self.sequence.ahead()
    }

    /// The logits after the token that ran last, as [`prefill`](Self::prefill) returns them.
    ///
    /// # Errors
    /// [`RunError::NoTokens`] if none ran since the text began or went back; [`RunError::NotFinite`].
    pub fn logits(&mut self) -> Result<&[f32], RunError> {
        self.batch.logits(&mut self.sequence)
    }

    /// Runs `tokens` and passes the logits after each of them to `each`: all [`n_vocab`](crate::Shape::n_vocab), those of a padded
    /// vocabulary included, as published perplexities count them.
    ///
    /// # Errors
    /// Errors of [`prefill`](Self::prefill).
    pub fn prefill_each(&mut self, tokens: &[u32], mut each: impl FnMut(&[f32])) -> Result<(), RunError> {
        self.sequence.check(tokens)?;
        self.sequence.take_back()?;
        let n_outputs = self.sequence.n_draft().saturating_add(1);
        let mut rest = tokens;
        while !rest.is_empty() {
            let n_run = self.pass(rest)?;
            let begin = self.pos().saturating_sub(n_run);
            for first in (0..n_run).step_by(n_outputs) {
                let n = self.batch.outputs(first..n_run.min(first + n_outputs), 0)?;
                for row in 0..n {
                    each(self.batch.logits_of(row, begin + first + row)?);
                }
                self.sequence.last = Last::Computed(n - 1);
            }
            rest = rest.get(n_run..).ok_or(RunError::Broken)?;
        }
        Ok(())
    }

    /// Runs one token and returns the logits after it, as [`prefill`](Self::prefill) does.
    ///
    /// # Errors
    /// Errors of [`prefill`](Self::prefill).
    pub fn decode(&mut self, token: u32) -> Result<&[f32], RunError> {
        self.prefill(&[token])
    }

    /// Begins a new text in the same memory, with the same prefix if there is one. Counts begin again at 0.
    pub fn reset(&mut self) {
        self.sequence.reset();
    }

    /// Goes back to position `pos`, as if nothing had been run from there on: the next tokens give the same bits, and visit the
    /// same keys.
    ///
    /// Keys carry no position, so the cache stays as it is; only the key norms that the tokens taken back may have raised are
    /// computed again. [`key_stats`](Self::key_stats) counts all tokens that were run, including those taken back.
    ///
    /// # Errors
    /// [`RewindError::Ahead`] beyond the text; [`RewindError::Prefix`] before the end of a prefix; [`RewindError::Forgotten`]
    /// with a [`Ring`](crate::Ring) shorter than the text, in which later keys took the place of keys that a query at `pos`
    /// sees. The session is as before then.
    pub fn rewind(&mut self, pos: usize) -> Result<(), RewindError> {
        self.sequence.rewind(pos)
    }

    /// Sets the scale of the slopes from the next token on. Keys carry no bias, so the cache stays as it is, and all its keys
    /// are seen through the new slopes.
    ///
    /// Rings keep their lengths: those by [the bias](crate::Ring::Bias) fit the scale that the session began with.
    ///
    /// # Errors
    /// [`PlanError::AlibiScale`] for a factor that is not finite and above 0, or a length of 0. The session is as before then.
    pub fn set_alibi_scale(&mut self, scale: AlibiScale) -> Result<(), PlanError> {
        self.sequence.set_alibi_scale(scale)
    }

    /// Makes a snapshot of the text so far, from which another session continues, on any machine ([`Prefix`]). `model`
    /// identifies the file that the model came from, as it lies on the disk.
    ///
    /// # Errors
    /// [`RunError::Broken`], which would be a bug of this library.
    pub fn snapshot(&mut self, model: ModelId, text: &TextState<'_>) -> Result<Snapshot<'_>, RunError> {
        self.sequence.snapshot(model, text)
    }

    /// Number of positions in use: the position of the next token.
    pub fn pos(&self) -> usize {
        self.sequence.pos()
    }

    /// Number of positions of the context; in an [endless](SessionConfig::endless) text, the number that a query sees.
    pub fn n_ctx(&self) -> usize {
        self.sequence.n_ctx()
    }

    /// Guesses that [`decode_ahead`](Self::decode_ahead) runs at most.
    pub fn n_draft(&self) -> usize {
        self.sequence.n_draft()
    }

    /// Positions that are free: tokens that still can be run.
    pub fn n_free(&self) -> usize {
        self.sequence.n_free()
    }

    /// True if `n` tokens can be taken back wherever the text stands: each ring keeps the keys that they do not replace.
    pub(crate) fn can_take_back(&self, n: usize) -> bool {
        self.sequence.can_take_back(n)
    }

    /// Counts of keys that attention visited so far.
    pub fn key_stats(&self) -> KeyStats<'_> {
        self.sequence.key_stats()
    }

    /// The batch and its only sequence.
    pub(crate) fn parts(&mut self) -> (&mut Batch<'m, 'f, 'a>, &mut Sequence<'m, 'a>) {
        (&mut self.batch, &mut self.sequence)
    }

    /// Runs the first of `tokens` through the layers, as many as go together; returns their number.
    fn pass(&mut self, tokens: &[u32]) -> Result<usize, RunError> {
        self.batch.pass(&mut [Chunk::new(&mut self.sequence, tokens).without_logits()])
    }
}
