//! A session that was rewound equals one that never went further: the same bits, the same keys visited.

use crate::common::compare::assert_same_bits;
use crate::common::file::File;
use crate::common::model::{MPT, Spec};
use crate::common::run::{Setup, logits};
use nearfield::{KvType, RewindError, Ring, Session, SessionConfig};

const SPEC: Spec = Spec { n_head_kv: 2, max_alibi_bias: Some(4.0), ..MPT };
const N_TOKENS: usize = 330;
/// Token that is run and taken back, over and over.
const LOUD: u32 = 0;

/// A model whose token [`LOUD`] has keys a hundred times as long as those of the others, in its first layer.
fn file() -> File {
    let mut tensors = SPEC.tensors();
    let (width, n_keys) = (SPEC.n_embd(), SPEC.n_embd_kv());
    // The first column is that token's alone, before and after the norm.
    for (token, row) in tensors[0].data.chunks_exact_mut(width).enumerate() {
        row[0] = 0.0;
        if token == LOUD as usize {
            row.fill(0.0);
            row[0] = 1.0;
        } else {
            let mean = row[1..].iter().sum::<f32>() / (width - 1) as f32;
            row[1..].iter_mut().for_each(|x| *x -= mean);
        }
    }
    let qkv = tensors.iter_mut().find(|tensor| tensor.name == "blk.0.attn_qkv.weight").expect("there");
    qkv.data.chunks_exact_mut(width).skip(width).take(n_keys).for_each(|row| row[0] = 30.0);
    SPEC.file_of(&tensors, "F32")
}

/// Tokens other than [`LOUD`].
fn tokens() -> Vec<u32> {
    SPEC.tokens(N_TOKENS).into_iter().map(|token| token.max(1)).collect()
}

fn setup(kv: KvType, ring: Ring) -> Setup<'static> {
    let setup = Setup::default().with_kv(kv).with_ctx(N_TOKENS + 70).with_batch(40);
    let setup = setup.with_eps(SessionConfig::HORIZON_EPS);
    Setup { config: SessionConfig { ring, ..setup.config }, ..setup }
}

/// Runs the text up to `pos`.
fn run_to(session: &mut Session<'_, '_, '_>, tokens: &[u32], pos: usize) {
    if session.pos() < pos {
        session.prefill(&tokens[session.pos()..pos]).expect("room");
    }
}

/// Logits of the rest of the text, and the keys that it visits.
fn rest(session: &mut Session<'_, '_, '_>, tokens: &[u32]) -> (Vec<Vec<f32>>, Vec<u64>) {
    let visited = |session: &Session<'_, '_, '_>| session.key_stats().visited.to_vec();
    let before = visited(session);
    let rows = logits(session, &tokens[session.pos()..]);
    (rows, visited(session).iter().zip(before).map(|(after, before)| after - before).collect())
}

/// Runs to `pos`, then forth and back by each number of [`LOUD`] tokens in turn, and then on: the result is that of a direct run.
fn assert_never_was(what: &str, setup: Setup<'_>, file: &File, pos: usize, n_dropped: &[usize]) {
    let tokens = tokens();
    let (want, want_visited) = setup.session(file.bytes(), |session| {
        run_to(session, &tokens, pos);
        rest(session, &tokens)
    });
    let n_keys: usize = (pos..N_TOKENS).map(|pos| pos + 1).sum();
    assert!(want_visited.iter().any(|&n| n < n_keys as u64 / 2), "the horizon is in sight: {want_visited:?}");
    let (got, got_visited) = setup.session(file.bytes(), |session| {
        run_to(session, &tokens, pos);
        for &n in n_dropped {
            session.prefill(&vec![LOUD; n]).expect("room");
            session.rewind(pos).expect(what);
            assert_eq!(session.pos(), pos, "{what}");
        }
        rest(session, &tokens)
    });
    assert_same_bits(what, &want, &got);
    assert_eq!(got_visited, want_visited, "{what}");
}

#[test]
fn what_was_taken_back_never_was() {
    let file = file();
    for kv in KvType::ALL {
        for pos in [0, 1, 33, 160, 191] {
            for n_dropped in [&[1][..], &[70, 3, 40]] {
                let what = format!("{kv}, {n_dropped:?} tokens taken back at {pos}");
                assert_never_was(&what, setup(kv, Ring::Full), &file, pos, n_dropped);
            }
        }
    }
}

/// A ring has room for a chunk ahead of the keys that a query sees, and can be rewound by as much.
#[test]
fn in_a_ring_too() {
    let file = file();
    for ring in [Ring::Keys(64), Ring::Keys(100), Ring::Bias(0.01)] {
        for (pos, n_dropped) in [(33, 20), (70, 58), (160, 32), (191, 1), (191, 33), (300, 20)] {
            let what = format!("{ring:?}, {n_dropped} tokens taken back at {pos}");
            assert_never_was(&what, setup(KvType::F16, ring), &file, pos, &[n_dropped, 1]);
        }
    }
}

#[test]
fn what_lies_ahead_or_is_forgotten_cannot_be_reached() {
    // Two blocks and one ahead: 96 slots.
    let setup = setup(KvType::F16, Ring::Keys(64));
    let (file, tokens) = (file(), tokens());
    setup.session(file.bytes(), |session| {
        let rewind = |session: &mut Session<'_, '_, '_>, to, want: Result<(), RewindError>| {
            let pos = session.pos();
            assert_eq!(session.rewind(to), want, "from {pos} to {to}");
            assert_eq!(session.pos(), if want.is_ok() { to } else { pos });
        };
        let forgotten = |to, needs, has| Err(RewindError::Forgotten { to, needs, has });
        let ahead = |to, pos| Err(RewindError::Ahead { to, pos });
        rewind(session, 0, Ok(()));
        rewind(session, 1, ahead(1, 0));
        run_to(session, &tokens, 200);
        rewind(session, 201, ahead(201, 200));
        rewind(session, usize::MAX, ahead(usize::MAX, 200));
        rewind(session, 200, Ok(()));
        // Position 159 sees the keys from 96 on; those from 104 on are there.
        rewind(session, 159, forgotten(159, 96, 104));
        rewind(session, 1, forgotten(1, 0, 104));
        rewind(session, 160, Ok(()));
        // Back and on again: overwritten keys stay lost until all visible ones have been written anew.
        run_to(session, &tokens, 170);
        rewind(session, 159, forgotten(159, 96, 104));
        rewind(session, 0, Ok(()));
        run_to(session, &tokens, 170);
        rewind(session, 159, Ok(()));
        session.reset();
        rewind(session, 159, ahead(159, 0));
        run_to(session, &tokens, 170);
        rewind(session, 159, Ok(()));
    });
    let told = [
        (RewindError::Ahead { to: 5, pos: 4 }, "position 5 lies ahead of 4: there is nothing to go back to"),
        (
            RewindError::Forgotten { to: 159, needs: 96, has: 104 },
            "position 159 needs the keys from 96 on, the ring has those from 104 on",
        ),
    ];
    for (error, want) in told {
        assert_eq!(error.to_string(), want);
    }
}

/// Keys visited stay counted when their tokens are taken back.
#[test]
fn keys_of_tokens_taken_back_stay_counted() {
    let (file, tokens) = (file(), tokens());
    setup(KvType::F16, Ring::Full).with_eps(0.0).session(file.bytes(), |session| {
        run_to(session, &tokens, 10);
        session.rewind(5).expect("behind");
        run_to(session, &tokens, 10);
        let stats = session.key_stats();
        let held = (1..=10).sum::<u64>() + (6..=10).sum::<u64>();
        assert_eq!(stats.held, held);
        assert!(stats.visited.iter().chain(stats.in_ring).all(|&n| n == held), "{stats:?}");
    });
}
