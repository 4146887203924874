//! The same bits on every ISA, with any number of workers, in any chunks.

use nearfield::kernels::available;
use nearfield::{KvType, Pooling, SessionConfig};

use crate::common::compare::assert_same_bits;
use crate::common::encoder::{JINA, Setup, Spec, rows};
use crate::common::threads::Threads;

/// Rows, and the vectors of all poolings, in two documents: `n` is more than two blocks of keys and no multiple of anything.
fn everything(setup: Setup<'_>, file: &[u8], spec: &Spec, n: usize) -> Vec<Vec<f32>> {
    setup.encoder(file, |encoder| {
        let mut all = vec![];
        for tokens in [spec.tokens(n), spec.tokens(n)[3..n - 20].to_vec()] {
            all.extend(rows(encoder, &tokens));
            all.extend(Pooling::ALL.map(|pooling| encoder.embed(&tokens, pooling, true).unwrap().to_vec()));
            if spec.reranker {
                all.push(vec![encoder.score(&tokens, 9).unwrap()]);
            }
        }
        all
    })
}

fn assert_equal_in_every_way(what: &str, spec: &Spec, weights: &str, kv: KvType, eps: f32, n: usize) {
    let file = spec.file(weights);
    let plain = Setup::default().with(|config| (config.kv, config.horizon_eps) = (kv.into(), eps));
    let scalar = available().next().expect("scalar");
    let want = everything(Setup { kernels: scalar, ..plain }, file.bytes(), spec, n);
    assert!(want.iter().flatten().all(|x| x.is_finite()), "{what}: finite");
    for kernels in available().skip(1) {
        let got = everything(Setup { kernels, ..plain }, file.bytes(), spec, n);
        assert_same_bits(&format!("{what}, {}", kernels.name()), &want, &got);
    }
    for executor in [Threads(2), Threads(3)] {
        let got = everything(Setup { executor: &executor, ..plain }, file.bytes(), spec, n);
        assert_same_bits(&format!("{what}, {executor:?}"), &want, &got);
    }
    for n_batch in [1, 7, 64] {
        let got = everything(plain.with(|config| config.n_batch = n_batch), file.bytes(), spec, n);
        assert_same_bits(&format!("{what}, chunks of {n_batch}"), &want, &got);
    }
    let got = everything(plain.with(|config| config.n_ctx = n), file.bytes(), spec, n);
    assert_same_bits(&format!("{what}, no more room than needed"), &want, &got);
}

#[test]
fn weight_and_kv_types() {
    let spec = Spec { n_head: 4, head_dim: 16, n_ff: 64, reranker: true, ..JINA };
    for weights in ["F32", "F16", "Q8_0", "Q4_0"] {
        for kv in KvType::ALL {
            let what = format!("{weights} weights, {kv} keys");
            assert_equal_in_every_way(&what, &spec, weights, kv, SessionConfig::HORIZON_EPS, 77);
        }
    }
}

#[test]
fn head_shapes() {
    for (n_head, head_dim, code) in [(12, 32, false), (6, 8, true), (1, 64, false), (3, 24, true), (2, 136, false)] {
        let spec = Spec { n_head, head_dim, code, n_layer: 1, ..JINA };
        for eps in [0.0, SessionConfig::HORIZON_EPS] {
            assert_equal_in_every_way(&format!("{n_head} heads of {head_dim}"), &spec, "F32", KvType::F32, eps, 77);
        }
    }
}

/// Steep heads stop early, and at the same key in every query tile.
#[test]
fn a_document_longer_than_the_horizons() {
    let spec = Spec { n_layer: 1, max_alibi_bias: 4.0, ..JINA };
    assert_equal_in_every_way("sharp", &Spec { sharpness: 3.0, ..spec }, "F32", KvType::F32, 2f32.powi(-8), 500);
    assert_equal_in_every_way("flat", &spec, "F32", KvType::Q8_0, 2f32.powi(-24), 500);
}
