//! The horizon on the default model, at 4096 tokens of its own text.

use std::sync::Mutex;

use crate::common::compare::difference;
use crate::common::file::File;
use crate::common::run::Setup;
use nearfield::kernels::{KV_BLOCK, Kernels, Layout, Matrix, best};
use nearfield::{Model, Sampler, SamplerConfig, SessionConfig};
use nearfield_kernels::{Activations, BlockQ8, ColumnsMut, KvBlock, Walk};

/// Largest difference over the spread of the logits that the horizon may make.
const BOUND: f64 = 1e-5;
const N_STORIES: u64 = 8;
const STORY_LEN: usize = 512;

fn model() -> File {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/stories.gguf");
    File::new(&std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// Stories that the model generates, one after another: text of the kind that it knows, the same on every machine.
fn text(file: &File) -> Vec<u32> {
    let setup = Setup::default().with_ctx(STORY_LEN);
    let story = |seed: u64| {
        setup.session(file.bytes(), |session| {
            let mut sampler = Sampler::new(SamplerConfig { seed, ..SamplerConfig::default() }).expect("it makes sense");
            let mut tokens = vec![0];
            while tokens.len() < STORY_LEN {
                let token = sampler.sample(session.decode(tokens[tokens.len() - 1]).expect("room"));
                sampler.accept(token);
                tokens.push(token);
            }
            tokens
        })
    };
    (0..N_STORIES).flat_map(story).collect()
}

struct Run {
    /// After every eighth token.
    logits: Vec<Vec<f32>>,
    /// Keys visited by each head of each layer.
    visited: Vec<u64>,
    /// Keys that each held.
    held: u64,
}

fn run(file: &File, tokens: &[u32], eps: f32) -> Run {
    let setup = Setup::default().with_ctx(tokens.len()).with_kv(SessionConfig::default().kv).with_eps(eps);
    setup.session(file.bytes(), |session| {
        let (mut logits, mut pos) = (vec![], 0);
        let each = |row: &[f32]| {
            pos += 1;
            if pos % 8 == 0 {
                logits.push(row.to_vec());
            }
        };
        session.prefill_each(tokens, each).expect("room");
        let stats = session.key_stats();
        Run { logits, visited: stats.visited.to_vec(), held: stats.held }
    })
}

#[test]
fn logits_are_those_of_the_full_walk() {
    let file = model();
    let n_head = Model::from_gguf(file.bytes()).expect("a model").shape().n_head;
    let tokens = text(&file);
    let [full, short] = [0.0, SessionConfig::HORIZON_EPS].map(|eps| run(&file, &tokens, eps));

    let found = difference(&full.logits, &short.logits);
    let percent = |n: u64, of: u64| format!("{:.0}%", 100.0 * n as f64 / of as f64);
    println!("{} tokens: {found}", tokens.len());
    for (layer, heads) in short.visited.chunks(n_head).enumerate() {
        let heads: Vec<String> = heads.iter().map(|&n| percent(n, short.held)).collect();
        println!("layer {layer}, keys visited of keys held: {}", heads.join(" "));
    }
    let (visited, held) = (short.visited.iter().sum::<u64>(), short.held * short.visited.len() as u64);
    println!("all: {}", percent(visited, held));

    assert!(found.of_spread < BOUND, "{found}");
    assert!(full.visited.iter().all(|&n| n == full.held), "epsilon 0 visits every key");
    assert!(2 * visited < held, "{} of the keys", percent(visited, held));
    let steepest = *short.visited.iter().min().expect("heads");
    assert!(20 * steepest < short.held, "{} of the keys", percent(steepest, short.held));
}

/// The fastest kernels, which also record what each walk found in each block.
struct Recorder {
    kernels: &'static dyn Kernels,
    seen: Mutex<Seen>,
}

/// Record of each walk: for each block, from the newest on, its keys, its largest score `m`, and `Σ exp(s - m)`.
#[derive(Default)]
struct Seen {
    walks: Vec<Vec<(usize, f64, f64)>>,
    n_visited: u64,
    n_needed: u64,
}

impl Seen {
    /// Counts the keys that the walks visited, and those that an oracle would have visited: in whole blocks, as few as leave at most
    /// epsilon of the sum. Keys that no walk visited add less than that and are left out.
    fn finish(&mut self) {
        for walk in self.walks.drain(..) {
            let max = walk.iter().map(|block| block.1).fold(f64::NEG_INFINITY, f64::max);
            let sums: Vec<f64> = walk.iter().map(|block| block.2 * (block.1 - max).exp()).collect();
            let all: f64 = sums.iter().sum();
            let (mut older, mut n_blocks) = (0.0, walk.len());
            while n_blocks > 1 && older + sums[n_blocks - 1] <= f64::from(EPS) * (all - older - sums[n_blocks - 1]) {
                n_blocks -= 1;
                older += sums[n_blocks];
            }
            let n_keys = |n: usize| walk[..n].iter().map(|block| block.0 as u64).sum::<u64>();
            self.n_visited += n_keys(walk.len());
            self.n_needed += n_keys(n_blocks);
        }
    }
}

const EPS: f32 = SessionConfig::HORIZON_EPS;

impl Kernels for Recorder {
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        let seen = &mut *self.seen.lock().unwrap();
        if walks.iter().all(|walk| walk.sum == 0.0) {
            seen.finish();
            seen.walks.resize(walks.len(), vec![]);
        }
        for (walk, seen) in walks.iter().zip(&mut seen.walks).filter(|(walk, _)| !walk.ended) {
            let n = block.n_seen(walk.pos);
            let mut scores = [0.0; KV_BLOCK];
            let (scores, keys) = (&mut scores[..n], block.keys.first(n, walk.acc.len()));
            let distance = (walk.pos + 1 - (block.start + n)) as u32;
            let max = self.kernels.score_block(walk.query, keys, scale, walk.slope, distance, scores).into();
            seen.push((n, max, scores.iter().map(|&score| (f64::from(score) - max).exp()).sum()));
        }
        self.kernels.attend_block(block, scale, walks);
    }

    // The methods that take time are handed on, to be fast; all others have the same bits by default.

    fn name(&self) -> &'static str {
        self.kernels.name()
    }

    fn layout(&self) -> Layout {
        self.kernels.layout()
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        self.kernels.quantize_q8(x, out);
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        self.kernels.matmul(w, x, out);
    }
}

/// The certified end is near the oracle's, the earliest that leaves out at most epsilon, on a text.
#[test]
fn the_bound_is_not_far_from_what_is_needed() {
    let file = model();
    let tokens = text(&file);
    let recorder = Recorder { kernels: best(), seen: Mutex::default() };
    let setup = Setup { kernels: &recorder, ..Setup::default() }.with_ctx(tokens.len()).with_eps(EPS);
    let visited: u64 = setup.with_kv(SessionConfig::default().kv).session(file.bytes(), |session| {
        session.prefill(&tokens).expect("room");
        session.key_stats().visited.iter().sum()
    });
    let mut seen = recorder.seen.into_inner().unwrap();
    seen.finish();
    assert_eq!(seen.n_visited, visited, "every walk was seen");
    let ratio = visited as f64 / seen.n_needed as f64;
    println!("{} tokens: {visited} keys visited, {ratio:.3} times what an oracle would", tokens.len());
    assert!(ratio < 1.15, "{ratio}");
    assert!(ratio > 1.0, "a bound on what is not known cannot be exact: {ratio}");
}
