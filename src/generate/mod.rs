//! Generating text: the loop over session, sampler and detokenizer.
//!
//! ```text
//!   read       runs the prompt
//!   loop:
//!     advance  runs the token that was written last, with guesses of a drafter, and draws the next from the logits
//!     write    writes its text, unless it ends the text
//! ```
//!
//! Texts of a batch share the passes: `chunk` gives what `advance` would run, and `draw` draws from the logits of the pass.

mod draft;
mod stops;

use core::fmt::{self, Write};

use crate::config::SessionConfig;
use crate::grammar::{Constraint, MatchError};
use crate::sampler::Sampler;
use crate::session::{Batch, Chunk, RunError, Sequence, Session};
use crate::tokenizer::{DetokenizeError, Detokenizer, Tokenizer};

pub use draft::{DraftError, DraftModel, Drafter, Lookup};
pub use stops::StopWords;

/// Reason why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum End {
    /// The model ended the text, by an end token or one of [`stop_tokens`](GeneratorConfig::stop_tokens).
    Token,
    /// A stop word came.
    Word,
    /// The text has the length that was asked for.
    Length,
    /// The context has no position left.
    ContextFull,
    /// The text is complete by its grammar, which allows nothing more.
    Grammar,
}

/// Settings of a [`Generator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorConfig<'s> {
    /// Tokens to generate at most; `None` for as many as come.
    pub max_tokens: Option<usize>,
    /// Tokens that end the text besides those that the vocabulary names; not written.
    pub stop_tokens: &'s [u32],
    /// Text to write after an end token instead of stopping there, for a text without end. A text that is held to a grammar stops.
    pub after_end: Option<&'s str>,
}

impl GeneratorConfig<'_> {
    /// [`Default`], for constants: as many tokens as come, up to an end token.
    pub const DEFAULT: Self = Self { max_tokens: None, stop_tokens: &[], after_end: None };
}

impl Default for GeneratorConfig<'_> {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Error of [`Generator::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GenerateError {
    /// A token cannot be run.
    Run(RunError),
    /// A token has no text, or the text cannot be written.
    Detokenize(DetokenizeError),
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::Detokenize(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for GenerateError {}

impl From<RunError> for GenerateError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<DetokenizeError> for GenerateError {
    fn from(error: DetokenizeError) -> Self {
        Self::Detokenize(error)
    }
}

/// Memory for the tokens of a [`Generator::chunk`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkTokens([u32; 1 + SessionConfig::MAX_DRAFT]);

/// A text as it is generated: what the sampler and the detokenizer remember of it, and why it ended.
///
/// Session and tokenizer are handed to each call, so that they are free in between.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use nearfield::tokenizer::{Tokenizer, Vocab};
/// # use nearfield::{Arena, Inline, Line, MemoryPlan, Model, SamplerConfig, Sampler, Session, SessionConfig, kernels};
/// use nearfield::{End, Generator, GeneratorConfig, StopWords};
/// # let file = std::fs::read("models/pocket.gguf")?;
/// # let model = Model::from_gguf(&file)?;
/// # let config = SessionConfig { n_ctx: 128, ..SessionConfig::default() };
/// # let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config)?.n_lines()];
/// # let mut arena = Arena::new(&mut memory);
/// # let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
/// # let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut arena)?;
/// # let sampler = Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() })?;
/// # let mut tokens = [0; 64];
/// # let n = tokenizer.encode("Once upon a time", tokenizer.prompt_options(), &mut tokens)?;
///
/// let words = ["."];
/// let mut memory = vec![0; StopWords::memory_bytes(&words)];
/// let stop = StopWords::new(&words, &mut memory).ok_or("memory")?;
/// let config = GeneratorConfig { max_tokens: Some(100), ..GeneratorConfig::default() };
/// let mut generator = Generator::new(sampler, config, stop);
/// generator.read(&mut session, &tokens[..n])?;
/// let mut sentence = String::new();
/// while generator.next(&mut session, &tokenizer, &mut sentence)?.is_some() {}
/// generator.finish(&mut sentence)?;
/// assert_eq!(generator.end(), Some(End::Word));
/// assert!(!sentence.contains('.'));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Generator<'s> {
    sampler: Sampler<'s>,
    detokenizer: Detokenizer,
    config: GeneratorConfig<'s>,
    stop: StopWords<'s>,
    /// The token that was drawn and not yet written.
    drawn: Option<u32>,
    /// State of the random numbers before it was drawn.
    seed_before: u64,
    /// The token that was written and not yet run.
    not_run: Option<u32>,
    /// Position at which it is to run, once a chunk has it.
    waits_at: Option<usize>,
    /// Tokens that were written.
    n_tokens: usize,
    end: Option<End>,
    drafter: Option<&'s mut dyn Drafter>,
    constraint: Option<&'s mut dyn Constraint>,
    /// Reason why the constraint could not go on with the last token.
    stuck: Option<MatchError>,
    /// Guesses of the last draft that were run, and those of them that came true so far; `None` once its outcome is known.
    drafted: Option<(usize, usize)>,
}

impl<'s> Generator<'s> {
    /// A generator at the beginning of a text.
    pub fn new(sampler: Sampler<'s>, config: GeneratorConfig<'s>, stop: StopWords<'s>) -> Self {
        let seed_before = sampler.seed();
        let detokenizer = Detokenizer::new(false);
        Self {
            sampler,
            detokenizer,
            config,
            stop,
            drawn: None,
            seed_before,
            not_run: None,
            waits_at: None,
            n_tokens: 0,
            end: None,
            drafter: None,
            constraint: None,
            stuck: None,
            drafted: None,
        }
    }

    /// Lets a drafter guess tokens, as many as the session's [`n_draft`](crate::SessionConfig::n_draft) at a time. The text and
    /// the bits of its logits stay the same.
    pub fn with_drafter(self, drafter: &'s mut dyn Drafter) -> Self {
        Self { drafter: Some(drafter), ..self }
    }

    /// Holds the text to a constraint, such as the [`Matcher`](crate::Matcher) of a grammar: only tokens that it allows are drawn, with
    /// the probabilities that they have among themselves. The caller [begins](Constraint::begin) it. The text may end where it is
    /// complete, and ends where it allows nothing more.
    ///
    /// A stop word, the greatest number of tokens or the end of the context may still cut the text off;
    /// [`is_complete`](Self::is_complete) tells.
    pub fn with_constraint(self, constraint: &'s mut dyn Constraint) -> Self {
        Self { constraint: Some(constraint), ..self }
    }

    /// Lets the sampler and the drafter know tokens of the text that were run before.
    pub fn accept(&mut self, tokens: &[u32]) {
        for &token in tokens {
            self.sampler.accept(token);
            if let Some(drafter) = &mut self.drafter {
                drafter.accept(token);
            }
        }
    }

    /// Lets the detokenizer know the last tokens of a text that goes on: a character may be spread over them and the next ones.
    ///
    /// # Errors
    /// [`DetokenizeError`] for a token that does not exist.
    pub fn follow(&mut self, tokenizer: &Tokenizer<'_, '_>, tokens: &[u32]) -> Result<(), DetokenizeError> {
        tokens.iter().try_for_each(|&token| self.detokenizer.push(tokenizer, token, &mut Nowhere))
    }

    /// Runs tokens of a prompt, all of them or the next part: between two parts a watchdog or a progress bar can look in. The bits
    /// do not depend on the parts.
    ///
    /// # Errors
    /// Errors of [`Session::run`].
    pub fn read(&mut self, session: &mut Session<'_, '_, '_>, tokens: &[u32]) -> Result<(), RunError> {
        session.run(tokens)?;
        self.accept(tokens);
        Ok(())
    }

    /// Runs the token that was written last, if there is one, and draws the next. Returns the logits that it was drawn from, or
    /// `None` once the text has ended.
    ///
    /// # Errors
    /// Errors of [`Session::decode`]; [`RunError::NoTokens`] if nothing was read; [`RunError::Grammar`] if the constraint cannot go on.
    pub fn advance<'l>(&mut self, session: &'l mut Session<'_, '_, '_>) -> Result<Option<&'l [f32]>, RunError> {
        let (batch, sequence) = session.parts();
        if !self.was_run(batch, sequence) {
            let mut tokens = ChunkTokens::default();
            if let Some(chunk) = self.chunk(sequence, &mut tokens) {
                batch.run(&mut [chunk]).map_err(|error| error.error)?;
            }
        }
        self.draw(batch, sequence)
    }

    /// The token that was written last, with guesses of a drafter behind it, for the next pass of a batch; `None` if the text has
    /// ended, or no token waits to be run. `tokens` holds them.
    ///
    /// After the pass, [`next_of`](Self::next_of) draws from the logits. A chunk that had to wait is made again.
    pub fn chunk<'c, 'm, 'a>(
        &mut self,
        sequence: &'c mut Sequence<'m, 'a>,
        tokens: &'c mut ChunkTokens,
    ) -> Option<Chunk<'c, 'm, 'a>> {
        let token = self.not_run.filter(|_| self.end.is_none())?;
        if sequence.n_free() == 0 {
            self.end = Some(End::ContextFull);
            return None;
        }
        let is_new = self.waits_at != Some(sequence.pos());
        self.waits_at = Some(sequence.pos());
        let [first, guesses @ ..] = &mut tokens.0;
        *first = token;
        let mut n = 0;
        if let Some(drafter) = &mut self.drafter {
            if is_new {
                drafter.accept(token);
                if let Some((n_run, n_true)) = self.drafted.take() {
                    drafter.outcome(n_run, n_true);
                }
            }
            // No guess lies behind the end of the text.
            let n_left = self.config.max_tokens.map_or(usize::MAX, |n| n.saturating_sub(self.n_tokens + 1));
            n = drafter.draft(guesses.get_mut(..n_left.min(sequence.n_draft())).unwrap_or(&mut []));
        }
        let guesses = guesses.get(..n).unwrap_or_default();
        Some(Chunk::new(sequence, core::slice::from_ref(first)).with_guesses(guesses))
    }

    /// Draws the next token from the logits of the sequence. Returns the logits, or `None` if the text has ended or the token that
    /// was written last has to be run first, in a [`chunk`](Self::chunk).
    ///
    /// # Errors
    /// Errors of [`Batch::logits`]; [`RunError::Grammar`] if the constraint cannot go on.
    pub fn draw<'l>(
        &mut self,
        batch: &'l mut Batch<'_, '_, '_>,
        sequence: &mut Sequence<'_, '_>,
    ) -> Result<Option<&'l [f32]>, RunError> {
        if self.end.is_some() || !self.was_run(batch, sequence) {
            return Ok(None);
        }
        if self.constraint.as_ref().is_some_and(|constraint| constraint.is_final()) {
            self.end = Some(End::Grammar);
            return Ok(None);
        }
        let logits = batch.logits(sequence)?;
        self.seed_before = self.sampler.seed();
        self.drawn = self.sample(logits).map_err(RunError::Grammar)?;
        if self.drawn.is_none() {
            self.end = Some(End::Grammar);
            return Ok(None);
        }
        Ok(Some(logits))
    }

    /// Draws a token; `None` if the constraint allows none because the text is complete.
    fn sample(&mut self, logits: &[f32]) -> Result<Option<u32>, MatchError> {
        let Some(constraint) = &mut self.constraint else { return Ok(Some(self.sampler.sample(logits))) };
        if let Some(error) = self.stuck {
            return Err(error);
        }
        let token = constraint.sample(&mut self.sampler, logits, self.config.stop_tokens)?;
        if token.is_none() && !constraint.is_complete() { Err(MatchError::DeadEnd) } else { Ok(token) }
    }

    /// True if the token that was written last, if there is one, was run; moves behind it if it was guessed.
    fn was_run(&mut self, batch: &Batch<'_, '_, '_>, sequence: &mut Sequence<'_, '_>) -> bool {
        let Some(token) = self.not_run else { return true };
        if self.waits_at.is_some_and(|pos| pos < sequence.pos()) {
            self.drafted = Some((sequence.ahead().len(), 0)).filter(|&(n_run, _)| n_run > 0);
        } else if self.waits_at.is_none() && batch.advance(sequence, token) {
            self.came_true(token);
        } else {
            return false;
        }
        self.waits_at = None;
        self.not_run = None;
        self.sampler.accept(token);
        true
    }

    /// Notes a guess that came true.
    fn came_true(&mut self, token: u32) {
        let Some(drafter) = &mut self.drafter else { return };
        drafter.accept(token);
        if let Some((n_run, n_true)) = &mut self.drafted {
            *n_true += 1;
            if n_true == n_run {
                drafter.outcome(*n_run, *n_true);
                self.drafted = None;
            }
        }
    }

    /// Writes the text of the token that was drawn and returns the token; `None` if the text ends before it.
    ///
    /// # Errors
    /// [`DetokenizeError`] for a token that the tokenizer does not have, or from `out`.
    pub fn write(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        out: &mut impl Write,
    ) -> Result<Option<u32>, DetokenizeError> {
        let Some(token) = self.drawn.filter(|_| self.end.is_none()) else { return Ok(None) };
        let ends = tokenizer.vocab().is_end(token) || self.config.stop_tokens.contains(&token);
        let stops = self.config.after_end.is_none() || self.constraint.is_some();
        self.end = match self.config.max_tokens {
            _ if ends && stops => Some(End::Token),
            Some(n) if n <= self.n_tokens => Some(End::Length),
            _ => None,
        };
        if self.end.is_some() {
            return Ok(None);
        }
        self.drawn = None;
        let after = if ends { self.config.after_end } else { None };
        self.stop.push_token(&mut self.detokenizer, tokenizer, token, after, out)?;
        self.n_tokens += 1;
        self.not_run = Some(token);
        if let Some(constraint) = &mut self.constraint {
            self.stuck = constraint.accept(token, &mut tokenizer.bytes(token)?).err();
        }
        if self.stop.found() {
            self.end = Some(End::Word);
        } else if self.constraint.as_ref().is_some_and(|constraint| constraint.is_final()) {
            self.end = Some(End::Grammar);
        } else if self.config.max_tokens == Some(self.n_tokens) {
            self.end = Some(End::Length);
        }
        Ok(Some(token))
    }

    /// [`advance`](Self::advance) and [`write`](Self::write): generates one token, writes its text and returns it. `None` once the
    /// text has ended.
    ///
    /// # Errors
    /// [`GenerateError`].
    pub fn next(
        &mut self,
        session: &mut Session<'_, '_, '_>,
        tokenizer: &Tokenizer<'_, '_>,
        out: &mut impl Write,
    ) -> Result<Option<u32>, GenerateError> {
        self.advance(session)?;
        Ok(self.write(tokenizer, out)?)
    }

    /// [`draw`](Self::draw) and [`write`](Self::write), for a sequence of a batch: generates a token from the logits of a pass, writes
    /// its text and returns it. `None` once the next pass is needed, or the text has ended. It is called until then: guesses that
    /// came true need no pass.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use nearfield::tokenizer::{Tokenizer, Vocab};
    /// # use nearfield::{Arena, Batch, BatchConfig, BatchPlan, Chunk, Inline, Line, MemoryPlan, Model, SessionConfig, kernels};
    /// # use nearfield::{ChunkTokens, Generator, GeneratorConfig, Sampler, SamplerConfig, StopWords};
    /// # let file = std::fs::read("models/pocket.gguf")?;
    /// # let model = Model::from_gguf(&file)?;
    /// # let (shared, config) = (BatchConfig::default(), SessionConfig { n_ctx: 128, ..SessionConfig::default() });
    /// # let plan = MemoryPlan::new(model.shape(), &config)?;
    /// # let n_bytes = plan.tokenizer + BatchPlan::new(model.shape(), &shared)?.total() + 2 * plan.sequence();
    /// # let mut memory = vec![Line::ZERO; n_bytes / Line::BYTES];
    /// # let mut arena = Arena::new(&mut memory);
    /// # let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    /// # let mut batch = Batch::new(&model, shared, kernels::best(), &Inline, &mut arena)?;
    /// # let mut tokens = [0; 64];
    /// # let n = tokenizer.encode("Once upon a time", tokenizer.prompt_options(), &mut tokens)?;
    /// # let prompt = &tokens[..n];
    /// let generator_config = GeneratorConfig { max_tokens: Some(20), ..GeneratorConfig::default() };
    /// let mut texts = Vec::new();
    /// for seed in 1..3 {
    ///     let mut sequence = batch.sequence(config, &mut arena)?;
    ///     batch.run(&mut [Chunk::new(&mut sequence, prompt).without_logits()])?;
    ///     let sampler = Sampler::new(SamplerConfig { seed, ..SamplerConfig::default() })?;
    ///     let mut generator = Generator::new(sampler, generator_config, StopWords::none());
    ///     generator.accept(prompt);
    ///     let mut text = String::new();
    ///     generator.next_of(&mut batch, &mut sequence, &tokenizer, &mut text)?;
    ///     texts.push((sequence, generator, text));
    /// }
    /// let mut tokens = [ChunkTokens::default(); 2];
    /// loop {
    ///     let of_texts = texts.iter_mut().zip(&mut tokens);
    ///     let mut chunks: Vec<_> = of_texts.filter_map(|((sequence, generator, _), tokens)| generator.chunk(sequence, tokens)).collect();
    ///     if batch.run(&mut chunks)? == 0 {
    ///         break;
    ///     }
    ///     drop(chunks);
    ///     for (sequence, generator, text) in &mut texts {
    ///         while generator.next_of(&mut batch, sequence, &tokenizer, text)?.is_some() {}
    ///     }
    /// }
    /// assert!(texts.iter().all(|(_, generator, text)| generator.n_tokens() == 20 && !text.is_empty()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`GenerateError`].
    pub fn next_of(
        &mut self,
        batch: &mut Batch<'_, '_, '_>,
        sequence: &mut Sequence<'_, '_>,
        tokenizer: &Tokenizer<'_, '_>,
        out: &mut impl Write,
    ) -> Result<Option<u32>, GenerateError> {
        match self.draw(batch, sequence)? {
            Some(_) => Ok(self.write(tokenizer, out)?),
            None => Ok(None),
        }
    }

    /// Writes the letters that were held back for a stop word, and U+FFFD for a character that has only begun.
    ///
    /// # Errors
    /// [`DetokenizeError::Write`] from `out`.
    pub fn finish(&mut self, out: &mut impl Write) -> Result<(), DetokenizeError> {
        self.detokenizer.finish(&mut self.stop.through(out))?;
        self.pause(out)
    }

    /// Writes the letters that were held back for a stop word. A character that has only begun is left to whoever goes on with the
    /// text, with [`follow`](Self::follow).
    ///
    /// # Errors
    /// [`DetokenizeError::Write`] from `out`.
    pub fn pause(&mut self, out: &mut impl Write) -> Result<(), DetokenizeError> {
        Ok(self.stop.finish(out)?)
    }

    /// Reason why the text ended; `None` while it goes on.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// True if the text is complete by its constraint, or has none.
    pub fn is_complete(&self) -> bool {
        self.constraint.as_ref().is_none_or(|constraint| constraint.is_complete())
    }

    /// Tokens that were written.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The last token of the text, if it was not run: whoever goes on with the text runs it first.
    pub fn not_run(&self) -> Option<u32> {
        self.not_run
    }

    /// Seed with which the text goes on: the next token will be drawn, or drawn again if it was not written.
    pub fn seed(&self) -> u64 {
        if self.drawn.is_some() { self.seed_before } else { self.sampler.seed() }
    }

    /// The sampler, with the tokens that it remembers.
    pub fn sampler(&self) -> &Sampler<'s> {
        &self.sampler
    }
}

/// Text that is not shown.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}
