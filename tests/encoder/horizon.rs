//! A long document: its horizon on both sides, and memory that grows with its length alone.

use nearfield::{EncoderConfig, EncoderPlan, KvType, Model, SessionConfig};

use crate::common::compare::difference;
use crate::common::encoder::{JINA, Setup, Spec, rows};
use crate::common::threads::Threads;

/// One layer, 8 heads with slopes from 1/2 to 1/256.
const LONG: Spec = Spec { n_layer: 1, n_ff: 32, sharpness: 2.0, ..JINA };

/// The keys left out add less than a float's rounding, and steep heads leave out nearly all.
#[test]
fn keys_beyond_the_horizon_do_not_count() {
    let (file, n) = (LONG.file("F32"), 8192);
    let tokens = LONG.tokens(n);
    let executor = Threads(2);
    let run = |eps| {
        let setup = Setup { executor: &executor, ..Setup::default() };
        setup.with(|config| (config.n_ctx, config.horizon_eps) = (n, eps)).encoder(file.bytes(), |encoder| {
            let rows = rows(encoder, &tokens);
            let (visited, held) = encoder.key_stats();
            let shares: Vec<f64> = visited.iter().map(|&visited| visited as f64 / held as f64).collect();
            (rows, shares)
        })
    };
    let ((all, every), (near, shares)) = (run(0.0), run(SessionConfig::HORIZON_EPS));
    let found = difference(&all, &near);
    println!("8192 tokens: shares of the keys visited {shares:.4?}, {found}");
    assert!(every.iter().all(|&share| share == 1.0), "{every:?}");
    assert!(found.of_spread < 2e-6, "{found}");
    assert!(shares.is_sorted() && shares[0] < 0.02 && shares[7] < 1.0, "{shares:?}");
}

/// A key that is not a number leaves no bound: all keys are visited, on both sides of it.
#[test]
fn a_nan_among_the_keys_hides_nothing() {
    let n = 300;
    let mut parts = LONG.parts("F32");
    // Token 5 becomes a NaN, its key too.
    let width = 4 * LONG.n_embd();
    parts.tensor("token_embd.weight").bytes[5 * width..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut tokens: Vec<u32> = LONG.tokens(n).into_iter().map(|token| if token == 5 { 6 } else { token }).collect();
    tokens[150] = 5;
    let setup = Setup::default().with(|config| config.horizon_eps = SessionConfig::HORIZON_EPS);
    let rows = setup.rows(parts.file().bytes(), &tokens);
    assert!(rows.iter().all(|row| row.iter().all(|x| x.is_nan())), "every token sees the one that is no number");
}

#[test]
fn memory_is_linear_in_the_document() {
    let file = LONG.file("F32");
    let model = Model::from_gguf(file.bytes()).unwrap();
    for kv in KvType::ALL {
        let total = |n_ctx| {
            let config = EncoderConfig { n_ctx, kv: kv.into(), ..EncoderConfig::default() };
            EncoderPlan::new(model.shape(), &config).unwrap().total()
        };
        let (step, next) = (total(4096) - total(2048), total(8192) - total(4096));
        assert_eq!(next, 2 * step, "{kv}: twice as many tokens more, twice as many bytes more");
        // A row of floats, and keys and values in both orders.
        let of_token = step as f64 / 2048.0;
        let width = LONG.n_embd() as f64;
        assert!(of_token < width * (4.0 + 4.0 * 4.0) + 8.0, "{kv}: {of_token} bytes a token");
    }
}
