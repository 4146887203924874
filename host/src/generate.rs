//! Text generation: from a prompt to a text, token by token.
//!
//! ```no_run
//! use nearfield_host::engine::Engine;
//! use nearfield_host::generate::{Length, Options, load};
//! use nearfield_host::model_file::{ModelFile, Repack};
//! use nearfield_host::prompt::Prompt;
//! use nearfield_host::{Error, Monitor};
//!
//! let engine = Engine::new(None, None)?;
//! let file = ModelFile::open(None, &Monitor::silent())?;
//! let options = Options { length: Length::Tokens(40), ..Options::default() };
//! load(file, &engine, Repack::Auto, &options, None, |model| {
//!     let prompt = Prompt::of_text(model.tokenizer, b"Once upon a time", &Monitor::silent())?;
//!     model.with_generator(prompt.tokens.len(), |generator| {
//!         let generated = generator.generate(&prompt, 1, &mut std::io::stdout())?;
//!         println!("\n{} tokens in {:?}", generated.decode.n, generated.decode.time);
//!         Ok::<_, Error>(())
//!     })
//! })?;
//! # Ok::<_, Error>(())
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nearfield::tokenizer::Tokenizer;
use nearfield::{
    Arena, Drafter, GeneratorConfig, KeyStats, Lookup, MatcherConfig, MemoryPlan, Model, ModelId, Prefix, Session,
    SessionConfig, SessionError, StopWords, TextState,
};
use nearfield_boards::hash::Fnv64;

use crate::chat::SavedChat;
use crate::draft::{self, Counted, Draft, DraftSession, Drafts, LoadedDraft};
use crate::engine::{Engine, N_BATCH};
use crate::error::{Context, Error, PromptTooLong, Result, ensure};
use crate::grammar::{Grammar, SortedTokens};
use crate::logprobs::Logprobs;
use crate::memory::allocate;
use crate::model_file::{ModelFile, Repack};
use crate::monitor::Unit;
use crate::prompt::Prompt;
use crate::sampler::{PreparedSampler, SamplerOptions};
use crate::snapshot_file::{self, Saved, SnapshotFile};
use crate::text;

/// Number of prompt tokens that run between two looks at the monitor.
const PREFILL_PART: usize = 512;
/// Number of positions kept for a text of open length.
const OPEN_LENGTH: usize = 1024;

/// Length of a generated text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// At most this number of tokens.
    Tokens(usize),
    /// Open length: until the model ends the text or the context is full.
    Open,
}

/// Settings of text generation.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the text.
    pub length: Length,
    /// True if generation continues when the context is full, in the same memory, and begins another text when one ends:
    /// nothing but the length ends it.
    pub endless: bool,
    /// Number of positions for prompt and text together; `None`: 2048, or as many as both need.
    pub n_ctx: Option<usize>,
    /// Settings of sampling; the seed is given with each text.
    pub sampler: SamplerOptions,
    /// Settings of keys and values, rings, horizon and slopes. The number of positions, the batch, the prefix and whether the
    /// text is endless follow from the other options.
    pub session: SessionConfig,
    /// Guesses of the tokens that follow.
    pub draft: Draft,
    /// Grammar that each text is held to, from its first new token on.
    pub grammar: Option<Grammar>,
    /// True if the prompt, and the text behind a hole, are written before and after the generated text.
    pub echo: bool,
    /// Number of likeliest tokens that [`Generated::logprobs`] names at each position; `None`: no log-probabilities.
    pub n_logprobs: Option<usize>,
    /// File for the snapshot of the text at its end; `None`: no snapshot is written.
    pub save: Option<Save>,
    /// True if [`Generator::save_chat`] will be called or another snapshot read later: the model's identity is then found out
    /// while its file is read, which takes a pass over its bytes.
    pub identify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            length: Length::Tokens(256),
            endless: false,
            n_ctx: None,
            sampler: SamplerOptions::default(),
            session: SessionConfig::default(),
            draft: Draft::default(),
            grammar: None,
            echo: true,
            n_logprobs: None,
            save: None,
            identify: false,
        }
    }
}

/// File that a snapshot is written to.
#[derive(Clone, Debug)]
pub struct Save {
    /// Path of the file.
    pub path: PathBuf,
    /// True if an existing file is replaced.
    pub force: bool,
}

/// Loaded model, with the settings of its texts.
pub struct TextModel<'s> {
    /// File of the model.
    pub file: &'s ModelFile,
    /// Tables and weights of the model.
    pub model: &'s Model<'s>,
    /// Tokenizer of the model.
    pub tokenizer: &'s Tokenizer<'s, 's>,
    /// Tokens of the model, sorted when a text is held to a grammar.
    pub tokens: &'s SortedTokens<'s>,
    /// Draft model, for [`Draft::Model`].
    pub draft: Option<LoadedDraft<'s>>,
    /// Kernels and threads.
    pub engine: &'s Engine,
    /// Settings of text generation.
    pub options: &'s Options,
    /// Identity of the model's file, where a snapshot is written or read.
    pub model_id: Option<ModelId>,
    /// Snapshot that each text continues.
    pub prefix: Option<Prefix<'s>>,
}

/// Reason why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The text has the requested length.
    Length,
    /// The model ended the text, or a stop was found.
    Text,
    /// No position is left.
    ContextFull {
        /// Number of positions of the context.
        n_ctx: usize,
    },
    /// The monitor asked for an end.
    Cancelled,
}

/// Tokens and the time that they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Number of tokens.
    pub n: usize,
    /// Time that the tokens took.
    pub time: Duration,
}

/// Result of a generated text.
pub struct Generated {
    /// Reason why generation stopped.
    pub end: End,
    /// Tokens and time of the prompt.
    pub prefill: Timing,
    /// Tokens and time of the generated text.
    pub decode: Timing,
    /// False if the text was cut off before it was complete by its grammar.
    pub is_complete: bool,
    /// Guesses of the drafts.
    pub drafts: Drafts,
    /// Bytes of all memory that changes.
    pub arena_bytes: usize,
    /// Number of keys visited by each head of each layer. `[n_layer, n_head]`
    pub visited: Vec<u64>,
    /// Number of keys that each head would have visited without a horizon.
    pub held: u64,
    /// Hashes by which machines are compared.
    pub hashes: Hashes,
    /// Number of new tokens, those of a stop at the end included.
    pub n_tokens: usize,
    /// New tokens, those of a stop at the end included; none of an endless text.
    pub tokens: Vec<u32>,
    /// Log-probabilities of the new tokens, where the options ask for them; none of an endless text.
    pub logprobs: Vec<Logprobs>,
    /// Snapshot that was written, if one was requested.
    pub saved: Option<Saved>,
}

/// Two hashes of a text, the same on every machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashes {
    /// Hash of prompt and text.
    pub text: Fnv64,
    /// Hash of the logits after the prompt and after each token but the last.
    pub logits: Fnv64,
}

/// Loads the model of `file`, and the draft model that the options name, and calls `then` with them; texts continue the snapshot
/// in `prefix`, if a path is given.
///
/// # Errors
/// When a model, the tokenizer or the snapshot cannot be used, and any error of `then`.
pub fn load<R, E: From<Error>>(
    file: ModelFile,
    engine: &Engine,
    repack: Repack,
    options: &Options,
    prefix: Option<&Path>,
    then: impl FnOnce(&TextModel<'_>) -> Result<R, E>,
) -> Result<R, E> {
    // The identity is that of the file, so it is computed before its weights may be interleaved.
    let model_id = (options.identify || options.save.is_some() || prefix.is_some()).then(|| file.id());
    let snapshot = prefix.map(SnapshotFile::open).transpose()?;
    let prefix = snapshot.as_ref().zip(model_id).map(|(snapshot, model)| snapshot.prefix(model)).transpose()?;
    // A file that cannot draft is an error before the model is read.
    let draft_file = match &options.draft {
        Draft::Model(path) => draft::open(path, &file)?,
        Draft::Auto | Draft::Off | Draft::Lookup => None,
    };
    let file = engine.interleave(file, repack)?;
    let mut lines = None;
    let (model, tokenizer) = engine.read_while(&file, || {
        let model = file.model()?;
        let vocab = file.vocab_of(&model)?;
        let lines = lines.insert(allocate(text::index_bytes(&vocab)?)?);
        Ok((model, file.tokenizer(vocab, lines)?))
    })?;
    let draft_file = draft_file.map(|file| engine.load(file, repack)).transpose()?;
    let draft_model = draft_file.as_ref().map(ModelFile::model).transpose()?;
    let draft = matches!(options.draft, Draft::Model(_)).then(|| LoadedDraft {
        file: draft_file.as_ref().unwrap_or(&file),
        model: draft_model.as_ref().unwrap_or(&model),
    });
    let tokens = SortedTokens::new(&tokenizer);
    then(&TextModel {
        file: &file,
        model: &model,
        tokenizer: &tokenizer,
        tokens: &tokens,
        draft,
        engine,
        options,
        model_id,
        prefix,
    })
}

impl TextModel<'_> {
    /// Configuration of a session for a prompt of `n_prompt` tokens and its text, and the memory that it takes.
    ///
    /// # Errors
    /// When the configuration has no plan.
    pub fn plan(&self, n_prompt: usize) -> Result<(SessionConfig, MemoryPlan)> {
        let config = self.session_config(n_prompt);
        Ok((config, MemoryPlan::new(self.model.shape(), &config).map_err(SessionError::from)?))
    }

    /// Plan of the draft model's session, if there is one, beside a session of this configuration.
    ///
    /// # Errors
    /// When the configuration has no plan.
    pub fn draft_plan(&self, config: &SessionConfig) -> Result<Option<MemoryPlan>> {
        self.draft.map(|draft| Ok(draft.plan(config)?.1)).transpose()
    }

    /// Calls `then` with a generator that has room for a prompt of `n_prompt` tokens and its text.
    ///
    /// # Errors
    /// When the configuration has no plan or memory is short, and any error of `then`.
    pub fn with_generator<R, E: From<Error>>(
        &self,
        n_prompt: usize,
        then: impl FnOnce(&mut Generator<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (config, plan) = self.plan(n_prompt)?;
        let is_stored = self.prefix.is_some() || self.options.save.is_some();
        let sampler = Arc::new(self.options.sampler.prepare(self.tokenizer, config.n_ctx, is_stored)?);
        let drafting = self.draft.map(|draft| Ok::<_, Error>((draft, draft.plan(&config)?))).transpose()?;
        let draft_bytes = drafting.map_or(0, |(_, (_, plan))| plan.session());
        // The tokenizer has its memory already, since the length of the context depends on its tokens.
        let mut lines = allocate(plan.session() + draft_bytes)?;
        let (kernels, executor) = (self.engine.kernels, self.engine.executor());
        let mut arena = Arena::new(&mut lines);
        let session = match self.prefix {
            None => Session::new(self.model, config, kernels, executor, &mut arena),
            Some(prefix) => Session::with_prefix(self.model, config, kernels, executor, &mut arena, prefix),
        };
        let session = session.map_err(Error::from)?;
        let draft = drafting.map(|(draft, (config, _))| DraftSession::new(draft, config, self.engine, &mut arena));
        let draft = draft.transpose()?;
        let arena_bytes = plan.total() + draft_bytes;
        then(&mut Generator { model: self, session, draft, sampler, tokens: Vec::new(), arena_bytes })
    }

    fn generator_config<'p>(&self, prompt: &'p Prompt) -> GeneratorConfig<'p> {
        let max_tokens = match self.options.length {
            Length::Tokens(n) => Some(n),
            Length::Open => None,
        };
        // An endless run begins another text after two line ends.
        let after_end = self.options.endless.then_some("\n\n");
        GeneratorConfig { max_tokens, stop_tokens: &prompt.stops.tokens, after_end }
    }

    /// Last tokens of the prefix but the very last, which the prompt begins with.
    fn tokens_before(&self) -> &[u32] {
        match self.prefix.map(|prefix| prefix.text().last_tokens) {
            Some([before @ .., _]) => before,
            _ => &[],
        }
    }

    /// Number of tokens of the prefix, which need not run again.
    fn n_prefix(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.n_tokens())
    }

    fn session_config(&self, n_prompt: usize) -> SessionConfig {
        let n_prefix = self.n_prefix();
        let &Options { n_ctx, length, endless, session, .. } = self.options;
        let length = match length {
            _ if endless => 0,
            Length::Tokens(n) => n,
            Length::Open => OPEN_LENGTH,
        };
        let n_ctx = n_ctx.unwrap_or_else(|| {
            let n_positions = self.model.shape().n_positions.unwrap_or(usize::MAX);
            let least = SessionConfig::default().n_ctx;
            least.max(n_prefix.saturating_add(n_prompt).saturating_add(length)).min(n_positions)
        });
        SessionConfig {
            n_ctx,
            n_batch: N_BATCH,
            endless,
            n_prefix,
            n_draft: self.options.draft.n_draft(self.file.n_bytes()),
            ..session
        }
    }
}

/// Session and the tokens that it has read. A prompt that begins with the same tokens continues from there.
pub struct Generator<'s, 'a> {
    model: &'s TextModel<'s>,
    session: Session<'s, 's, 'a>,
    /// Session of the draft model; `None` without one, and while a text has it.
    draft: Option<DraftSession<'s, 'a>>,
    sampler: Arc<PreparedSampler>,
    /// Tokens that were run behind the prefix; none of an endless text, which no prompt continues.
    tokens: Vec<u32>,
    arena_bytes: usize,
}

impl<'s> Generator<'s, '_> {
    /// Model and settings.
    pub fn model(&self) -> &'s TextModel<'s> {
        self.model
    }

    /// Number of positions of the context.
    pub fn n_ctx(&self) -> usize {
        self.session.n_ctx()
    }

    /// Writes the prompt and the text that follows to `out`, token by token, and returns its figures. The bits are those of a
    /// session that reads the whole prompt.
    ///
    /// # Errors
    /// When the prompt is longer than the context, when the model computes a value that is not finite, and when `out` or the
    /// snapshot cannot be written.
    pub fn generate(&mut self, prompt: &Prompt, seed: u64, out: &mut impl Write) -> Result<Generated> {
        let mut draft = self.draft.take();
        let generated = self.generate_with(draft.as_mut(), prompt, seed, out);
        self.draft = draft;
        generated
    }

    fn generate_with(
        &mut self,
        draft: Option<&mut DraftSession<'s, '_>>,
        prompt: &Prompt,
        seed: u64,
        out: &mut impl Write,
    ) -> Result<Generated> {
        let before = self.model.tokens_before();
        let mut newest = self.model.options.draft.memory(self.session.n_draft());
        let (mut lookup, mut draft_model);
        let drafter: &mut dyn Drafter = match draft {
            None => {
                lookup = Lookup::new(&mut newest);
                &mut lookup
            }
            Some(draft) => {
                draft_model = draft.begin(before.len() + self.n_same(&prompt.tokens))?;
                before.iter().for_each(|&token| draft_model.accept(token));
                &mut draft_model
            }
        };
        let mut drafts = Drafts::default();
        let mut drafter = Counted::new(drafter, &mut drafts);
        let prepared = Arc::clone(&self.sampler);
        let (sequences, mut sampler_memory) = (prepared.sequences(), prepared.memory());
        let mut sampler = prepared.sampler(seed, &sequences, &mut sampler_memory)?;
        before.iter().for_each(|&token| sampler.accept(token));
        let (mut memory, mut matcher);
        let words = prompt.stops.words();
        let mut stop_memory = vec![0; StopWords::memory_bytes(&words)];
        let stop = StopWords::new(&words, &mut stop_memory).context("memory for the stop words")?;
        let mut steps = nearfield::Generator::new(sampler, self.model.generator_config(prompt), stop);
        if self.session.n_draft() > 0 {
            steps = steps.with_drafter(&mut drafter);
        }
        if let Some(grammar) = &self.model.options.grammar {
            ensure!(!self.model.options.endless, "an endless text cannot be held to a grammar");
            let tokens = self.model.tokens.trie()?;
            memory = grammar.memory(&tokens, &MatcherConfig::HOST)?;
            matcher = grammar.matcher(tokens, &MatcherConfig::HOST, &mut memory)?;
            steps = steps.with_constraint(&mut matcher);
        }
        let (prefill, decode) = (Timing::default(), Timing::default());
        let mut generation = Generation {
            generator: self,
            prompt,
            steps,
            prefill,
            decode,
            hashes: Hashes::default(),
            n_written: 0,
            written: Vec::new(),
            logprobs: Vec::new(),
            saved: None,
        };
        let end = generation.run(out)?;
        let Generation {
            steps, prefill, decode, hashes, n_written: n_tokens, written: tokens, logprobs, saved, ..
        } = generation;
        let is_complete = steps.is_complete();
        let KeyStats { visited, held, .. } = self.session.key_stats();
        let (visited, arena_bytes) = (visited.to_vec(), self.arena_bytes);
        Ok(Generated {
            end,
            prefill,
            decode,
            is_complete,
            drafts,
            arena_bytes,
            visited,
            held,
            hashes,
            n_tokens,
            tokens,
            logprobs,
            saved,
        })
    }

    /// Number of tokens of the snapshot that the generator continues, or 0. Prompts begin behind them.
    pub fn n_prefix(&self) -> usize {
        self.model.n_prefix()
    }

    /// True if the generator can continue a text of these tokens: they begin with those of the snapshot, `prefix`, if it has one.
    pub fn continues(&self, tokens: &[u32], prefix: &[u32]) -> bool {
        let n_prefix = self.model.n_prefix();
        n_prefix == 0 || (tokens.len() > n_prefix && tokens.get(..n_prefix) == prefix.get(..n_prefix))
    }

    /// Writes the snapshot of a conversation, of which all tokens but the last are run if they were not yet.
    ///
    /// # Errors
    /// When the sampler looks at more tokens than a snapshot has, when the conversation does not begin with the tokens of the snapshot that the generator continues, when it is longer than
    /// the context, and when the file cannot be written.
    pub fn save_chat(&mut self, chat: &SavedChat, save: &Save) -> Result<Saved> {
        self.sampler.check_stored()?;
        let (model, n_prefix) = (self.model, self.model.n_prefix());
        let tokens = chat.tokens.get(n_prefix..).filter(|tokens| !tokens.is_empty());
        let tokens = tokens.context("the conversation is shorter than the snapshot that it continues")?;
        let n_known = self.rewind_to(tokens);
        let rest = tokens.get(n_known..tokens.len() - 1).unwrap_or_default();
        if !rest.is_empty() {
            self.session.run(rest)?;
            self.note(rest);
        }
        let id = model.model_id.context("a model is read before its text is stored")?;
        let n_last = chat.tokens.len().saturating_sub(TextState::MAX_TOKENS);
        let last_tokens = chat.tokens.get(n_last..).unwrap_or_default();
        let text = TextState { model_name: model.file.short_name(), last_tokens, seed: 0 };
        snapshot_file::save(&save.path, save.force, &mut self.session, id, &text, Some(chat))
    }

    /// Number of tokens that `tokens` has in common with the text read before, leaving at least one to run.
    fn n_same(&self, tokens: &[u32]) -> usize {
        let n_same = self.tokens.iter().zip(tokens).take_while(|(read, token)| read == token).count();
        n_same.min(tokens.len().saturating_sub(1))
    }

    /// Rewinds the session to the end of the beginning that `tokens` share with the text read before, leaving at least one
    /// token to run. Returns the number of tokens that need not run.
    fn rewind_to(&mut self, tokens: &[u32]) -> usize {
        let n = self.n_same(tokens);
        // A ring may have dropped keys that are needed there; then all tokens are read again.
        let n = if self.session.rewind(self.model.n_prefix() + n).is_ok() { n } else { 0 };
        if n == 0 {
            self.session.reset();
        }
        self.tokens.truncate(n);
        n
    }

    /// Appends tokens that were run.
    fn note(&mut self, tokens: &[u32]) {
        if !self.model.options.endless {
            self.tokens.extend(tokens);
        }
    }
}

/// Text while it is generated.
struct Generation<'t, 's, 'a> {
    generator: &'t mut Generator<'s, 'a>,
    prompt: &'t Prompt,
    /// Steps of the library, from token to token.
    steps: nearfield::Generator<'t>,
    prefill: Timing,
    decode: Timing,
    hashes: Hashes,
    n_written: usize,
    written: Vec<u32>,
    logprobs: Vec<Logprobs>,
    saved: Option<Saved>,
}

impl Generation<'_, '_, '_> {
    fn run(&mut self, out: &mut impl Write) -> Result<End> {
        let Prompt { shown, tokens, after, .. } = self.prompt;
        let n_known = self.generator.rewind_to(tokens);
        let start = Instant::now();
        let is_whole = self.read(tokens, n_known);
        let n_read = self.generator.session.pos();
        self.prefill = Timing { n: n_read - self.generator.model.n_prefix() - n_known, time: start.elapsed() };
        if !is_whole? {
            return Ok(End::Cancelled);
        }
        let echo = self.generator.model.options.echo;
        if echo {
            out.write_all(shown)?;
            out.flush()?;
        }
        self.hashes.text.bytes(shown);
        let start = Instant::now();
        let end = self.write(out);
        self.decode = Timing { n: self.generator.session.pos() - n_read, time: start.elapsed() };
        let end = end?;
        if echo {
            out.write_all(after)?;
            out.flush()?;
        }
        if let Some(save) = &self.generator.model.options.save {
            self.saved = Some(self.save(save)?);
        }
        Ok(end)
    }

    /// Runs the prompt without its first `n_known` tokens; false if the monitor asks for an end.
    fn read(&mut self, tokens: &[u32], n_known: usize) -> Result<bool> {
        let model = self.generator.model;
        let n_tokens = model.n_prefix() + tokens.len();
        if !model.options.endless && n_tokens > self.generator.n_ctx() {
            let (n_ctx, has_prefix) = (self.generator.n_ctx(), model.prefix.is_some());
            return Err(PromptTooLong { n_tokens, n_ctx, has_prefix }.into());
        }
        let (known, new) = tokens.split_at(n_known);
        self.steps.accept(known);
        let mut progress = model.file.monitor().begin("reading the prompt", Unit::Positions, new.len() as u64);
        let mut n_run = 0;
        for part in new.chunks(PREFILL_PART) {
            if self.is_cancelled() {
                return Ok(false);
            }
            self.steps.read(&mut self.generator.session, part)?;
            self.generator.note(part);
            n_run += part.len();
            progress.reached(n_run as u64);
        }
        Ok(true)
    }

    /// Writes tokens until the text ends.
    fn write(&mut self, out: &mut impl Write) -> Result<End> {
        let model = self.generator.model;
        // A prompt of one token, the snapshot's last, has no text of its own: the text begins behind that of the snapshot.
        if let Some(prefix) = model.prefix.filter(|_| self.prompt.tokens.len() == 1) {
            self.steps.follow(model.tokenizer, prefix.text().last_tokens)?;
        }
        let mut text = String::new();
        let mut is_cancelled = self.is_cancelled();
        while !is_cancelled {
            let not_run = self.steps.not_run();
            let Some(logits) = self.steps.advance(&mut self.generator.session)? else { break };
            self.hashes.logits.floats(logits);
            is_cancelled = model.file.monitor().is_cancelled();
            let token = if is_cancelled { None } else { self.steps.write(model.tokenizer, &mut text)? };
            if let (Some(n_top), Some(token), false) = (model.options.n_logprobs, token, model.options.endless) {
                self.logprobs.push(Logprobs::new(logits, token, n_top));
            }
            self.generator.note(not_run.as_slice());
            if is_cancelled {
                break;
            }
            self.show(&text, out)?;
            text.clear();
            self.n_written += usize::from(token.is_some());
            if !model.options.endless {
                self.written.extend(token);
            }
        }
        // An unfinished character is left to the text that continues the snapshot.
        match model.options.save {
            None => self.steps.finish(&mut text)?,
            Some(_) => self.steps.pause(&mut text)?,
        }
        self.show(&text, out)?;
        Ok(match self.steps.end() {
            None => End::Cancelled,
            Some(nearfield::End::Length) => End::Length,
            Some(nearfield::End::ContextFull) => End::ContextFull { n_ctx: self.generator.n_ctx() },
            Some(nearfield::End::Token | nearfield::End::Word | nearfield::End::Grammar) => End::Text,
        })
    }

    /// Writes the snapshot of the text: all of its tokens but the last, which a text that continues it runs first.
    fn save(&mut self, save: &Save) -> Result<Saved> {
        let mut last_tokens: Vec<u32> = self.steps.sampler().recent().collect();
        let model = self.generator.model;
        let generator = &mut *self.generator;
        let seed = self.steps.seed();
        match self.steps.not_run() {
            Some(token) => last_tokens.push(token),
            None => {
                generator.session.rewind(generator.session.pos().saturating_sub(1))?;
                generator.tokens.pop();
            }
        }
        let id = model.model_id.context("a model is read before its text is stored")?;
        let text = TextState { model_name: model.file.short_name(), last_tokens: &last_tokens, seed };
        snapshot_file::save(&save.path, save.force, &mut generator.session, id, &text, None)
    }

    fn show(&mut self, text: &str, out: &mut impl Write) -> Result<()> {
        out.write_all(text.as_bytes())?;
        out.flush()?;
        self.hashes.text.bytes(text.as_bytes());
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.generator.model.file.monitor().is_cancelled()
    }
}
