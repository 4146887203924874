//! Rows, vectors and scores are those of a literal forward pass in f64.

use nearfield::{Encoder, Pooling, SessionConfig};

use crate::common::compare::{Difference, difference};
use crate::common::encoder::{Distance, JINA, Literal, Setup, Spec, rows};

/// Difference that f32 may make, over the spread of a row.
const BOUND: f64 = 1e-5;

const CASES: [(&str, Spec); 7] = [
    ("plain", JINA),
    ("no token types", Spec { n_token_types: 0, ..JINA }),
    ("code", Spec { code: true, ..JINA }),
    ("12 heads, sharp", Spec { n_head: 12, head_dim: 16, sharpness: 6.0, ..JINA }),
    ("one head", Spec { n_head: 1, head_dim: 40, n_ff: 33, ..JINA }),
    ("a head wider than a panel", Spec { n_head: 2, head_dim: 136, n_ff: 64, n_layer: 1, ..JINA }),
    ("max bias 16, code", Spec { code: true, max_alibi_bias: 16.0, n_layer: 3, ..JINA }),
];

fn of_rows(spec: &Spec, literal: &Literal, setup: Setup<'_>, n: usize) -> Difference {
    let (file, tokens) = (spec.file("F32"), spec.tokens(n));
    difference(&literal.rows(&tokens, n), &setup.rows(file.bytes(), &tokens))
}

#[test]
fn rows_of_every_shape() {
    for (what, spec) in CASES {
        let literal = Literal::new(&spec);
        for n in [1, 2, 31, 32, 33, 64, 77, 161] {
            for eps in [0.0, SessionConfig::HORIZON_EPS] {
                let setup = Setup::default().with(|config| config.horizon_eps = eps);
                let found = of_rows(&spec, &literal, setup, n);
                println!("{what}, {n} tokens, eps {eps:e}: {found}");
                assert!(found.of_spread < BOUND, "{what}, {n} tokens, eps {eps:e}: {found}");
            }
        }
    }
}

/// An error of one key, of a side or of the bias is far above the bound.
#[test]
fn a_wrong_distance_shows() {
    let wrong: [(&str, Distance); 5] = [
        ("no bias", |_, _| 0.0),
        ("causal", |i, j| if j > i { f64::INFINITY } else { (i - j) as f64 }),
        ("bias before only", |i, j| i.saturating_sub(j) as f64),
        ("one too many after", |i, j| i.abs_diff(j) as f64 + f64::from(u8::from(j > i))),
        ("without its own key", |i, j| if i == j { f64::INFINITY } else { i.abs_diff(j) as f64 }),
    ];
    for (what, distance) in wrong {
        let mut literal = Literal::new(&JINA);
        literal.distance = distance;
        let found = of_rows(&JINA, &literal, Setup::default(), 77);
        assert!(found.of_spread > 1000.0 * BOUND, "{what}: {found}");
    }
}

#[test]
fn a_document_after_another_is_as_if_alone() {
    let file = JINA.file("F32");
    let (long, short) = (JINA.tokens(300), JINA.tokens(41));
    let alone = Setup::default().rows(file.bytes(), &short);
    let after = Setup::default().encoder(file.bytes(), |encoder| {
        rows(encoder, &long);
        rows(encoder, &short)
    });
    assert_eq!(alone, after);
}

#[test]
fn poolings() {
    let tokens = JINA.tokens(70);
    let want = Literal::new(&JINA).rows(&tokens, tokens.len());
    let columns = |fold: fn(&[f64]) -> f64| -> Vec<f64> {
        (0..JINA.n_embd()).map(|c| fold(&want.iter().map(|row| row[c]).collect::<Vec<_>>())).collect()
    };
    let cases = [
        (Pooling::Mean, columns(|x| x.iter().sum::<f64>() / x.len() as f64)),
        (Pooling::Cls, want[0].clone()),
        (Pooling::Last, want[69].clone()),
        (Pooling::Max, columns(|x| x.iter().copied().fold(f64::NEG_INFINITY, f64::max))),
    ];
    Setup::default().encoder(JINA.file("F32").bytes(), |encoder| {
        for (pooling, want) in cases {
            let length = want.iter().map(|x| x * x).sum::<f64>().sqrt();
            let unit: Vec<f64> = want.iter().map(|x| x / length).collect();
            for (normalize, want) in [(false, want), (true, unit)] {
                let got = encoder.embed(&tokens, pooling, normalize).unwrap().to_vec();
                let found = difference(&[want], &[got]);
                assert!(found.of_spread < BOUND, "{pooling:?}, normalized {normalize}: {found}");
            }
        }
    });
}

#[test]
fn scores_of_pairs() {
    for spec in [Spec { reranker: true, ..JINA }, Spec { reranker: true, code: true, seed: 2, ..JINA }] {
        let literal = Literal::new(&spec);
        let mut wrong_type: f64 = 0.0;
        Setup::default().encoder(spec.file("F32").bytes(), |encoder: &mut Encoder<'_, '_, '_>| {
            assert!(encoder.has_score());
            for (n, second) in [(1, 0), (2, 1), (40, 7), (97, 64), (97, 97)] {
                let tokens = spec.tokens(n);
                let (want, got) = (literal.score(&tokens, second), f64::from(encoder.score(&tokens, second).unwrap()));
                assert!((want - got).abs() < 1e-6, "{n} tokens, {second} of the query: {got}, not {want}");
                wrong_type = wrong_type.max((literal.score(&tokens, n) - want).abs());
            }
        });
        assert!(wrong_type > 1e-3, "types that do not count would not be noticed: {wrong_type:e}");
    }
}
