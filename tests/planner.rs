//! Rings for a budget: they fit, no others are better, and they run as the plan says.

use crate::common::compare::assert_same_bits;
use crate::common::model::{MPT, Spec};
use crate::common::run::{Setup, logits};
use nearfield::kernels::KV_BLOCK;
use nearfield::{HeadPlan, KvType, MemoryPlan, Model, PlanError, Ring, SessionConfig, Shape, bias_cut, fit_rings};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn shape(spec: Spec) -> Shape {
    let file = spec.file("F32");
    *Model::from_gguf(file.bytes()).expect("right").shape()
}

/// Rings of these lengths, and the bytes of their cache.
fn with_rings(shape: &Shape, config: &SessionConfig, keys: &[u32]) -> (SessionConfig, usize) {
    let config = SessionConfig { ring: Ring::Heads(keys.to_vec().leak()), ..*config };
    let plan = MemoryPlan::new(shape, &config).expect("a plan");
    (config, plan.kv_cache + plan.key_norms)
}

fn fit(shape: &Shape, config: &SessionConfig, budget: usize) -> Result<Vec<u32>, PlanError> {
    let mut keys = vec![0; shape.n_head_kv];
    fit_rings(shape, config, budget, &mut keys, |head, n| bias_cut(shape, config, head, n))?;
    Ok(keys)
}

fn largest_cut(shape: &Shape, config: &SessionConfig, keys: &[u32]) -> f32 {
    let cut = |(head, &n): (usize, &u32)| bias_cut(shape, config, head, (n as usize).div_ceil(KV_BLOCK));
    keys.iter().enumerate().map(cut).fold(f32::NEG_INFINITY, f32::max)
}

fn kv_type() -> impl Strategy<Value = KvType> {
    prop::sample::select(KvType::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default()
    })]

    #[test]
    fn rings_keep_to_the_budget_and_use_it_where_it_helps_most(
        n_ctx in 1usize..3000, n_batch in 1usize..100, kv in kv_type(), n_sinks in 0usize..40, endless: bool,
        heads in prop::sample::select(vec![(8, 8), (12, 12), (8, 2), (6, 3)]),
        bias in prop::sample::select(vec![8.0, 16.0, 1.0, 0.0]), share in 0.0..1.2,
    ) {
        let (n_head, n_head_kv) = heads;
        let shape = shape(Spec { n_head, n_head_kv, n_layer: 2, max_alibi_bias: Some(bias), ..MPT });
        let config =
            SessionConfig { n_ctx, n_batch, kv: kv.into(), n_sinks: n_sinks.min(n_ctx), endless, ..SessionConfig::DEFAULT };
        let (_, least) = with_rings(&shape, &config, &vec![1; n_head_kv]);
        let (_, most) = with_rings(&shape, &config, &vec![n_ctx as u32; n_head_kv]);
        let budget = least + (share * (most - least) as f64) as usize;
        let keys = fit(&shape, &config, budget).expect("there is room");
        let (planned, bytes) = with_rings(&shape, &config, &keys);
        prop_assert!(bytes <= budget, "{keys:?}: {bytes} of {budget}");
        prop_assert_eq!(budget >= most, keys.iter().all(|&n| n as usize == n_ctx) && bytes == most);
        let cut = largest_cut(&shape, &config, &keys);
        // One more block in any head exceeds the budget, or nothing is left to gain.
        for head in 0..n_head_kv {
            let mut more = keys.clone();
            more[head] = (more[head] + KV_BLOCK as u32).min(n_ctx as u32);
            let (_, bytes) = with_rings(&shape, &config, &more);
            prop_assert!(bytes > budget || more == keys, "{keys:?} of {n_ctx}: head {head} could have a block more");
            // Moving a block from one head to another gains nothing either.
            for other in (0..n_head_kv).filter(|&other| other != head && keys[other] > KV_BLOCK as u32) {
                let mut moved = more.clone();
                moved[other] = (moved[other] - 1) / KV_BLOCK as u32 * KV_BLOCK as u32;
                let (_, bytes) = with_rings(&shape, &config, &moved);
                prop_assert!(bytes > budget || largest_cut(&shape, &config, &moved) >= cut, "{keys:?}, {moved:?}");
            }
        }
        // More bytes never make it worse.
        let larger = fit(&shape, &config, budget + budget / 7).expect("there is room");
        prop_assert!(largest_cut(&shape, &config, &larger) <= cut, "{keys:?}, {larger:?}");
        for (head, &n) in keys.iter().enumerate() {
            let told = HeadPlan::new(&shape, &planned, head).expect("a plan");
            prop_assert_eq!(told.n_seen, n_ctx.min((n as usize).next_multiple_of(KV_BLOCK)));
            prop_assert!(told.bias_cut <= cut && told.n_rows >= told.n_seen + planned.n_sinks);
        }
    }
}

/// The planner finds the best of all possible rings, which the test tries one by one.
#[test]
fn none_of_all_rings_is_better() {
    let shape = shape(Spec { n_head: 6, n_head_kv: 3, ..MPT });
    let config = SessionConfig { n_ctx: 300, n_batch: 1, ..SessionConfig::DEFAULT };
    let all: Vec<([u32; 3], usize, f32)> = (0..1000)
        .map(|i| [i / 100, i / 10 % 10, i % 10].map(|n| (n + 1) * KV_BLOCK as u32))
        .map(|keys| (keys, with_rings(&shape, &config, &keys).1, largest_cut(&shape, &config, &keys)))
        .collect();
    let bytes = all.iter().map(|&(_, bytes, _)| bytes);
    let mut n_different = 0;
    for budget in (bytes.clone().min().unwrap()..bytes.max().unwrap() + 5000).step_by(777) {
        let found = largest_cut(&shape, &config, &fit(&shape, &config, budget).expect("there is room"));
        let within = all.iter().filter(|&&(_, bytes, _)| bytes <= budget);
        let best = within.map(|&(.., cut)| cut).fold(f32::INFINITY, f32::min);
        assert_eq!(found, best, "budget {budget}");
        n_different += usize::from(best.is_finite());
    }
    assert!(n_different > 20);
}

/// The bound is that of [`Ring::Bias`], added up term by term here.
#[test]
fn what_the_bias_leaves_to_what_is_cut_off() {
    let shape = shape(Spec { n_head: 8, n_head_kv: 4, ..MPT });
    let config = SessionConfig { n_ctx: 700, ..SessionConfig::DEFAULT };
    for (head, slope) in [2f64.powi(-2), 2f64.powi(-4), 2f64.powi(-6), 2f64.powi(-8)].into_iter().enumerate() {
        for n_blocks in 1..=22 {
            let cut = |endless| bias_cut(&shape, &SessionConfig { endless, ..config }, head, n_blocks);
            // Over all queries: the first of a block, the last of a block and the last of all among them.
            let sum_at = |pos: usize, first: i32| {
                let oldest = (pos / KV_BLOCK + 1).saturating_sub(n_blocks) * KV_BLOCK;
                (first..oldest as i32).map(|key| (-slope * (pos as i32 - key) as f64).exp()).sum::<f64>()
            };
            let worst = (0..700).map(|pos| sum_at(pos, 0)).fold(0.0, f64::max);
            assert!(worst.ln() <= f64::from(cut(false)) + 1e-4, "{head}, {n_blocks}: {} < {}", cut(false), worst.ln());
            assert_eq!(worst == 0.0, cut(false) == f32::NEG_INFINITY, "{head}, {n_blocks}");
            let endless = sum_at(32 * 64, -30000).ln();
            assert!((endless - f64::from(cut(true))).abs() < 1e-4, "{head}, {n_blocks}: {} {endless}", cut(true));
        }
    }
}

#[test]
fn rings_of_heads_are_those_of_the_same_lengths() {
    let spec = Spec { n_head: 8, n_head_kv: 4, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(400));
    let shape = shape(spec);
    for kv in KvType::ALL {
        let setup = Setup::default().with_ctx(400).with_batch(40).with_kv(kv);
        for ring in [Ring::Keys(64), Ring::Bias(0.1), Ring::Bias(1e-3)] {
            let with = |ring: Ring| Setup { config: SessionConfig { ring, n_sinks: 3, ..setup.config }, ..setup };
            let seen = |head| HeadPlan::new(&shape, &with(ring).config, head).expect("a plan").n_seen as u32;
            let heads: Vec<u32> = (0..4).map(seen).collect();
            assert!(ring == Ring::Keys(64) || heads.is_sorted() && heads[0] < heads[3], "{heads:?}");
            let run = |ring: Ring| {
                with(ring).session(file.bytes(), |session| {
                    let rows = logits(session, &tokens);
                    (rows, session.key_stats().visited.to_vec(), session.key_stats().in_ring.to_vec())
                })
            };
            let (want, got) = (run(ring), run(Ring::Heads(heads.clone().leak())));
            assert_same_bits(&format!("{kv}, {ring:?}, {heads:?}"), &want.0, &got.0);
            assert_eq!((want.1, want.2), (got.1, got.2), "{kv}, {ring:?}");
            let plan = |ring: Ring| MemoryPlan::new(&shape, &with(ring).config);
            assert_eq!(plan(ring), plan(Ring::Heads(heads.leak())));
        }
    }
}

/// In a session, each head keeps as many keys as its own ring says.
#[test]
fn a_longer_ring_for_one_head_changes_what_it_sees_alone() {
    let spec = Spec { n_head: 8, n_head_kv: 4, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(300));
    let in_ring = |keys: &'static [u32]| {
        let config = SessionConfig { ring: Ring::Heads(keys), n_ctx: 300, ..Setup::default().config };
        Setup { config, ..Setup::default() }.session(file.bytes(), |session| {
            logits(session, &tokens);
            session.key_stats().in_ring.to_vec()
        })
    };
    let (short, long) = (in_ring(&[32, 64, 64, 96]), in_ring(&[32, 64, 200, 96]));
    assert_eq!([short[0], short[1], short[3]], [long[0], long[1], long[3]]);
    assert!(short[2] < long[2]);
}

#[test]
fn rings_that_there_cannot_be() {
    let shape = shape(Spec { n_head_kv: 2, ..MPT });
    let config = SessionConfig { n_ctx: 100, n_batch: 1, kv: KvType::F32.into(), ..SessionConfig::DEFAULT };
    let plan = |ring| MemoryPlan::new(&shape, &SessionConfig { ring, ..config });
    assert_eq!(plan(Ring::Heads(&[64])), Err(PlanError::RingHeads { found: 1, n_head_kv: 2 }));
    assert_eq!(plan(Ring::Heads(&[64, 32, 32])), Err(PlanError::RingHeads { found: 3, n_head_kv: 2 }));
    assert_eq!(plan(Ring::Heads(&[64, 0])), Err(PlanError::Ring));
    assert_eq!(plan(Ring::Heads(&[u32::MAX, 100])), plan(Ring::Full));
    let fit = |budget, keys: &mut [u32]| fit_rings(&shape, &config, budget, keys, |_, n| -(n as f32));
    assert_eq!(fit(1 << 20, &mut [0]), Err(PlanError::RingHeads { found: 1, n_head_kv: 2 }));
    // 2 layers, 2 heads, 32 keys and values of 8 floats; norms and places a line each.
    let need = 2 * 2 * 32 * 2 * 8 * 4 + 64 + 64;
    assert_eq!(fit(need - 1, &mut [0; 2]), Err(PlanError::Budget { need, budget: need - 1 }));
    let mut keys = [0; 2];
    assert_eq!((fit(need, &mut keys), keys), (Ok(()), [32; 2]));
    assert_eq!((fit(usize::MAX, &mut keys), keys), (Ok(()), [100; 2]));
    let none = SessionConfig { n_ctx: 0, ..config };
    let found = fit_rings(&shape, &none, 1 << 20, &mut keys, |_, _| 0.0);
    assert_eq!(found, Err(PlanError::Context { found: 0 }));
}
