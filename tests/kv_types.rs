//! Types of keys and values: the memory of each, and the distance of its logits from those with f32.

use crate::common::model::{MPT, Spec};
use crate::common::run::Setup;
use nearfield::{KvType, KvTypes, Line, MemoryPlan, Model};

/// Keys and values are two regions of an arena, with a region of scales each: whole lines.
#[test]
fn a_cache_is_as_large_as_its_rows() {
    for (head_dim, n_head_kv) in [(8, 1), (24, 2), (32, 2), (40, 8)] {
        let spec = Spec { n_head: 8, n_head_kv, head_dim, n_layer: 3, ..MPT };
        let file = spec.file("F32");
        let model = Model::from_gguf(file.bytes()).unwrap();
        for keys in KvType::ALL {
            for values in KvType::ALL {
                let kv = KvTypes { keys, values };
                let setup = Setup::default().with_kv(kv).with_ctx(96).with_batch(1);
                let plan = MemoryPlan::new(model.shape(), &setup.config).unwrap();
                let n_rows = 3 * n_head_kv * 96;
                let rows = n_rows * (keys.row_bytes(head_dim) + values.row_bytes(head_dim));
                let room = rows..rows + 4 * Line::BYTES;
                assert!(room.contains(&plan.kv_cache), "{kv}, {n_head_kv} heads of {head_dim}: {}", plan.kv_cache);
            }
        }
    }
    let widths = [16, 32, 80, 128].map(|head_dim| KvType::ALL.map(|ty| ty.row_bytes(head_dim)));
    assert_eq!(widths, [[64, 32, 18, 10], [128, 64, 34, 18], [320, 160, 86, 46], [512, 256, 136, 72]]);
}

/// Mean over the positions of `Σ p ln(p / q)`, in nats.
fn mean_kl(want: &[Vec<f32>], got: &[Vec<f32>]) -> f64 {
    let log_probs = |logits: &[f32]| -> Vec<f64> {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
        logits.iter().map(|&x| f64::from(x - max) - sum.ln()).collect()
    };
    let kl = |(want, got): (&Vec<f32>, &Vec<f32>)| -> f64 {
        let (p, q) = (log_probs(want), log_probs(got));
        p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    want.iter().zip(got).map(kl).sum::<f64>() / want.len() as f64
}

/// The distance from f32 follows from the step of a type: sixteen times the step of q8_0 gives 256 times the KL, and keys and values
/// add independently.
#[test]
fn errors_grow_with_the_step_and_add_up() {
    let spec = Spec { n_head_kv: 2, head_dim: 32, n_layer: 2, sharpness: 3.0, ..MPT };
    let (file, tokens) = (spec.file("F32"), spec.tokens(300));
    let logits = |kv: KvTypes| Setup::default().with_kv(kv).logits(file.bytes(), &tokens);
    let want = logits(KvType::F32.into());
    let kl = |keys: KvType, values: KvType| {
        let kv = KvTypes { keys, values };
        let kl = mean_kl(&want, &logits(kv));
        println!("{kv}: {kl:.3e}");
        kl
    };
    use KvType::*;
    let [f16, q8, q4] = [F16, Q8_0, Q4_0].map(|ty| kl(ty, ty));
    assert!(f16 > 0.0 && 20.0 * f16 < q8 && 80.0 * q8 < q4 && q4 < 800.0 * q8, "{f16:e}, {q8:e}, {q4:e}");
    let (keys, values) = (kl(Q4_0, F32), kl(F32, Q4_0));
    assert!(keys.min(values) > q8 && (0.8..1.25).contains(&((keys + values) / q4)), "{keys:e} and {values:e}, {q4:e}");
    let mixes = [kl(Q8_0, Q4_0), kl(Q4_0, Q8_0)];
    assert!(mixes.into_iter().all(|mix| q8 < mix && mix < q4), "{q8:e}, {mixes:?}, {q4:e}");
}
