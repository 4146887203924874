//! Text while it is generated: a job, and the library's steps over it.

use std::sync::Arc;
use std::time::Instant;

use nearfield::tokenizer::Tokenizer;
use nearfield::{Batch, Chunk, ChunkTokens, End, Generator, GeneratorConfig, SamplerError, Sequence, StopWords};
use nearfield_host::Error;
use nearfield_host::logprobs::Logprobs;
use nearfield_host::sampler::PreparedSampler;
use self_cell::{MutBorrow, self_cell};

use super::grammars::Lease;
use super::job::{Ended, Event, Failure, Job, Keys, News, Token, Work};

type WordRefs<'w> = Vec<&'w str>;
type SequenceRefs<'q> = Vec<&'q [u32]>;

self_cell! {
    /// Stop words, and the references that the library takes.
    struct Words {
        owner: Vec<String>,
        #[covariant]
        dependent: WordRefs,
    }
}

self_cell! {
    /// Settings of sampling, and the references to DRY's breakers that the library takes.
    struct Sampling {
        owner: Arc<PreparedSampler>,
        #[covariant]
        dependent: SequenceRefs,
    }
}

/// Memory that a generator borrows.
struct Lent {
    sampling: Sampling,
    sampler_memory: MutBorrow<Vec<u32>>,
    words: Words,
    stop_tokens: Vec<u32>,
    stop_memory: MutBorrow<Vec<u8>>,
    grammar: Option<MutBorrow<Lease>>,
}

self_cell! {
    /// Generator with the memory that it borrows.
    struct Steps {
        owner: Lent,
        #[not_covariant]
        dependent: Generator,
    }
}

impl Steps {
    /// Generator of a job's text with the matcher of its grammar; its sampler knows the tokens before. The stops of the job move to it.
    fn of(job: &mut Job, grammar: Option<Lease>, before: &[u32]) -> Result<Self, SamplerError> {
        let sampling = Sampling::new(Arc::clone(&job.sampler), |prepared| prepared.sequences());
        let sampler_memory = MutBorrow::new(job.sampler.memory());
        let stops = std::mem::take(&mut job.stops);
        let words = Words::new(stops.texts, |texts| texts.iter().map(String::as_str).collect());
        let stop_memory = MutBorrow::new(vec![0; StopWords::memory_bytes(words.borrow_dependent())]);
        let lent = Lent {
            sampling,
            sampler_memory,
            words,
            stop_tokens: stops.tokens,
            stop_memory,
            grammar: grammar.map(MutBorrow::new),
        };
        let (max_tokens, seed) = (job.max_tokens, job.seed);
        let before = before.split_last().map_or(before, |(_, before)| before);
        Self::try_new(lent, |lent| {
            let (prepared, sequences) = (lent.sampling.borrow_owner(), lent.sampling.borrow_dependent());
            let mut sampler = prepared.sampler(seed, sequences, lent.sampler_memory.borrow_mut())?;
            before.iter().chain(&job.prompt).for_each(|&token| sampler.accept(token));
            let config = GeneratorConfig { max_tokens, stop_tokens: &lent.stop_tokens, after_end: None };
            // The memory has the length that the words need.
            let stop = StopWords::new(lent.words.borrow_dependent(), lent.stop_memory.borrow_mut());
            let steps = Generator::new(sampler, config, stop.unwrap_or_default());
            Ok(match &lent.grammar {
                None => steps,
                Some(grammar) => steps.with_constraint(grammar.borrow_mut()),
            })
        })
    }
}

/// Text while it is generated.
pub struct Text {
    job: Job,
    steps: Steps,
    /// Tokens of the chunk of the next pass.
    chunk: ChunkTokens,
    /// Keys visited before the pass, if they were asked for.
    visited: Vec<u64>,
    work: Work,
    began: Instant,
    /// Moment at which the prompt was read.
    read: Option<Instant>,
}

/// Part of a text in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Tokens of the prompt, this many at most.
    Prompt(usize),
    /// The token that was generated last.
    Generated,
}

impl Text {
    /// Text of a job with the matcher of its grammar; `None` if it failed, which its receiver was told. `before` are the last tokens
    /// of the snapshot that it continues, of which the prompt begins with the very last; a slot has `n_reused` tokens of the prompt.
    pub fn new(
        mut job: Job,
        grammar: Option<Lease>,
        before: &[u32],
        tokenizer: &Tokenizer<'_, '_>,
        n_reused: usize,
    ) -> Option<Self> {
        let mut steps = match Steps::of(&mut job, grammar, before) {
            Ok(steps) => steps,
            Err(error) => {
                job.fail(&error);
                return None;
            }
        };
        if !job.shows_prompt {
            // The tokens are those of the model.
            let _ = steps.with_dependent_mut(|_, steps| steps.follow(tokenizer, before));
        }
        let work = Work { n_prompt: job.prompt.len(), n_reused, ..Work::default() };
        let chunk = ChunkTokens::default();
        Some(Self { job, steps, chunk, visited: Vec::new(), work, began: Instant::now(), read: None })
    }

    /// True once nobody waits for the text.
    pub fn is_gone(&self) -> bool {
        self.job.events.is_closed()
    }

    /// True if the text has had the time that it may take.
    pub fn is_late(&self, now: Instant) -> bool {
        now >= self.job.deadline
    }

    /// True if the prompt was not read to its end; `n_run` tokens were.
    pub fn is_reading(&self, n_run: usize) -> bool {
        n_run < self.work.n_prompt
    }

    /// Tokens of the text for the next pass; `None` if the text has ended. `tokens` are those that `sequence` has run.
    pub fn chunk<'c, 'm, 'a>(
        &'c mut self,
        sequence: &'c mut Sequence<'m, 'a>,
        n_run: usize,
        part: Part,
    ) -> Option<Chunk<'c, 'm, 'a>> {
        if self.job.wants_keys {
            self.visited.clear();
            self.visited.extend(sequence.key_stats().visited);
        }
        let n_most = match part {
            Part::Prompt(n_most) => n_most,
            Part::Generated => {
                let Self { steps, chunk, .. } = self;
                return steps.with_dependent_mut(|_, steps| steps.chunk(sequence, chunk));
            }
        };
        let rest = self.job.prompt.get(n_run..)?;
        // The keys that the last token visits are told apart if it runs alone.
        let n_most = if self.job.wants_keys && rest.len() > 1 { n_most.min(rest.len() - 1) } else { n_most };
        match rest.get(..n_most) {
            Some(first) if n_most < rest.len() => Some(Chunk::new(sequence, first).without_logits()),
            _ => Some(Chunk::new(sequence, rest)),
        }
    }

    /// Tokens that run in the next pass, from the first `n_run` of the text on.
    pub fn next_tokens(&self, n_run: usize) -> impl Iterator<Item = u32> {
        let of_prompt = self.job.prompt.get(n_run..).unwrap_or_default();
        let generated = if of_prompt.is_empty() { self.steps.with_dependent(|_, steps| steps.not_run()) } else { None };
        of_prompt.iter().copied().chain(generated)
    }

    /// Draws the next token, once all tokens so far were run, and tells it. Returns how the text ended, if it did.
    ///
    /// # Errors
    /// When the model computes numbers that are not finite, and when its grammar cannot be followed.
    pub fn draw(
        &mut self,
        batch: &mut Batch<'_, '_, '_>,
        sequence: &mut Sequence<'_, '_>,
        tokenizer: &Tokenizer<'_, '_>,
    ) -> Result<Option<End>, Error> {
        let Self { job, steps, visited, .. } = self;
        let read = *self.read.get_or_insert_with(Instant::now);
        let n_logprobs = job.n_logprobs;
        let mut text = String::new();
        let (token, logprobs, end) = steps.with_dependent_mut(|_, steps| {
            let Some(logits) = steps.draw(batch, sequence)? else { return Ok((None, None, steps.end())) };
            let token = steps.write(tokenizer, &mut text)?;
            let logprobs = token.zip(n_logprobs).map(|(token, n)| Logprobs::new(logits, token, n));
            Ok::<_, Error>((token, logprobs, steps.end()))
        })?;
        if let Some(id) = token {
            let keys = job.wants_keys.then(|| Keys {
                pos: sequence.pos().saturating_sub(1),
                visited: sequence.key_stats().visited.iter().zip(visited.iter()).map(|(now, was)| now - was).collect(),
            });
            // Nobody may be waiting any more, which the next pass finds out.
            let news = News::Token(Token { id, text, logprobs, keys });
            let _ = job.events.send(Event { index: job.index, news });
        }
        let is_over = job.time.is_some_and(|time| read.elapsed() >= time);
        Ok(end.or(is_over.then_some(End::Length)))
    }

    /// Reason why the text ended; `None` while it goes on.
    pub fn end(&self) -> Option<End> {
        self.steps.with_dependent(|_, steps| steps.end())
    }

    /// Tells the end of the text; returns the work that it took.
    pub fn finish(mut self, end: End) -> Work {
        let mut text = String::new();
        let (finished, n_tokens) =
            self.steps.with_dependent_mut(|_, steps| (steps.finish(&mut text), steps.n_tokens()));
        // A string takes all text.
        let _ = finished;
        let read = self.read.unwrap_or_else(Instant::now);
        self.work.prompt = read - self.began;
        self.work.generate = read.elapsed();
        self.work.n_tokens = n_tokens;
        self.tell(News::Ended(Ended { text, end, work: self.work }));
        self.work
    }

    /// Tells that the text cannot go on.
    pub fn fail(self, failure: Failure) {
        self.tell(News::Failed(failure));
    }

    fn tell(&self, news: News) {
        // Nobody may be waiting any more.
        let _ = self.job.events.send(Event { index: self.job.index, news });
    }
}
