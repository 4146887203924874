//! Gate and up in one tensor, as llama.cpp's converter writes Jina's models: the bits of two tensors.

use nearfield::kernels::available;
use nearfield::{LoadError, Model, Pooling};

use crate::common::compare::assert_same_bits;
use crate::common::encoder::{JINA, Setup, Spec, rows};
use crate::common::model::{Parts, Stored};

/// The same model with gate and up in one tensor: in the code model the gate comes second.
fn fused(spec: &Spec, parts: &Parts) -> Parts {
    let mut fused = parts.clone();
    for layer in 0..spec.n_layer {
        for kind in ["weight", "bias"] {
            let name = |name: &str| format!("blk.{layer}.{name}.{kind}");
            let Some(gate) = parts.tensors.iter().find(|tensor| tensor.name == name("ffn_gate")) else { continue };
            let up = fused.tensor(&name("ffn_up"));
            let halves = if spec.code { [&up.bytes, &gate.bytes] } else { [&gate.bytes, &up.bytes] };
            up.bytes = halves.map(Vec::as_slice).concat();
            up.shape[0] *= 2;
            fused = fused.without(&name("ffn_gate"));
        }
    }
    fused
}

/// With biases of the gate and of the other half, which no published model has.
fn with_biases(spec: &Spec, mut parts: Parts) -> Parts {
    for (layer, name) in (0..spec.n_layer).flat_map(|layer| [(layer, "ffn_gate"), (layer, "ffn_up")]) {
        let bias = |i: usize| (i as f32 * 0.37 + name.len() as f32).sin() * 0.1;
        let bytes = (0..spec.n_ff).flat_map(|i| bias(i).to_le_bytes()).collect();
        let name = format!("blk.{layer}.{name}.bias");
        parts.tensors.push(Stored { name, shape: vec![spec.n_ff], ty: 0, bytes });
    }
    parts
}

#[test]
fn one_tensor_has_the_bits_of_two() {
    let small = Spec { n_head: 4, head_dim: 16, n_ff: 96, ..JINA };
    for (code, n_ff, weights) in [
        (false, 96, "F32"),
        (true, 96, "F32"),
        (false, 96, "F16"),
        (true, 96, "Q8_0"),
        (false, 96, "Q4_0"),
        (true, 32, "Q5_1"),
        (false, 40, "F32"),
    ] {
        let spec = Spec { code, n_ff, reranker: true, ..small };
        for biases in [false, true] {
            let parts = spec.parts(weights);
            let parts = if biases { with_biases(&spec, parts) } else { parts };
            let everything = |setup: Setup<'_>, file: &[u8]| {
                setup.encoder(file, |encoder| {
                    let mut all = rows(encoder, &spec.tokens(70));
                    all.push(encoder.embed(&spec.tokens(70), Pooling::Mean, true).unwrap().to_vec());
                    all.push(vec![encoder.score(&spec.tokens(70), 9).unwrap()]);
                    all
                })
            };
            let (two, one) = (parts.file(), fused(&spec, &parts).file());
            let what = format!("{weights}, {n_ff}, code {code}, biases {biases}");
            for kernels in available() {
                let setup = Setup { kernels, ..Setup::default() };
                let (want, got) = (everything(setup, two.bytes()), everything(setup, one.bytes()));
                assert_same_bits(&format!("{what}, {}", kernels.name()), &want, &got);
            }
            // The other order is another model.
            let wrong = fused(&Spec { code: !code, ..spec }, &parts).file();
            assert_ne!(
                everything(Setup::default(), wrong.bytes()),
                everything(Setup::default(), two.bytes()),
                "{what}"
            );
        }
    }
}

#[test]
fn half_of_a_pair_is_an_error() {
    let load = |parts: Parts| Model::from_gguf(parts.file().bytes()).expect_err("a broken file");
    let pair = fused(&JINA, &JINA.parts("F32"));
    // A gate beside a pair.
    let mut three = pair.clone();
    three.tensors.push(JINA.parts("F32").tensor("blk.1.ffn_gate.weight").clone());
    assert!(matches!(load(three), LoadError::TensorShape { layer: Some(1), name: "ffn_up.weight", .. }));
    // No gate, and no pair.
    let missing = LoadError::MissingTensor { layer: Some(0), name: "ffn_gate.weight" };
    assert_eq!(load(JINA.parts("F32").without("blk.0.ffn_gate.weight")), missing);
    // A pair of other columns.
    let mut narrow = pair.clone();
    let up = narrow.tensor("blk.0.ffn_up.weight");
    up.shape[1] /= 2;
    up.bytes.truncate(up.bytes.len() / 2);
    assert!(matches!(load(narrow), LoadError::TensorShape { layer: Some(0), name: "ffn_up.weight", .. }));
    // All tensors of a pair's file are used.
    assert!(Model::from_gguf(pair.file().bytes()).is_ok());
}
