//! From a prompt to a text: tokens in, session, sampler, text out.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nearfield::tokenizer::{Detokenizer, Tokenizer};
use nearfield::{
    Arena, MemoryPlan, Model, ModelId, Prefix, Sampler, SamplerConfig, Session, SessionConfig, Shape, TextState,
};
use nearfield_boards::hash::Fnv64;
use nearfield_host::engine::{Engine, N_BATCH, allocate};
use nearfield_host::model_file::ModelFile;
use nearfield_host::snapshot_file::{self, Saved};
use nearfield_host::stops::Until;

use crate::chart::keys::Keys;
use crate::commands::run::{Length, RunArgs};
use crate::errors;
use crate::prompt::Prompt;
use crate::terminal::Progress;
use crate::terminal::interrupt;
use crate::terminal::report::{self, Rate};

/// Tokens of a prompt between two looks at Ctrl-C: enough that the logits computed after each such part do not count.
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
    pub stored: Option<Saved>,
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
        let plan = MemoryPlan::new(self.model.shape(), &config).map_err(|error| errors::of_snapshot(error.into()))?;
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
                .map_err(errors::of_snapshot)?,
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
        let (prefill, decode) = (Rate::default(), Rate::default());
        let mut telling = Telling {
            reader: self,
            prompt,
            sampler,
            prefill,
            decode,
            hashes: Hashes::default(),
            written: Vec::new(),
            seed_before: seed,
            not_run: None,
            stored: None,
        };
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

    /// Runs tokens that follow.
    fn run(&mut self, tokens: &[u32]) -> Result<&[f32]> {
        let logits = self.session.prefill(tokens)?;
        if !self.teller.args.is_endless() {
            self.tokens.extend(tokens);
        }
        Ok(logits)
    }
}

/// A story as it is told.
struct Telling<'t, 's, 'a> {
    reader: &'t mut Reader<'s, 'a>,
    prompt: &'t Prompt,
    sampler: Sampler,
    prefill: Rate,
    decode: Rate,
    hashes: Hashes,
    written: Vec<u32>,
    /// State of the random numbers before the last draw.
    seed_before: u64,
    /// The last token of the text, if it is yet to be run.
    not_run: Option<u32>,
    stored: Option<Saved>,
}

impl Telling<'_, '_, '_> {
    fn run(&mut self, out: &mut impl Write) -> Result<End> {
        let Prompt { shown, tokens, after, .. } = self.prompt;
        let n_known = self.reader.rewind_to(tokens);
        let start = Instant::now();
        let first = self.read(tokens, n_known);
        let n_read = self.reader.session.pos();
        self.prefill = Rate { n: n_read - self.reader.teller.n_prefix() - n_known, time: start.elapsed() };
        let Some(first) = first? else { return Ok(End::Interrupted) };
        out.write_all(shown)?;
        out.flush()?;
        self.hashes.text.bytes(shown);
        let start = Instant::now();
        let end = self.write(first, out);
        self.decode = Rate { n: self.reader.session.pos() - n_read, time: start.elapsed() };
        let end = end?;
        out.write_all(after)?;
        out.flush()?;
        if let Some(path) = &self.reader.teller.args.save_kv {
            self.stored = Some(self.store(path)?);
        }
        Ok(end)
    }

    /// Runs the prompt but for its first `n_known` tokens; the first token of the answer, or none after Ctrl-C.
    fn read(&mut self, tokens: &[u32], n_known: usize) -> Result<Option<u32>> {
        let teller = self.reader.teller;
        let n_tokens = teller.n_prefix() + tokens.len();
        if !teller.args.is_endless() && n_tokens > self.reader.n_ctx() {
            let n_ctx = self.reader.n_ctx();
            let more = more_room(teller.model.shape(), n_ctx);
            let what = if teller.prefix.is_some() { "the stored text and the prompt have" } else { "the prompt has" };
            bail!("{what} {n_tokens} tokens, the context {n_ctx}: {more}");
        }
        let (known, new) = tokens.split_at(n_known);
        known.iter().for_each(|&token| self.sampler.accept(token));
        let mut progress = Progress::of_tokens("reading the prompt", new.len() as u64);
        let (mut next, mut n_run) = (None, 0);
        for part in new.chunks(PREFILL_PART) {
            if interrupt::arrived() {
                return Ok(None);
            }
            part.iter().for_each(|&token| self.sampler.accept(token));
            n_run += part.len();
            let logits = self.reader.run(part)?;
            if n_run == new.len() {
                self.hashes.logits.floats(logits);
                self.seed_before = self.sampler.seed();
                next = Some(self.sampler.sample(teller.of_tokens(logits)));
            }
            progress.reached(n_run as u64);
        }
        Ok(next)
    }

    /// Writes tokens from `token` on until something ends it.
    fn write(&mut self, mut token: u32, out: &mut impl Write) -> Result<End> {
        let teller = self.reader.teller;
        let is_endless = teller.args.is_endless();
        let mut detokenizer = self.detokenizer()?;
        self.not_run = None;
        let mut until = Until::new(&self.prompt.stops);
        let mut text = String::new();
        let mut n = 0;
        let end = loop {
            if let Some(end) = self.end_before(token, n) {
                break end;
            }
            detokenizer.push(teller.tokenizer, token, &mut text)?;
            if self.is_end_of_text(token) {
                // The next one begins.
                text.push_str("\n\n");
            }
            self.show(&until.push_token(teller.tokenizer, token, &text)?, out)?;
            text.clear();
            n += 1;
            if !is_endless {
                self.written.push(token);
            }
            self.not_run = Some(token);
            if until.found() {
                break End::Text;
            }
            if teller.args.n == Length::Tokens(n) {
                break End::Length;
            }
            if !is_endless && self.reader.session.pos() == self.reader.n_ctx() {
                break End::ContextFull { n_ctx: self.reader.n_ctx() };
            }
            self.sampler.accept(token);
            let logits = self.reader.run(&[token])?;
            self.not_run = None;
            self.hashes.logits.floats(logits);
            self.seed_before = self.sampler.seed();
            token = self.sampler.sample(teller.of_tokens(logits));
        };
        // A character that has only begun is finished by whoever goes on.
        if teller.args.save_kv.is_none() {
            detokenizer.finish(&mut text)?;
        }
        let rest = until.push(&text) + &until.finish();
        self.show(&rest, out)?;
        Ok(end)
    }

    /// One that knows of a character which began in a stored text.
    fn detokenizer(&self) -> Result<Detokenizer> {
        let teller = self.reader.teller;
        let (mut detokenizer, mut shown_before) = (Detokenizer::new(false), String::new());
        let prefix = teller.prefix.filter(|_| self.prompt.shown.is_empty());
        for &token in prefix.iter().flat_map(|prefix| prefix.text().last_tokens) {
            detokenizer.push(teller.tokenizer, token, &mut shown_before)?;
        }
        Ok(detokenizer)
    }

    /// Stores the text: all of its tokens but the last, which whoever goes on runs first.
    fn store(&mut self, path: &Path) -> Result<Saved> {
        let mut last_tokens: Vec<u32> = self.sampler.recent().collect();
        let teller = self.reader.teller;
        let reader = &mut *self.reader;
        let seed = match self.not_run {
            Some(token) => {
                last_tokens.push(token);
                self.sampler.seed()
            }
            // What was drawn behind it was not shown: it will be drawn again.
            None => {
                reader.session.rewind(reader.session.pos().saturating_sub(1))?;
                reader.tokens.pop();
                self.seed_before
            }
        };
        let model = teller.model_id.context("a model is read before its text is stored")?;
        let text = TextState { model_name: teller.file.short_name(), last_tokens: &last_tokens, seed };
        Ok(snapshot_file::save(path, teller.args.force, &reader.session, model, &text)?)
    }

    fn show(&mut self, text: &str, out: &mut impl Write) -> Result<()> {
        out.write_all(text.as_bytes())?;
        out.flush()?;
        self.hashes.text.bytes(text.as_bytes());
        Ok(())
    }

    fn is_end_of_text(&self, token: u32) -> bool {
        self.reader.teller.tokenizer.vocab().is_end(token) || self.prompt.stops.tokens.contains(&token)
    }

    /// Whether the text ends before its `n`th token, which would be `token`.
    fn end_before(&self, token: u32, n: usize) -> Option<End> {
        if interrupt::arrived() {
            Some(End::Interrupted)
        } else if self.is_end_of_text(token) && !self.reader.teller.args.is_endless() {
            Some(End::Text)
        } else {
            (self.reader.teller.args.n == Length::Tokens(n)).then_some(End::Length)
        }
    }
}

impl Teller<'_> {
    /// The logits without those of a padded vocabulary, which stand for no token.
    fn of_tokens<'l>(&self, logits: &'l [f32]) -> &'l [f32] {
        &logits[..logits.len().min(self.tokenizer.n_tokens())]
    }
}
