//! Sessions: a session runs a model over a text, with its memory from an arena.

use core::fmt;
use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels};

use crate::cache::KvCache;
use crate::config::{AlibiScale, PlanError, SessionConfig};
use crate::executor::Executor;
use crate::forward::Buffers;
use crate::heads::Heads;
use crate::model::{LoadError, Model};
use crate::pass::{Forward, Runner, Visited};
use crate::plan::{Lengths, MemoryPlan};
use crate::planned::Planned;
use crate::snapshot::{ModelId, Prefix, PrefixError, Snapshot, TextState};
use crate::steps::all_finite;

/// Error of a session that cannot begin.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SessionError {
    /// No plan can be made for the configuration.
    Plan(PlanError),
    /// The arena is smaller than the plan.
    ArenaTooSmall {
        /// Bytes of the plan.
        need: usize,
        /// Bytes that are free in the arena.
        have: usize,
    },
    /// The model's tables changed since they were checked, which means that the file was written to.
    Load(LoadError),
    /// The model is an encoder: it has no logits, and an [`Encoder`](crate::Encoder) runs it.
    Encoder {
        /// `general.architecture` of the model.
        arch: &'static str,
    },
    /// The session cannot begin with this prefix.
    Prefix(PrefixError),
    /// The prefix has another length than [`n_prefix`](SessionConfig::n_prefix) of the configuration.
    PrefixLength {
        /// Positions in the configuration.
        planned: usize,
        /// Positions of the prefix; 0 without one.
        found: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Plan(ref error) => error.fmt(f),
            Self::ArenaTooSmall { need, have } => {
                write!(f, "the session needs an arena of {need} bytes, it has {have}")
            }
            Self::Load(ref error) => error.fmt(f),
            Self::Prefix(ref error) => error.fmt(f),
            Self::PrefixLength { planned, found } => {
                write!(f, "the session is planned with a prefix of {planned} tokens, and gets one of {found}")
            }
            Self::Encoder { arch } => {
                write!(
                    f,
                    "a model of architecture {arch} is an encoder: it gives embeddings or scores, and continues no text"
                )
            }
        }
    }
}

impl core::error::Error for SessionError {}

impl From<PlanError> for SessionError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<PrefixError> for SessionError {
    fn from(error: PrefixError) -> Self {
        Self::Prefix(error)
    }
}

/// Error of tokens that cannot be run. The session is as before, except after [`NotFinite`](Self::NotFinite).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError {
    /// No tokens were given.
    NoTokens,
    /// A token that is not in the model's vocabulary.
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// The tokens do not fit the context, and the text is not [endless](SessionConfig::endless).
    ContextFull {
        /// Tokens given.
        n_tokens: usize,
        /// Positions in use.
        pos: usize,
        /// Positions of the context.
        n_ctx: usize,
    },
    /// A logit is NaN or infinite, so that no token can be chosen: a weight of the model is not finite either, or
    /// activations overflow. The tokens up to this one were run.
    NotFinite {
        /// Position of the token whose logits these are.
        pos: usize,
    },
    /// The session's memory is not what its plan says. This is a bug of this library.
    Broken,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoTokens => f.write_str("no tokens to run"),
            Self::Token { token, n_vocab } => write!(f, "token {token} is not below the vocabulary's size {n_vocab}"),
            Self::ContextFull { n_tokens, pos, n_ctx } => {
                write!(f, "{n_tokens} tokens after {pos} do not fit a context of {n_ctx}")
            }
            Self::NotFinite { pos } => {
                write!(f, "the logits after the token at position {pos} are not finite numbers: the model is broken")
            }
            Self::Broken => f.write_str("the session's memory is not what its plan says: a bug of nearfield"),
        }
    }
}

impl core::error::Error for RunError {}

/// Error of a session that cannot go back. The session is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RewindError {
    /// The position lies ahead.
    Ahead {
        /// The position asked for.
        to: usize,
        /// Positions in use.
        pos: usize,
    },
    /// Later keys took the place of keys that a query at the position sees, in a ring shorter than the text.
    Forgotten {
        /// The position asked for.
        to: usize,
        /// Oldest position that a query there sees.
        needs: usize,
        /// Oldest position that is still in the ring.
        has: usize,
    },
    /// The position lies within the prefix that the session began with.
    Prefix {
        /// The position asked for.
        to: usize,
        /// Positions of the prefix.
        n_prefix: usize,
    },
    /// The session's memory is not what its plan says. This is a bug of this library.
    Broken,
}

impl fmt::Display for RewindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ahead { to, pos } => write!(f, "position {to} lies ahead of {pos}: there is nothing to go back to"),
            Self::Forgotten { to, needs, has } => {
                write!(f, "position {to} needs the keys from {needs} on, the ring has those from {has} on")
            }
            Self::Prefix { to, n_prefix } => {
                write!(f, "position {to} lies within the {n_prefix} tokens that the session began with")
            }
            Self::Broken => RunError::Broken.fmt(f),
        }
    }
}

impl core::error::Error for RewindError {}

/// Counts of keys that attention visited and held since the text began, including those of tokens that were [taken
/// back](Session::rewind).
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

/// A running text: a model, its memory, and the position reached.
pub struct Session<'m, 'f, 'a> {
    runner: Runner<'m, 'f, 'a>,
    config: SessionConfig,
    cache: KvCache<'a>,
    act: Buffers<'a>,
    pos: usize,
    /// One past the last position whose key was stored since the text began, including those of a prefix. Greater than `pos`
    /// after a rewind.
    written: usize,
    /// Token whose logits are asked for next.
    last: Last,
    /// Guessed tokens at the next positions, which were run ahead. The logits after each lie in the rows behind that of `last`.
    guesses: [u32; SessionConfig::MAX_DRAFT],
    /// Guesses that were not yet reached.
    ahead: Range<usize>,
    /// [`KeyStats::held`] so far.
    held: u64,
    /// [`KeyStats::in_ring`] so far.
    in_ring: &'a mut [u64],
}

/// The token that ran last, and whether its logits were computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// No token: the text begins, or went back.
    None,
    /// The token in this row of the activations.
    Row(usize),
    /// The token whose logits lie in this row of the buffer.
    Computed(usize),
}

impl fmt::Debug for Session<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("config", &self.config).field("pos", &self.pos).finish_non_exhaustive()
    }
}

impl<'m, 'f, 'a> Session<'m, 'f, 'a> {
    /// Creates a session at position 0, with its memory from `arena`, which has to have [`MemoryPlan::session`] bytes free.
    ///
    /// # Errors
    /// [`SessionError::ArenaTooSmall`] tells the bytes needed and free; [`SessionError::Plan`] for a bad configuration;
    /// [`SessionError::Encoder`] for an encoder.
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

    fn begin(
        model: &'m Model<'f>,
        config: SessionConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
        prefix: Option<Prefix<'a>>,
    ) -> Result<Self, SessionError> {
        let s = model.shape();
        if s.arch.is_encoder() {
            return Err(SessionError::Encoder { arch: s.arch.name });
        }
        let (planned, found) = (config.n_prefix, prefix.map_or(0, |prefix| prefix.n_tokens()));
        if planned != found {
            return Err(SessionError::PrefixLength { planned, found });
        }
        let need = MemoryPlan::new(s, &config)?.session();
        if let Some(prefix) = &prefix {
            prefix.check(s, &config)?;
        }
        let n = Lengths::new(s, &config)?;
        let have = arena.free_bytes();
        let too_small = || SessionError::ArenaTooSmall { need, have };
        if need > have {
            return Err(too_small());
        }
        let parts = take(arena, model, &config, &n, prefix).ok_or_else(too_small)?;
        let Taken { mut cache, words, act, in_ring } = parts;
        let runner = Runner::new(model, kernels, executor, words).map_err(SessionError::Load)?;
        // A checked prefix has all rows.
        cache.begin(kernels, s.n_layer).ok_or(PrefixError::Damaged)?;
        let pos = config.n_prefix;
        Ok(Self {
            runner,
            config,
            cache,
            act,
            pos,
            written: pos,
            last: Last::None,
            guesses: [0; _],
            ahead: 0..0,
            held: 0,
            in_ring,
        })
    }

    /// Runs `tokens` at the next positions and returns the logits after the last of them, one for each token of the file's
    /// tokenizer ([`Shape::n_logits`](crate::Shape::n_logits)).
    ///
    /// The logits have the same bits, however the tokens are cut into calls.
    ///
    /// # Errors
    /// [`RunError`]. Nothing was run then, unless it is [`RunError::NotFinite`].
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], RunError> {
        self.run(tokens)?;
        self.logits()
    }

    /// Runs `tokens` at the next positions and computes no logits: for the parts of a long prompt.
    ///
    /// # Errors
    /// [`RunError`]. Nothing was run then.
    pub fn run(&mut self, tokens: &[u32]) -> Result<(), RunError> {
        self.check(tokens)?;
        let mut rest = tokens;
        while let [token, after @ ..] = rest
            && self.advance_to(*token)
        {
            rest = after;
        }
        if !rest.is_empty() {
            self.take_back()?;
        }
        while !rest.is_empty() {
            let n_run = self.run_chunk(rest)?;
            self.last = Last::Row(n_run.saturating_sub(1));
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
        self.check(&[token])?;
        if self.advance_to(token) {
            return self.logits();
        }
        self.take_back()?;
        let n_vocab = self.runner.shape().n_vocab;
        let room = self.config.n_draft.min(self.n_free().saturating_sub(1));
        let guesses = guesses.iter().copied().take_while(|&id| (id as usize) < n_vocab).take(room);
        let mut tokens = [0; SessionConfig::MAX_DRAFT + 1];
        let mut n = 0;
        for (slot, token) in tokens.iter_mut().zip(core::iter::once(token).chain(guesses)) {
            *slot = token;
            n += 1;
        }
        let n_run = self.run_chunk(tokens.get(..n).ok_or(RunError::Broken)?)?;
        self.forward(|forward, _, act| forward.outputs(0, n_run, act))?;
        let [_, guesses @ ..] = tokens;
        (self.guesses, self.ahead) = (guesses, 0..n_run.saturating_sub(1));
        self.pos = self.pos.saturating_sub(self.ahead.len());
        self.last = Last::Computed(0);
        self.logits()
    }

    /// Guessed tokens at the next positions that were run and not yet taken back.
    pub fn ahead(&self) -> &[u32] {
        self.guesses.get(self.ahead.clone()).unwrap_or_default()
    }

    /// Moves behind `token` if it was run ahead; true if so.
    fn advance_to(&mut self, token: u32) -> bool {
        let Last::Computed(row) = self.last else { return false };
        if self.ahead().first() != Some(&token) {
            return false;
        }
        self.ahead.start += 1;
        self.pos += 1;
        self.last = Last::Computed(row + 1);
        true
    }

    /// Takes back the tokens that were run ahead.
    fn take_back(&mut self) -> Result<(), RunError> {
        if !self.ahead.is_empty() {
            self.ahead = 0..0;
            // The keys that a query at `pos` sees are there: rings have room for a draft.
            self.cache.rewind(self.runner.kernels, self.runner.shape().n_layer, self.pos).ok_or(RunError::Broken)?;
        }
        Ok(())
    }

    /// The logits after the token that ran last, as [`prefill`](Self::prefill) returns them.
    ///
    /// # Errors
    /// [`RunError::NoTokens`] if none ran since the text began or went back; [`RunError::NotFinite`].
    pub fn logits(&mut self) -> Result<&[f32], RunError> {
        let row = match self.last {
            Last::None => return Err(RunError::NoTokens),
            Last::Row(row) => {
                self.forward(|forward, _, act| forward.outputs(row, 1, act))?;
                self.last = Last::Computed(0);
                0
            }
            Last::Computed(row) => row,
        };
        let n_logits = self.runner.shape().n_logits();
        let logits = self.logits_of(row, self.pos.saturating_sub(1))?;
        logits.get(..n_logits).ok_or(RunError::Broken)
    }

    /// Runs `tokens` and passes the logits after each of them to `each`: all [`n_vocab`](crate::Shape::n_vocab), those of a padded
    /// vocabulary included, as published perplexities count them.
    ///
    /// # Errors
    /// Errors of [`prefill`](Self::prefill).
    pub fn prefill_each(&mut self, tokens: &[u32], mut each: impl FnMut(&[f32])) -> Result<(), RunError> {
        self.check(tokens)?;
        self.take_back()?;
        let mut rest = tokens;
        while !rest.is_empty() {
            let n_run = self.run_chunk(rest)?;
            let begin = self.pos.saturating_sub(n_run);
            for first in (0..n_run).step_by(self.config.n_outputs()) {
                let n = self.config.n_outputs().min(n_run - first);
                self.forward(|forward, _, act| forward.outputs(first, n, act))?;
                for row in 0..n {
                    each(self.logits_of(row, begin + first + row)?);
                }
                self.last = Last::Computed(n - 1);
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
        self.begin_again();
        self.held = 0;
        self.act.visited.reset();
        self.in_ring.fill(0);
    }

    /// Goes back to the beginning of the session: position 0, or the end of its prefix.
    fn begin_again(&mut self) {
        self.pos = self.config.n_prefix;
        self.written = self.pos;
        self.last = Last::None;
        self.ahead = 0..0;
        // No error: the call succeeded when the session began.
        let _ = self.cache.begin(self.runner.kernels, self.runner.shape().n_layer);
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
        self.cache.rewind(self.runner.kernels, self.runner.shape().n_layer, pos).ok_or(RewindError::Broken)?;
        self.pos = pos;
        self.last = Last::None;
        if sees_none {
            // From here on, each position is written before it is seen.
            self.written = pos;
        }
        Ok(())
    }

    /// Sets the scale of the slopes from the next token on. Keys carry no bias, so the cache stays as it is, and all its keys
    /// are seen through the new slopes.
    ///
    /// Rings keep their lengths: those by [the bias](crate::Ring::Bias) fit the scale that the session began with.
    ///
    /// # Errors
    /// [`PlanError::AlibiScale`] for a factor that is not finite and above 0, or a length of 0. The session is as before then.
    pub fn set_alibi_scale(&mut self, scale: AlibiScale) -> Result<(), PlanError> {
        if !scale.is_valid() {
            return Err(PlanError::AlibiScale);
        }
        // Guesses were run with the old slopes, so they are taken back. That cannot fail while the memory is as planned.
        let _ = self.take_back();
        self.config.alibi_scale = scale;
        Ok(())
    }

    /// Makes a snapshot of the text so far, from which another session continues, on any machine ([`Prefix`]). `model`
    /// identifies the file that the model came from, as it lies on the disk.
    ///
    /// # Errors
    /// [`RunError::Broken`], which would be a bug of this library.
    pub fn snapshot(&mut self, model: ModelId, text: &TextState<'_>) -> Result<Snapshot<'_>, RunError> {
        self.take_back()?;
        let s = self.runner.shape();
        Snapshot::new(&self.cache, s, &self.config, self.pos, model, text).ok_or(RunError::Broken)
    }

    /// Number of positions in use: the position of the next token.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Number of positions of the context; in an [endless](SessionConfig::endless) text, the number that a query sees.
    pub fn n_ctx(&self) -> usize {
        self.config.n_ctx
    }

    /// Guesses that [`decode_ahead`](Self::decode_ahead) runs at most.
    pub fn n_draft(&self) -> usize {
        self.config.n_draft
    }

    /// Positions that are free: tokens that still can be run.
    pub fn n_free(&self) -> usize {
        if self.config.endless { usize::MAX } else { self.config.n_ctx }.saturating_sub(self.pos)
    }

    /// Counts of keys that attention visited so far.
    pub fn key_stats(&self) -> KeyStats<'_> {
        KeyStats { visited: self.act.visited.total(), held: self.held, in_ring: self.in_ring }
    }

    fn check(&self, tokens: &[u32]) -> Result<(), RunError> {
        let n_vocab = self.runner.shape().n_vocab;
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

    /// The logits in `row` of their buffer, after the token at `pos`: all rows of the vocabulary.
    fn logits_of(&self, row: usize, pos: usize) -> Result<&[f32], RunError> {
        let n_vocab = self.runner.shape().n_vocab;
        let logits = self.act.logits.get(row * n_vocab..(row + 1) * n_vocab).ok_or(RunError::Broken)?;
        if all_finite(logits) { Ok(logits) } else { Err(RunError::NotFinite { pos }) }
    }

    /// Runs the first of `tokens` through the layers, as many as go together; returns their number.
    fn run_chunk(&mut self, tokens: &[u32]) -> Result<usize, RunError> {
        let pos = self.pos;
        let end = (pos / KV_BLOCK + self.config.blocks_per_chunk()) * KV_BLOCK;
        let n = tokens.len().min(self.config.chunk()).min(end - pos);
        let chunk = tokens.get(..n).ok_or(RunError::Broken)?;
        self.forward(|forward, cache, act| forward.layers(chunk, pos, cache, act))?;
        for at in pos..pos + n {
            self.held += at as u64 + 1;
            for (sum, ring) in self.in_ring.iter_mut().zip(self.cache.rings()) {
                *sum += (at + 1 - ring.oldest(at) + ring.oldest(at).min(self.config.n_sinks)) as u64;
            }
        }
        self.pos += n;
        self.last = Last::None;
        self.written = self.written.max(self.pos);
        Ok(n)
    }

    fn forward(
        &mut self,
        run: impl FnOnce(&Forward<'_, 'f, 'a>, &mut KvCache<'a>, &mut Buffers<'a>) -> Planned,
    ) -> Result<(), RunError> {
        let heads = Heads {
            kv: self.config.kv.keys,
            horizon_eps: self.config.horizon_eps,
            alibi_bf16: self.config.alibi_bf16,
            alibi_scale: self.config.alibi_scale,
            n_ctx: self.config.n_ctx,
        };
        run(&self.runner.forward(heads), &mut self.cache, &mut self.act).ok_or(RunError::Broken)
    }
}

/// Memory of a session.
struct Taken<'a> {
    cache: KvCache<'a>,
    words: &'a mut [u64],
    act: Buffers<'a>,
    in_ring: &'a mut [u64],
}

/// Takes the parts from the arena, in the order of the plan; `None` if it is too small.
fn take<'a>(
    arena: &mut Arena<'a>,
    model: &Model<'_>,
    config: &SessionConfig,
    n: &Lengths,
    prefix: Option<Prefix<'a>>,
) -> Option<Taken<'a>> {
    let cache = KvCache::take(arena, model.shape(), config, n, prefix)?;
    let words = arena.take(n.pass.layer_table)?;
    let act = Buffers {
        x: arena.take(n.pass.residual)?,
        h: arena.take(n.pass.residual)?,
        qkv: arena.take(n.qkv)?,
        ffn: arena.take(n.ffn)?,
        gate: arena.take(n.pass.gate)?,
        q8: arena.take(n.pass.q8)?,
        logits: arena.take(n.logits)?,
        visited: Visited::take(arena, &n.pass)?,
    };
    let in_ring = arena.take(n.n_head_kv)?;
    in_ring.fill(0);
    Some(Taken { cache, words, act, in_ring })
}
