//! Tokens per second of 1, 2, 4 and 8 sequences that generate together, beside those of one: medians of runs in turns.
//!
//!     nearfield pack MODEL.gguf packed.gguf
//!     cargo run --release -p nearfield --features std --example sequences -- packed.gguf [TOKENS [DEPTH [REPETITIONS]]]

use std::time::Instant;

use nearfield::kernels::{Pool, best};
use nearfield::{
    Arena, Batch, BatchConfig, BatchPlan, Chunk, Executor, Inline, Line, MemoryPlan, Model, Sequence, SessionConfig,
};

const NUMBERS: [usize; 4] = [1, 2, 4, 8];

/// Threads of a pool.
struct Threads(Pool);

impl Executor for Threads {
    fn n_workers(&self) -> usize {
        self.0.n_workers()
    }

    fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        self.0.run_on(n_workers, work);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("sequences PACKED.gguf [TOKENS [DEPTH [REPETITIONS]]]")?;
    let mut number = |default| args.next().map_or(Ok(default), |arg| arg.parse());
    let (n_tokens, depth, n_repetitions) = (number(16)?, number(0)?, number(5)?);
    let file = std::fs::read(path)?;
    let model = Model::from_gguf(&file)?;
    let pool = Threads(Pool::new(2)?);
    let executors: [&dyn Executor; 2] = [&Inline, &pool];

    // Sequences of all numbers of threads stand side by side, so that they can be timed in turns.
    let most = NUMBERS[NUMBERS.len() - 1];
    let shared = BatchConfig { n_tokens: 64, n_outputs: most };
    let config = SessionConfig { n_ctx: depth + n_tokens + 1, ..SessionConfig::default() };
    let of_sequence = MemoryPlan::new(model.shape(), &config)?.sequence();
    let n_bytes = BatchPlan::new(model.shape(), &shared)?.total() + most * of_sequence;
    let mut memory = vec![Line::ZERO; executors.len() * n_bytes / Line::BYTES];
    let mut arena = Arena::new(&mut memory);
    let mut batches = Vec::new();
    for executor in executors {
        let mut batch = Batch::new(&model, shared, best(), executor, &mut arena)?;
        let mut sequences = Vec::new();
        for _ in 0..most {
            sequences.push(batch.sequence(config, &mut arena)?);
        }
        run(&mut batch, &mut sequences, &vec![7; depth + 1])?;
        batches.push((batch, sequences));
    }

    let mut seconds = vec![Vec::new(); executors.len() * NUMBERS.len()];
    for _ in 0..n_repetitions {
        let mut seconds = seconds.iter_mut();
        for (batch, sequences) in &mut batches {
            for n in NUMBERS {
                let start = Instant::now();
                for token in 1..=n_tokens as u32 {
                    run(batch, &mut sequences[..n], &[token])?;
                }
                seconds.next().ok_or("a sum")?.push(start.elapsed().as_secs_f64());
                sequences[..n].iter_mut().try_for_each(|sequence| sequence.rewind(depth + 1))?;
            }
        }
    }
    println!("| sequences | 1 thread, tokens/s | of one | 2 threads, tokens/s | of one |\n|---:|---:|---:|---:|---:|");
    let rate = |threads: usize, n: usize| {
        let mut seconds = seconds[threads * NUMBERS.len() + n].clone();
        seconds.sort_by(f64::total_cmp);
        (NUMBERS[n] * n_tokens) as f64 / seconds[seconds.len() / 2]
    };
    for (i, n) in NUMBERS.into_iter().enumerate() {
        let cells =
            [0, 1].map(|threads| format!("{:.1} | {:.2}", rate(threads, i), rate(threads, i) / rate(threads, 0)));
        println!("| {n} | {} |", cells.join(" | "));
    }
    println!("bytes: {} shared, {of_sequence} for each sequence", n_bytes - most * of_sequence);
    Ok(())
}

/// Runs these tokens in all sequences, and computes the logits after the last of each.
fn run(
    batch: &mut Batch<'_, '_, '_>,
    sequences: &mut [Sequence<'_, '_>],
    tokens: &[u32],
) -> Result<(), nearfield::Error> {
    let mut chunks: Vec<_> = sequences.iter_mut().map(|sequence| Chunk::new(sequence, tokens)).collect();
    while batch.run(&mut chunks)? > 0 {}
    for sequence in sequences {
        batch.logits(sequence)?;
    }
    Ok(())
}
