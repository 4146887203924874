//! Batches: a batch runs a model over several sequences in one pass.

use core::fmt;

use nearfield_kernels::{Arena, Kernels};

use super::error::{ChunkError, RunError, SessionError};
use super::sequence::{self, BatchId, Chunk, Last, Left, Sequence};
use crate::config::{BatchConfig, SessionConfig};
use crate::executor::Executor;
use crate::forward::Buffers;
use crate::model::Model;
use crate::pass::Runner;
use crate::plan::{BatchLengths, BatchPlan};
use crate::planned::Planned;
use crate::snapshot::Prefix;
use crate::steps::all_finite;
use crate::stream::Stream;

/// A model with the memory of a pass, which sequences share: weights are read once for the tokens of all of them.
///
/// Each [`Sequence`] has its own keys and values, position, rings and sinks, and may have its own [`SessionConfig`]. The results of
/// a sequence have the bits that a [`Session`](crate::Session) with the same tokens gives, whatever else is in the pass.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nearfield::{Arena, Batch, BatchConfig, BatchPlan, Chunk, Inline, Line, MemoryPlan, Model, SessionConfig, kernels};
///
/// let file = std::fs::read("models/pocket.gguf")?;
/// let model = Model::from_gguf(&file)?;
/// let (shared, config) = (BatchConfig { n_tokens: 16, n_outputs: 2 }, SessionConfig { n_ctx: 64, ..SessionConfig::default() });
/// let n_bytes = BatchPlan::new(model.shape(), &shared)?.total() + 2 * MemoryPlan::new(model.shape(), &config)?.sequence();
/// let mut memory = vec![Line::ZERO; n_bytes / Line::BYTES];
/// let mut arena = Arena::new(&mut memory);
/// let mut batch = Batch::new(&model, shared, kernels::best(), &Inline, &mut arena)?;
/// let mut sequences = [batch.sequence(config, &mut arena)?, batch.sequence(config, &mut arena)?];
///
/// // One sequence reads a prompt while the other runs a single token.
/// let [a, b] = &mut sequences;
/// let mut chunks = [Chunk::new(a, &[7]), Chunk::new(b, &[1, 2, 3, 4, 5])];
/// while batch.run(&mut chunks)? > 0 {}
/// for sequence in &mut sequences {
///     assert_eq!(batch.logits(sequence)?.len(), model.shape().n_logits());
/// }
/// assert_eq!(sequences.map(|sequence| sequence.pos()), [1, 5]);
/// # Ok(())
/// # }
/// ```
pub struct Batch<'m, 'f, 'a> {
    runner: Runner<'m, 'f, 'a>,
    act: Buffers<'a>,
    /// Source of layers that are not in memory.
    stream: Option<Stream<'m>>,
    config: BatchConfig,
    /// Number of passes so far.
    pass: u64,
    /// Pass whose rows a later pass wrote over, which failed; 0 for none.
    rows_lost_of: u64,
    /// Rows of logits that the last pass computed.
    n_computed: usize,
}

impl fmt::Debug for Batch<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<'m, 'f, 'a> Batch<'m, 'f, 'a> {
    /// Creates a batch with its memory from `arena`, which has to have [`BatchPlan::total`] bytes free.
    ///
    /// # Errors
    /// [`SessionError::ArenaTooSmall`] tells the bytes needed and free; [`SessionError::Plan`] for a bad configuration;
    /// [`SessionError::Encoder`] for an encoder.
    pub fn new(
        model: &'m Model<'f>,
        config: BatchConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
    ) -> Result<Self, SessionError> {
        let s = model.shape();
        if s.arch.is_encoder() {
            return Err(SessionError::Encoder { arch: s.arch.name });
        }
        let need = BatchPlan::new(s, &config)?.total();
        let n = BatchLengths::new(s, &config)?;
        let have = arena.free_bytes();
        let too_small = || SessionError::ArenaTooSmall { need, have };
        if need > have {
            return Err(too_small());
        }
        let (words, act) = take(arena, &n).ok_or_else(too_small)?;
        let runner = Runner::new(model, kernels, executor, words).map_err(SessionError::Load)?;
        Ok(Self { runner, act, stream: None, config, pass: 0, rows_lost_of: 0, n_computed: 0 })
    }

    /// The same batch, with `stream` as the source of the layers that are not in memory.
    ///
    /// # Errors
    /// [`SessionError::StreamTooSmall`] if the longest of these layers does not fit a buffer.
    pub fn with_stream(self, stream: Stream<'m>) -> Result<Self, SessionError> {
        let (need, have) = (self.runner.longest_streamed(), stream.buffer_bytes());
        if need > have as u64 {
            return Err(SessionError::StreamTooSmall { need: usize::try_from(need).unwrap_or(usize::MAX), have });
        }
        Ok(Self { stream: Some(stream), ..self })
    }

    /// Begins a sequence at position 0, with its memory from `arena`, which has to have [`MemoryPlan::sequence`] bytes free.
    ///
    /// A pass takes at most [`n_batch`](SessionConfig::n_batch) tokens of it, and [`n_draft`](SessionConfig::n_draft) guesses.
    ///
    /// # Errors
    /// [`SessionError::ArenaTooSmall`] tells the bytes needed and free; [`SessionError::Plan`] for a bad configuration.
    ///
    /// [`MemoryPlan::sequence`]: crate::MemoryPlan::sequence
    pub fn sequence(&self, config: SessionConfig, arena: &mut Arena<'a>) -> Result<Sequence<'m, 'a>, SessionError> {
        self.begin(config, arena, None)
    }

    /// Begins a sequence that continues where `prefix` ends, as [`Session::with_prefix`](crate::Session::with_prefix) does.
    ///
    /// # Errors
    /// [`SessionError::Prefix`] if the prefix was made with other settings or keeps too few positions;
    /// [`SessionError::PrefixLength`] if its length is not `n_prefix`; otherwise the errors of [`sequence`](Self::sequence).
    pub fn sequence_with_prefix(
        &self,
        config: SessionConfig,
        arena: &mut Arena<'a>,
        prefix: Prefix<'a>,
    ) -> Result<Sequence<'m, 'a>, SessionError> {
        self.begin(config, arena, Some(prefix))
    }

    pub(super) fn begin(
        &self,
        config: SessionConfig,
        arena: &mut Arena<'a>,
        prefix: Option<Prefix<'a>>,
    ) -> Result<Sequence<'m, 'a>, SessionError> {
        let shape = self.runner.shape();
        let need = sequence::check(shape, &config, prefix.as_ref())?.sequence();
        Sequence::new(shape, self.runner.kernels, self.id(), config, arena, prefix, need)
    }

    fn id(&self) -> BatchId {
        BatchId(self.act.x.as_ptr().addr())
    }

    /// Runs one pass over the weights: of each chunk as many of its next tokens as there is room for. Returns the number of tokens
    /// run, guesses not counted; 0 once no chunk has tokens left.
    ///
    /// The chunks come in their order: [`n_tokens`](BatchConfig::n_tokens) is shared out from the first on, and what does not fit
    /// waits for the next call, in which more chunks may take part. The first chunk that has tokens always goes on. Where a chunk
    /// ends, the [logits](Self::logits) after its last token are computed; they stay until the next pass.
    ///
    /// # Errors
    /// [`ChunkError`], with the place of the chunk; 0 for an error of the storage, which concerns all. No chunk was run then.
    pub fn run(&mut self, chunks: &mut [Chunk<'_, '_, '_>]) -> Result<usize, ChunkError> {
        let id = self.id();
        for (i, chunk) in chunks.iter().enumerate() {
            chunk.check(id).map_err(|error| ChunkError { chunk: i, error })?;
        }
        self.pass(chunks).map_err(|error| ChunkError { chunk: 0, error })
    }

    /// Does what [`run`](Self::run) does with checked chunks. The errors are those of the storage, and [`RunError::Broken`].
    pub(super) fn pass(&mut self, chunks: &mut [Chunk<'_, '_, '_>]) -> Result<usize, RunError> {
        let mut left = Left { rows: self.config.n_tokens, outputs: self.config.n_outputs };
        chunks.iter_mut().try_for_each(|chunk| chunk.begin_pass(&mut left))?;
        chunks.iter_mut().for_each(|chunk| chunk.begin_guesses(&mut left));
        let n_run = chunks.iter().map(Chunk::n_run).sum();
        if n_run > 0 {
            if let Err(error) = self.runner.forward().layers(chunks, &mut self.act, self.stream.as_mut()) {
                // Logits stay where they were computed; rows of activations were written over.
                self.rows_lost_of = self.pass;
                chunks.iter_mut().try_for_each(Chunk::fail_pass)?;
                return Err(error);
            }
            self.pass += 1;
            self.end_pass(chunks).ok_or(RunError::Broken)?;
        }
        Ok(n_run)
    }

    /// Computes the logits that the chunks ask for, and moves their sequences on.
    fn end_pass(&mut self, chunks: &mut [Chunk<'_, '_, '_>]) -> Planned {
        let forward = self.runner.forward();
        let mut end = 0;
        let outputs = chunks.iter().flat_map(|chunk| {
            end += chunk.n_rows();
            end - chunk.n_outputs()..end
        });
        self.n_computed = forward.outputs(outputs, 0, &mut self.act)?;
        let (mut row, mut output) = (0, 0);
        for chunk in chunks {
            let (n_rows, n_outputs) = (chunk.n_rows(), chunk.n_outputs());
            chunk.end_pass(self.pass, row, output)?;
            row += n_rows;
            output += n_outputs;
        }
        Some(())
    }

    /// The logits after the token of `sequence` that ran last, one for each token of the file's tokenizer
    /// ([`Shape::n_logits`](crate::Shape::n_logits)).
    ///
    /// # Errors
    /// [`RunError::NoTokens`] if none ran since the text began or went back; [`RunError::LogitsGone`] after a pass that the
    /// sequence had no part in, or in which its chunk did not end, or where the logits were not computed before a pass that failed; [`RunError::NoRoomForLogits`] for a chunk
    /// [without logits](Chunk::without_logits) in a full pass; [`RunError::OtherBatch`]; [`RunError::NotFinite`].
    pub fn logits(&mut self, sequence: &mut Sequence<'_, '_>) -> Result<&[f32], RunError> {
        if sequence.batch != self.id() {
            return Err(RunError::OtherBatch);
        }
        if sequence.last != Last::None && sequence.pass != self.pass {
            return Err(RunError::LogitsGone);
        }
        let row = match sequence.last {
            Last::None => return Err(RunError::NoTokens),
            Last::Row(_) if self.rows_lost_of == self.pass => return Err(RunError::LogitsGone),
            Last::Row(row) => {
                let n_outputs = self.config.n_outputs;
                if self.n_computed >= n_outputs {
                    return Err(RunError::NoRoomForLogits { n_outputs });
                }
                let output = self.n_computed;
                self.n_computed += self.outputs(row..row + 1, output)?;
                sequence.last = Last::Computed(output);
                output
            }
            Last::Computed(row) => row,
        };
        let n_logits = self.runner.shape().n_logits();
        let logits = self.logits_of(row, sequence.pos.saturating_sub(1))?;
        logits.get(..n_logits).ok_or(RunError::Broken)
    }

    /// Computes the logits of the tokens in these rows of the last pass, to the rows of their buffer from `first` on; returns their
    /// number.
    pub(super) fn outputs(&mut self, rows: impl Iterator<Item = usize>, first: usize) -> Result<usize, RunError> {
        self.runner.forward().outputs(rows, first, &mut self.act).ok_or(RunError::Broken)
    }

    /// The logits in `row` of their buffer, after the token at `pos`: all rows of the vocabulary.
    pub(super) fn logits_of(&self, row: usize, pos: usize) -> Result<&[f32], RunError> {
        let n_vocab = self.runner.shape().n_vocab;
        let logits = self.act.logits.get(row * n_vocab..(row + 1) * n_vocab).ok_or(RunError::Broken)?;
        if all_finite(logits) { Ok(logits) } else { Err(RunError::NotFinite { pos }) }
    }

    /// Moves `sequence` behind `token` if it was [guessed](Chunk::with_guesses) and its logits are still there; true if so.
    ///
    /// Without it, a token that was guessed runs again in the next chunk, with the same result.
    pub fn advance(&self, sequence: &mut Sequence<'_, '_>, token: u32) -> bool {
        let Last::Computed(row) = sequence.last else { return false };
        let is_there = sequence.batch == self.id() && sequence.pass == self.pass;
        if !is_there || sequence.ahead().first() != Some(&token) {
            return false;
        }
        sequence.advance(row + 1);
        true
    }
}

/// Takes the layer table and the buffers from the arena, in the order of the plan; `None` if it is too small.
fn take<'a>(arena: &mut Arena<'a>, n: &BatchLengths) -> Option<(&'a mut [u64], Buffers<'a>)> {
    let words = arena.take(n.pass.layer_table)?;
    let act = Buffers {
        x: arena.take(n.pass.residual)?,
        h: arena.take(n.pass.residual)?,
        qkv: arena.take(n.qkv)?,
        ffn: arena.take(n.ffn)?,
        gate: arena.take(n.pass.gate)?,
        q8: arena.take(n.pass.q8)?,
        logits: arena.take(n.logits)?,
    };
    Some((words, act))
}
