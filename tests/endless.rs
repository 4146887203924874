//! Texts without end, and sinks: memory stays the same, and the kept keys are those of a text of the kept tokens alone.

use crate::common::compare::{assert_same_bits, difference};
use crate::common::file::File;
use crate::common::model::{MPT, Spec};
use crate::common::run::{Setup, logits};
use crate::common::threads::Threads;
use nearfield::kernels::{KV_BLOCK, available};
use nearfield::{KvType, MemoryPlan, Model, PlanError, Ring, RunError, SessionConfig};

fn endless(n_ctx: usize, n_sinks: usize) -> Setup<'static> {
    let setup = Setup::default().with_ctx(n_ctx).with_batch(5);
    Setup { config: SessionConfig { endless: true, n_sinks, ..setup.config }, ..setup }
}

/// A model of one layer, whose keys and values depend on their own tokens alone.
fn one_layer() -> (File, Vec<u32>) {
    let spec = Spec { n_layer: 1, n_head_kv: 2, ..MPT };
    (spec.file("Q8_0"), spec.tokens(600))
}

/// The tokens that a query at `pos` sees: the sinks that are out of the ring, and the ring of `n` blocks.
fn seen(tokens: &[u32], pos: usize, n: usize, n_sinks: usize) -> Vec<u32> {
    let oldest = (pos / KV_BLOCK + 1).saturating_sub(n) * KV_BLOCK;
    [&tokens[..n_sinks.min(oldest)], &tokens[oldest..=pos]].concat()
}

const SAMPLES: [usize; 12] = [0, 31, 64, 95, 96, 97, 127, 128, 200, 255, 256, 599];

#[test]
fn an_endless_text_is_its_newest_part() {
    let (file, tokens) = one_layer();
    for kv in KvType::ALL {
        let got = endless(3 * KV_BLOCK, 0).with_kv(kv).logits(file.bytes(), &tokens);
        for pos in SAMPLES {
            let want = Setup::default().with_kv(kv).logits(file.bytes(), &seen(&tokens, pos, 3, 0));
            assert_same_bits(&format!("{kv}, position {pos}"), &want[want.len() - 1..], &got[pos..=pos]);
        }
    }
}

/// Whole blocks of sinks are summed like blocks of a text, to the bit.
#[test]
fn sinks_stand_right_behind_the_ring() {
    let (file, tokens) = one_layer();
    for kv in KvType::ALL {
        for n_sinks in [KV_BLOCK, 2 * KV_BLOCK] {
            let got = endless(3 * KV_BLOCK, n_sinks).with_kv(kv).logits(file.bytes(), &tokens);
            for pos in SAMPLES {
                let want = Setup::default().with_kv(kv).logits(file.bytes(), &seen(&tokens, pos, 3, n_sinks));
                let what = format!("{kv}, {n_sinks} sinks, position {pos}");
                assert_same_bits(&what, &want[want.len() - 1..], &got[pos..=pos]);
            }
        }
    }
}

/// A few sinks shift the blocks in which sums are made: the result is equal except for rounding, and differs from one without sinks.
#[test]
fn a_few_sinks_are_kept_too() {
    let (file, tokens) = one_layer();
    let logits = |n_sinks| endless(2 * KV_BLOCK, n_sinks).logits(file.bytes(), &tokens);
    let without = logits(0);
    for n_sinks in [1, 4, 33] {
        let got = logits(n_sinks);
        for pos in SAMPLES {
            let want = Setup::default().logits(file.bytes(), &seen(&tokens, pos, 2, n_sinks));
            let far = |from: &[Vec<f32>]| difference(&want[want.len() - 1..], &from[pos..=pos]).of_spread;
            assert!(far(&got) < 1e-5, "{n_sinks} sinks, position {pos}: {:e}", far(&got));
            assert!(pos < 2 * KV_BLOCK || far(&without) > 1e-4, "position {pos}: {:e} without", far(&without));
        }
    }
}

#[test]
fn the_bits_are_the_same_however_the_text_is_run() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(400));
    for kv in [KvType::F16, KvType::Q8_0] {
        for (ring, n_sinks) in [(Ring::Full, 0), (Ring::Full, 4), (Ring::Keys(32), 40), (Ring::Bias(0.01), 33)] {
            let setup = endless(100, n_sinks).with_kv(kv).with_eps(SessionConfig::HORIZON_EPS);
            let setup = Setup { config: SessionConfig { ring, ..setup.config }, ..setup };
            let run = |setup: Setup<'_>, first: usize| {
                setup.session(file.bytes(), |session| {
                    let mut rows = logits(session, &tokens[..first]);
                    rows.extend(logits(session, &tokens[first..]));
                    (rows, session.key_stats().visited.to_vec(), session.key_stats().in_ring.to_vec())
                })
            };
            let (want, want_visited, want_in_ring) = run(setup.with_batch(1), 1);
            for (n_batch, first) in [(7, 3), (33, 17), (64, 1), (100, 45), (512, 399)] {
                let what = format!("{kv}, {ring:?}, {n_sinks} sinks, chunks of {n_batch}, {first} first");
                let (got, visited, in_ring) = run(setup.with_batch(n_batch), first);
                assert_same_bits(&what, &want, &got);
                assert_eq!((visited, in_ring), (want_visited.clone(), want_in_ring.clone()), "{what}");
            }
            for kernels in available() {
                let executor = Threads(3);
                let (got, visited, _) = run(Setup { kernels, executor: &executor, ..setup }.with_batch(40), 50);
                assert_same_bits(&format!("{kv}, {ring:?}, {n_sinks} sinks, {}", kernels.name()), &want, &got);
                assert_eq!(visited, want_visited);
            }
        }
    }
}

/// The horizon may end a walk before the sinks; the result then differs from a full walk by less than a float's rounding.
#[test]
fn the_horizon_knows_of_the_sinks() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(500));
    for n_sinks in [4, 64] {
        let setup = endless(256, n_sinks);
        let full = setup.logits(file.bytes(), &tokens);
        let found = difference(&full, &setup.with_eps(SessionConfig::HORIZON_EPS).logits(file.bytes(), &tokens));
        assert!(found.of_spread < 1e-5, "{n_sinks} sinks: {found}");
    }
}

#[test]
fn an_endless_text_can_go_back() {
    let (file, tokens) = one_layer();
    for n_sinks in [0, 4, 40] {
        endless(64, n_sinks).with_eps(SessionConfig::HORIZON_EPS).session(file.bytes(), |session| {
            let want = logits(session, &tokens);
            session.rewind(0).expect("back to the beginning");
            assert_same_bits("from the beginning", &want, &logits(session, &tokens));
            session.rewind(576).expect("whole blocks of the ring");
            assert_same_bits("the last tokens", &want[576..], &logits(session, &tokens[576..]));
        });
    }
}

#[test]
fn the_memory_is_that_of_the_context_and_the_sinks() {
    let model_file = MPT.file("F32");
    let model = Model::from_gguf(model_file.bytes()).expect("right");
    let plan = |config: &SessionConfig| MemoryPlan::new(model.shape(), config);
    let ended = SessionConfig { endless: false, ..endless(256, 0).config };
    let (kv, norms) = (plan(&ended).expect("a plan").kv_cache, plan(&ended).expect("a plan").key_norms);
    // Chunks of 5 tokens overwrite no key that they still see.
    assert_eq!(plan(&endless(256, 0).config).expect("a plan").kv_cache, kv);
    assert_eq!(plan(&endless(256, 64).config).expect("a plan").kv_cache, kv + kv / 4);
    assert!(plan(&endless(256, 64).config).expect("a plan").key_norms > norms);
    assert_eq!(plan(&endless(256, 257).config), Err(PlanError::Sinks { found: 257, n_ctx: 256 }));
    assert_eq!(PlanError::Sinks { found: 257, n_ctx: 256 }.to_string(), "257 sinks do not fit a context of 256");
    // No ring is longer than the context.
    for keys in [256, 257, 1000] {
        let config = SessionConfig { ring: Ring::Keys(keys), ..endless(256, 64).config };
        assert_eq!(plan(&config), plan(&endless(256, 64).config), "{keys}");
    }
    // Without `endless` a text ends at the context, with sinks or without.
    let setup = Setup::default().with_ctx(64);
    let setup = Setup { config: SessionConfig { n_sinks: 4, ..setup.config }, ..setup };
    setup.session(model_file.bytes(), |session| {
        logits(session, &MPT.tokens(64));
        assert_eq!(session.decode(0).expect_err("full"), RunError::ContextFull { n_tokens: 1, pos: 64, n_ctx: 64 });
    });
}
