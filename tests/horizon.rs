//! The horizon: a walk leaves out many keys, and no more of the softmax than it certifies.

use std::cell::Cell;
use std::sync::Mutex;

use crate::common::compare::difference;
use crate::common::model::{FALCON, MPT, Spec};
use crate::common::reference::weights::{Tensor, bell, random};
use crate::common::run::{Setup, logits};
use half::f16;
use nearfield::kernels::Kernels;
use nearfield::{AlibiScale, KvType, SessionConfig};
use nearfield_kernels::{KvBlock, KvRows, Query, Walk, scalar};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const EPS: f32 = SessionConfig::HORIZON_EPS;
/// Logarithm of `EPS` to base 2.
const LOG_EPS: i32 = -24;
/// Largest difference that the horizon may make, over the standard deviation of the logits.
const BOUND: f64 = 1e-5;

/// Keys visited and held by each head of each layer, and the logits.
struct Run {
    logits: Vec<Vec<f32>>,
    visited: Vec<u64>,
    held: u64,
}

fn run(setup: Setup<'_>, file: &[u8], tokens: &[u32]) -> Run {
    setup.session(file, |session| {
        let logits = logits(session, tokens);
        let stats = session.key_stats();
        Run { logits, visited: stats.visited.to_vec(), held: stats.held }
    })
}

/// Share of the keys that each head visited, layer after layer.
fn shares(run: &Run) -> String {
    let share = |&n: &u64| format!("{:.0}%", 100.0 * n as f64 / run.held as f64);
    run.visited.iter().map(share).collect::<Vec<_>>().join(" ")
}

/// Keys and values are f32. With other types, a rounding that the horizon changes in one layer can change the next layer's stored
/// numbers by a step of that type, so only single layers can be compared.
#[test]
fn logits_are_those_of_the_full_walk() {
    for (n_layer, kv) in [(2, KvType::F32), (1, KvType::F16), (1, KvType::Q8_0), (1, KvType::Q4_0)] {
        for sharpness in [0.05, 1.0, 4.0, 12.0] {
            for max_alibi_bias in [Some(3.0), Some(8.0)] {
                let spec = Spec { n_layer, sharpness, max_alibi_bias, n_head_kv: 2, seed: 7, ..MPT };
                let (file, tokens) = (spec.file("F32"), spec.tokens(700));
                let setup = Setup::default().with_ctx(tokens.len()).with_kv(kv);
                let full = run(setup, file.bytes(), &tokens);
                let short = run(setup.with_eps(EPS), file.bytes(), &tokens);
                let found = difference(&full.logits, &short.logits);
                let what = format!("{n_layer} layers, {kv}, sharpness {sharpness}, max_alibi_bias {max_alibi_bias:?}");
                println!("{what}: {found}; visited {}", shares(&short));
                assert!(found.of_spread < BOUND, "{what}: {found}");
                assert!(full.visited.iter().all(|&n| n == full.held), "{what}: epsilon 0 visits every key");
                for steepest in short.visited.iter().step_by(spec.n_head) {
                    assert!(2 * steepest < short.held, "{what}: visited {}", shares(&short));
                }
            }
        }
    }
}

/// Biases of all kinds: scaled by the model or by the session, shrinking as the text grows, rounded, nearly flat, and none.
#[test]
fn logits_of_other_biases_are_those_of_the_full_walk() {
    let sharp = Spec { n_layer: 1, sharpness: 4.0, seed: 7, ..FALCON };
    let (mpt, as_it_is) = (Spec { arch: "mpt", ..sharp }, AlibiScale::Model);
    let cases = [
        ("scaled", sharp, false, as_it_is),
        ("scaled and rounded", sharp, true, as_it_is),
        ("rounded", mpt, true, as_it_is),
        ("shrinking", Spec { alibi_train_length: Some(300), ..mpt }, false, as_it_is),
        ("flat", Spec { max_alibi_bias: Some(15.0), sharpness: 0.05, ..sharp }, false, as_it_is),
        ("half as steep", mpt, false, AlibiScale::Factor(0.5)),
        ("three times as steep", mpt, false, AlibiScale::Factor(3.0)),
        ("half as steep and rounded", mpt, true, AlibiScale::Factor(0.5)),
        ("as if trained at 300", mpt, false, AlibiScale::Trained(300)),
        ("learned positions", Spec { arch: "gpt2", max_alibi_bias: None, n_positions: 700, ..sharp }, false, as_it_is),
    ];
    for (what, spec, bf16, scale) in cases {
        let (file, tokens) = (spec.file("F32"), spec.tokens(700));
        let setup = Setup::default().with_ctx(tokens.len()).with_bf16(bf16).with_scale(scale);
        let full = run(setup, file.bytes(), &tokens);
        let short = run(setup.with_eps(EPS), file.bytes(), &tokens);
        let found = difference(&full.logits, &short.logits);
        println!("{what}: {found}; visited {}", shares(&short));
        assert!(found.of_spread < BOUND, "{what}: {found}");
        assert!(full.visited.iter().all(|&n| n == full.held), "{what}: epsilon 0 visits every key");
        if spec.arch != "gpt2" {
            assert!(2 * short.visited[0] < short.held, "{what}: visited {}", shares(&short));
        }
    }
}

/// A horizon that leaves out keys that count must fail `BOUND`.
#[test]
fn a_larger_epsilon_fails_the_bound() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(700));
    let setup = Setup::default().with_ctx(tokens.len());
    let [full, short] = [0.0, 1.0 / 1024.0].map(|eps| run(setup.with_eps(eps), file.bytes(), &tokens));
    let found = difference(&full.logits, &short.logits);
    assert!(found.of_spread > BOUND, "{found}");
}

/// A key 2,000 positions back that outweighs all newer ones, with nothing in between that announces it.
#[test]
fn an_old_key_with_a_large_norm_is_visited() {
    const N_TOKENS: usize = 2000;
    let spec = Spec { n_layer: 1, n_head: 1, n_head_kv: 1, max_alibi_bias: Some(2.0), ..MPT };
    let width = spec.n_embd();
    // Tokens 1.. have zero in the first column, before and after the norm; token 0 has nothing else.
    let mut tensors = spec.tensors();
    for (token, row) in tensors[0].data.chunks_exact_mut(width).enumerate() {
        row[0] = 0.0;
        if token == 0 {
            row.fill(0.0);
            row[0] = 1.0;
        } else {
            let mean = row[1..].iter().sum::<f32>() / (width - 1) as f32;
            row[1..].iter_mut().for_each(|x| *x -= mean);
        }
    }
    let qkv = tensors.iter_mut().find(|tensor| tensor.name == "blk.0.attn_qkv.weight").expect("there");
    // The key of token 0 has thousands in each column, the others have nothing of the kind.
    qkv.data.chunks_exact_mut(width).skip(width).take(width).for_each(|row| row[0] = 3000.0);
    let mut tokens: Vec<u32> = spec.tokens(N_TOKENS).into_iter().map(|token| token.max(1)).collect();
    let file = spec.file_of(&tensors, "F32");
    let setup = Setup::default().with_ctx(N_TOKENS);
    let forgotten = run(setup.with_eps(EPS), file.bytes(), &tokens);
    tokens[0] = 0;
    let [full, short] = [0.0, EPS].map(|eps| run(setup.with_eps(eps), file.bytes(), &tokens));
    let found = difference(&full.logits, &short.logits);
    println!("{found}; visited {} of {}, without the key {}", short.visited[0], short.held, forgotten.visited[0]);
    assert!(found.of_spread < BOUND, "{found}");
    let shows = difference(&full.logits[N_TOKENS / 2..], &forgotten.logits[N_TOKENS / 2..]);
    assert!(shows.of_spread > 0.1, "the old key shows after a thousand tokens: {shows}");
    assert!(10 * forgotten.visited[0] < forgotten.held, "without it the walk is short");
}

/// One walk as the kernels were asked for it.
struct Walked {
    query: Vec<f64>,
    scale: f64,
    slope: f64,
    n_visited: usize,
}

/// Scalar kernels that record the keys and walks of one layer with one KV head, run token by token.
#[derive(Default)]
struct Recorder {
    keys: Mutex<Vec<Vec<f64>>>,
    /// For each position, for each head.
    walks: Mutex<Vec<Walked>>,
    n_head: usize,
}

impl Kernels for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    /// Records one token: the queries of all heads walk together, and their own key is the last of the first block.
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, queries: &mut [Walk<'_>]) {
        assert_eq!(queries.len(), self.n_head);
        let mut walks = self.walks.lock().unwrap();
        if block.end == queries[0].pos + 1 {
            self.keys.lock().unwrap().push(last_row(block.keys, query(queries[0].query).len()));
            walks.extend(queries.iter().map(|q| Walked {
                query: query(q.query),
                scale: scale.into(),
                slope: q.slope.into(),
                n_visited: 0,
            }));
        }
        let first = walks.len() - queries.len();
        for (walk, query) in walks[first..].iter_mut().zip(&*queries).filter(|(_, query)| !query.ended) {
            walk.n_visited += block.n_seen(query.pos);
        }
        scalar::attend_block(self, block, scale, queries);
    }
}

fn query(q: Query<'_>) -> Vec<f64> {
    match q {
        Query::F32(q) => q.iter().map(|&x| x.into()).collect(),
        Query::Q8(blocks) => blocks.iter().flat_map(|b| b.qs.map(|q| f64::from(b.d) * f64::from(q))).collect(),
    }
}

/// The last row of some keys; `width` may include the padding of a query.
fn last_row(rows: KvRows<'_>, width: usize) -> Vec<f64> {
    let half = |bits: u16| f16::from_bits(bits).to_f64();
    match rows {
        KvRows::F32(x) => x[x.len() - width..].iter().map(|&x| x.into()).collect(),
        KvRows::F16(x) => x[x.len() - width..].iter().map(|&x| half(x)).collect(),
        KvRows::Q8_0 { qs, d } => {
            let n_groups = width / 32;
            let n_rows = d.len() / n_groups;
            let head_dim = qs.len() / n_rows;
            let (qs, d) = (&qs[qs.len() - head_dim..], &d[d.len() - n_groups..]);
            qs.iter().enumerate().map(|(i, &q)| half(d[i / 32]) * f64::from(q)).collect()
        }
        KvRows::Q4_0 { qs, d, .. } => {
            let n_groups = width / 32;
            let n_rows = d.len() / n_groups;
            let (qs, d) = (&qs[qs.len() - qs.len() / n_rows..], &d[d.len() - n_groups..]);
            let quants = qs.iter().flat_map(|q| [q & 15, q >> 4].map(|q| f64::from(q) - 8.0));
            quants.enumerate().map(|(i, q)| half(d[i / 32]) * q).collect()
        }
    }
}

/// One layer with keys of very different sizes.
#[derive(Clone, Debug)]
struct Draw {
    seed: u64,
    n_head: usize,
    head_dim: usize,
    max_alibi_bias: f32,
    /// The bias is scaled, or shrinks as the text grows.
    arch: &'static str,
    alibi_train_length: Option<u32>,
    /// By the session.
    scale: AlibiScale,
    sharpness: f32,
    /// Standard deviation of the logarithm of a column's size in the keys' matrix.
    unevenness: f32,
    log_eps: i32,
    kv: KvType,
    n_tokens: usize,
}

fn draws() -> impl Strategy<Value = Draw> {
    let shape = (1..=6_usize, prop::sample::select(vec![8_usize, 16, 24, 40]), 0.2_f32..10.0);
    let scores = (-2.0_f32..1.5, 0.0_f32..2.0);
    // Often the default.
    let log_eps = prop_oneof![1 => Just(LOG_EPS), 3 => LOG_EPS..=-1];
    let rest = (any::<u64>(), log_eps, prop::sample::select(KvType::ALL.to_vec()), 33..260_usize);
    let scale = prop_oneof![
        2 => Just(AlibiScale::Model),
        1 => (-6.0_f32..4.0).prop_map(|x| AlibiScale::Factor(x.exp2())),
        1 => (1..200_usize).prop_map(AlibiScale::Trained),
    ];
    let bias = (prop::sample::select(vec!["mpt", "falcon", "jais"]), prop::option::of(1..200_u32), scale);
    (shape, scores, rest, bias).prop_map(
        |(
            (n_head, head_dim, max_alibi_bias),
            (log_sharpness, unevenness),
            (seed, log_eps, kv, n_tokens),
            (arch, alibi_train_length, scale),
        )| Draw {
            arch,
            alibi_train_length,
            scale,
            seed,
            n_head,
            head_dim,
            max_alibi_bias,
            sharpness: 10_f32.powf(log_sharpness),
            unevenness,
            log_eps,
            kv,
            n_tokens,
        },
    )
}

impl Draw {
    fn spec(&self) -> Spec {
        Spec {
            arch: self.arch,
            untied: self.arch == "jais",
            alibi_train_length: self.alibi_train_length,
            n_layer: 1,
            n_head: self.n_head,
            n_head_kv: 1,
            head_dim: self.head_dim,
            n_ff: 8,
            max_alibi_bias: Some(self.max_alibi_bias),
            sharpness: self.sharpness,
            seed: self.seed,
            ..MPT
        }
    }

    /// Tensors of the model: embeddings with few large columns, and a key matrix that amplifies some of them.
    fn tensors(&self) -> Vec<Tensor> {
        let spec = self.spec();
        let n = spec.n_embd();
        let mut tensors = spec.tensors();
        let label = format!("{}/columns", self.seed);
        let sizes: Vec<f32> = bell(&label).map(|k| (self.unevenness * k as f32 / 147.8).exp()).take(n).collect();
        for tensor in &mut tensors {
            match tensor.name.as_str() {
                "token_embd.weight" => tensor.data.iter_mut().for_each(|x| *x = x.powi(3)),
                "blk.0.attn_qkv.weight" => {
                    let keys = &mut tensor.data[n * n..][..spec.head_dim * n];
                    keys.chunks_exact_mut(n).flat_map(|row| row.iter_mut().zip(&sizes)).for_each(|(x, s)| *x *= s);
                }
                _ => (),
            }
        }
        tensors
    }

    /// Random tokens, with rare ones in the beginning only.
    fn tokens(&self) -> Vec<u32> {
        let n_vocab = |pos: usize| if pos < self.n_tokens / 4 { MPT.n_vocab as u64 } else { 6 };
        random(&format!("{}/text", self.seed)).zip(0..self.n_tokens).map(|(z, pos)| (z % n_vocab(pos)) as u32).collect()
    }

    /// Runs the text and calls `each` with the position, the walk, and the sum left out over the sum visited.
    fn walks(&self, mut each: impl FnMut(usize, &Walked, f64)) {
        let recorder = Recorder { n_head: self.n_head, ..Recorder::default() };
        let file = self.spec().file_of(&self.tensors(), "F32");
        let setup = Setup { kernels: &recorder, ..Setup::default() };
        let setup = setup.with_kv(self.kv).with_batch(1).with_eps(2_f32.powi(self.log_eps)).with_scale(self.scale);
        setup.logits(file.bytes(), &self.tokens());
        let (keys, walks) = (recorder.keys.into_inner().unwrap(), recorder.walks.into_inner().unwrap());
        assert_eq!(keys.len(), self.n_tokens);
        for (i, walk) in walks.iter().enumerate() {
            let pos = i / self.n_head;
            each(pos, walk, left_out(walk, &keys[..=pos]));
        }
    }
}

/// Softmax weights that the walk did not visit, over those that it did.
fn left_out(walk: &Walked, keys: &[Vec<f64>]) -> f64 {
    let score = |(distance, key): (usize, &Vec<f64>)| {
        let dot: f64 = walk.query.iter().zip(key).map(|(q, k)| q * k).sum();
        dot * walk.scale - walk.slope * distance as f64
    };
    let scores: Vec<f64> = keys.iter().rev().enumerate().map(score).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (visited, older) = scores.split_at(walk.n_visited);
    let sum = |scores: &[f64]| scores.iter().map(|s| (s - max).exp()).sum::<f64>();
    sum(older) / sum(visited)
}

#[test]
fn what_is_left_out_is_at_most_epsilon() {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (n_walks, n_short, closest) = (Cell::new(0_u64), Cell::new(0_u64), Cell::new(0.0_f64));
    // The same for the walks with the default epsilon.
    let (n_default, most) = (Cell::new(0_u64), Cell::new(0.0_f64));
    assert_eq!(EPS, 2_f32.powi(LOG_EPS));
    let checked = TestRunner::new_with_rng(config, rng).run(&draws(), |draw| {
        let eps = 2_f64.powi(draw.log_eps);
        let mut failed = None;
        draw.walks(|pos, walk, left_out| {
            n_walks.set(n_walks.get() + 1);
            n_short.set(n_short.get() + u64::from(walk.n_visited <= pos));
            closest.set(closest.get().max(left_out / eps));
            if draw.log_eps == LOG_EPS {
                n_default.set(n_default.get() + u64::from(walk.n_visited <= pos));
                most.set(most.get().max(left_out));
            }
            if left_out > eps {
                failed = Some(format!("position {pos}: {left_out:e} left out, {} visited", walk.n_visited));
            }
        });
        prop_assert!(failed.is_none(), "{failed:?}");
        Ok(())
    });
    let (n_walks, n_short) = (n_walks.get(), n_short.get());
    println!(
        "{n_short} of {n_walks} walks stopped early; the most that one left out is {:.2e} of its epsilon",
        closest.get()
    );
    let n_default = n_default.get();
    println!("{n_default} of them with an epsilon of 2^-24: none left out more than 2^{:.2}", most.get().log2());
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert!(n_default > 2_000, "only {n_default} walks stopped early with the default epsilon");
    assert!(n_short > 10_000, "only {n_short} of {n_walks} walks stopped early: the test asks too little");
    // In the worst case, nearly all of the bound is used: a bound that is never approached would be too careful.
    assert!(closest.get() > 0.5, "no walk left out half of what it may");
}
