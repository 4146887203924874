//! Drafts: guesses that are run ahead change no bit of the logits and no token of a text, right or wrong.

use nearfield::kernels::available;
use nearfield::{
    Drafter, KvType, Lookup, MemoryPlan, Model, PlanError, Ring, SamplerConfig, Session, SessionConfig, TextState,
};

use crate::common::compare::assert_same_bits;
use crate::common::model::{MPT, Spec};
use crate::common::pocket::Text;
use crate::common::run::{Setup, logits, snapshot};
use crate::common::threads::Threads;

/// Guesses at each step: some of the next tokens of the text, one of which is wrong where `errs` says so.
fn guesses(tokens: &[u32], at: usize, step: usize) -> Vec<u32> {
    let n = [3, 0, 15, 1, 7, 2, 15, 5][step % 8];
    let mut guesses: Vec<u32> = tokens[at + 1..].iter().copied().take(n).collect();
    let wrong = [9, 0, 4, 0, 2, 15, 11, 3][step % 8];
    if let Some(guess) = guesses.get_mut(wrong) {
        *guess = (*guess + 1) % 100;
    }
    guesses
}

/// Logits after each of `tokens`, with guesses from the second on.
fn with_guesses(session: &mut Session<'_, '_, '_>, tokens: &[u32]) -> (Vec<Vec<f32>>, usize) {
    let (mut rows, mut n_hits) = (vec![session.prefill(&tokens[..1]).unwrap().to_vec()], 0);
    for at in 1..tokens.len() {
        if session.ahead().first() == Some(&tokens[at]) {
            n_hits += 1;
            rows.push(session.decode(tokens[at]).unwrap().to_vec());
        } else {
            let guesses = guesses(tokens, at, rows.len());
            rows.push(session.decode_ahead(tokens[at], &guesses).unwrap().to_vec());
        }
        assert_eq!(session.pos(), at + 1);
    }
    (rows, n_hits)
}

#[test]
fn the_bits_are_those_of_a_session_without_guesses() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(260));
    for kv in KvType::ALL {
        for (ring, n_sinks, endless) in [
            (Ring::Full, 0, false),
            (Ring::Keys(1), 0, false),
            (Ring::Keys(64), 40, false),
            (Ring::Bias(0.01), 3, false),
            (Ring::Full, 4, true),
            (Ring::Keys(32), 33, true),
        ] {
            let setup = Setup::default().with_kv(kv).with_eps(SessionConfig::HORIZON_EPS);
            let n_ctx = if endless { 100 } else { 260 };
            let config = SessionConfig { ring, n_sinks, endless, n_ctx, ..setup.config };
            let want = Setup { config, ..setup }.with_batch(1).logits(file.bytes(), &tokens);
            for (n_draft, n_batch) in [(15, 16), (15, 64), (3, 8), (7, 4), (1, 2), (0, 16), (15, 1)] {
                let setup = Setup { config: SessionConfig { n_draft, ..config }, ..setup }.with_batch(n_batch);
                let what = format!("{kv}, {ring:?}, {n_sinks} sinks, drafts of {n_draft}, chunks of {n_batch}");
                let (got, n_hits) = setup.session(file.bytes(), |session| with_guesses(session, &tokens));
                assert_same_bits(&what, &want, &got);
                assert_eq!(n_hits > 20, n_draft > 0 && n_batch > 1, "{what}: {n_hits}");
            }
        }
    }
}

#[test]
fn the_bits_are_those_of_each_isa_and_number_of_workers() {
    let (file, tokens) = (MPT.file("Q4_0"), MPT.tokens(70));
    let setup = Setup { config: SessionConfig { n_draft: 15, ..Setup::default().config }, ..Setup::default() };
    let want = setup.with_batch(1).logits(file.bytes(), &tokens);
    for kernels in available() {
        for executor in [Threads(1), Threads(3)] {
            let setup = Setup { kernels, executor: &executor, ..setup };
            let (got, _) = setup.session(file.bytes(), |session| with_guesses(session, &tokens));
            assert_same_bits(kernels.name(), &want, &got);
        }
    }
}

/// Something that is asked of a session, and its result as rows of numbers.
type Check<'c> = (&'c str, &'c dyn Fn(&mut Session<'_, '_, '_>) -> Vec<Vec<f32>>);

/// Everything that can be asked of a session behind guesses has the result of one without.
#[test]
fn guesses_are_taken_back_before_anything_else() {
    let (file, tokens) = (MPT.file("Q8_0"), MPT.tokens(90));
    let config = SessionConfig { n_draft: 15, n_sinks: 2, ring: Ring::Keys(32), n_ctx: 128, ..Setup::default().config };
    let setup = Setup { config: SessionConfig { kv: KvType::Q8_0.into(), ..config }, ..Setup::default() };
    let wrong = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let run = |ahead: bool, then: &dyn Fn(&mut Session<'_, '_, '_>) -> Vec<Vec<f32>>| {
        setup.session(file.bytes(), |session| {
            logits(session, &tokens[..40]);
            if ahead {
                session.decode_ahead(tokens[40], &wrong).unwrap();
                assert_eq!(session.ahead(), wrong);
            } else {
                session.decode(tokens[40]).unwrap();
            }
            assert_eq!(session.pos(), 41);
            then(session)
        })
    };
    let text = TextState { model_name: "", last_tokens: &[], seed: 0 };
    let checks: [Check<'_>; 6] = [
        ("prefill", &|session| vec![session.prefill(&tokens[41..90]).unwrap().to_vec()]),
        ("prefill_each", &|session| logits(session, &tokens[41..90])),
        ("logits", &|session| vec![session.logits().unwrap().to_vec()]),
        ("rewind", &|session| {
            session.rewind(38).unwrap();
            logits(session, &tokens[38..60])
        }),
        ("alibi_scale", &|session| {
            session.set_alibi_scale(nearfield::AlibiScale::Factor(0.5)).unwrap();
            // The first wrong guess, whose logits were computed with other slopes.
            logits(session, &wrong)
        }),
        ("snapshot", &|session| {
            let bytes = snapshot(session, file.bytes(), &text);
            vec![bytes.bytes().iter().map(|&byte| f32::from(byte)).collect(), session.decode(7).unwrap().to_vec()]
        }),
    ];
    for (what, then) in checks {
        assert_same_bits(what, &run(false, then), &run(true, then));
    }
}

#[test]
fn guesses_that_do_not_fit_are_left_out() {
    let (file, tokens) = (MPT.file("F32"), MPT.tokens(20));
    let config = SessionConfig { n_draft: 7, n_ctx: 20, ..Setup::default().config };
    Setup { config, ..Setup::default() }.session(file.bytes(), |session| {
        session.prefill(&tokens[..4]).unwrap();
        session.decode_ahead(tokens[4], &tokens[5..]).unwrap();
        assert_eq!(session.ahead(), &tokens[5..12], "as many as planned");
        session.decode_ahead(tokens[5], &[1, u32::MAX, 2]).unwrap();
        assert_eq!(session.ahead(), &tokens[6..12], "a token that was guessed asks for no other guesses");
        session.prefill(&[1, 2]).unwrap();
        assert!(session.ahead().is_empty());
        session.decode_ahead(3, &[1, u32::MAX, 2]).unwrap();
        assert_eq!(session.ahead(), [1], "up to a guess that is no token");
        session.prefill(&tokens[9..17]).unwrap();
        session.decode_ahead(tokens[17], &[1, 2, 3]).unwrap();
        assert_eq!((session.pos(), session.ahead()), (18, &[1, 2][..]), "as many as the context has room for");
        session.prefill(&[1, 2]).unwrap();
        assert!(session.decode_ahead(3, &[1]).is_err(), "the context is full");
    });
    let config = SessionConfig { n_draft: 16, ..config };
    let model = Model::from_gguf(file.bytes()).unwrap();
    assert_eq!(MemoryPlan::new(model.shape(), &config).unwrap_err(), PlanError::Draft { found: 16 });
}

/// Drafter whose guesses come from a list, and that counts what came true.
#[derive(Debug)]
struct Listed<'t> {
    text: &'t [u32],
    at: usize,
    n_true: usize,
    n_run: usize,
}

impl Drafter for Listed<'_> {
    fn accept(&mut self, _: u32) {
        self.at += 1;
    }

    fn draft(&mut self, guesses: &mut [u32]) -> usize {
        let next = self.text.iter().skip(self.at);
        guesses.iter_mut().zip(next).map(|(guess, &token)| *guess = token).count()
    }

    fn outcome(&mut self, n_run: usize, n_true: usize) {
        self.n_run += n_run;
        self.n_true += n_true;
    }
}

#[test]
fn a_text_with_drafts_is_the_text_without() {
    let prompt = "Tom had a red ball. Tom had a blue ball. Tom had a green ball. Tom had";
    let samplers = [
        SamplerConfig::GREEDY,
        SamplerConfig { temp: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 7, ..SamplerConfig::default() },
        SamplerConfig { seed: 3, repeat_penalty: 1.3, ..SamplerConfig::default() },
        SamplerConfig {
            temp: 1.0,
            seed: 5,
            frequency_penalty: 0.2,
            presence_penalty: 0.1,
            repeat_last_n: 100,
            dry_multiplier: 0.8,
            dry_penalty_last_n: 120,
            typical_p: 0.9,
            ..SamplerConfig::default()
        },
    ];
    for kv in [KvType::F16, KvType::Q8_0, KvType::Q4_0] {
        for ring in [Ring::Full, Ring::Keys(64)] {
            for sampler in samplers {
                let config = SessionConfig { n_ctx: 256, kv: kv.into(), ring, ..SessionConfig::DEFAULT };
                let want = Text::new(prompt, sampler, config).generate(None);
                let text = Text::new(prompt, sampler, SessionConfig { n_draft: 7, ..config });
                let mut memory = [0; 128];
                assert_eq!(want, text.generate(Some(&mut Lookup::new(&mut memory))));
                // Guesses that are all right, and guesses that are right for a while.
                for (list, all) in [(want.tokens.clone(), true), ([&want.tokens[..60], &[9; 200]].concat(), false)] {
                    let mut listed = Listed { text: &list, at: 0, n_true: 0, n_run: 0 };
                    assert_eq!(want, text.generate(Some(&mut listed)));
                    assert!(listed.n_run > 100, "{listed:?}");
                    assert_eq!(all, listed.n_true == listed.n_run);
                }
            }
        }
    }
}
