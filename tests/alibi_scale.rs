//! Slopes that change while a text runs: from then on, the stored keys are read as if the slopes had always been the new ones.

use crate::common::compare::assert_same_bits;
use crate::common::model::{MPT, Spec};
use crate::common::run::{Setup, logits};
use nearfield::{AlibiScale, KvType, Model, PlanError, Ring, Session, SessionConfig, alibi, bias_cut};

const N_TOKENS: usize = 200;
const SCALES: [AlibiScale; 4] =
    [AlibiScale::Model, AlibiScale::Factor(0.25), AlibiScale::Factor(2.0), AlibiScale::Trained(60)];

fn setup(kv: KvType, n_batch: usize) -> Setup<'static> {
    let setup = Setup::default().with_kv(kv).with_eps(SessionConfig::HORIZON_EPS).with_batch(n_batch);
    Setup { config: SessionConfig { n_sinks: 2, ring: Ring::Keys(128), ..setup.config }, ..setup }
}

/// Setup that keeps all keys.
fn whole(kv: KvType, n_batch: usize) -> Setup<'static> {
    let setup = setup(kv, n_batch);
    Setup { config: SessionConfig { ring: Ring::Full, ..setup.config }, ..setup }
}

fn set(session: &mut Session<'_, '_, '_>, scale: AlibiScale) {
    session.set_alibi_scale(scale).expect("there is such a scale");
}

/// With one layer, keys and values do not depend on the slopes. After a switch the cache, and the text that follows, are those of
/// a session that had the new scale from the beginning; the same holds for the switch back.
#[test]
fn after_a_switch_it_is_as_if_it_had_always_been_so() {
    let spec = Spec { n_layer: 1, n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    for kv in KvType::ALL {
        let want = SCALES.map(|scale| setup(kv, 64).with_scale(scale).logits(file.bytes(), &tokens));
        for pair in want.windows(2) {
            assert_ne!(pair[0][150], pair[1][150], "{kv}: the scales show");
        }
        // Chunks of other sizes than the distance of the switches, then single tokens.
        for (n_batch, step) in [(64, 37), (7, 40), (1, 1)] {
            let got = setup(kv, n_batch).session(file.bytes(), |session| {
                let mut rows = vec![];
                for (i, part) in tokens.chunks(step).enumerate() {
                    set(session, SCALES[i % SCALES.len()]);
                    rows.extend(logits(session, part));
                }
                rows
            });
            for (i, part) in (0..N_TOKENS).collect::<Vec<_>>().chunks(step).enumerate() {
                let (from, to) = (part[0], part[0] + part.len());
                let what = format!("{kv}, {:?} from {from} on", SCALES[i % SCALES.len()]);
                assert_same_bits(&what, &want[i % SCALES.len()][from..to], &got[from..to]);
            }
        }
    }
}

/// In deeper layers keys depend on what earlier layers saw. Two sessions with the same past continue alike, even if one of them
/// switched the scale and back in between.
#[test]
fn a_switch_there_and_back_leaves_no_trace() {
    let spec = Spec { n_layer: 3, n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    let (before, after) = tokens.split_at(100);
    for kv in [KvType::F32, KvType::Q8_0] {
        for scale in &SCALES[1..] {
            // The text begins with one scale and continues with another.
            let want = whole(kv, 64).session(file.bytes(), |session| {
                let first = logits(session, before);
                set(session, *scale);
                [first, logits(session, after)].concat()
            });
            let got = whole(kv, 16).session(file.bytes(), |session| {
                let first = logits(session, before);
                // Tokens run with the new scale are taken back, with the old scale in between.
                set(session, *scale);
                let tried = logits(session, after);
                set(session, AlibiScale::Model);
                session.rewind(before.len()).expect("it is all there");
                let old = logits(session, after);
                assert_ne!(tried, old, "{kv}, {scale:?}: the scale shows");
                session.rewind(before.len()).expect("it is all there");
                set(session, *scale);
                [first, logits(session, after)].concat()
            });
            assert_same_bits(&format!("{kv}, {scale:?}"), &want, &got);
            let unscaled = whole(kv, 16).logits(file.bytes(), &tokens);
            let back = whole(kv, 16).session(file.bytes(), |session| {
                let first = logits(session, before);
                set(session, *scale);
                logits(session, after);
                session.rewind(before.len()).expect("it is all there");
                set(session, AlibiScale::Model);
                [first, logits(session, after)].concat()
            });
            assert_same_bits(&format!("{kv}, back from {scale:?}"), &unscaled, &back);
        }
    }
}

#[test]
fn a_scale_that_is_none_is_refused_and_changes_nothing() {
    let (file, tokens) = (MPT.file("F32"), MPT.tokens(N_TOKENS));
    let (before, after) = tokens.split_at(100);
    let setup = Setup::default().with_scale(AlibiScale::Factor(0.5));
    let got = setup.session(file.bytes(), |session| {
        let first = logits(session, before);
        let factors = [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(AlibiScale::Factor);
        for none in factors.into_iter().chain([AlibiScale::Trained(0)]) {
            assert_eq!(session.set_alibi_scale(none), Err(PlanError::AlibiScale), "{none:?}");
        }
        [first, logits(session, after)].concat()
    });
    assert_same_bits("after errors", &setup.logits(file.bytes(), &tokens), &got);
}

/// Queries and rings keep the slopes of training up to its length; beyond it, slopes shrink as the text grows.
#[test]
fn slopes_change_beyond_the_length_of_training_only() {
    let shape = |alibi_train_length| {
        let file = Spec { alibi_train_length, ..MPT }.file("F32");
        *Model::from_gguf(file.bytes()).expect("right").shape()
    };
    let (plain, trained) = (shape(None), shape(Some(60)));
    for (shape, scale) in [(&plain, AlibiScale::Trained(60)), (&trained, AlibiScale::Model)] {
        for head in 0..plain.n_head {
            let slope = alibi::slope(head, plain.n_head, plain.max_alibi_bias);
            let at = [1, 59, 60, 61, 120, 240].map(|n_keys| alibi::slope_at(shape, scale, head, n_keys));
            assert_eq!(at, [slope, slope, slope, slope * (60.0 / 61.0), slope / 2.0, slope / 4.0]);
        }
        for head in 0..plain.n_head_kv {
            let cut = |shape, n_ctx, alibi_scale| {
                bias_cut(shape, &SessionConfig { n_ctx, alibi_scale, ..SessionConfig::DEFAULT }, head, 1)
            };
            for (n_ctx, factor) in [(40, 1.0), (60, 1.0), (120, 0.5), (240, 0.25)] {
                let (want, got) = (cut(&plain, n_ctx, AlibiScale::Factor(factor)), cut(shape, n_ctx, scale));
                assert!((want - got).abs() < 1e-5, "head {head}, {n_ctx} positions: {got} for {want}");
            }
        }
    }
}

/// The extreme scales that are accepted give no NaN, and with the flattest all keys count alike.
#[test]
fn slopes_of_any_size_have_finite_logits() {
    let (file, tokens) = (MPT.file("F32"), MPT.tokens(N_TOKENS));
    let with =
        |scale| Setup::default().with_eps(SessionConfig::HORIZON_EPS).with_scale(scale).logits(file.bytes(), &tokens);
    let flat = with(AlibiScale::Factor(f32::from_bits(1)));
    let steep = with(AlibiScale::Factor(f32::MAX));
    assert!(flat.iter().chain(&steep).flatten().all(|x| x.is_finite()));
    let none = Spec { max_alibi_bias: Some(0.0), ..MPT }.file_of(&MPT.tensors(), "F32");
    let unbiased = Setup::default().logits(none.bytes(), &tokens);
    assert_same_bits("no bias", &unbiased, &flat);
    // Each query sees its own key alone.
    assert_same_bits("its own key", &Setup::default().logits(file.bytes(), &tokens[..1]), &steep[..1]);
    assert!(
        Setup::default().with_scale(AlibiScale::Trained(usize::MAX)).logits(file.bytes(), &tokens).len() == N_TOKENS
    );
}
