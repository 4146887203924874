//! A text that was interrupted, stored and continued equals one that never was: the same bits, the same keys visited.

use crate::common::compare::assert_same_bits;
use crate::common::file::File;
use crate::common::model::{MPT, Spec};
use crate::common::run::{Flash, Setup, logits, snapshot};
use crate::common::threads::Threads;
use nearfield::kernels::{available, best};
use nearfield::{
    KvType, KvTypes, MemoryPlan, Model, ModelId, Prefix, PrefixError, RewindError, Ring, RunError, Session,
    SessionConfig, SessionError, SnapshotHeader, TextState, checksum,
};

/// A model with steep and flat heads, and two KV heads.
const SPEC: Spec = Spec { n_head_kv: 2, max_alibi_bias: Some(4.0), ..MPT };
const N_TOKENS: usize = 330;
const NO_TEXT: TextState<'static> = TextState { model_name: "", last_tokens: &[], seed: 0 };

/// Setup with room for the text, and a horizon within it.
fn setup(kv: impl Into<KvTypes>, ring: Ring) -> Setup<'static> {
    let setup = Setup::default().with_kv(kv).with_ctx(N_TOKENS + 5).with_batch(40);
    setup.with_eps(SessionConfig::HORIZON_EPS).with_ring(ring)
}

fn with_sinks(setup: Setup<'_>, n_sinks: usize) -> Setup<'_> {
    Setup { config: SessionConfig { n_sinks, ..setup.config }, ..setup }
}

fn endless(setup: Setup<'_>, n_ctx: usize) -> Setup<'_> {
    Setup { config: SessionConfig { endless: true, n_ctx, ..setup.config }, ..setup }
}

/// The snapshot after the first `n` tokens.
fn prefix_of(setup: Setup<'_>, file: &File, tokens: &[u32], n: usize) -> Flash {
    setup.session(file.bytes(), |session| {
        run_to(session, tokens, n);
        snapshot(session, file.bytes(), &NO_TEXT)
    })
}

fn run_to(session: &mut Session<'_, '_, '_>, tokens: &[u32], pos: usize) {
    if session.pos() < pos {
        session.prefill(&tokens[session.pos()..pos]).expect("room");
    }
}

/// Logits of the rest of the text, the keys that it visits, and the snapshot at the end.
type Rest = (Vec<Vec<f32>>, Vec<u64>, Vec<u8>);

fn rest(session: &mut Session<'_, '_, '_>, file: &File, tokens: &[u32]) -> Rest {
    let visited = |session: &Session<'_, '_, '_>| session.key_stats().visited.to_vec();
    let before = visited(session);
    let rows = logits(session, &tokens[session.pos()..]);
    let visited = visited(session).iter().zip(before).map(|(after, before)| after - before).collect();
    (rows, visited, snapshot(session, file.bytes(), &NO_TEXT).bytes().to_vec())
}

fn assert_same(what: &str, want: &Rest, got: &Rest) {
    assert_same_bits(what, &want.0, &got.0);
    assert_eq!(want.1, got.1, "{what}: keys visited");
    assert!(want.2 == got.2, "{what}: another snapshot at the end");
}

/// Compares the text after `n` tokens in one session with the text in `goes_on` behind a snapshot that `writes` made.
fn assert_goes_on(what: &str, writes: Setup<'_>, goes_on: Setup<'_>, file: &File, tokens: &[u32], n: usize) {
    let want = goes_on.session(file.bytes(), |session| {
        run_to(session, tokens, n);
        rest(session, file, tokens)
    });
    let prefix = prefix_of(writes, file, tokens, n);
    let got = goes_on.session_behind(file.bytes(), &prefix, |session| rest(session, file, tokens));
    assert_same(&format!("{what}, {n} tokens before"), &want, &got);
}

/// Numbers of stored positions: none, few, whole blocks, and around them.
const LENGTHS: [usize; 9] = [0, 1, 31, 32, 33, 64, 100, 191, 320];

#[test]
fn every_kv_type_and_mix_goes_on_everywhere() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    for keys in KvType::ALL {
        for values in KvType::ALL {
            let setup = setup(KvTypes { keys, values }, Ring::Full);
            let lengths = if keys == values { &LENGTHS[..] } else { &[33, 64] };
            for &n in lengths {
                assert_goes_on(&setup.config.kv.to_string(), setup, setup, &file, &tokens, n);
            }
        }
    }
}

#[test]
fn heads_whose_columns_fill_no_word_too() {
    // 43 bytes of four bits, and a scale for the last 22 columns.
    let spec = Spec { n_head: 4, n_head_kv: 1, head_dim: 86, n_layer: 2, ..SPEC };
    let (file, tokens) = (spec.file("F32"), spec.tokens(120));
    for kv in KvType::ALL {
        let setup = setup(kv, Ring::Full);
        assert_goes_on(&format!("{kv}, heads of 86"), setup, setup, &file, &tokens, 77);
    }
}

#[test]
fn rings_and_sinks_go_on() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    let rings =
        [Ring::Full, Ring::Keys(32), Ring::Keys(64), Ring::Keys(100), Ring::Bias(0.01), Ring::Heads(&[32, 128])];
    for ring in rings {
        for n_sinks in [0, 4, 70] {
            for batch in [8, 100] {
                let setup = with_sinks(setup(KvType::F16, ring), n_sinks).with_batch(batch);
                for n in [1, 32, 33, 64, 100, 224] {
                    let what = format!("{ring:?}, {n_sinks} sinks, batch {batch}");
                    assert_goes_on(&what, setup, setup, &file, &tokens, n);
                }
            }
        }
    }
}

/// A snapshot of a full cache serves any ring and any sinks; one of a longer ring serves a shorter one. In a single layer keys do not
/// depend on what their tokens saw, so the bits are those of the shorter ring.
#[test]
fn a_prefix_of_all_keys_serves_every_ring() {
    let spec = Spec { n_layer: 1, ..SPEC };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    let full = setup(KvType::Q8_0, Ring::Full);
    for ring in [Ring::Keys(32), Ring::Keys(96), Ring::Bias(0.01), Ring::Heads(&[64, 300])] {
        for n_sinks in [0, 4, 70] {
            for n in [33, 64, 200] {
                let what = format!("{ring:?}, {n_sinks} sinks, behind a full cache");
                assert_goes_on(&what, full, with_sinks(full.with_ring(ring), n_sinks), &file, &tokens, n);
            }
        }
    }
    let longer = with_sinks(full.with_ring(Ring::Keys(160)), 8);
    assert_goes_on("a shorter ring", longer, with_sinks(full.with_ring(Ring::Keys(96)), 4), &file, &tokens, 250);
}

#[test]
fn texts_without_end_go_on() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    for ring in [Ring::Full, Ring::Keys(64), Ring::Bias(0.01)] {
        for n_sinks in [0, 4, 40] {
            let setup = with_sinks(endless(setup(KvType::F16, ring), 100), n_sinks);
            for n in [31, 64, 100, 129, 288] {
                assert_goes_on(&format!("{ring:?} without end, {n_sinks} sinks"), setup, setup, &file, &tokens, n);
            }
        }
    }
    // A text with an end continues without one.
    let ends = setup(KvType::F16, Ring::Full);
    assert_goes_on("an end and none", ends, endless(ends, 128), &file, &tokens, 90);
}

/// Writer and reader may have different kernels, chunks and workers.
#[test]
fn any_machine_goes_on_for_any_other() {
    let (file, tokens) = (SPEC.file("Q4_0"), SPEC.tokens(200));
    let threads = Threads(3);
    for (kv, ring) in [(KvType::F32, Ring::Full), (KvType::Q8_0, Ring::Keys(64)), (KvType::Q4_0, Ring::Bias(0.01))] {
        let setup = with_sinks(setup(kv, ring), 4);
        for writes in available() {
            for goes_on in available() {
                let writer = Setup { kernels: writes, ..setup }.with_batch(7);
                let reader = Setup { kernels: goes_on, executor: &threads, ..setup };
                let what = format!("{kv}, {} after {}", goes_on.name(), writes.name());
                // Rings have room for a chunk ahead, which changes no bits.
                let want = prefix_of(setup, &file, &tokens, 100);
                assert!(want.bytes() == prefix_of(writer, &file, &tokens, 100).bytes(), "{what}: another snapshot");
                assert_goes_on(&what, writer, reader, &file, &tokens, 100);
            }
        }
    }
}

#[test]
fn what_goes_on_can_be_stored_again() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    for (ring, n_sinks) in [(Ring::Full, 0), (Ring::Keys(64), 4), (Ring::Heads(&[32, 300]), 40)] {
        let setup = with_sinks(setup(KvType::Q8_0, ring), n_sinks);
        let want = setup.session(file.bytes(), |session| {
            run_to(session, &tokens, 250);
            rest(session, &file, &tokens)
        });
        for ends in [&[33][..], &[32, 64], &[20, 20, 75, 96], &[100, 101, 230, 231]] {
            let mut stored = prefix_of(setup, &file, &tokens, ends[0]);
            for &end in &ends[1..] {
                stored = setup.session_behind(file.bytes(), &stored, |session| {
                    run_to(session, &tokens, end);
                    snapshot(session, file.bytes(), &NO_TEXT)
                });
                let at_once = prefix_of(setup, &file, &tokens, end);
                assert!(stored.bytes() == at_once.bytes(), "{ring:?}, {ends:?} at {end}: another snapshot");
            }
            let got = setup.session_behind(file.bytes(), &stored, |session| {
                run_to(session, &tokens, 250);
                rest(session, &file, &tokens)
            });
            assert_same(&format!("{ring:?}, {ends:?}"), &want, &got);
        }
    }
}

/// The block of the prefix's last keys is the oldest of the ring, so the snapshot has no norm of the block before.
#[test]
fn a_rewind_within_the_block_that_the_prefix_ends_in() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    for (n, n_sinks) in [(33, 0), (35, 4), (100, 4)] {
        let setup = with_sinks(setup(KvType::Q8_0, Ring::Keys(32)), n_sinks);
        let prefix = prefix_of(setup, &file, &tokens, n);
        let behind = |n_run: usize| {
            setup.session_behind(file.bytes(), &prefix, |session| {
                run_to(session, &tokens, n_run);
                session.rewind(n + 9).expect("there");
                rest(session, &file, &tokens)
            })
        };
        let want = setup.session(file.bytes(), |session| {
            run_to(session, &tokens, n + 9);
            rest(session, &file, &tokens)
        });
        for n_run in [n + 9, n + 10, n + 20] {
            assert_same(&format!("{n} tokens before, {n_run} run"), &want, &behind(n_run));
        }
    }
}

/// A reset goes back to the end of the prefix, and a rewind goes no further.
#[test]
fn back_to_the_prefix_and_no_further() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    for ring in [Ring::Full, Ring::Keys(64)] {
        for n in [64, 75] {
            let setup = with_sinks(setup(KvType::F16, ring), 70);
            let prefix = prefix_of(setup, &file, &tokens, n);
            let behind = |run: &dyn Fn(&mut Session<'_, '_, '_>) -> Rest| {
                setup.session_behind(file.bytes(), &prefix, |session| run(session))
            };
            let want = behind(&|session| rest(session, &file, &tokens));
            let what = format!("{ring:?}, {n}");
            let reset = behind(&|session| {
                // Far enough for a ring to go round.
                session.prefill(&[7; 200]).expect("room");
                session.reset();
                assert_eq!((session.pos(), session.key_stats().held), (n, 0));
                rest(session, &file, &tokens)
            });
            assert_same(&format!("{what} again"), &want, &reset);
            let back = behind(&|session| {
                session.prefill(&[7; 200]).expect("room");
                let prefix = |to| Err(RewindError::Prefix { to, n_prefix: n });
                assert_eq!([session.rewind(n - 1), session.rewind(0)], [prefix(n - 1), prefix(0)]);
                assert_eq!(session.pos(), n + 200);
                session.rewind(n).expect("there");
                run_to(session, &tokens, n + 3);
                session.prefill(&[7; 20]).expect("room");
                session.rewind(n + 3).expect("there");
                session.rewind(n).expect("there");
                rest(session, &file, &tokens)
            });
            assert_same(&format!("{what} back"), &want, &back);
            let forgotten = behind(&|session| {
                session.prefill(&[7; 200]).expect("room");
                let result = session.rewind(n + 5);
                assert_eq!(result.is_err(), ring != Ring::Full, "{what}: {result:?}");
                session.reset();
                rest(session, &file, &tokens)
            });
            assert_same(&format!("{what} after a refusal"), &want, &forgotten);
        }
    }
    let error = RewindError::Prefix { to: 3, n_prefix: 64 };
    assert_eq!(error.to_string(), "position 3 lies within the 64 tokens that the session began with");
}

/// Whole blocks of a prefix take no memory in the arena.
#[test]
fn a_prefix_saves_its_whole_blocks() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    let model = Model::from_gguf(file.bytes()).unwrap();
    let setup = setup(KvType::F32, Ring::Full).with_ctx(320).with_batch(8);
    let plan = |setup: Setup<'_>, n_prefix| {
        MemoryPlan::new(model.shape(), &SessionConfig { n_prefix, ..setup.config }).map(|plan| plan.kv_cache)
    };
    let block = plan(setup, 0).unwrap() / 10;
    for (n_prefix, n_blocks) in [(0, 10), (31, 10), (32, 9), (100, 7), (319, 1), (320, 0)] {
        assert_eq!(plan(setup, n_prefix), Ok(n_blocks * block), "{n_prefix}");
    }
    // A ring of two blocks shrinks only where less than two are left.
    let ring = setup.with_ring(Ring::Keys(64));
    assert_eq!([0, 100, 256, 288].map(|n| plan(ring, n).unwrap() / block), [2, 2, 2, 1]);
    assert_eq!(plan(setup, 321), Err(nearfield::PlanError::Prefix { n_prefix: 321, n_ctx: 320 }));

    let (s, head) = (model.shape(), SnapshotHeader::read(prefix_of(setup, &file, &tokens, 96).bytes()).unwrap());
    let rows = s.n_layer * s.n_head_kv * 96 * 2 * KvType::F32.row_bytes(s.head_dim);
    let norms = s.n_layer * s.n_head_kv * 3 * 4;
    assert_eq!(head.n_bytes as usize, 448 + 32 * s.n_head_kv + rows + norms.next_multiple_of(64));
    let of_ring = SnapshotHeader::read(prefix_of(ring, &file, &tokens, 300).bytes()).unwrap();
    // At 300 a ring of two blocks sees those from 256 on.
    assert!((of_ring.n_bytes as usize) < 448 + 64 + rows * 44 / 96 + 128, "{of_ring:?}");

    // At the end of the context nothing can be run, and nothing is broken.
    let prefix = prefix_of(setup, &file, &tokens, 320);
    setup.session_behind(file.bytes(), &prefix, |session| {
        let full = RunError::ContextFull { n_tokens: 1, pos: 320, n_ctx: 320 };
        assert_eq!(session.decode(1), Err(full));
        session.reset();
        assert_eq!(session.rewind(320), Ok(()));
        assert!(snapshot(session, file.bytes(), &NO_TEXT).bytes() == prefix.bytes());
    });
}

#[test]
fn what_goes_with_it_comes_back() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(80));
    let id = ModelId::of(file.bytes());
    let long_name = "ä".repeat(40);
    let cases = [
        (NO_TEXT, "", &[][..]),
        (
            TextState { model_name: "a.gguf", last_tokens: &[7, 0, u32::MAX], seed: u64::MAX },
            "a.gguf",
            &[7, 0, u32::MAX],
        ),
        (TextState { model_name: &long_name, last_tokens: &tokens, seed: 1 << 40 }, &long_name[..64], &tokens[16..]),
        (
            TextState { model_name: &long_name[..64], last_tokens: &tokens[..64], seed: 5 },
            &long_name[..64],
            &tokens[..64],
        ),
        (TextState { model_name: "x€", ..NO_TEXT }, "x€", &[]),
    ];
    setup(KvType::F16, Ring::Keys(32)).session(file.bytes(), |session| {
        run_to(session, &tokens, 70);
        for (text, model_name, last_tokens) in cases {
            let flash = snapshot(session, file.bytes(), &text);
            let prefix = Prefix::from_bytes(flash.bytes(), id).unwrap();
            assert_eq!(prefix.text(), TextState { model_name, last_tokens, seed: text.seed });
            assert_eq!(prefix.oldest().collect::<Vec<_>>(), [64, 64]);
            let header = SnapshotHeader::read(flash.bytes()).unwrap();
            assert_eq!(*prefix.header(), header);
            assert_eq!((header.n_tokens, header.kv, header.model), (70, KvType::F16.into(), id));
        }
    });
}

fn refusal(setup: Setup<'_>, file: &File, prefix: &Flash) -> SessionError {
    let model = Model::from_gguf(file.bytes()).unwrap();
    let prefix = Prefix::from_bytes(prefix.bytes(), ModelId::of(file.bytes())).unwrap();
    let config = SessionConfig { n_prefix: prefix.n_tokens(), ..setup.config };
    let mut lines = vec![nearfield::Line::ZERO; 1 << 16];
    let mut arena = nearfield::Arena::new(&mut lines);
    match Session::with_prefix(&model, config, best(), &nearfield::Inline, &mut arena, prefix) {
        Ok(_) => panic!("{config:?} goes on"),
        Err(error) => error,
    }
}

#[test]
fn other_settings_are_refused_by_name() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    let setup = setup(KvType::F16, Ring::Keys(64));
    let prefix = prefix_of(with_sinks(setup, 4), &file, &tokens, 200);
    let kv = KvTypes { keys: KvType::F16, values: KvType::Q8_0 };
    let cases = [
        (setup.with_kv(kv), "the snapshot has keys and values in f16, the session in f16/q8_0"),
        (setup.with_eps(0.0), "the snapshot was made with a horizon's epsilon of 5.96046e-8, the session has one of 0"),
        (setup.with_bf16(true), "the session has biases rounded to bfloat16, the snapshot has not"),
        (
            setup.with_ring(Ring::Keys(96)),
            "the ring of KV head 0 wants the keys from position 128 on, the snapshot has those from 160 on",
        ),
        (
            setup.with_ring(Ring::Heads(&[32, 300])),
            "the ring of KV head 1 wants the keys from position 0 on, the snapshot has those from 160 on",
        ),
        (with_sinks(setup, 5), "5 sinks are asked for, the snapshot has the keys of the first 4 tokens"),
        (setup.with_ctx(199), "a prefix of 200 tokens in a context of 199: it has to be at least as long"),
    ];
    for (other, want) in cases {
        assert_eq!(refusal(other, &file, &prefix).to_string(), want);
    }
    for other in [Spec { n_layer: 1, ..SPEC }, Spec { n_head_kv: 4, ..SPEC }, Spec { head_dim: 16, ..SPEC }] {
        let other = other.file("Q8_0");
        let found = ModelId::of(other.bytes());
        let made_with = ModelId::of(file.bytes());
        assert_ne!(found, made_with);
        let error = Prefix::from_bytes(prefix.bytes(), found).unwrap_err();
        assert_eq!(error, PrefixError::Model { made_with, found });
        let want = format!("another model: one of {made_with}, where this one has {found}");
        assert!(error.to_string().ends_with(&want), "{error}");
        // Another model with the same checksum would still have another shape.
        let mut bytes = prefix.bytes().to_vec();
        bytes[12..16].copy_from_slice(&found.checksum.to_le_bytes());
        bytes[16..24].copy_from_slice(&found.n_bytes.to_le_bytes());
        let error = refusal(setup, &other, &Flash::new(&sealed(bytes)));
        assert!(matches!(error, SessionError::Prefix(PrefixError::Shape { .. })), "{error}");
    }
}

#[test]
fn a_plan_without_its_prefix_is_refused() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(N_TOKENS));
    let setup = setup(KvType::F16, Ring::Full);
    let flash = prefix_of(setup, &file, &tokens, 40);
    let model = Model::from_gguf(file.bytes()).unwrap();
    let prefix = Prefix::from_bytes(flash.bytes(), ModelId::of(file.bytes())).unwrap();
    let mut lines = vec![nearfield::Line::ZERO; 1 << 16];
    let mut refused = |n_prefix, prefix: Option<Prefix<'_>>| {
        let config = SessionConfig { n_prefix, ..setup.config };
        let mut arena = nearfield::Arena::new(&mut lines);
        let executor = &nearfield::Inline;
        match prefix {
            None => Session::new(&model, config, best(), executor, &mut arena).unwrap_err().to_string(),
            Some(prefix) => {
                Session::with_prefix(&model, config, best(), executor, &mut arena, prefix).unwrap_err().to_string()
            }
        }
    };
    assert_eq!(refused(40, None), "the session is planned with a prefix of 40 tokens, and gets one of 0");
    assert_eq!(refused(0, Some(prefix)), "the session is planned with a prefix of 0 tokens, and gets one of 40");
}

/// A changed snapshot with a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let rest = [&bytes[..8], &bytes[12..]].concat();
    bytes[8..12].copy_from_slice(&checksum(&rest).to_le_bytes());
    bytes
}

/// A small snapshot that has all parts.
fn small() -> (File, Flash) {
    let spec = Spec { n_head: 2, n_head_kv: 2, head_dim: 8, n_layer: 1, ..SPEC };
    let (file, tokens) = (spec.file("F32"), spec.tokens(70));
    let setup = with_sinks(setup(KvType::Q8_0, Ring::Heads(&[32, 64])), 2);
    let flash = setup.session(file.bytes(), |session| {
        run_to(session, &tokens, 66);
        snapshot(session, file.bytes(), &TextState { model_name: "a.gguf", last_tokens: &[1, 2], seed: 3 })
    });
    (file, flash)
}

#[test]
fn every_truncation_and_every_changed_byte_is_refused() {
    let (file, flash) = small();
    let id = ModelId::of(file.bytes());
    let whole = flash.bytes();
    assert!(Prefix::from_bytes(whole, id).is_ok() && sealed(whole.to_vec()) == whole);
    for n in 0..whole.len() {
        let error = Prefix::from_bytes(&whole[..n], id).expect_err("cut short");
        assert!(matches!(error, PrefixError::Size { have, .. } if have == n as u64), "{n}: {error}");
    }
    let longer = Flash::new(&[whole, &[0; 64]].concat());
    assert!(matches!(Prefix::from_bytes(longer.bytes(), id), Err(PrefixError::Size { .. })));
    let shifted = Flash::new(&[&[0; 4], whole].concat());
    assert_eq!(Prefix::from_bytes(&shifted.bytes()[4..], id).unwrap_err(), PrefixError::Misaligned);
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.to_vec();
            bytes[at] ^= flip;
            let changed = Flash::new(&bytes);
            let error = Prefix::from_bytes(changed.bytes(), id).expect_err("changed");
            match at {
                0..4 => assert_eq!(error, PrefixError::Magic),
                4..8 => assert!(matches!(error, PrefixError::Version { .. }), "{error}"),
                8..24 | 40..60 | 68.. => assert_eq!(error, PrefixError::Damaged, "byte {at}"),
                _ => {}
            }
        }
    }
}

/// More tokens than half of what can be addressed are refused before anything is multiplied with them.
#[test]
fn counts_of_no_memory_are_refused() {
    let (_, flash) = small();
    let n_tokens = 32..40;
    let told = u64::from_le_bytes(flash.bytes()[n_tokens.clone()].try_into().unwrap());
    assert_eq!(SnapshotHeader::read(flash.bytes()).unwrap().n_tokens as u64, told);
    let half = usize::MAX as u64 / 2;
    for (n, want) in [(half, Ok(half)), (half + 1, Err(PrefixError::TooLarge)), (u64::MAX, Err(PrefixError::TooLarge))]
    {
        let mut bytes = flash.bytes().to_vec();
        bytes[n_tokens.clone()].copy_from_slice(&n.to_le_bytes());
        let found = SnapshotHeader::read(&sealed(bytes)).map(|header| header.n_tokens as u64);
        assert_eq!(found, want);
    }
}

/// With a checksum that fits, any header and any table are refused or run, and nothing panics.
#[test]
fn hostile_numbers_are_harmless() {
    let (file, flash) = small();
    let (id, model) = (ModelId::of(file.bytes()), Model::from_gguf(file.bytes()).unwrap());
    let setup = with_sinks(setup(KvType::Q8_0, Ring::Heads(&[32, 64])), 2);
    let table = 448..448 + 64;
    let (mut n_refused, mut n_run) = (0, 0);
    for at in (12..128).chain(table).step_by(4) {
        let word = u32::from_le_bytes(flash.bytes()[at..at + 4].try_into().unwrap());
        let values = [
            0,
            1,
            2,
            8,
            31,
            32,
            33,
            64,
            65,
            67,
            96,
            1 << 24,
            1 << 31,
            u32::MAX,
            word ^ 1,
            word + 1,
            word.wrapping_sub(1),
        ];
        for value in values.into_iter().filter(|&value| value != word) {
            let mut bytes = flash.bytes().to_vec();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let changed = Flash::new(&sealed(bytes));
            let Ok(prefix) = Prefix::from_bytes(changed.bytes(), id) else {
                n_refused += 1;
                continue;
            };
            let config = SessionConfig { n_prefix: prefix.n_tokens(), ..setup.config };
            let mut lines = vec![nearfield::Line::ZERO; 1 << 12];
            let mut arena = nearfield::Arena::new(&mut lines);
            match Session::with_prefix(&model, config, best(), &nearfield::Inline, &mut arena, prefix) {
                Err(_) => n_refused += 1,
                Ok(mut session) => {
                    n_run += 1;
                    session.prefill(&[1, 2, 3]).expect("room");
                    session.reset();
                    let _ = snapshot(&mut session, file.bytes(), &NO_TEXT);
                }
            }
        }
    }
    // Accepted changes are those of the seed, the count of last tokens, sinks as told, and zeros.
    assert!(n_refused > 300 && n_run > 100, "{n_refused} refused, {n_run} run");
}
