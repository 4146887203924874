//! Sessions that cannot be made, and tokens that cannot be run.

use nearfield::kernels::best;
use nearfield::{
    AlibiScale, Arena, Inline, Line, MemoryPlan, Model, PlanError, Ring, RunError, Session, SessionConfig, SessionError,
};

use super::{assert_error, parts};
use crate::common::model::GPT2;
use crate::common::run::Setup;

#[test]
fn plan_errors() {
    let file = parts().file();
    let model = Model::from_gguf(file.bytes()).expect("right");
    let base = SessionConfig::default();
    let cases = [
        (SessionConfig { n_ctx: 0, ..base }, PlanError::Context { found: 0 }, ["0 tokens", "16777216"]),
        (
            SessionConfig { n_ctx: (1 << 24) + 1, ..base },
            PlanError::Context { found: (1 << 24) + 1 },
            ["16777217", "16777216"],
        ),
        (
            SessionConfig { n_ctx: usize::MAX, ..base },
            PlanError::Context { found: usize::MAX },
            ["18446744073709551615", "1 to"],
        ),
        (SessionConfig { n_batch: 0, ..base }, PlanError::Batch, ["batch", "0"]),
        (SessionConfig { ring: Ring::Keys(0), ..base }, PlanError::Ring, ["ring", "0 keys"]),
        (SessionConfig { ring: Ring::Bias(0.0), ..base }, PlanError::Ring, ["ring", "between 0 and 1"]),
        (SessionConfig { ring: Ring::Bias(1.0), ..base }, PlanError::Ring, ["ring", "between 0 and 1"]),
        (SessionConfig { ring: Ring::Bias(-0.5), ..base }, PlanError::Ring, ["ring", "between 0 and 1"]),
        (SessionConfig { ring: Ring::Bias(f32::NAN), ..base }, PlanError::Ring, ["ring", "between 0 and 1"]),
        (SessionConfig { horizon_eps: -1.0, ..base }, PlanError::HorizonEps, ["epsilon", "negative"]),
        (SessionConfig { horizon_eps: f32::NAN, ..base }, PlanError::HorizonEps, ["epsilon", "not a number"]),
        (SessionConfig { alibi_scale: AlibiScale::Factor(0.0), ..base }, PlanError::AlibiScale, ["factor", "above 0"]),
        (SessionConfig { alibi_scale: AlibiScale::Factor(-1.0), ..base }, PlanError::AlibiScale, ["factor", "above 0"]),
        (
            SessionConfig { alibi_scale: AlibiScale::Factor(f32::NAN), ..base },
            PlanError::AlibiScale,
            ["factor", "finite"],
        ),
        (
            SessionConfig { alibi_scale: AlibiScale::Factor(f32::INFINITY), ..base },
            PlanError::AlibiScale,
            ["factor", "finite"],
        ),
        (SessionConfig { alibi_scale: AlibiScale::Trained(0), ..base }, PlanError::AlibiScale, ["trained", "0 tokens"]),
    ];
    for (config, want, words) in cases {
        let what = format!("{config:?}");
        assert_error(&what, want, MemoryPlan::new(model.shape(), &config).expect_err("no plan"), &words);
        let session = Session::new(&model, config, best(), &Inline, &mut Arena::new(&mut []));
        assert_error(&what, SessionError::Plan(want), session.expect_err("no session"), &words);
    }
    let learned = GPT2.file("F32");
    let learned = Model::from_gguf(learned.bytes()).expect("right");
    let config = |n_ctx| SessionConfig { n_ctx, ..base };
    let want = PlanError::Positions { found: GPT2.n_positions + 1, n_positions: GPT2.n_positions };
    let got = MemoryPlan::new(learned.shape(), &config(GPT2.n_positions + 1)).expect_err("no plan");
    assert_error("beyond the positions", want, got, &["513", "learned", "512"]);
    assert!(MemoryPlan::new(learned.shape(), &config(GPT2.n_positions)).is_ok());
    let endless = SessionConfig { endless: true, ..config(GPT2.n_positions) };
    let want = PlanError::EndlessPositions { n_positions: GPT2.n_positions };
    let got = MemoryPlan::new(learned.shape(), &endless).expect_err("no plan");
    assert_error("positions without end", want, got, &["without end", "learned", "512"]);
    // No file says so; the plan does not trust that.
    let mut shape = *model.shape();
    shape.n_layer = usize::MAX / 2;
    assert_error("huge", PlanError::TooLarge, MemoryPlan::new(&shape, &base).expect_err("no plan"), &["memory"]);
    // Rings of any length are bounded by the context.
    let full = MemoryPlan::new(model.shape(), &base);
    for ring in [Ring::Keys(base.n_ctx), Ring::Keys(usize::MAX), Ring::Bias(f32::MIN_POSITIVE)] {
        let n_batch = usize::MAX;
        let plan = MemoryPlan::new(model.shape(), &SessionConfig { ring, ..base });
        assert!(plan == full || matches!(ring, Ring::Bias(_)) && plan.is_ok(), "{ring:?}");
        assert!(MemoryPlan::new(model.shape(), &SessionConfig { ring, n_batch, ..base }).is_ok(), "{ring:?}");
    }
    // The batch is bounded by the context, whatever it says.
    let config = SessionConfig { n_batch: usize::MAX, ..base };
    let whole = SessionConfig { n_batch: base.n_ctx, ..base };
    assert_eq!(MemoryPlan::new(model.shape(), &config), MemoryPlan::new(model.shape(), &whole));
    assert!(MemoryPlan::new(model.shape(), &SessionConfig { horizon_eps: f32::INFINITY, ..base }).is_ok());
}

#[test]
fn an_arena_that_is_too_small_is_an_error_with_both_sizes() {
    let file = parts().file();
    let model = Model::from_gguf(file.bytes()).expect("right");
    let config = SessionConfig { n_ctx: 64, ..SessionConfig::default() };
    let need = MemoryPlan::new(model.shape(), &config).expect("a plan").total();
    for n_lines in [0, 1, need / Line::BYTES / 2, need / Line::BYTES - 1] {
        let mut lines = vec![Line::ZERO; n_lines];
        let mut arena = Arena::new(&mut lines);
        let have = n_lines * Line::BYTES;
        let error = Session::new(&model, config, best(), &Inline, &mut arena).expect_err("too small");
        let words = [need.to_string(), have.to_string()];
        let words = words.each_ref().map(String::as_str);
        assert_error(&format!("{n_lines} lines"), SessionError::ArenaTooSmall { need, have }, error, &words);
        assert_eq!(arena.free_bytes(), have, "nothing was taken");
    }
}

/// One of 48 logits is not a number, at any place: it never reaches the sampler.
#[test]
fn logits_that_are_no_numbers() {
    for (number, row) in [(f32::NAN, 0), (f32::INFINITY, 47), (f32::NEG_INFINITY, 20)] {
        let mut parts = parts();
        let width = 4 * crate::common::model::MPT.n_embd();
        parts.tensor("token_embd.weight").bytes[row * width..][..4].copy_from_slice(&number.to_le_bytes());
        Setup::default().with_ctx(8).session(parts.file().bytes(), |session| {
            let want = RunError::NotFinite { pos: 2 };
            let error = session.prefill(&[5, 6, 7]).expect_err("no logits");
            assert_error("a prompt", want, error, &["position 2", "not finite", "broken"]);
            assert_eq!(session.pos(), 3, "the tokens were run");
            assert_eq!(session.decode(5), Err(RunError::NotFinite { pos: 3 }));
            let mut n = 0;
            session.reset();
            assert_eq!(session.prefill_each(&[5, 6], |_| n += 1), Err(RunError::NotFinite { pos: 0 }));
            assert_eq!(n, 0);
        });
    }
}

#[test]
fn run_errors() {
    let setup = Setup::default().with_ctx(4);
    setup.session(parts().file().bytes(), |session| {
        let none = session.prefill(&[]).expect_err("none");
        assert_error("no tokens", RunError::NoTokens, none, &["no tokens"]);
        for token in [48, u32::MAX] {
            let want = RunError::Token { token, n_vocab: 48 };
            let words = [token.to_string(), "48".into()];
            let words = words.each_ref().map(String::as_str);
            assert_error("a token", want, session.prefill(&[0, token]).expect_err("no token"), &words);
            assert_error("a token", want, session.decode(token).expect_err("no token"), &words);
        }
        let full = |n_tokens, pos| RunError::ContextFull { n_tokens, pos, n_ctx: 4 };
        assert_error(
            "a long text",
            full(5, 0),
            session.prefill(&[0; 5]).expect_err("full"),
            &["4 positions, taken 0, needed 5"],
        );
        assert_eq!(session.pos(), 0);
        session.prefill(&[0, 1, 2]).expect("room");
        assert_error(
            "two more",
            full(2, 3),
            session.prefill(&[0; 2]).expect_err("full"),
            &["4 positions, taken 3, needed 2"],
        );
        let each = session.prefill_each(&[0; 2], |_| panic!("nothing is run"));
        assert_error("two more", full(2, 3), each.expect_err("full"), &["4 positions, taken 3, needed 2"]);
        session.decode(0).expect("room for one");
        assert_error("one more", full(1, 4), session.decode(0).expect_err("full"), &["4 positions, taken 4, needed 1"]);
        session.reset();
        session.decode(0).expect("room again");
    });
}
