//! Sequences: a sequence is a text with its keys and values, run by a batch.

use core::fmt;
use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels};

use super::error::{RewindError, RunError, SessionError};
use crate::cache::KvCache;
use crate::config::{AlibiScale, PlanError, SessionConfig};
use crate::heads::Heads;
use crate::pass::Visited;
use crate::plan::{MemoryPlan, SequenceLengths};
use crate::planned::Planned;
use crate::shape::Shape;
use crate::snapshot::{ModelId, Prefix, PrefixError, Snapshot, TextState};

/// Counts of keys that attention visited and held since the text began, including those of tokens that were [taken
/// back](Sequence::rewind).
#[derive(Clone, Copy, Debug)]
pub struct KeyStats<'s> {
    /// Keys visited: `[n_layer, n_head]`.
    pub visited: &'s [u64],
    /// Keys that each head of each layer would have visited in full walks over a full cache: the sum, over all tokens run, of
    /// the text's length at each.
    pub held: u64,
    /// Keys that each KV head of each layer would have visited in full walks over its ring and the sinks: `[n_head_kv]`.
    pub in_ring: &'s [u64],
}

/// Identity of a batch: an address in its memory, which no other batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchId(pub(super) usize);

/// The token that ran last, and whether its logits were computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// No token: the text begins, or went back.
    None,
    /// The token in this row of the activations.
    Row(usize),
    /// The token whose logits lie in this row of the buffer.
    Computed(usize),
}

/// A running text in a [`Batch`](super::Batch): its keys and values, and the position reached.
///
/// [`Batch::sequence`](super::Batch::sequence) begins one.
pub struct Sequence<'m, 'a> {
    shape: &'m Shape,
    kernels: &'m dyn Kernels,
    pub(super) batch: BatchId,
    config: SessionConfig,
    pub(crate) cache: KvCache<'a>,
    /// Keys visited.
    pub(crate) visited: Visited<'a>,
    pub(super) pos: usize,
    /// One past the last position whose key was stored since the text began, including those of a prefix. Greater than `pos`
    /// after a rewind.
    written: usize,
    /// Token whose logits are asked for next.
    pub(super) last: Last,
    /// Pass of the batch in which it ran: the rows of `last` are those of this pass.
    pub(super) pass: u64,
    /// Guessed tokens at the next positions, which were run ahead. The logits after each lie in the rows behind that of `last`.
    guesses: [u32; SessionConfig::MAX_DRAFT],
    /// Guesses that were not yet reached.
    ahead: Range<usize>,
    /// [`KeyStats::held`] so far.
    held: u64,
    /// [`KeyStats::in_ring`] so far.
    in_ring: &'a mut [u64],
}

impl fmt::Debug for Sequence<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence").field("config", &self.config).field("pos", &self.pos).finish_non_exhaustive()
    }
}

/// Checks that a sequence of this configuration may begin with `prefix`; returns its plan.
pub(super) fn check(
    shape: &Shape,
    config: &SessionConfig,
    prefix: Option<&Prefix<'_>>,
) -> Result<MemoryPlan, SessionError> {
    let (planned, found) = (config.n_prefix, prefix.map_or(0, |prefix| prefix.n_tokens()));
    if planned != found {
        return Err(SessionError::PrefixLength { planned, found });
    }
    let plan = MemoryPlan::new(shape, config)?;
    if let Some(prefix) = prefix {
        prefix.check(shape, config)?;
    }
    Ok(plan)
}

impl<'m, 'a> Sequence<'m, 'a> {
    /// Begins a sequence that [`check`] has passed, with its memory from `arena`; its plan is `need` bytes of it.
    pub(super) fn new(
        shape: &'m Shape,
        kernels: &'m dyn Kernels,
        batch: BatchId,
        config: SessionConfig,
        arena: &mut Arena<'a>,
        prefix: Option<Prefix<'a>>,
        need: usize,
    ) -> Result<Self, SessionError> {
        let n = SequenceLengths::new(shape, &config)?;
        let have = arena.free_bytes();
        let too_small = || SessionError::ArenaTooSmall { need, have };
        if need > have {
            return Err(too_small());
        }
        let (mut cache, visited, in_ring) = take(arena, shape, &config, &n, prefix).ok_or_else(too_small)?;
        // A checked prefix has all rows.
        cache.begin(kernels, shape.n_layer).ok_or(PrefixError::Damaged)?;
        let pos = config.n_prefix;
        Ok(Self {
            shape,
            kernels,
            batch,
            config,
            cache,
            visited,
            pos,
            written: pos,
            last: Last::None,
            pass: 0,
            guesses: [0; _],
            ahead: 0..0,
            held: 0,
            in_ring,
        })
    }

    /// Guessed tokens at the next positions that were run and not yet taken back.
    pub fn ahead(&self) -> &[u32] {
        self.guesses.get(self.ahead.clone()).unwrap_or_default()
    }

    /// Moves behind the next guess, whose logits lie in `row`.
    pub(super) fn advance(&mut self, row: usize) {
        self.ahead.start += 1;
        self.pos += 1;
        self.last = Last::Computed(row);
    }

    /// Takes back the tokens that were run ahead.
    pub(super) fn take_back(&mut self) -> Result<(), RunError> {
        if !self.ahead.is_empty() {
            self.ahead = 0..0;
            // The keys that a query at `pos` sees are there: rings have room for a draft.
            self.cache.rewind(self.kernels, self.shape.n_layer, self.pos).ok_or(RunError::Broken)?;
        }
        Ok(())
    }

    /// Takes back the keys of `n` tokens at the next positions, which some layers have stored.
    fn forget(&mut self, n: usize) -> Result<(), RunError> {
        let n_layer = self.shape.n_layer;
        if self.pos == self.config.n_prefix {
            // Each position is written again before it is seen.
            return self.cache.begin(self.kernels, n_layer).ok_or(RunError::Broken);
        }
        self.written = self.written.max(self.pos + n);
        // The keys that a query at `pos` sees are there: rings have room for a pass.
        self.cache.rewind(self.kernels, n_layer, self.pos).ok_or(RunError::Broken)
    }

    /// Begins a new text in the same memory, with the same prefix if there is one. Counts begin again at 0.
    pub fn reset(&mut self) {
        self.begin_again();
        self.held = 0;
        self.visited.reset();
        self.in_ring.fill(0);
    }

    /// Goes back to the beginning of the text: position 0, or the end of its prefix.
    fn begin_again(&mut self) {
        self.pos = self.config.n_prefix;
        self.written = self.pos;
        self.last = Last::None;
        self.ahead = 0..0;
        // No error: the call succeeded when the sequence began.
        let _ = self.cache.begin(self.kernels, self.shape.n_layer);
    }

    /// Goes back to position `pos`, as [`Session::rewind`](super::Session::rewind) does.
    ///
    /// # Errors
    /// [`RewindError`]. The sequence is as before then.
    pub fn rewind(&mut self, pos: usize) -> Result<(), RewindError> {
        if pos > self.pos {
            return Err(RewindError::Ahead { to: pos, pos: self.pos });
        }
        let n_prefix = self.config.n_prefix;
        if pos < n_prefix {
            return Err(RewindError::Prefix { to: pos, n_prefix });
        }
        if pos == n_prefix {
            self.begin_again();
            return Ok(());
        }
        self.take_back().map_err(|_| RewindError::Broken)?;
        let mut sees_none = true;
        for ring in self.cache.rings() {
            // Positions before the rings are never forgotten.
            let (needs, has) = (ring.oldest(pos).max(ring.first), ring.oldest_kept(self.written));
            if needs < pos && needs < has {
                return Err(RewindError::Forgotten { to: pos, needs, has });
            }
            sees_none &= needs >= pos;
        }
        self.cache.rewind(self.kernels, self.shape.n_layer, pos).ok_or(RewindError::Broken)?;
        self.pos = pos;
        self.last = Last::None;
        if sees_none {
            // From here on, each position is written before it is seen.
            self.written = pos;
        }
        Ok(())
    }

    /// Sets the scale of the slopes from the next token on, as [`Session::set_alibi_scale`](super::Session::set_alibi_scale)
    /// does.
    ///
    /// # Errors
    /// [`PlanError::AlibiScale`] for a factor that is not finite and above 0, or a length of 0. The sequence is as before then.
    pub fn set_alibi_scale(&mut self, scale: AlibiScale) -> Result<(), PlanError> {
        if !scale.is_valid() {
            return Err(PlanError::AlibiScale);
        }
        // Guesses were run with the old slopes, so they are taken back. That cannot fail while the memory is as planned.
        let _ = self.take_back();
        self.config.alibi_scale = scale;
        Ok(())
    }

    /// Makes a snapshot of the text so far, as [`Session::snapshot`](super::Session::snapshot) does.
    ///
    /// # Errors
    /// [`RunError::Broken`], which would be a bug of this library.
    pub fn snapshot(&mut self, model: ModelId, text: &TextState<'_>) -> Result<Snapshot<'_>, RunError> {
        self.take_back()?;
        Snapshot::new(&self.cache, self.shape, &self.config, self.pos, model, text).ok_or(RunError::Broken)
    }

    /// Number of positions in use: the position of the next token.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Number of positions of the context; in an [endless](SessionConfig::endless) text, the number that a query sees.
    pub fn n_ctx(&self) -> usize {
        self.config.n_ctx
    }

    /// Guesses that run ahead at most.
    pub fn n_draft(&self) -> usize {
        self.config.n_draft
    }

    /// Positions that are free: tokens that still can be run.
    pub fn n_free(&self) -> usize {
        if self.config.endless { usize::MAX } else { self.config.n_ctx }.saturating_sub(self.pos)
    }

    /// True if `n` tokens can be taken back wherever the text stands.
    pub(super) fn can_take_back(&self, n: usize) -> bool {
        let n_ctx = (!self.config.endless).then_some(self.config.n_ctx);
        self.cache.rings().all(|ring| ring.has_room_behind(n, n_ctx))
    }

    /// Counts of keys that attention visited so far.
    pub fn key_stats(&self) -> KeyStats<'_> {
        KeyStats { visited: self.visited.total(), held: self.held, in_ring: self.in_ring }
    }

    /// Checks that `tokens` can be run at the next positions.
    pub(super) fn check(&self, tokens: &[u32]) -> Result<(), RunError> {
        let n_vocab = self.shape.n_vocab;
        if tokens.is_empty() {
            return Err(RunError::NoTokens);
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= n_vocab) {
            return Err(RunError::Token { token, n_vocab });
        }
        if tokens.len() > self.n_free() {
            return Err(RunError::ContextFull { n_tokens: tokens.len(), pos: self.pos, n_ctx: self.config.n_ctx });
        }
        Ok(())
    }

    /// Settings of attention.
    pub(crate) fn heads(&self) -> Heads {
        Heads {
            kv: self.config.kv.keys,
            horizon_eps: self.config.horizon_eps,
            alibi_bf16: self.config.alibi_bf16,
            alibi_scale: self.config.alibi_scale,
            n_ctx: self.config.n_ctx,
        }
    }

    /// Tokens that go through the layers together at most, from the next position on.
    fn n_together(&self) -> usize {
        let end = (self.pos / KV_BLOCK + self.config.blocks_per_chunk()) * KV_BLOCK;
        self.config.chunk().min(end - self.pos)
    }

    /// Notes that `n` tokens were run, and `guesses` behind them.
    fn ran(&mut self, n: usize, guesses: &[u32]) {
        let end = self.pos + n + guesses.len();
        for at in self.pos..end {
            self.held += at as u64 + 1;
            for (sum, ring) in self.in_ring.iter_mut().zip(self.cache.rings()) {
                *sum += (at + 1 - ring.oldest(at) + ring.oldest(at).min(self.config.n_sinks)) as u64;
            }
        }
        self.pos += n;
        self.written = self.written.max(end);
        self.guesses.iter_mut().zip(guesses).for_each(|(slot, &guess)| *slot = guess);
        self.ahead = 0..guesses.len();
    }
}

/// Memory of a sequence, in the order of the plan; `None` if the arena is too small.
fn take<'a>(
    arena: &mut Arena<'a>,
    s: &Shape,
    config: &SessionConfig,
    n: &SequenceLengths,
    prefix: Option<Prefix<'a>>,
) -> Option<(KvCache<'a>, Visited<'a>, &'a mut [u64])> {
    let cache = KvCache::take(arena, s, config, n, prefix)?;
    let visited = Visited::take(arena, &n.visited)?;
    let in_ring = arena.take(n.n_head_kv)?;
    in_ring.fill(0);
    Some((cache, visited, in_ring))
}

/// The next tokens of a sequence, for [`Batch::run`](super::Batch::run).
#[derive(Debug)]
pub struct Chunk<'s, 'm, 'a> {
    pub(crate) sequence: &'s mut Sequence<'m, 'a>,
    /// Tokens that were not run yet; in a pass, those in it come first.
    tokens: &'s [u32],
    guesses: &'s [u32],
    wants_logits: bool,
    /// Tokens that the last pass ran.
    n_run: usize,
    /// Guesses that the last pass ran.
    n_ahead: usize,
}

impl<'s, 'm, 'a> Chunk<'s, 'm, 'a> {
    /// Tokens to run at the next positions of a sequence. The logits after the last of them will be computed.
    pub fn new(sequence: &'s mut Sequence<'m, 'a>, tokens: &'s [u32]) -> Self {
        Self { sequence, tokens, guesses: &[], wants_logits: true, n_run: 0, n_ahead: 0 }
    }

    /// Leaves out the logits: for the parts of a long prompt. [`Batch::logits`](super::Batch::logits) computes them all the same
    /// if it is asked before the next pass.
    #[must_use]
    pub fn without_logits(self) -> Self {
        Self { wants_logits: false, ..self }
    }

    /// Adds guesses of the tokens that follow, which the last pass of the tokens runs ahead, as
    /// [`Session::decode_ahead`](super::Session::decode_ahead) does: as many as [`n_draft`](SessionConfig::n_draft), the context and
    /// the tokens of other chunks leave room for. [`Batch::advance`](super::Batch::advance) moves behind those that came true.
    #[must_use]
    pub fn with_guesses(self, guesses: &'s [u32]) -> Self {
        Self { guesses, ..self }
    }

    /// Tokens that were not run yet.
    pub fn rest(&self) -> &[u32] {
        self.tokens
    }

    /// Number of tokens that the last pass ran, without guesses.
    pub fn n_run(&self) -> usize {
        self.n_run
    }

    /// The sequence.
    pub fn sequence(&self) -> &Sequence<'m, 'a> {
        self.sequence
    }

    /// Checks that the tokens can be run; a chunk without tokens waits.
    pub(super) fn check(&self, batch: BatchId) -> Result<(), RunError> {
        if self.sequence.batch != batch {
            return Err(RunError::OtherBatch);
        }
        if self.tokens.is_empty() { Ok(()) } else { self.sequence.check(self.tokens) }
    }

    /// Chooses the tokens of the next pass, as many as `left` has room for.
    pub(super) fn begin_pass(&mut self, left: &mut Left) -> Result<(), RunError> {
        self.n_run = self.tokens.len().min(self.sequence.n_together()).min(left.rows);
        self.n_ahead = 0;
        if self.n_run == self.tokens.len() && self.wants_logits && left.outputs == 0 {
            // The last token waits until there is room for its logits.
            self.n_run = self.n_run.saturating_sub(1);
        }
        if self.n_run > 0 {
            self.sequence.take_back()?;
            left.take(self.n_run, self.n_outputs());
        }
        Ok(())
    }

    /// Adds guesses to the next pass, as many as the tokens of all chunks have left room for.
    pub(super) fn begin_guesses(&mut self, left: &mut Left) {
        if self.n_outputs() == 0 {
            return;
        }
        let sequence = &self.sequence;
        let n_together = sequence.n_together().min(sequence.n_free()).saturating_sub(self.n_run);
        let most = sequence.n_draft().min(n_together).min(left.rows).min(left.outputs);
        let n_vocab = sequence.shape.n_vocab;
        self.n_ahead = self.guesses.iter().take(most).take_while(|&&id| (id as usize) < n_vocab).count();
        left.take(self.n_ahead, self.n_ahead);
    }

    /// Notes that the pass failed: keys that it stored are taken back.
    pub(super) fn fail_pass(&mut self) -> Result<(), RunError> {
        let n_rows = self.n_rows();
        (self.n_run, self.n_ahead) = (0, 0);
        if n_rows == 0 { Ok(()) } else { self.sequence.forget(n_rows) }
    }

    /// Notes that the pass ran. The chunk's first row is `row`, and `output` that of its logits, if there are any.
    pub(super) fn end_pass(&mut self, pass: u64, row: usize, output: usize) -> Planned {
        if self.n_run == 0 {
            return Some(());
        }
        let has_logits = self.n_outputs() > 0;
        self.sequence.ran(self.n_run, self.guesses.get(..self.n_ahead)?);
        self.sequence.last = if has_logits { Last::Computed(output) } else { Last::Row(row + self.n_run - 1) };
        self.sequence.pass = pass;
        self.tokens = self.tokens.get(self.n_run..)?;
        Some(())
    }

    /// Number of rows in the pass.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_run + self.n_ahead
    }

    /// Rows of the pass whose logits are computed: the last ones.
    pub(super) fn n_outputs(&self) -> usize {
        if self.n_run > 0 && self.n_run == self.tokens.len() && self.wants_logits { 1 + self.n_ahead } else { 0 }
    }

    /// Tokens in the pass, with their positions.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, usize)> {
        let tokens = self.tokens.iter().take(self.n_run).chain(self.guesses.iter().take(self.n_ahead));
        tokens.copied().zip(self.sequence.pos..)
    }
}

/// Room that a pass has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) rows: usize,
    pub(super) outputs: usize,
}

impl Left {
    fn take(&mut self, rows: usize, outputs: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.outputs = self.outputs.saturating_sub(outputs);
    }
}
