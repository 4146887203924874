//! Attention past distance 65,520, where a distance stored as f16 would be infinite, against the literal forward pass.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::compare::{assert_same_bits, difference};
use crate::common::literal::Literal;
use crate::common::model::{MPT, Spec};
use crate::common::reference::weights::Tensor;
use crate::common::run::{Setup, logits};
use half::f16;
use nearfield::kernels::{Kernels, available};
use nearfield::{KvType, SessionConfig};
use nearfield_kernels::{KvRows, Query};

/// Largest difference over the spread of the logits.
const BOUND: f64 = 2e-5;
/// Two heads, slopes 2^-7 and 2^-14: the flat one still sees the beginning, 4 nats down.
const SPEC: Spec =
    Spec { n_head: 2, n_head_kv: 2, n_layer: 1, n_ff: 16, max_alibi_bias: Some(14.0), sharpness: 6.0, ..MPT };
const N_TOKENS: usize = 66_300;
/// Number of last positions that are compared.
const N_LAST: usize = 24;

/// Kernels that leave attention out on request.
///
/// The keys and values of the first layer do not depend on attention. So in a model of one layer the last logits are right even if
/// attention is computed for the last positions alone, and 66,000 tokens take seconds.
struct Skipping<'k> {
    inner: &'k dyn Kernels,
    skip: AtomicBool,
}

impl Kernels for Skipping<'_> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn score_block(&self, q: Query<'_>, k: KvRows<'_>, scale: f32, slope: f32, distance: u32, s: &mut [f32]) -> f32 {
        if self.skip.load(Ordering::Relaxed) {
            return 0.0;
        }
        self.inner.score_block(q, k, scale, slope, distance, s)
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        if self.skip.load(Ordering::Relaxed) { 1.0 } else { self.inner.exp_block(scores, max) }
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        if !self.skip.load(Ordering::Relaxed) {
            self.inner.accumulate_block(probs, values, acc);
        }
    }
}

/// 700 copies of a token that does not occur later, then random tokens.
fn tokens() -> Vec<u32> {
    let mut tokens = SPEC.tokens(N_TOKENS);
    tokens.iter_mut().for_each(|token| *token = (*token).max(1));
    tokens[..700].fill(0);
    tokens
}

struct Run {
    logits: Vec<Vec<f32>>,
    /// Keys visited for the last positions: one count each head.
    visited: Vec<u64>,
}

fn run(kernels: &dyn Kernels, tensors: &[Tensor], tokens: &[u32], horizon_eps: f32) -> Run {
    let kernels = Skipping { inner: kernels, skip: AtomicBool::new(true) };
    let config =
        SessionConfig { n_ctx: N_TOKENS, n_batch: 512, kv: KvType::F32.into(), horizon_eps, ..SessionConfig::DEFAULT };
    let setup = Setup { config, kernels: &kernels, ..Setup::default() };
    let (before, last) = tokens.split_at(N_TOKENS - N_LAST);
    setup.session(SPEC.file_of(tensors, "F32").bytes(), |session| {
        session.prefill(before).expect("tokens");
        kernels.skip.store(false, Ordering::Relaxed);
        let visited = session.key_stats().visited.to_vec();
        let logits = logits(session, last);
        let visited = session.key_stats().visited.iter().zip(visited).map(|(now, before)| now - before).collect();
        Run { logits, visited }
    })
}

#[test]
fn logits_past_distance_65520_are_those_of_the_literal_forward_pass() {
    let (tensors, tokens) = (SPEC.tensors(), tokens());
    let mut literal = Literal::new(&SPEC, &tensors);
    let mut want = |distance: fn(usize) -> f64| {
        literal.distance = distance;
        literal.logits_from(&tokens, N_TOKENS - N_LAST)
    };
    let exact = want(|d| d as f64);

    let full: Vec<Run> = available().map(|kernels| run(kernels, &tensors, &tokens, 0.0)).collect();
    let found = difference(&exact, &full[0].logits);
    println!("every key: {found}");
    assert!(found.of_spread < BOUND, "{found}");
    for (kernels, other) in available().zip(&full).skip(1) {
        assert_same_bits(kernels.name(), &full[0].logits, &other.logits);
    }
    let held: u64 = (N_TOKENS - N_LAST + 1..=N_TOKENS).map(|n| n as u64).sum();
    assert_eq!(full[0].visited, [held, held], "epsilon 0 visits every key");

    let horizon = run(nearfield::kernels::best(), &tensors, &tokens, SessionConfig::HORIZON_EPS);
    let found = difference(&exact, &horizon.logits);
    println!("with the horizon: {found}; keys visited {:?} of {held}", horizon.visited);
    assert!(found.of_spread < BOUND, "{found}");
    assert!(horizon.visited[0] * 10 < held, "the steep head stops early: {:?} of {held}", horizon.visited);

    // Errors that the bound must notice.
    let broken = [
        ("as f16, infinite from 65,520 on", want(|d| f16::from_f64(d as f64).to_f64())),
        ("of 16 bits", want(|d| f64::from(d as u16))),
    ];
    for (what, broken) in broken {
        let found = difference(&broken, &full[0].logits);
        println!("distances {what}: {found}");
        assert!(found.of_spread > 10.0 * BOUND, "distances {what}: {found}");
    }
}
