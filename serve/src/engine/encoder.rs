//! Thread of a model that encodes documents: a pass takes documents of all waiting jobs in turn, with the bits of each alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nearfield::{Arena, DocumentError, Encoder, EncoderConfig, EncoderPlan, Model, Pooling};
use nearfield_host::Result;
use nearfield_host::engine::Engine;
use nearfield_host::memory::allocate;
use tokio::sync::oneshot;

use super::job::Failure;
use super::worker;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// Tokens of a pass, but for a longer document: more would make other jobs wait.
const PASS: usize = 256;
/// Documents of a pass.
const N_DOCUMENTS: usize = 64;

/// Documents to encode: tokens, and the index of the first of the second type.
#[derive(Debug)]
pub struct Documents {
    /// Tokens of each document, and the index of the first of the second type.
    pub documents: Vec<(Vec<u32>, usize)>,
    /// True if vectors are scaled to length 1.
    pub normalize: bool,
    /// Moment at which the job fails if it has not ended.
    pub deadline: Instant,
    /// Receiver of the vectors, or of vectors that hold a score alone. Once it is gone, so is the job.
    pub done: oneshot::Sender<Result<Vec<Vec<f32>>, Failure>>,
}

impl Documents {
    /// True once nobody waits for the result.
    pub fn is_gone(&self) -> bool {
        self.done.is_closed()
    }
}

/// Model and settings of a thread.
pub struct Setup {
    /// Tables and weights of the model.
    pub model: &'static Model<'static>,
    /// Kernels and threads, which all models share.
    pub engine: &'static Engine,
    /// Settings of each document.
    pub config: EncoderConfig,
    /// Rule that makes a vector of a document; `None` for scores.
    pub pooling: Option<Pooling>,
    /// Jobs to do.
    pub queue: Arc<Queue<Documents>>,
    /// Counts that the thread adds to.
    pub metrics: Arc<Metrics>,
    /// True once running jobs must end.
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
    let config = EncoderConfig { n_documents: N_DOCUMENTS, ..setup.config };
    let plan = EncoderPlan::new(setup.model.shape(), &config)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let encoder = Encoder::new(setup.model, config, setup.engine.kernels, setup.engine.executor(), &mut arena)?;
    if setup.pooling.is_none() && !encoder.has_score() {
        return Err(DocumentError::NoScore.into());
    }
    ready();
    Running { setup, encoder, jobs: VecDeque::new() }.run();
    Ok(())
}

/// Job and what is done of it.
struct Doing {
    job: Documents,
    vectors: Vec<Vec<f32>>,
    began: Instant,
}

struct Running<'s, 'm, 'f, 'a> {
    setup: &'s Setup,
    encoder: Encoder<'m, 'f, 'a>,
    jobs: VecDeque<Doing>,
}

impl Running<'_, '_, '_, '_> {
    fn run(&mut self) {
        while self.admit() {
            self.weed();
            self.pass();
            self.setup.metrics.running.set(self.jobs.len() as u64);
        }
    }

    /// Takes jobs that wait, as many as may share a pass; false once no job will come.
    fn admit(&mut self) -> bool {
        while self.jobs.len() < N_DOCUMENTS {
            let queue = &self.setup.queue;
            let job = if self.jobs.is_empty() { queue.pop() } else { queue.try_pop() };
            match job {
                Some(job) => {
                    let n_tokens: usize = job.documents.iter().map(|(tokens, _)| tokens.len()).sum();
                    self.setup.metrics.prompt_tokens.add(n_tokens as u64);
                    self.jobs.push_back(Doing { job, vectors: Vec::new(), began: Instant::now() });
                }
                None => return !self.jobs.is_empty(),
            }
        }
        true
    }

    /// Ends jobs that nobody waits for, and those that are late.
    fn weed(&mut self) {
        let (now, stops) = (Instant::now(), self.setup.stop.load(Ordering::Relaxed));
        for doing in std::mem::take(&mut self.jobs) {
            if doing.job.is_gone() {
                self.setup.metrics.cancelled.add(1);
            } else if stops {
                let _ = doing.job.done.send(Err(Failure::Stopped));
            } else if now >= doing.job.deadline {
                let _ = doing.job.done.send(Err(Failure::TimedOut));
            } else {
                self.jobs.push_back(doing);
            }
        }
        for job in self.setup.queue.take(|job| now >= job.deadline) {
            let _ = job.done.send(Err(Failure::TimedOut));
        }
    }

    /// Documents of the next pass, as numbers of jobs and of their documents: those of the jobs in turn, as many as fit.
    fn next(&self) -> Vec<(usize, usize)> {
        let normalize = self.jobs.front().is_some_and(|doing| doing.job.normalize);
        let (mut places, mut n_tokens) = (Vec::new(), 0);
        for round in 0.. {
            let mut is_over = true;
            for (index, doing) in self.jobs.iter().enumerate().filter(|(_, doing)| doing.job.normalize == normalize) {
                let document = doing.vectors.len() + round;
                let Some((tokens, _)) = doing.job.documents.get(document) else { continue };
                n_tokens += tokens.len();
                if !places.is_empty() && (n_tokens > PASS || places.len() >= N_DOCUMENTS) {
                    return places;
                }
                places.push((index, document));
                is_over = false;
            }
            if is_over {
                break;
            }
        }
        places
    }

    fn pass(&mut self) {
        let began = Instant::now();
        let places = self.next();
        let documents: Vec<(&[u32], usize)> = places
            .iter()
            .filter_map(|&(job, document)| {
                let (tokens, second) = self.jobs.get(job)?.job.documents.get(document)?;
                Some((&tokens[..], *second))
            })
            .collect();
        let n_tokens: usize = documents.iter().map(|(tokens, _)| tokens.len()).sum();
        let normalize = self.jobs.front().is_some_and(|doing| doing.job.normalize);
        let results = match self.setup.pooling {
            _ if documents.is_empty() => Ok(Vec::new()),
            None => self.encoder.score_pass(&documents).map(|scores| scores.iter().map(|&score| vec![score]).collect()),
            Some(pooling) => {
                let texts: Vec<&[u32]> = documents.iter().map(|&(tokens, _)| tokens).collect();
                let width = self.setup.model.shape().n_embd;
                let vectors = self.encoder.embed_pass(&texts, pooling, normalize);
                vectors.map(|vectors| vectors.chunks_exact(width).map(<[f32]>::to_vec).collect::<Vec<_>>())
            }
        };
        let metrics = &self.setup.metrics;
        metrics.passes.add(1);
        metrics.pass_tokens.add(n_tokens as u64);
        metrics.busy.add(began.elapsed().as_micros() as u64);
        match results {
            Ok(vectors) => {
                metrics.finished.add(vectors.len() as u64);
                for ((job, _), vector) in places.iter().zip(vectors) {
                    if let Some(doing) = self.jobs.get_mut(*job) {
                        doing.vectors.push(vector);
                    }
                }
            }
            // The error is that of the first document.
            Err(error) => self.fail(&error),
        }
        self.finish();
        // Whoever came first has had a turn.
        if let Some(first) = self.jobs.pop_front() {
            self.jobs.push_back(first);
        }
    }

    fn fail(&mut self, error: &DocumentError) {
        if let Some(doing) = self.jobs.pop_front() {
            let _ = doing.job.done.send(Err(Failure::Broken(error.to_string())));
        }
    }

    /// Answers the jobs of which all is done.
    fn finish(&mut self) {
        for doing in std::mem::take(&mut self.jobs) {
            if doing.vectors.len() < doing.job.documents.len() {
                self.jobs.push_back(doing);
            } else {
                self.setup.metrics.text_time.add(doing.began.elapsed().as_micros() as u64);
                let _ = doing.job.done.send(Ok(doing.vectors));
            }
        }
    }
}
