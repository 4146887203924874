//! Equal bits for every way to run a text: on each ISA, with any number of workers, in any chunks, from any layout of the file.

use crate::common::compare::assert_same_bits;
use crate::common::file::File;
use crate::common::model::{BAICHUAN, BLOOM, FALCON, GPT2, JAIS, MPT, Parts, REFACT, Spec, split_qkv};
use crate::common::reference::quantize::{TYPES, Type};
use crate::common::run::{Setup, logits};
use crate::common::threads::Threads;
use nearfield::kernels::available;
use nearfield::{AlibiScale, Executor, Inline, KvType, KvTypes, Session, SessionConfig};
use nearfield_kernels::scalar;

/// Length of a text: more than two blocks of keys, more than a chunk of 64, and a multiple of neither.
const N_TOKENS: usize = 77;

/// The plainest way to run: scalar kernels, one worker, all tokens at once.
fn plain(file: &File, kv: impl Into<KvTypes>, tokens: &[u32]) -> Vec<Vec<f32>> {
    let scalar = available().next().expect("scalar");
    assert_eq!(scalar.name(), "scalar");
    Setup { kernels: scalar, ..Setup::default() }.with_kv(kv).logits(file.bytes(), tokens)
}

/// Runs the file in every other way that must not change a bit.
fn assert_equal_in_every_way(what: &str, file: &File, kv: impl Into<KvTypes>, tokens: &[u32]) {
    let kv: KvTypes = kv.into();
    let want = plain(file, kv, tokens);
    assert!(want.iter().flatten().all(|x| x.is_finite()), "{what}: finite");
    for kernels in available().skip(1) {
        let setup = Setup { kernels, ..Setup::default() }.with_kv(kv);
        assert_same_bits(&format!("{what}, {}", kernels.name()), &want, &setup.logits(file.bytes(), tokens));
    }
    for executor in [Threads(2), Threads(3)] {
        let setup = Setup { executor: &executor, ..Setup::default() }.with_kv(kv);
        assert_same_bits(&format!("{what}, {executor:?}"), &want, &setup.logits(file.bytes(), tokens));
    }
    for n_batch in [1, 7, 64] {
        let setup = Setup::default().with_kv(kv).with_batch(n_batch);
        assert_same_bits(&format!("{what}, chunks of {n_batch}"), &want, &setup.logits(file.bytes(), tokens));
    }
    let decoded = Setup { executor: &Threads(2), ..Setup::default() }.with_kv(kv).session(file.bytes(), |session| {
        tokens.iter().map(|&token| session.decode(token).expect("a token").to_vec()).collect::<Vec<_>>()
    });
    assert_same_bits(&format!("{what}, decoded one by one"), &want, &decoded);
    let last = Setup::default()
        .with_kv(kv)
        .with_batch(7)
        .session(file.bytes(), |session| session.prefill(tokens).expect("tokens").to_vec());
    assert_same_bits(&format!("{what}, the last alone"), &want[want.len() - 1..], &[last]);
}

/// A model as wide as the type's blocks allow.
fn spec_for(ty: &Type, n_head: usize) -> Spec {
    let arch = if n_head == 8 { MPT } else { BLOOM };
    let head_dim = match (ty.block_len, n_head) {
        (256, 8) => 32,
        (256, _) => 64,
        _ => 8,
    };
    let n_ff = if ty.block_len == 256 { 256 } else { 96 };
    Spec { n_head, n_head_kv: n_head, head_dim, n_ff, n_layer: 1, ..arch }
}

fn every_weight_type(n_head: usize) {
    for ty in &TYPES {
        let spec = spec_for(ty, n_head);
        // The widest models get little more than one block of keys.
        let tokens = spec.tokens(if spec.n_embd() > 256 { 34 } else { N_TOKENS });
        let file = spec.file(ty.name);
        for kv in KvType::ALL {
            assert_equal_in_every_way(&format!("{} weights, {kv} cache, {n_head} heads", ty.name), &file, kv, &tokens);
        }
    }
}

#[test]
fn every_weight_and_kv_type_with_8_heads() {
    every_weight_type(8);
}

#[test]
fn every_weight_and_kv_type_with_12_heads() {
    every_weight_type(12);
}

#[test]
fn every_head_shape() {
    let cases = [
        (6, 6, 8),
        (6, 2, 16),
        (8, 1, 24),
        (8, 2, 40),
        (12, 4, 24),
        (20, 5, 8),
        (40, 40, 8),
        (56, 7, 16),
        (71, 1, 8),
        (4, 2, 64),
        (1, 1, 64),
        (24, 24, 10),
        (6, 2, 7),
        (4, 1, 86),
    ];
    for (n_head, n_head_kv, head_dim) in cases {
        let spec = Spec { n_head, n_head_kv, head_dim, n_layer: 1, ..MPT };
        let file = spec.file("F32");
        for kv in KvType::ALL {
            let what = format!("{n_head} heads of {head_dim} among {n_head_kv}, {kv} cache");
            assert_equal_in_every_way(&what, &file, kv, &spec.tokens(N_TOKENS));
        }
    }
}

/// Keys of one type, values of another.
#[test]
fn every_mix_of_kv_types() {
    let spec = Spec { n_head: 6, n_head_kv: 2, head_dim: 40, n_layer: 2, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(N_TOKENS));
    for keys in KvType::ALL {
        for values in KvType::ALL.into_iter().filter(|&values| values != keys) {
            let kv = KvTypes { keys, values };
            assert_equal_in_every_way(&format!("{kv} cache"), &file, kv, &tokens);
        }
    }
}

#[test]
fn every_variant_of_a_model() {
    let cases = [
        ("biases", Spec { biases: true, ..MPT }),
        ("no biases", Spec { biases: false, ..BLOOM }),
        ("split, grouped QKV", Spec { split_qkv: true, n_head_kv: 2, biases: true, ..MPT }),
        ("clamp", Spec { clamp_kqv: 0.5, ..MPT }),
        ("split, clamped QKV", Spec { clamp_kqv: 0.5, split_qkv: true, ..MPT }),
        ("max_alibi_bias 4", Spec { max_alibi_bias: Some(4.0), ..MPT }),
        ("max_alibi_bias 16", Spec { max_alibi_bias: Some(16.0), ..MPT }),
        ("no bias by distance", Spec { max_alibi_bias: Some(0.0), ..MPT }),
        ("output of its own", Spec { untied: true, ..BLOOM }),
        ("sharp scores", Spec { sharpness: 10.0, ..MPT }),
        ("norms of queries and keys", Spec { qk_norm: true, n_head_kv: 2, ..MPT }),
        ("slopes that shrink", Spec { alibi_train_length: Some(20), ..JAIS }),
        ("gpt2", GPT2),
        ("falcon", FALCON),
        ("baichuan", BAICHUAN),
        ("refact", REFACT),
        ("jais", JAIS),
    ];
    for (what, spec) in cases {
        let kinds = [("F32", KvType::F32), ("BF16", KvType::F16), ("Q8_0", KvType::Q8_0), ("Q4_0", KvType::Q4_0)];
        for (weights, kv) in kinds {
            let what = format!("{what}, {weights} weights, {kv} cache");
            assert_equal_in_every_way(&what, &spec.file(weights), kv, &spec.tokens(N_TOKENS));
        }
    }
}

/// The end of a walk is part of the bits and must not depend on how the text is run.
#[test]
fn with_a_horizon_too() {
    let spec = Spec { max_alibi_bias: Some(4.0), n_head_kv: 2, ..MPT };
    let shrinking = Spec { alibi_train_length: Some(200), ..spec };
    let rounded = Spec { arch: "falcon", biases: true, ..spec };
    let (as_it_is, trained) = (AlibiScale::Model, AlibiScale::Trained(150));
    let others = [
        (rounded, true, KvType::F16, as_it_is),
        (shrinking, false, KvType::F16, as_it_is),
        (spec, false, KvType::F16, trained),
        (spec, false, KvType::Q8_0, AlibiScale::Factor(0.7)),
        (rounded, true, KvType::F16, trained),
    ];
    for (spec, bf16, kv, scale) in KvType::ALL.map(|kv| (spec, false, kv, as_it_is)).into_iter().chain(others) {
        let tokens = spec.tokens(300);
        let file = spec.file("Q8_0");
        let setup = Setup::default().with_kv(kv).with_eps(SessionConfig::HORIZON_EPS).with_bf16(bf16).with_scale(scale);
        let walk = |setup: Setup<'_>| {
            setup.session(file.bytes(), |session| (logits(session, &tokens), session.key_stats().visited.to_vec()))
        };
        let (want, want_visited) = walk(setup);
        let held = (1..=tokens.len() as u64).sum();
        assert!(want_visited.iter().any(|&n| n < held), "{kv}: some head stops early: {want_visited:?} of {held}");
        for kernels in available() {
            // Threads of a test are started for each step, so single tokens are left to `assert_equal_in_every_way`.
            let runs: [(&dyn Executor, &[usize]); 3] =
                [(&Inline, &[1, 7, 64, 512]), (&Threads(2), &[7, 512]), (&Threads(3), &[64])];
            for (executor, chunks) in runs {
                for &n_batch in chunks {
                    let n = executor.n_workers();
                    let what = format!(
                        "{}, {kv} cache, {scale:?}, {}, {n} workers, chunks of {n_batch}",
                        spec.arch,
                        kernels.name()
                    );
                    let (got, visited) = walk(Setup { kernels, executor, ..setup }.with_batch(n_batch));
                    assert_same_bits(&what, &want, &got);
                    assert_eq!(want_visited, visited, "{what}: keys visited");
                }
            }
        }
    }
}

#[test]
fn split_qkv_has_the_bits_of_fused() {
    for spec in [Spec { n_head_kv: 2, biases: true, clamp_kqv: 1.0, ..MPT }, BLOOM] {
        let tokens = spec.tokens(N_TOKENS);
        for weights in ["F32", "F16", "Q4_0", "Q8_0", "Q5_1"] {
            let fused = spec.file(weights);
            let split = spec.file_of(&split_qkv(&spec, spec.tensors()), weights);
            for kv in KvType::ALL {
                let setup = Setup::default().with_kv(kv);
                let what = format!("{weights} weights, {kv} cache");
                assert_same_bits(&what, &setup.logits(fused.bytes(), &tokens), &setup.logits(split.bytes(), &tokens));
            }
        }
    }
}

#[test]
fn gguf_2_has_the_bits_of_gguf_3() {
    let spec = BLOOM;
    let tokens = spec.tokens(N_TOKENS);
    let parts = spec.parts_of(&spec.tensors(), "Q5_0");
    let [two, three] = [2, 3].map(|version| Parts { version, ..parts.clone() }.file());
    assert_ne!(two.bytes(), three.bytes());
    let run = |file: &File| Setup::default().logits(file.bytes(), &tokens);
    assert_same_bits("version 2", &run(&three), &run(&two));
}

#[test]
fn a_tied_output_has_the_bits_of_a_copy() {
    let tokens = MPT.tokens(N_TOKENS);
    let mut tensors = MPT.tensors();
    let copy = crate::common::reference::weights::Tensor {
        name: "output.weight".into(),
        shape: tensors[0].shape.clone(),
        data: tensors[0].data.clone(),
    };
    tensors.push(copy);
    let run = |file: &File| Setup::default().logits(file.bytes(), &tokens);
    assert_same_bits("untied", &run(&MPT.file("Q8_0")), &run(&MPT.file_of(&tensors, "Q8_0")));
}

/// After a reset the walks end where they did in a new session: no key of the old text is left.
#[test]
fn a_session_that_was_reset_is_new() {
    // Keys of the first text are much larger than those of the second.
    let spec = Spec { max_alibi_bias: Some(4.0), ..MPT };
    let mut tensors = spec.tensors();
    let (large, small) = (0..24_u32, 24..48_u32);
    for (row, is_large) in
        tensors[0].data.chunks_exact_mut(spec.n_embd()).zip((0..).map(|token| large.contains(&token)))
    {
        // A norm removes the size of a row, but keeps the share of one column in it.
        row[0] = if is_large { 30.0 } else { 0.0 };
    }
    let file = spec.file_of(&tensors, "F16");
    let [long, short] = [(large, 200), (small, 150)].map(|(tokens, n)| tokens.cycle().take(n).collect::<Vec<u32>>());
    for kv in KvType::ALL {
        let setup = Setup::default().with_kv(kv).with_eps(SessionConfig::HORIZON_EPS);
        let visited = |session: &Session<'_, '_, '_>| session.key_stats().visited.to_vec();
        let (want, want_visited) = setup.session(file.bytes(), |session| (logits(session, &short), visited(session)));
        let (got, got_visited) = setup.session(file.bytes(), |session| {
            logits(session, &long);
            session.reset();
            (logits(session, &short), visited(session))
        });
        assert_same_bits(&format!("{kv} cache"), &want, &got);
        assert_eq!(want_visited, got_visited, "{kv} cache: keys visited");
        let held = (1..=short.len() as u64).sum();
        assert!(want_visited.iter().any(|&n| n < held), "{kv} cache: {want_visited:?} of {held}");
    }
}

#[test]
fn a_refused_call_changes_nothing() {
    let tokens = MPT.tokens(40);
    let file = MPT.file("F32");
    let setup = Setup::default().with_ctx(40);
    let want = setup.logits(file.bytes(), &tokens);
    let got = setup.session(file.bytes(), |session| {
        let mut rows = logits(session, &tokens[..20]);
        session.prefill(&[0, 1, MPT.n_vocab as u32]).expect_err("no such token");
        session.prefill(&[0; 21]).expect_err("too many");
        session.prefill(&[]).expect_err("none");
        rows.extend(logits(session, &tokens[20..]));
        rows
    });
    assert_same_bits("after errors", &want, &got);
}

#[test]
fn later_tokens_leave_earlier_logits_alone() {
    let tokens = MPT.tokens(N_TOKENS);
    let file = MPT.file("F32");
    let mut other = tokens.clone();
    other[50..].iter_mut().for_each(|token| *token = (*token + 1) % MPT.n_vocab as u32);
    let want = Setup::default().logits(file.bytes(), &tokens);
    let got = Setup::default().logits(file.bytes(), &other);
    assert_same_bits("before the change", &want[..50], &got[..50]);
    assert_ne!(want[50], got[50], "the change shows");
}

/// ALiBi knows distances, not positions. A text has the same bits behind any other text that is so far back that all heads have
/// forgotten it, if the blocks of keys are cut at the same places.
#[test]
fn a_shift_by_whole_blocks_keeps_the_bits() {
    // The flattest slope is 1/2: beyond 2 * (87.3 + the largest score) a key adds exactly nothing, in each of two layers.
    let spec = Spec { max_alibi_bias: Some(1.0), ..MPT };
    let file = spec.file("Q8_0");
    let text = spec.tokens(500);
    for kv in KvType::ALL {
        let setup = Setup::default().with_kv(kv).with_ctx(1024);
        let want = setup.logits(file.bytes(), &text);
        for n_before in [32, 320] {
            let before = Spec { seed: 3, ..spec }.tokens(n_before);
            let got = setup.logits(file.bytes(), &[before, text.clone()].concat());
            assert_same_bits(&format!("{kv} cache, {n_before} before"), &want[450..], &got[n_before + 450..]);
            assert_ne!(want[10], got[n_before + 10], "{kv}: near the shift it shows");
        }
    }
}

/// Test of these tests: they notice a kernel that is wrong in one bit of one operation.
#[test]
fn one_wrong_bit_is_seen() {
    struct OneBitOff;
    impl nearfield::kernels::Kernels for OneBitOff {
        fn name(&self) -> &'static str {
            "one bit off"
        }

        fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
            scalar::exp_block(scores, max).next_up()
        }
    }
    let tokens = MPT.tokens(N_TOKENS);
    let file = MPT.file("F32");
    let want = plain(&file, KvType::F32, &tokens);
    let got = Setup { kernels: &OneBitOff, ..Setup::default() }.logits(file.bytes(), &tokens);
    let same = std::panic::catch_unwind(|| assert_same_bits("one bit off", &want, &got));
    assert!(same.is_err());
}
