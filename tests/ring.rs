//! Rings: kept keys are kept bit for bit, and forgotten keys leave no trace.

use crate::common::compare::{assert_same_bits, difference};
use crate::common::model::{MPT, Spec};
use crate::common::run::{Setup, logits};
use crate::common::threads::Threads;
use nearfield::kernels::{KV_BLOCK, available};
use nearfield::{AlibiScale, KvType, MemoryPlan, Model, Ring, RunError, SessionConfig};

fn with_ring(setup: Setup<'_>, ring: Ring) -> Setup<'_> {
    Setup { config: SessionConfig { ring, ..setup.config }, ..setup }
}

/// The oldest position that a query at `pos` sees in a ring of `n` whole blocks, of which its own is the last.
fn oldest(pos: usize, n: usize) -> usize {
    (pos / KV_BLOCK + 1).saturating_sub(n) * KV_BLOCK
}

#[test]
fn a_ring_as_long_as_the_context_is_no_ring() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(150));
    for kv in KvType::ALL {
        for n_ctx in [150, 160, 200] {
            let setup = Setup::default().with_ctx(n_ctx).with_kv(kv).with_batch(7).with_eps(SessionConfig::HORIZON_EPS);
            let want = setup.logits(file.bytes(), &tokens);
            for ring in [Ring::Keys(n_ctx), Ring::Keys(usize::MAX), Ring::Bias(1e-30)] {
                let got = with_ring(setup, ring).session(file.bytes(), |session| {
                    let got = logits(session, &tokens);
                    assert!(session.key_stats().in_ring.iter().all(|&n| n == session.key_stats().held));
                    got
                });
                assert_same_bits(&format!("{kv}, {n_ctx} positions, {ring:?}"), &want, &got);
            }
        }
    }
}

/// Keys beyond the reach of every head add exactly nothing, so a ring that holds all keys within reach gives the bits of the full
/// cache.
#[test]
fn a_ring_as_long_as_the_horizon_has_the_bits_of_the_full_cache() {
    // The flattest slope is 1/2: beyond 2 * (87.3 + the largest difference of scores) a key adds exactly nothing.
    let spec = Spec { max_alibi_bias: Some(1.0), ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(900));
    for kv in KvType::ALL {
        let setup = Setup::default().with_kv(kv).with_ctx(900);
        let want = setup.logits(file.bytes(), &tokens);
        let got = with_ring(setup, Ring::Keys(320)).logits(file.bytes(), &tokens);
        assert_same_bits(&format!("{kv} cache"), &want, &got);
        let short = with_ring(setup, Ring::Keys(32)).logits(file.bytes(), &tokens);
        assert_ne!(want[200], short[200], "{kv}: a ring that is too short shows");
    }
}

/// With one layer, keys and values depend on their own tokens alone: a query sees a text that begins with the ring.
#[test]
fn what_is_forgotten_never_was() {
    const N: usize = 3;
    let spec = Spec { n_layer: 1, n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(400));
    for kv in KvType::ALL {
        let setup = Setup::default().with_kv(kv).with_batch(5);
        let got = with_ring(setup, Ring::Keys(N * KV_BLOCK)).logits(file.bytes(), &tokens);
        for pos in [0, 31, 64, 95, 96, 97, 127, 128, 200, 255, 256, 399] {
            let want = setup.logits(file.bytes(), &tokens[oldest(pos, N)..=pos]);
            assert_same_bits(&format!("{kv}, position {pos}"), &want[want.len() - 1..], &got[pos..=pos]);
        }
    }
}

/// Chunks overwrite forgotten keys, and never a key that one of their own tokens still sees.
#[test]
fn the_bits_are_the_same_however_the_text_is_run() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(300));
    for kv in KvType::ALL {
        for ring in [Ring::Keys(1), Ring::Keys(64), Ring::Keys(100), Ring::Bias(0.01)] {
            let setup = Setup::default().with_kv(kv).with_eps(SessionConfig::HORIZON_EPS).with_ctx(300);
            let setup = with_ring(setup, ring);
            let run = |setup: Setup<'_>, first: usize| {
                setup.session(file.bytes(), |session| {
                    let mut rows = logits(session, &tokens[..first]);
                    rows.extend(logits(session, &tokens[first..]));
                    let stats = session.key_stats();
                    (rows, stats.visited.to_vec(), stats.in_ring.to_vec())
                })
            };
            let (want, want_visited, want_in_ring) = run(setup.with_batch(1), 1);
            for (n_batch, first) in [(1, 150), (7, 3), (32, 32), (33, 17), (64, 1), (100, 45), (300, 299), (512, 1)] {
                let what = format!("{kv}, {ring:?}, chunks of {n_batch}, {first} first");
                let (got, visited, in_ring) = run(setup.with_batch(n_batch), first);
                assert_same_bits(&what, &want, &got);
                assert_eq!((visited, in_ring), (want_visited.clone(), want_in_ring.clone()), "{what}");
            }
            for kernels in available() {
                let executor = Threads(3);
                let (got, visited, _) = run(Setup { kernels, executor: &executor, ..setup }.with_batch(40), 50);
                assert_same_bits(&format!("{kv}, {ring:?}, {}", kernels.name()), &want, &got);
                assert_eq!(visited, want_visited);
            }
        }
    }
}

#[test]
fn a_ring_of_an_eighth_of_the_context_runs_to_its_end() {
    let spec = Spec { n_head_kv: 1, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(512));
    let setup = Setup::default().with_ctx(512).with_batch(8).with_kv(KvType::Q8_0);
    let ring = with_ring(setup, Ring::Keys(64));
    ring.session(file.bytes(), |session| {
        assert!(logits(session, &tokens).iter().flatten().all(|x| x.is_finite()));
        let full = RunError::ContextFull { n_tokens: 1, pos: 512, n_ctx: 512 };
        assert_eq!(session.decode(0).expect_err("full"), full);
        let stats = session.key_stats();
        let in_ring: usize = (0..512).map(|pos| pos + 1 - oldest(pos, 2)).sum();
        assert_eq!(stats.in_ring, [in_ring as u64]);
        assert_eq!(stats.held, 512 * 513 / 2);
        assert!(stats.visited.iter().all(|&n| n == in_ring as u64), "epsilon 0 visits every key that there is");
    });
    let model = Model::from_gguf(file.bytes()).expect("right");
    let plan = |setup: Setup<'_>| MemoryPlan::new(model.shape(), &setup.config).expect("a plan");
    assert_eq!(8 * plan(ring).kv_cache, plan(setup).kv_cache);
    assert_eq!(plan(ring).activations, plan(setup).activations);
}

/// Steep heads keep few keys, flat ones many, and the loss is as small as stated for scores that do not differ.
#[test]
fn each_head_gets_the_ring_of_its_slope() {
    let spec = Spec { n_head: 8, n_head_kv: 8, n_layer: 2, sharpness: 0.05, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(1500));
    let setup = Setup::default().with_ctx(1500).with_batch(64);
    let rings = with_ring(setup, Ring::Bias(1e-7));
    let want = setup.logits(file.bytes(), &tokens);
    rings.session(file.bytes(), |session| {
        let found = difference(&want, &logits(session, &tokens));
        let stats = session.key_stats();
        println!("{found}; in the rings {:?} of {}", stats.in_ring, stats.held);
        assert!(found.of_spread < 1e-5, "{found}");
        assert!(stats.in_ring.is_sorted() && 8 * stats.in_ring[0] < stats.held, "{:?}", stats.in_ring);
        assert_eq!(stats.in_ring[7], stats.held, "slope 1/256 forgets nothing so soon");
    });
    let far = with_ring(setup, Ring::Bias(0.1)).logits(file.bytes(), &tokens);
    assert!(difference(&want, &far).of_spread > 1e-5, "rings that are too short show");
    let model = Model::from_gguf(file.bytes()).expect("right");
    let kv = |setup: Setup<'_>| MemoryPlan::new(model.shape(), &setup.config).expect("a plan").kv_cache;
    assert!(2 * kv(rings) < kv(setup), "{} of {}", kv(rings), kv(setup));
}

/// Of 12 heads the last four are steep again, so a KV head keeps what the flattest of its own query heads sees, not of those before.
#[test]
fn a_kv_head_keeps_what_its_own_flattest_head_sees() {
    let spec = Spec { n_head: 12, n_head_kv: 3, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(600));
    with_ring(Setup::default().with_ctx(600), Ring::Bias(0.01)).session(file.bytes(), |session| {
        logits(session, &tokens);
        let seen = |n_blocks| (0..600).map(|pos| (pos - oldest(pos, n_blocks) + 1) as u64).sum::<u64>();
        // The flattest slopes are 2^-4, 2^-8 and, among every second of sixteen heads, 2^-3.5.
        assert_eq!(session.key_stats().in_ring, [seen(5), seen(19), seen(4)]);
    });
}

/// A bias that is scaled, or that shrinks with the text, is flatter than its slope, and its ring longer.
#[test]
fn rings_know_what_becomes_of_a_slope() {
    let spec = Spec { n_layer: 2, sharpness: 0.05, ..MPT };
    let setup = with_ring(Setup::default().with_ctx(1500).with_batch(64), Ring::Bias(1e-7));
    let in_ring = |spec: Spec, scale: AlibiScale| {
        let (file, tokens) = (spec.file("F32"), spec.tokens(1500));
        let want = Setup::default().with_ctx(1500).with_scale(scale).logits(file.bytes(), &tokens);
        setup.with_scale(scale).session(file.bytes(), |session| {
            let found = difference(&want, &logits(session, &tokens));
            let in_ring = session.key_stats().in_ring[0];
            println!("{}, {:?}, {scale:?}: {found}; in the first ring {in_ring}", spec.arch, spec.alibi_train_length);
            assert!(found.of_spread < 1e-5, "{found}");
            in_ring
        })
    };
    let (plain, shrinking) = (in_ring(spec, AlibiScale::Model), Spec { alibi_train_length: Some(300), ..spec });
    // A scale of 1/sqrt(8), slopes that end at a fifth, and a quarter as steep ones.
    let flatter = [
        (Spec { biases: true, arch: "falcon", ..spec }, AlibiScale::Model),
        (shrinking, AlibiScale::Model),
        (spec, AlibiScale::Trained(300)),
        (spec, AlibiScale::Factor(0.25)),
    ];
    for (other, scale) in flatter {
        let n = in_ring(other, scale);
        assert!(3 * plain < 2 * n && n < 6 * plain, "{n} of {plain}: {other:?}, {scale:?}");
    }
    for (other, scale) in [(spec, AlibiScale::Factor(2.0)), (shrinking, AlibiScale::Factor(1.5))] {
        assert!(4 * in_ring(other, scale) < 3 * plain, "{other:?}, {scale:?}: of {plain}");
    }
}

#[test]
fn a_new_text_counts_from_nothing() {
    let (file, tokens) = (MPT.file("F32"), MPT.tokens(90));
    with_ring(Setup::default(), Ring::Keys(64)).session(file.bytes(), |session| {
        let counted = |session: &nearfield::Session<'_, '_, '_>| {
            let stats = session.key_stats();
            (stats.visited.to_vec(), stats.held, stats.in_ring.to_vec())
        };
        let new = counted(session);
        logits(session, &tokens);
        let first = counted(session);
        assert_ne!(new, first);
        session.reset();
        assert_eq!(counted(session), new);
        logits(session, &tokens);
        assert_eq!(counted(session), first);
    });
}
