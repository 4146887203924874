//! The horizon on the default model, at 4096 tokens of its own text.

mod common;

use common::compare::difference;
use common::file::File;
use common::run::Setup;
use nearfield::{Model, Sampler, SamplerConfig, SessionConfig};

/// Largest difference over the spread of the logits that the horizon may make.
const BOUND: f64 = 1e-5;
const N_STORIES: u64 = 8;
const STORY_LEN: usize = 512;

fn model() -> File {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/stories.gguf");
    File::new(&std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// Stories that the model tells, one after another: text of the kind that it knows, and the same on every machine.
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
