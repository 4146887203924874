//! Runs the timed tests. The cache is filled once, to one depth after another, and rewound after each repetition.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use nearfield::kernels::Kernels;
use nearfield::{Arena, Executor, KvTypes, MemoryPlan, Model, Ring, Session, SessionConfig, Shape};
use nearfield_host::engine::Workers;
use nearfield_host::memory::allocate;

use super::memory;
use super::noise::{Seen, Watch};
use super::peaks::{Machine, int8_peak};
use super::row::{Keys, ModelFacts, Peaks, Row, Setting, Test};
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

    /// Steps of the progress of one session.
    pub fn n_steps(&self, n_threads: usize) -> u64 {
        let fill = self.depths.last().unwrap_or(&0).div_ceil(FILL_PART);
        (fill + self.depths.len() * self.repetitions * n_threads * self.tests.len()) as u64
    }
}

/// Session to measure.
#[derive(Clone)]
pub struct Case<'m> {
    pub model: &'m Model<'m>,
    pub facts: Rc<ModelFacts>,
    pub kernels: &'static dyn Kernels,
    pub kv: KvTypes,
    pub batch: usize,
    /// Tokens to run, [`Tests::n_ctx`] of them.
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

    /// Checks that the session is valid and fits in memory.
    pub fn check(&self, tests: &Tests) -> Result<()> {
        let plan = MemoryPlan::new(self.model.shape(), &self.config(tests))?;
        memory::check(tests.n_ctx(), plan.session() as u64)
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
    fn choose(&self, pool: usize) {
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
    let config = case.config(tests);
    let mut lines = allocate(MemoryPlan::new(case.model.shape(), &config)?.session())?;
    let session = Session::new(case.model, config, case.kernels, pools, &mut Arena::new(&mut lines))?;
    let mut running = Running { session, shape: case.model.shape(), tokens: &case.tokens, pools };
    for (i, &depth) in tests.depths.iter().enumerate() {
        tests.turns.wait()?;
        if i == 0 {
            running.warm_up()?;
        }
        progress.stage(format!("{}, {}, filling up to {depth}", case.facts.name, case.kv));
        running.fill(depth, progress)?;
        progress.stage(format!("{}, {}, measuring at {depth}", case.facts.name, case.kv));
        let first = rows.len();
        for pool in 0..pools.len() {
            let peaks = machine.map(|machine| Peaks {
                read_bandwidth: machine.read_bandwidth(pools.n_threads(pool)),
                buffer_bytes: machine.buffer_bytes(),
                int8: int8_peak(case.kernels, pools.n_threads(pool)),
            });
            rows.extend(tests.tests.iter().map(|&test| Row {
                setting: Setting {
                    model: case.facts.clone(),
                    isa: case.kernels.name(),
                    threads: pools.n_threads(pool),
                    kv: case.kv,
                    batch: case.batch,
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
        tests.turns.done(format_args!("filled {depth}"))?;
        let done = repeat(&mut running, tests, progress, &mut rows[first..]);
        rows.retain(|row| !row.samples.is_empty());
        done?;
    }
    Ok(())
}

/// Times every row once, then all rows again, `repetitions` times in all, so that a disturbance of the machine is spread over
/// all rows.
fn repeat(running: &mut Running<'_, '_>, tests: &Tests, progress: &mut Progress, rows: &mut [Row]) -> Result<()> {
    for _ in 0..tests.repetitions {
        for (i, row) in rows.iter_mut().enumerate() {
            interrupt::check()?;
            tests.turns.wait()?;
            let Setting { test, threads, .. } = row.setting;
            let (seen, keys) = running.time(test, i / tests.tests.len())?;
            row.samples.push(seen);
            row.keys = keys;
            progress.advance();
            tests.turns.done(format_args!("{test} with {threads} in {:.6} s", seen.seconds))?;
        }
    }
    Ok(())
}

/// Session, its text and the pools that run it.
struct Running<'m, 'a> {
    session: Session<'m, 'm, 'a>,
    shape: &'m Shape,
    tokens: &'m [u32],
    pools: &'m Pools,
}

impl Running<'_, '_> {
    /// Runs one token with each pool, to bring the weights into memory and wake the threads.
    fn warm_up(&mut self) -> Result<()> {
        for pool in 0..self.pools.len() {
            interrupt::check()?;
            let first = &self.tokens[..1];
            self.pools.choose(pool);
            self.session.prefill(first)?;
            self.session.rewind(0)?;
        }
        Ok(())
    }

    /// Runs the text up to `depth`, with the largest pool.
    fn fill(&mut self, depth: usize, progress: &mut Progress) -> Result<()> {
        self.pools.choose(self.pools.largest());
        while self.session.pos() < depth {
            interrupt::check()?;
            let pos = self.session.pos();
            let part = &self.tokens[pos..depth.min(pos + FILL_PART)];
            self.session.prefill(part)?;
            progress.advance();
        }
        Ok(())
    }

    /// Runs the test once, and rewinds the session.
    fn time(&mut self, test: Test, pool: usize) -> Result<(Seen, Keys)> {
        let depth = self.session.pos();
        let tokens = &self.tokens[depth..depth + test.n_tokens()];
        let session = &mut self.session;
        let before = (session.key_stats().visited.to_vec(), session.key_stats().held);
        self.pools.choose(pool);
        let watch = Watch::start();
        match test {
            Test::Prompt(_) => session.prefill(tokens).map(|_| ())?,
            Test::Generate(_) => tokens.iter().try_for_each(|&token| session.decode(token).map(|_| ()))?,
        }
        let seen = watch.stop();
        let stats = session.key_stats();
        let visited: Vec<u64> = stats.visited.iter().zip(&before.0).map(|(after, before)| after - before).collect();
        let keys = Keys::new(self.shape, &visited, stats.held - before.1);
        session.rewind(depth)?;
        Ok((seen, keys))
    }
}
