//! From a prompt to a text: tokens in, session, sampler, text out.

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, bail};
use nearfield::tokenizer::{Detokenizer, Tokenizer};
use nearfield::{Arena, MemoryPlan, Model, Sampler, SamplerConfig, Session, SessionConfig, Shape};
use nearfield_boards::hash::Fnv64;

use crate::engine::{Engine, N_BATCH, allocate};
use crate::interrupt;
use crate::keys::Keys;
use crate::model_file::ModelFile;
use crate::progress::Progress;
use crate::prompt::Prompt;
use crate::report::{self, Rate};
use crate::run::{Length, RunArgs};

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
    /// Writes the prompt and how it goes on, token by token.
    pub fn tell(&self, prompt: &Prompt, seed: u64, out: &mut impl Write) -> Result<Story> {
        let config = self.session_config(prompt.tokens.len());
        let sampler = Sampler::new(self.sampler_config(seed))?;
        let plan = MemoryPlan::new(self.model.shape(), &config)?;
        if self.args.verbose {
            report::session(self.file, self.model, self.engine, &config);
            report::plan(&plan);
        }
        // The tokenizer has its part already: how long the context is depends on its tokens.
        let mut lines = allocate(plan.session())?;
        let Engine { kernels, .. } = *self.engine;
        let session = Session::new(self.model, config, kernels, self.engine.executor(), &mut Arena::new(&mut lines))?;
        let mut telling = Telling {
            teller: self,
            prompt,
            session,
            sampler,
            prefill: Rate::default(),
            decode: Rate::default(),
            hashes: Hashes::default(),
        };
        let end = telling.run(out)?;
        Ok(Story {
            end,
            prefill: telling.prefill,
            decode: telling.decode,
            arena_bytes: plan.total(),
            keys: Keys::new(self.model.shape(), telling.session.key_stats()),
            hashes: telling.hashes,
        })
    }

    fn session_config(&self, n_prompt: usize) -> SessionConfig {
        let RunArgs { ctx, n, session, .. } = self.args;
        let default = SessionConfig::default();
        let length = match *n {
            _ if self.args.is_endless() => 0,
            Length::Tokens(n) => n,
            Length::Open | Length::Endless => OPEN_LENGTH,
        };
        let n_ctx = ctx.unwrap_or_else(|| {
            let n_positions = self.model.shape().n_positions.unwrap_or(usize::MAX);
            default.n_ctx.max(n_prompt.saturating_add(length)).min(n_positions)
        });
        SessionConfig { endless: self.args.is_endless(), ..session.config(n_ctx, N_BATCH) }
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

/// A story as it is told.
struct Telling<'s, 'a> {
    teller: &'s Teller<'s>,
    prompt: &'s Prompt,
    session: Session<'s, 's, 'a>,
    sampler: Sampler,
    prefill: Rate,
    decode: Rate,
    hashes: Hashes,
}

impl Telling<'_, '_> {
    fn run(&mut self, out: &mut impl Write) -> Result<End> {
        let Prompt { shown, tokens, after, .. } = self.prompt;
        let start = Instant::now();
        let first = self.read(tokens);
        self.prefill = Rate { n: self.session.pos(), time: start.elapsed() };
        let Some(first) = first? else { return Ok(End::Interrupted) };
        out.write_all(shown)?;
        out.flush()?;
        self.hashes.text.bytes(shown);
        let start = Instant::now();
        let end = self.write(first, out);
        self.decode = Rate { n: self.session.pos() - self.prefill.n, time: start.elapsed() };
        let end = end?;
        out.write_all(after)?;
        out.flush()?;
        Ok(end)
    }

    /// Runs the prompt; the first token of the answer, or none after Ctrl-C.
    fn read(&mut self, tokens: &[u32]) -> Result<Option<u32>> {
        if !self.teller.args.is_endless() && tokens.len() > self.session.n_ctx() {
            let n_ctx = self.session.n_ctx();
            let more = more_room(self.teller.model.shape(), n_ctx);
            bail!("the prompt has {} tokens, the context {n_ctx}: {more}", tokens.len());
        }
        let mut progress = Progress::of_tokens("reading the prompt", tokens.len() as u64);
        let mut next = None;
        for part in tokens.chunks(PREFILL_PART) {
            if interrupt::pressed() {
                return Ok(None);
            }
            part.iter().for_each(|&token| self.sampler.accept(token));
            let is_last = self.session.pos() + part.len() == tokens.len();
            let logits = self.session.prefill(part)?;
            if is_last {
                self.hashes.logits.floats(logits);
                next = Some(self.sampler.sample(self.teller.of_tokens(logits)));
            }
            progress.reached(self.session.pos() as u64);
        }
        Ok(next)
    }

    /// Writes tokens from `token` on until something ends it.
    fn write(&mut self, mut token: u32, out: &mut impl Write) -> Result<End> {
        let tokenizer = self.teller.tokenizer;
        let mut detokenizer = Detokenizer::new(false);
        let mut text = String::new();
        let mut n = 0;
        let end = loop {
            if let Some(end) = self.end_before(token, n) {
                break end;
            }
            detokenizer.push(tokenizer, token, &mut text)?;
            if self.is_end_of_text(token) {
                // The next one begins.
                text.push_str("\n\n");
            }
            out.write_all(text.as_bytes())?;
            out.flush()?;
            self.hashes.text.bytes(text.as_bytes());
            text.clear();
            n += 1;
            if self.teller.args.n == Length::Tokens(n) {
                break End::Length;
            }
            if !self.teller.args.is_endless() && self.session.pos() == self.session.n_ctx() {
                break End::ContextFull { n_ctx: self.session.n_ctx() };
            }
            self.sampler.accept(token);
            let logits = self.session.decode(token)?;
            self.hashes.logits.floats(logits);
            token = self.sampler.sample(self.teller.of_tokens(logits));
        };
        detokenizer.finish(&mut text)?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        self.hashes.text.bytes(text.as_bytes());
        Ok(end)
    }

    fn is_end_of_text(&self, token: u32) -> bool {
        self.teller.tokenizer.vocab().eos == Some(token) || self.prompt.stops.contains(&token)
    }

    /// Whether the text ends before its `n`th token, which would be `token`.
    fn end_before(&self, token: u32, n: usize) -> Option<End> {
        if interrupt::pressed() {
            Some(End::Interrupted)
        } else if self.is_end_of_text(token) && !self.teller.args.is_endless() {
            Some(End::Text)
        } else {
            (self.teller.args.n == Length::Tokens(n)).then_some(End::Length)
        }
    }
}

impl Teller<'_> {
    /// The logits without those of a padded vocabulary, which stand for no token.
    fn of_tokens<'l>(&self, logits: &'l [f32]) -> &'l [f32] {
        &logits[..logits.len().min(self.tokenizer.n_tokens())]
    }
}
