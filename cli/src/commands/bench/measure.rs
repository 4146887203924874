//! Runs the timed tests. The cache is filled once, to one depth after another, and rewound after each repetition.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use nearfield::kernels::Kernels;
use nearfield::{
    Arena, Batch, BatchConfig, BatchPlan, Chunk, Executor, KvTypes, MemoryPlan, Model, Ring, Sequence, SessionConfig,
    Shape,
};
use nearfield_host::engine::Workers;
use nearfield_host::memory::allocate;

use super::memory;
use super::noise::{Seen, Watch};
use super::peaks::{Machine, int8_peak};
use super::row::{Keys, ModelFacts, Peaks, Row, Setting, Test};
use super::texts;
use super::turns::Turns;
use crate::terminal::Progress;
use crate::terminal::interrupt;

/// Tokens of a filling between two checks for Ctrl-C.
const FILL_PART: usize = 512;

/// Tests that every session runs.
pub struct Tests {
    /// Depths in ascending order, in tokens.
    pub depths: Vec<usize>,
    pub tests: Vec<Test>,
    /// Tests of encoders: numbers of texts, and tokens of each.
    pub texts: Vec<(usize, usize)>,
    pub repetitions: usize,
    pub ring: Ring,
    pub horizon_eps: f32,
    pub turns: Turns,
    /// Name of the text.
    pub text: String,
}

impl Tests {
    /// Positions that a session needs.
    pub fn n_ctx(&self) -> usize {
        let longest = self.tests.iter().map(|test| test.n_tokens()).max().unwrap_or(0);
        self.depths.last().unwrap_or(&0).saturating_add(longest)
    }

    /// Tokens of an encoder's longest text.
    pub fn longest_text(&self) -> usize {
        self.texts.iter().map(|&(_, n_tokens)| n_tokens).max().unwrap_or(0)
    }

    /// Steps of the progress of one encoder, or of one session.
    pub fn n_steps(&self, of_encoder: bool, n_threads: usize) -> u64 {
        if of_encoder {
            return (self.repetitions * n_threads * self.texts.len()) as u64;
        }
        let fill = self.depths.last().unwrap_or(&0).div_ceil(FILL_PART);
        (fill + self.depths.len() * self.repetitions * n_threads * self.tests.len()) as u64
    }
}

/// Sequences or encoder to measure.
#[derive(Clone)]
pub struct Case<'m> {
    pub model: &'m Model<'m>,
    pub facts: Rc<ModelFacts>,
    pub kernels: &'static dyn Kernels,
    pub kv: KvTypes,
    pub batch: usize,
    pub n_sequences: usize,
    /// Tokens to run, [`n_tokens`](Self::n_tokens) of them; each sequence runs all.
    pub tokens: Rc<[u32]>,
}

impl Case<'_> {
    fn config(&self, tests: &Tests) -> SessionConfig {
        let Self { kv, batch: n_batch, .. } = *self;
        SessionConfig {
            n_ctx: tests.n_ctx(),
            n_batch,
            kv,
            ring: tests.ring,
            horizon_eps: tests.horizon_eps,
            ..SessionConfig::default()
        }
    }

    /// Memory that the sequences share.
    fn shared(&self) -> BatchConfig {
        BatchConfig { n_tokens: self.batch.max(self.n_sequences), n_outputs: self.n_sequences }
    }

    /// Bytes of the sequences and of what they share.
    fn n_bytes(&self, tests: &Tests) -> Result<usize> {
        let s = self.model.shape();
        let of_sequence = MemoryPlan::new(s, &self.config(tests))?.sequence();
        let of_all = of_sequence.checked_mul(self.n_sequences).context("more memory than can be addressed")?;
        BatchPlan::new(s, &self.shared())?.total().checked_add(of_all).context("more memory than can be addressed")
    }

    pub fn is_encoder(&self) -> bool {
        self.model.shape().arch.is_encoder()
    }

    /// Number of tokens that the tests take.
    pub fn n_tokens(&self, tests: &Tests) -> usize {
        match self.is_encoder() {
            true => tests.texts.iter().map(|&(n_texts, n_tokens)| n_texts.saturating_mul(n_tokens)).max().unwrap_or(0),
            false => tests.n_ctx(),
        }
    }

    /// Checks that the sequences or the encoder are valid and fit in memory.
    pub fn check(&self, tests: &Tests) -> Result<()> {
        if self.is_encoder() {
            return texts::check(self, tests);
        }
        memory::check(tests.n_ctx(), self.n_bytes(tests)? as u64)
    }
}

/// Pools of workers, one of which is chosen at a time. Results do not depend on it, so one filled cache serves all pools.
pub struct Pools {
    workers: Vec<Workers>,
    chosen: AtomicUsize,
}

impl Pools {
    pub fn new(workers: Vec<Workers>) -> Self {
        Self { workers, chosen: AtomicUsize::new(0) }
    }

    fn chosen(&self) -> &Workers {
        &self.workers[self.chosen.load(Ordering::Relaxed)]
    }

    /// Chooses the pool that does the work from now on.
    pub fn choose(&self, pool: usize) {
        self.chosen.store(pool, Ordering::Relaxed);
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    fn n_threads(&self, pool: usize) -> usize {
        self.workers[pool].executor().n_workers()
    }

    fn largest(&self) -> usize {
        (0..self.len()).max_by_key(|&pool| self.n_threads(pool)).unwrap_or(0)
    }
}

impl Executor for Pools {
    fn n_workers(&self) -> usize {
        self.chosen().executor().n_workers()
    }

    fn least_work(&self) -> usize {
        self.chosen().executor().least_work()
    }

    fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        self.chosen().executor().run(n_workers, work);
    }
}

/// Measures one case with every number of threads. After an error, `rows` holds the rows that have at least one repetition.
pub fn measure(
    case: &Case<'_>,
    tests: &Tests,
    pools: &Pools,
    machine: Option<&Machine>,
    progress: &mut Progress,
    rows: &mut Vec<Row>,
) -> Result<()> {
    if case.is_encoder() {
        return texts::measure(case, tests, pools, machine, progress, rows);
    }
    let config = case.config(tests);
    let mut lines = allocate(case.n_bytes(tests)?)?;
    let mut arena = Arena::new(&mut lines);
    let batch = Batch::new(case.model, case.shared(), case.kernels, pools, &mut arena)?;
    let sequences = (0..case.n_sequences).map(|_| batch.sequence(config, &mut arena)).collect::<Result<_, _>>()?;
    let mut running = Running { batch, sequences, shape: case.model.shape(), tokens: &case.tokens, pools };
    for (i, &depth) in tests.depths.iter().enumerate() {
        tests.turns.wait()?;
        if i == 0 {
            running.warm_up()?;
        }
        progress.stage(format!("{}, {}, filling up to {depth}", case.facts.name, case.kv));
        running.fill(depth, progress)?;
        progress.stage(format!("{}, {}, measuring at {depth}", case.facts.name, case.kv));
        let first = rows.len();
        new_rows(case, tests, pools, machine, depth, &tests.tests, rows);
        tests.turns.done(format_args!("filled {depth}"))?;
        let mut time = |test, pool| running.time(test, pool);
        let done = repeat(tests, tests.tests.len(), progress, &mut rows[first..], &mut time);
        rows.retain(|row| !row.samples.is_empty());
        done?;
    }
    Ok(())
}

/// Adds a row for each pool and each of `of_case`, the tests of the case, without measurements but for the machine's peaks.
pub fn new_rows(
    case: &Case<'_>,
    tests: &Tests,
    pools: &Pools,
    machine: Option<&Machine>,
    depth: usize,
    of_case: &[Test],
    rows: &mut Vec<Row>,
) {
    for pool in 0..pools.len() {
        let peaks = machine.map(|machine| Peaks {
            read_bandwidth: machine.read_bandwidth(pools.n_threads(pool)),
            buffer_bytes: machine.buffer_bytes(),
            int8: int8_peak(case.kernels, pools.n_threads(pool)),
        });
        rows.extend(of_case.iter().map(|&test| Row {
            setting: Setting {
                model: case.facts.clone(),
                isa: case.kernels.name(),
                threads: pools.n_threads(pool),
                kv: case.kv,
                batch: case.batch,
                n_sequences: case.n_sequences,
                ring: tests.ring,
                horizon_eps: tests.horizon_eps,
                text: tests.text.clone(),
                depth,
                test,
            },
            peaks,
            keys: Keys::default(),
            samples: Vec::new(),
        }));
    }
}

/// Times every row once, then all rows again, `repetitions` times in all, so that a disturbance of the machine is spread over
/// all rows. `time` runs a test once with a pool; each pool has `n_tests` rows.
pub fn repeat(
    tests: &Tests,
    n_tests: usize,
    progress: &mut Progress,
    rows: &mut [Row],
    time: &mut dyn FnMut(Test, usize) -> Result<(Seen, Keys)>,
) -> Result<()> {
    for _ in 0..tests.repetitions {
        for (i, row) in rows.iter_mut().enumerate() {
            interrupt::check()?;
            tests.turns.wait()?;
            let Setting { test, threads, .. } = row.setting;
            let (seen, keys) = time(test, i / n_tests)?;
            row.samples.push(seen);
            row.keys = keys;
            progress.advance();
            tests.turns.done(format_args!("{test} with {threads} in {:.6} s", seen.seconds))?;
        }
    }
    Ok(())
}

/// Sequences, their text and the pools that run it.
struct Running<'m, 'a> {
    batch: Batch<'m, 'm, 'a>,
    sequences: Vec<Sequence<'m, 'a>>,
    shape: &'m Shape,
    tokens: &'m [u32],
    pools: &'m Pools,
}

impl Running<'_, '_> {
    /// Runs these tokens in all sequences, and computes the logits after the last of each.
    fn run(&mut self, tokens: &[u32]) -> Result<()> {
        let mut chunks: Vec<_> = self.sequences.iter_mut().map(|sequence| Chunk::new(sequence, tokens)).collect();
        while self.batch.run(&mut chunks)? > 0 {}
        Ok(())
    }

    fn pos(&self) -> usize {
        self.sequences.first().map_or(0, Sequence::pos)
    }

    fn rewind(&mut self, pos: usize) -> Result<()> {
        Ok(self.sequences.iter_mut().try_for_each(|sequence| sequence.rewind(pos))?)
    }

    /// Runs one token with each pool, to bring the weights into memory and wake the threads.
    fn warm_up(&mut self) -> Result<()> {
        for pool in 0..self.pools.len() {
            interrupt::check()?;
            self.pools.choose(pool);
            self.run(&self.tokens[..1])?;
            self.rewind(0)?;
        }
        Ok(())
    }

    /// Runs the text up to `depth`, with the largest pool.
    fn fill(&mut self, depth: usize, progress: &mut Progress) -> Result<()> {
        self.pools.choose(self.pools.largest());
        while self.pos() < depth {
            interrupt::check()?;
            let pos = self.pos();
            self.run(&self.tokens[pos..depth.min(pos + FILL_PART)])?;
            progress.advance();
        }
        Ok(())
    }

    /// Runs the test once, and rewinds the sequences.
    fn time(&mut self, test: Test, pool: usize) -> Result<(Seen, Keys)> {
        let depth = self.pos();
        let tokens = &self.tokens[depth..depth + test.n_tokens()];
        let counts = |sequence: &Sequence<'_, '_>| {
            let stats = sequence.key_stats();
            (stats.visited.to_vec(), stats.held)
        };
        let before: Vec<_> = self.sequences.iter().map(counts).collect();
        self.pools.choose(pool);
        let watch = Watch::start();
        match test {
            Test::Prompt(_) => self.run(tokens)?,
            Test::Generate(_) => tokens.chunks(1).try_for_each(|token| self.run(token))?,
            Test::Embed { .. } => unreachable!("an encoder's test"),
        }
        let seen = watch.stop();
        let mut keys = Keys::default();
        for ((visited, held), sequence) in before.into_iter().zip(&self.sequences) {
            let (after, held_after) = counts(sequence);
            let visited: Vec<u64> = after.iter().zip(visited).map(|(after, before)| after - before).collect();
            keys.add(&Keys::new(self.shape, &visited, held_after - held));
        }
        self.rewind(depth)?;
        Ok((seen, keys))
    }
}
