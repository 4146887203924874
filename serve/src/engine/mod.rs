//! Thread of a model that continues texts: it owns a batch and the sequences of the slots, and runs the passes that they share.
//!
//! ```text
//!   loop:
//!     admit   gives waiting jobs to free slots; without a running text, waits for a job
//!     pass    runs the next token of each text, and parts of prompts beside them; tells the tokens drawn
//! ```
//!
//! A text has the bits that it has alone, whatever runs beside it: so do prompts, however they are cut into parts.

pub mod encoder;
pub mod grammars;
pub mod job;
mod slots;
mod text;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nearfield::tokenizer::Tokenizer;
use nearfield::{
    Arena, Batch, BatchConfig, BatchPlan, Chunk, End, MemoryPlan, Model, Prefix, RunError, Sequence, SessionConfig,
    SessionError,
};
use nearfield_host::engine::{Engine, N_BATCH};
use nearfield_host::memory::allocate;
use nearfield_host::{Error, Result};

use crate::metrics::Metrics;
use crate::queue::Queue;
use grammars::Grammars;
use job::{Event, Failure, Job, News};
use slots::{FreeSlot, choose};
use text::{Part, Text};

/// Tokens of prompts in a pass in which other texts go on: more would make these wait.
const PROMPT_PART: usize = 64;
/// Least number of tokens that a prompt gets in a pass, if there are as many.
const LEAST_PART: usize = 16;

/// Model and settings of a thread.
pub struct Setup {
    /// Tables and weights of the model.
    pub model: &'static Model<'static>,
    /// Tokenizer of the model.
    pub tokenizer: &'static Tokenizer<'static, 'static>,
    /// Kernels and threads, which all models share.
    pub engine: &'static Engine,
    /// Settings of each text.
    pub session: SessionConfig,
    /// Snapshot that each text continues.
    pub prefix: Option<Prefix<'static>>,
    /// Matchers of grammars.
    pub grammars: &'static Grammars,
    /// Number of texts that run together.
    pub n_slots: usize,
    /// Jobs to do.
    pub queue: Arc<Queue<Job>>,
    /// Counts that the thread adds to.
    pub metrics: Arc<Metrics>,
    /// True once running texts must end.
    pub stop: Arc<AtomicBool>,
}

/// Starts the thread of a model.
///
/// # Errors
/// When no plan can be made for the settings, or memory is short.
pub fn start(setup: Setup) -> Result<()> {
    worker::start(setup.queue.clone(), move |ready| run(&setup, ready))
}

fn run(setup: &Setup, ready: &dyn Fn()) -> Result<()> {
    let shape = setup.model.shape();
    let shared = BatchConfig { n_tokens: N_BATCH.max(setup.n_slots), n_outputs: setup.n_slots };
    let of_sequences = MemoryPlan::new(shape, &setup.session).map_err(SessionError::from)?.sequence();
    let of_batch = BatchPlan::new(shape, &shared).map_err(SessionError::from)?.total();
    let n_bytes = of_sequences.checked_mul(setup.n_slots).and_then(|n| n.checked_add(of_batch));
    let mut lines = allocate(n_bytes.ok_or_else(|| Error::invalid("the slots need more memory than there can be"))?)?;
    let mut arena = Arena::new(&mut lines);
    let (kernels, executor) = (setup.engine.kernels, setup.engine.executor());
    let batch = Batch::new(setup.model, shared, kernels, executor, &mut arena)?;
    let slot = |_| {
        let sequence = match setup.prefix {
            None => batch.sequence(setup.session, &mut arena)?,
            Some(prefix) => batch.sequence_with_prefix(setup.session, &mut arena, prefix)?,
        };
        Ok(Slot { sequence, tokens: Vec::new(), used: 0, text: None })
    };
    let slots = (0..setup.n_slots).map(slot).collect::<Result<_>>()?;
    ready();
    Running { setup, batch, slots, n_passes: 0 }.run();
    Ok(())
}

/// Sequence, the tokens that it has run behind the snapshot, and the text that it runs.
struct Slot<'m, 'a> {
    sequence: Sequence<'m, 'a>,
    tokens: Vec<u32>,
    /// Number of the pass that used it last.
    used: u64,
    text: Option<Text>,
}

impl Slot<'_, '_> {
    /// Goes back to the first `n` tokens, or to none if a ring has dropped keys that are needed there. Returns the number of tokens
    /// that are left. `n_prefix` are those of the snapshot.
    fn rewind(&mut self, n: usize, n_prefix: usize) -> usize {
        let n = if n > 0 && self.sequence.rewind(n_prefix + n).is_ok() { n } else { 0 };
        if n == 0 {
            self.sequence.reset();
        }
        self.tokens.truncate(n);
        n
    }

    fn is_reading(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.is_reading(self.tokens.len()))
    }
}

struct Running<'s, 'm, 'f, 'a> {
    setup: &'s Setup,
    batch: Batch<'m, 'f, 'a>,
    slots: Vec<Slot<'m, 'a>>,
    n_passes: u64,
}

impl Running<'_, '_, '_, '_> {
    fn run(&mut self) {
        while self.admit() {
            self.pass();
        }
    }

    fn n_running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.text.is_some()).count()
    }

    /// Gives jobs to free slots; false once no job will come.
    fn admit(&mut self) -> bool {
        loop {
            let n_running = self.n_running();
            self.setup.metrics.running.set(n_running as u64);
            if n_running == self.slots.len() {
                return true;
            }
            let job = if n_running == 0 { self.setup.queue.pop() } else { self.setup.queue.try_pop() };
            match job {
                Some(job) => self.begin(job),
                None => return n_running > 0,
            }
        }
    }

    /// Begins a job in the slot that fits it best.
    fn begin(&mut self, job: Job) {
        let free = self.slots.iter().enumerate().filter(|(_, slot)| slot.text.is_none());
        let free = free.map(|(index, slot)| FreeSlot { index, tokens: &slot.tokens, used: slot.used });
        let Some((index, n_common)) = choose(free, &job.prompt) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let n_reused = slot.rewind(n_common, self.setup.session.n_prefix);
        let metrics = &self.setup.metrics;
        metrics.prompt_tokens.add(job.prompt.len() as u64);
        metrics.reused_tokens.add(n_reused as u64);
        slot.used = self.n_passes;
        let lease = match job.grammar.as_ref().map(|grammar| self.setup.grammars.take(grammar)).transpose() {
            Ok(lease) => lease,
            Err(error) => return job.fail(&error),
        };
        let before = self.setup.prefix.map_or(&[][..], |prefix| prefix.text().last_tokens);
        slot.text = Text::new(job, lease, before, self.setup.tokenizer, n_reused);
    }

    /// Ends texts that nobody waits for, and those that are late, with the jobs that wait.
    fn weed(&mut self) {
        let (now, stops) = (Instant::now(), self.setup.stop.load(Ordering::Relaxed));
        for job in self.setup.queue.take(|job| stops || now >= job.deadline) {
            let failure = if stops { Failure::Stopped } else { Failure::TimedOut };
            let _ = job.events.send(Event { index: job.index, news: News::Failed(failure) });
        }
        for slot in &mut self.slots {
            let Some(text) = &slot.text else { continue };
            let failure = match () {
                () if text.is_gone() => {
                    self.setup.metrics.cancelled.add(1);
                    slot.text = None;
                    continue;
                }
                () if stops => Failure::Stopped,
                () if text.is_late(now) => Failure::TimedOut,
                () => continue,
            };
            if let Some(text) = slot.text.take() {
                text.fail(failure);
            }
        }
    }

    fn pass(&mut self) {
        self.weed();
        let n_reading = self.slots.iter().filter(|slot| slot.is_reading()).count();
        let n_others = self.n_running() - n_reading;
        if n_reading + n_others == 0 {
            return;
        }
        let room = if n_others > 0 { PROMPT_PART } else { N_BATCH };
        let share = (room / n_reading.max(1)).max(LEAST_PART);
        let began = Instant::now();
        self.n_passes += 1;
        // Generated tokens come first in the pass, then parts of prompts as long as there is room.
        let mut chunks: Vec<(usize, bool, Chunk<'_, '_, '_>)> = Vec::with_capacity(n_reading + n_others);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let is_reading = slot.is_reading();
            let Some(text) = &mut slot.text else { continue };
            let part = if is_reading { Part::Prompt(share) } else { Part::Generated };
            if let Some(chunk) = text.chunk(&mut slot.sequence, slot.tokens.len(), part) {
                chunks.push((index, is_reading, chunk));
            }
        }
        chunks.sort_by_key(|&(_, is_reading, _)| is_reading);
        let (places, mut chunks): (Vec<usize>, Vec<_>) =
            chunks.into_iter().map(|(index, _, chunk)| (index, chunk)).unzip();
        let ran = self.batch.run(&mut chunks);
        let n_run: Vec<usize> = chunks.iter().map(Chunk::n_run).collect();
        drop(chunks);
        let metrics = &self.setup.metrics;
        metrics.passes.add(1);
        metrics.pass_tokens.add(n_run.iter().sum::<usize>() as u64);
        metrics.busy.add(began.elapsed().as_micros() as u64);
        match ran {
            Ok(_) => places.into_iter().zip(n_run).for_each(|(index, n_run)| self.ran(index, n_run)),
            // A chunk that cannot run is a bug: its text ends, the others go on in the next pass.
            Err(error) => {
                let slot = places.get(error.chunk).and_then(|&index| self.slots.get_mut(index));
                if let Some(text) = slot.and_then(|slot| slot.text.take()) {
                    text.fail(Failure::Broken(error.error.to_string()));
                }
            }
        }
        self.end_full();
    }

    /// Goes on with the text of a slot after `n_run` of its tokens ran.
    fn ran(&mut self, index: usize, n_run: usize) {
        let (tokenizer, metrics) = (self.setup.tokenizer, &self.setup.metrics);
        let Some(slot) = self.slots.get_mut(index).filter(|_| n_run > 0) else { return };
        let Some(text) = &mut slot.text else { return };
        slot.used = self.n_passes;
        let tokens: Vec<u32> = text.next_tokens(slot.tokens.len()).take(n_run).collect();
        slot.tokens.extend(tokens);
        if text.is_reading(slot.tokens.len()) {
            return;
        }
        let drawn = text.draw(&mut self.batch, &mut slot.sequence, tokenizer);
        metrics.generated_tokens.add(1);
        match drawn {
            Ok(None) => {}
            Ok(Some(end)) => self.finish(index, end),
            Err(error) => {
                let failure = match error.cause() {
                    Error::Run(RunError::Grammar(_)) => Failure::Form(error.to_string()),
                    // Keys of a broken text are no beginning for another.
                    _ => {
                        slot.rewind(0, 0);
                        Failure::Broken(format!("{error:#}"))
                    }
                };
                if let Some(text) = slot.text.take() {
                    text.fail(failure);
                }
            }
        }
    }

    /// Ends texts whose context is full.
    fn end_full(&mut self) {
        for index in 0..self.slots.len() {
            let text = self.slots.get(index).and_then(|slot| slot.text.as_ref());
            if let Some(end) = text.and_then(Text::end) {
                self.finish(index, end);
            }
        }
    }

    fn finish(&mut self, index: usize, end: End) {
        if let Some(text) = self.slots.get_mut(index).and_then(|slot| slot.text.take()) {
            let work = text.finish(end);
            self.setup.metrics.finished(&work);
        }
    }
}
