//! From a prompt to a text: tokens in, session, sampler, text out.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nearfield::tokenizer::Tokenizer;
use nearfield::{
    Arena, Generator, GeneratorConfig, MemoryPlan, Model, ModelId, Prefix, Sampler, SamplerConfig, Session,
    SessionConfig, Shape, StopWords, TextState,
};
use nearfield_boards::hash::Fnv64;
use nearfield_host::engine::{Engine, N_BATCH, allocate};
use nearfield_host::interrupt;
use nearfield_host::model_file::ModelFile;
use nearfield_host::progress::Progress;
use nearfield_host::snapshot_file::{self, Stored};

use crate::chart::keys::Keys;
use crate::commands::run::{Length, RunArgs};
use crate::prompt::Prompt;
use crate::terminal::report::{self, Rate};

/// Tokens of a prompt between two looks at Ctrl-C.
const PREFILL_PART: usize = 512;
/// Positions kept for a text of open length.
const OPEN_LENGTH: usize = 1024;

/// What all stories have in common.
pub struct Teller<'s> {
    /// Where the model came from.
    pub file: &'s ModelFile,
    /// The model.
    pub model: &'s Model<'s>,
    /// Its tokenizer.
    pub tokenizer: &'s Tokenizer<'s, 's>,
    /// What computes.
    pub engine: &'s Engine,
    /// What was asked for.
    pub args: &'s RunArgs,
    /// What the model's file is known by, where a text is stored or was.
    pub model_id: Option<ModelId>,
    /// The stored text that goes on.
    pub prefix: Option<Prefix<'s>>,
}

/// What to do where a context is too short.
pub fn more_room(shape: &Shape, n_ctx: usize) -> &'static str {
    match shape.n_positions {
        Some(n_positions) if n_positions <= n_ctx => "the model has learned no more positions",
        _ => "--ctx N makes room for more",
    }
}

/// Why a story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has the length that was asked for.
    Length,
    /// The model ended it.
    Text,
    /// No position is left.
    ContextFull {
        /// Positions there were.
        n_ctx: usize,
    },
    /// Ctrl-C.
    Interrupted,
}

/// How a story went.
pub struct Story {
    /// Why it ended.
    pub end: End,
    /// The prompt.
    pub prefill: Rate,
    /// The rest.
    pub decode: Rate,
    /// All memory that changed.
    pub arena_bytes: usize,
    /// Keys visited.
    pub keys: Keys,
    /// What stands for it when machines are compared.
    pub hashes: Hashes,
    /// The tokens that were written, those of a stop at their end included; none of an endless text.
    pub written: Vec<u32>,
    /// What was stored of it, if that was asked for.
    pub stored: Option<Stored>,
}

/// A story in two numbers, the same on every machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashes {
    /// Of prompt and text.
    pub text: Fnv64,
    /// Of the logits after the prompt and after each token but the last.
    pub logits: Fnv64,
}

impl Teller<'_> {
    /// Hands a session to `then`, with room for a prompt of so many tokens and its answer.
    pub fn with_reader<T>(&self, n_prompt: usize, then: impl FnOnce(&mut Reader<'_, '_>) -> Result<T>) -> Result<T> {
        let config = self.session_config(n_prompt);
        let plan =
            MemoryPlan::new(self.model.shape(), &config).map_err(|error| snapshot_file::explain(error.into()))?;
        if self.args.verbose {
            report::session(self.file, self.model, self.engine, &config);
            report::plan(&plan);
        }
        // The tokenizer has its part already: how long the context is depends on its tokens.
        let mut lines = allocate(plan.session())?;
        let (kernels, executor) = (self.engine.kernels, self.engine.executor());
        let mut arena = Arena::new(&mut lines);
        let session = match self.prefix {
            None => Session::new(self.model, config, kernels, executor, &mut arena)?,
            Some(prefix) => Session::with_prefix(self.model, config, kernels, executor, &mut arena, prefix)
                .map_err(snapshot_file::explain)?,
        };
        then(&mut Reader { teller: self, session, tokens: Vec::new(), arena_bytes: plan.total() })
    }

    /// Tokens that need not be run again.
    fn n_prefix(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.n_tokens())
    }

    fn session_config(&self, n_prompt: usize) -> SessionConfig {
        let n_prefix = self.n_prefix();
        let RunArgs { ctx, n, session, .. } = self.args;
        let default = SessionConfig::default();
        let length = match *n {
            _ if self.args.is_endless() => 0,
            Length::Tokens(n) => n,
            Length::Open | Length::Endless => OPEN_LENGTH,
        };
        let n_ctx = ctx.unwrap_or_else(|| {
            let n_positions = self.model.shape().n_positions.unwrap_or(usize::MAX);
            default.n_ctx.max(n_prefix.saturating_add(n_prompt).saturating_add(length)).min(n_positions)
        });
        SessionConfig { endless: self.args.is_endless(), n_prefix, ..session.config(n_ctx, N_BATCH) }
    }

    fn generator_config<'p>(&self, prompt: &'p Prompt) -> GeneratorConfig<'p> {
        let max_tokens = match self.args.n {
            Length::Tokens(n) => Some(n),
            Length::Open | Length::Endless => None,
        };
        // In a text without end, the next one begins.
        let after_end = self.args.is_endless().then_some("\n\n");
        GeneratorConfig { max_tokens, stop_tokens: &prompt.stops.tokens, after_end }
    }

    fn sampler_config(&self, seed: u64) -> SamplerConfig {
        let args = &self.args.sampler;
        SamplerConfig {
            temp: args.temp,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repeat_penalty: args.repeat_penalty,
            seed,
            ..SamplerConfig::default()
        }
    }
}

/// A session, and the text that it has read: another one that begins alike is not read again as far as they agree.
pub struct Reader<'s, 'a> {
    teller: &'s Teller<'s>,
    session: Session<'s, 's, 'a>,
    /// The tokens that were run, behind a stored text if there is one; none of an endless text, which nothing follows.
    tokens: Vec<u32>,
    arena_bytes: usize,
}

impl<'s> Reader<'s, '_> {
    /// What it has in common with others.
    pub fn teller(&self) -> &'s Teller<'s> {
        self.teller
    }

    /// Positions that there are.
    pub fn n_ctx(&self) -> usize {
        self.session.n_ctx()
    }

    /// Writes the prompt and how it goes on, token by token. The bits are those of a session that reads it all.
    pub fn tell(&mut self, prompt: &Prompt, seed: u64, out: &mut impl Write) -> Result<Story> {
        let mut sampler = Sampler::new(self.teller.sampler_config(seed))?;
        if let Some([before @ .., _]) = self.teller.prefix.map(|prefix| prefix.text().last_tokens) {
            before.iter().for_each(|&token| sampler.accept(token));
        }
        let words = prompt.stops.words();
        let mut memory = vec![0; StopWords::memory_bytes(&words)];
        let stop = StopWords::new(&words, &mut memory).context("memory for the stop words")?;
        let generator = Generator::new(sampler, self.teller.generator_config(prompt), stop);
        let (prefill, decode) = (Rate::default(), Rate::default());
        let (hashes, written) = (Hashes::default(), Vec::new());
        let mut telling = Telling { reader: self, prompt, generator, prefill, decode, hashes, written, stored: None };
        let end = telling.run(out)?;
        let Telling { prefill, decode, hashes, written, stored, .. } = telling;
        let keys = Keys::new(self.teller.model.shape(), self.session.key_stats());
        Ok(Story { end, prefill, decode, arena_bytes: self.arena_bytes, keys, hashes, written, stored })
    }

    /// Goes back to where `tokens` and the text that was read part, and leaves at least one token to run; how many need not
    /// run.
    fn rewind_to(&mut self, tokens: &[u32]) -> usize {
        let n_same = self.tokens.iter().zip(tokens).take_while(|(read, token)| read == token).count();
        let n = n_same.min(tokens.len().saturating_sub(1));
        // A ring may have forgotten what is needed there: all is read again.
        let n = if self.session.rewind(self.teller.n_prefix() + n).is_ok() { n } else { 0 };
        if n == 0 {
            self.session.reset();
        }
        self.tokens.truncate(n);
        n
    }

    /// Notes tokens that were run.
    fn note(&mut self, tokens: &[u32]) {
        if !self.teller.args.is_endless() {
            self.tokens.extend(tokens);
        }
    }
}

/// A story as it is told.
struct Telling<'t, 's, 'a> {
    reader: &'t mut Reader<'s, 'a>,
    prompt: &'t Prompt,
    generator: Generator<'t>,
    prefill: Rate,
    decode: Rate,
    hashes: Hashes,
    written: Vec<u32>,
    stored: Option<Stored>,
}

impl Telling<'_, '_, '_> {
    fn run(&mut self, out: &mut impl Write) -> Result<End> {
        let Prompt { shown, tokens, after, .. } = self.prompt;
        let n_known = self.reader.rewind_to(tokens);
        let start = Instant::now();
        let is_whole = self.read(tokens, n_known);
        let n_read = self.reader.session.pos();
        self.prefill = Rate { n: n_read - self.reader.teller.n_prefix() - n_known, time: start.elapsed() };
        if !is_whole? {
            return Ok(End::Interrupted);
        }
        out.write_all(shown)?;
        out.flush()?;
        self.hashes.text.bytes(shown);
        let start = Instant::now();
        let end = self.write(out);
        self.decode = Rate { n: self.reader.session.pos() - n_read, time: start.elapsed() };
        let end = end?;
        out.write_all(after)?;
        out.flush()?;
        if let Some(path) = &self.reader.teller.args.save_kv {
            self.stored = Some(self.store(path)?);
        }
        Ok(end)
    }

    /// Runs the prompt but for its first `n_known` tokens; false after Ctrl-C.
    fn read(&mut self, tokens: &[u32], n_known: usize) -> Result<bool> {
        let teller = self.reader.teller;
        let n_tokens = teller.n_prefix() + tokens.len();
        if !teller.args.is_endless() && n_tokens > self.reader.n_ctx() {
            let n_ctx = self.reader.n_ctx();
            let more = more_room(teller.model.shape(), n_ctx);
            let what = if teller.prefix.is_some() { "the stored text and the prompt have" } else { "the prompt has" };
            bail!("{what} {n_tokens} tokens, the context {n_ctx}: {more}");
        }
        let (known, new) = tokens.split_at(n_known);
        self.generator.accept(known);
        let mut progress = Progress::of_tokens("reading the prompt", new.len() as u64);
        let mut n_run = 0;
        for part in new.chunks(PREFILL_PART) {
            if interrupt::arrived() {
                return Ok(false);
            }
            self.generator.read(&mut self.reader.session, part)?;
            self.reader.note(part);
            n_run += part.len();
            progress.reached(n_run as u64);
        }
        Ok(true)
    }

    /// Writes tokens until something ends the text.
    fn write(&mut self, out: &mut impl Write) -> Result<End> {
        let teller = self.reader.teller;
        if let Some(prefix) = teller.prefix.filter(|_| self.prompt.shown.is_empty()) {
            self.generator.follow(teller.tokenizer, prefix.text().last_tokens)?;
        }
        let mut text = String::new();
        let mut interrupted = interrupt::arrived();
        while !interrupted {
            let not_run = self.generator.not_run();
            let Some(logits) = self.generator.advance(&mut self.reader.session)? else { break };
            self.hashes.logits.floats(logits);
            self.reader.note(not_run.as_slice());
            interrupted = interrupt::arrived();
            if interrupted {
                break;
            }
            let token = self.generator.write(teller.tokenizer, &mut text)?;
            self.show(&text, out)?;
            text.clear();
            if !teller.args.is_endless() {
                self.written.extend(token);
            }
        }
        // A character that has only begun is finished by whoever goes on.
        match teller.args.save_kv {
            None => self.generator.finish(&mut text)?,
            Some(_) => self.generator.pause(&mut text)?,
        }
        self.show(&text, out)?;
        Ok(match self.generator.end() {
            None => End::Interrupted,
            Some(nearfield::End::Length) => End::Length,
            Some(nearfield::End::ContextFull) => End::ContextFull { n_ctx: self.reader.n_ctx() },
            Some(nearfield::End::Token | nearfield::End::Word) => End::Text,
        })
    }

    /// Stores the text: all of its tokens but the last, which whoever goes on runs first.
    fn store(&mut self, path: &Path) -> Result<Stored> {
        let mut last_tokens: Vec<u32> = self.generator.sampler().recent().collect();
        let teller = self.reader.teller;
        let reader = &mut *self.reader;
        let seed = self.generator.seed();
        match self.generator.not_run() {
            Some(token) => last_tokens.push(token),
            None => {
                reader.session.rewind(reader.session.pos().saturating_sub(1))?;
                reader.tokens.pop();
            }
        }
        let model = teller.model_id.context("a model is read before its text is stored")?;
        let text = TextState { model_name: teller.file.short_name(), last_tokens: &last_tokens, seed };
        snapshot_file::save(path, teller.args.force, &reader.session, model, &text)
    }

    fn show(&mut self, text: &str, out: &mut impl Write) -> Result<()> {
        out.write_all(text.as_bytes())?;
        out.flush()?;
        self.hashes.text.bytes(text.as_bytes());
        Ok(())
    }
}
