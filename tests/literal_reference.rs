//! The library's logits against a literal forward pass in f64, for every head shape.

use crate::common::compare::{Difference, difference};
use crate::common::literal::Literal;
use crate::common::model::{BAICHUAN, BLOOM, FALCON, GPT2, JAIS, MPT, REFACT, Spec};
use crate::common::reference::quantize::TYPES;
use crate::common::reference::weights::random;
use crate::common::run::Setup;
use nearfield::AlibiScale;
use nearfield::kernels::{Matrix, WeightType};
use nearfield_kernels::scalar;

/// Largest difference over the standard deviation of the logits. The formulas are the same, so only the rounding of f32 is left.
const BOUND: f64 = 1e-5;
const N_TOKENS: usize = 80;

struct Case {
    what: &'static str,
    spec: Spec,
}

const CASES: [Case; 35] = [
    Case { what: "mpt", spec: MPT },
    Case { what: "bloom", spec: BLOOM },
    Case { what: "bloom without biases", spec: Spec { biases: false, ..BLOOM } },
    Case { what: "mpt with biases", spec: Spec { biases: true, ..MPT } },
    Case { what: "output of its own", spec: Spec { untied: true, ..MPT } },
    Case { what: "split QKV", spec: Spec { split_qkv: true, ..MPT } },
    Case { what: "split QKV with biases", spec: Spec { split_qkv: true, ..BLOOM } },
    Case { what: "grouped queries", spec: Spec { n_head_kv: 2, ..MPT } },
    Case { what: "one KV head", spec: Spec { n_head_kv: 1, ..MPT } },
    Case { what: "grouped queries, split QKV", spec: Spec { n_head_kv: 4, split_qkv: true, biases: true, ..MPT } },
    Case { what: "clamped", spec: Spec { clamp_kqv: 0.5, ..MPT } },
    Case { what: "clamped, grouped, split", spec: Spec { clamp_kqv: 0.5, n_head_kv: 2, split_qkv: true, ..MPT } },
    Case { what: "max_alibi_bias 4", spec: Spec { max_alibi_bias: Some(4.0), ..MPT } },
    Case { what: "max_alibi_bias 16", spec: Spec { max_alibi_bias: Some(16.0), ..MPT } },
    Case { what: "sharp scores", spec: Spec { sharpness: 8.0, ..MPT } },
    Case { what: "6 heads", spec: Spec { n_head: 6, n_head_kv: 6, ..MPT } },
    Case { what: "12 heads of 16", spec: Spec { n_head: 12, n_head_kv: 12, head_dim: 16, ..BLOOM } },
    Case { what: "20 heads among 5", spec: Spec { n_head: 20, n_head_kv: 5, ..MPT } },
    Case { what: "4 heads of 24", spec: Spec { n_head: 4, n_head_kv: 4, head_dim: 24, ..MPT } },
    Case { what: "40 heads of 40", spec: Spec { n_head: 40, n_head_kv: 8, head_dim: 40, n_layer: 1, ..MPT } },
    Case { what: "56 heads", spec: Spec { n_head: 56, n_head_kv: 56, n_layer: 1, ..BLOOM } },
    Case { what: "71 heads of 64", spec: Spec { n_head: 71, n_head_kv: 1, head_dim: 64, n_layer: 1, ..MPT } },
    Case { what: "112 heads", spec: Spec { n_head: 112, n_head_kv: 112, n_layer: 1, ..BLOOM } },
    Case { what: "24 heads of 10", spec: Spec { n_head: 24, n_head_kv: 24, head_dim: 10, ..BLOOM } },
    Case { what: "5 heads of 7 among 1", spec: Spec { n_head: 5, n_head_kv: 1, head_dim: 7, ..MPT } },
    Case { what: "norms of queries and keys", spec: Spec { qk_norm: true, ..MPT } },
    Case {
        what: "norms of few keys, with biases",
        spec: Spec { qk_norm: true, n_head_kv: 2, biases: true, clamp_kqv: 0.5, ..MPT },
    },
    Case { what: "mpt with learned positions", spec: Spec { max_alibi_bias: Some(0.0), n_positions: 512, ..MPT } },
    Case { what: "gpt2", spec: GPT2 },
    Case { what: "falcon", spec: FALCON },
    Case { what: "baichuan", spec: BAICHUAN },
    Case { what: "refact", spec: REFACT },
    Case { what: "jais", spec: JAIS },
    Case { what: "jais beyond its training", spec: Spec { alibi_train_length: Some(20), ..JAIS } },
    Case { what: "falcon beyond a training", spec: Spec { alibi_train_length: Some(20), ..FALCON } },
];

/// Difference of the library from a literal pass, which `change` may alter.
fn difference_of(spec: &Spec, change: impl FnOnce(&mut Literal)) -> Difference {
    // Wide models get few tokens, because a literal pass is slow.
    let tokens = spec.tokens(if spec.n_embd() > 1000 { 8 } else { N_TOKENS });
    let tensors = spec.tensors();
    let mut literal = Literal::new(spec, &tensors);
    change(&mut literal);
    let got = Setup::default().logits(spec.file_of(&tensors, "F32").bytes(), &tokens);
    difference(&literal.logits(&tokens), &got)
}

#[test]
fn logits_are_those_of_the_literal_forward_pass() {
    for Case { what, spec } in CASES {
        let difference = difference_of(&spec, |_| ());
        println!("{what}: {difference}");
        assert!(difference.of_spread < BOUND, "{what}: {difference}; {spec:?}");
    }
}

/// The bias as Falcon-RW's code rounds it; at positions beyond 256 neighbours share it.
#[test]
fn logits_with_a_rounded_bias_are_those_of_the_literal_forward_pass() {
    for spec in [FALCON, Spec { n_head: 6, n_head_kv: 6, ..FALCON }, MPT] {
        let (tokens, tensors) = (spec.tokens(300), spec.tensors());
        let mut literal = Literal::new(&spec, &tensors);
        let file = spec.file_of(&tensors, "F32");
        let got = Setup::default().with_bf16(true).logits(file.bytes(), &tokens);
        let exact = difference(&literal.logits(&tokens), &got);
        literal.bf16 = true;
        let found = difference(&literal.logits(&tokens), &got);
        println!("{}, {} heads: {found}; an exact bias: {exact}", spec.arch, spec.n_head);
        assert!(found.of_spread < BOUND, "{}: {found}", spec.arch);
        assert!(exact.of_spread > 10.0 * BOUND, "{}: an exact bias: {exact}", spec.arch);
    }
}

/// Slopes that the session scales; unscaled slopes must not pass.
#[test]
fn logits_with_scaled_slopes_are_those_of_the_literal_forward_pass() {
    type Change = fn(&mut Literal);
    let shrinking = Spec { alibi_train_length: Some(30), ..JAIS };
    let cases: [(&str, Spec, AlibiScale, Change); 6] = [
        ("half", MPT, AlibiScale::Factor(0.5), |l| l.slope_scale = 0.5),
        ("scaled bias, three times", FALCON, AlibiScale::Factor(3.0), |l| l.slope_scale = 3.0),
        ("as if trained at 20", MPT, AlibiScale::Trained(20), |l| l.spec.alibi_train_length = Some(20)),
        ("12 heads as if trained at 20", Spec { n_head: 12, n_head_kv: 4, ..BLOOM }, AlibiScale::Trained(20), |l| {
            l.spec.alibi_train_length = Some(20);
        }),
        ("another training", shrinking, AlibiScale::Trained(10), |l| l.spec.alibi_train_length = Some(10)),
        ("a factor instead of the training", shrinking, AlibiScale::Factor(1.0), |l| l.spec.alibi_train_length = None),
    ];
    for (what, spec, scale, change) in cases {
        let (tokens, tensors) = (spec.tokens(N_TOKENS), spec.tensors());
        let got = Setup::default().with_scale(scale).logits(spec.file_of(&tensors, "F32").bytes(), &tokens);
        let mut literal = Literal::new(&spec, &tensors);
        let without = difference(&literal.logits(&tokens), &got);
        change(&mut literal);
        let found = difference(&literal.logits(&tokens), &got);
        println!("{what}: {found}; without: {without}");
        assert!(found.of_spread < BOUND, "{what}: {found}");
        assert!(without.of_spread > 10.0 * BOUND, "{what}: without the scale: {without}");
    }
}

/// A literal pass with the numbers that the blocks stand for; the difference left comes from activations rounded to int8.
#[test]
fn quantized_logits_are_those_of_the_dequantized_weights() {
    for ty in &TYPES {
        let (head_dim, bound) = match ty.block_len {
            1 => (8, BOUND),
            32 => (8, 5e-2),
            _ => (32, 5e-2),
        };
        let spec = Spec { head_dim, n_ff: 256, ..BLOOM };
        let mut tensors = spec.tensors();
        let file = spec.file_of(&tensors, ty.name);
        for tensor in tensors.iter_mut().filter(|tensor| tensor.is_matrix()) {
            tensor.data = (ty.dequantize)(&(ty.quantize)(&tensor.data));
        }
        let tokens = spec.tokens(40);
        let want = Literal::new(&spec, &tensors).logits(&tokens);
        let found = difference(&want, &Setup::default().logits(file.bytes(), &tokens));
        println!("{}: {found}", ty.name);
        assert!(found.of_spread < bound, "{}: {found}", ty.name);
    }
}

/// Random blocks of a type that the tests have no quantizer for, `d` being such that weights are about as large as elsewhere.
fn drawn_blocks(ty: WeightType, n_weights: usize, label: &str) -> Vec<u8> {
    let n_bytes = ty.row_bytes(n_weights).unwrap();
    let mut blocks: Vec<u8> = random(label).map(|z| z as u8).take(n_bytes).collect();
    let d = half::f16::from_f32(match ty {
        WeightType::TQ1_0 | WeightType::TQ2_0 => 0.07,
        WeightType::IQ3_XXS | WeightType::IQ3_S => 0.0003,
        WeightType::IQ1_S | WeightType::IQ1_M => 0.01,
        _ => 0.001,
    });
    for block in blocks.chunks_exact_mut(ty.block_bytes()) {
        let [low, high] = d.to_le_bytes();
        match ty {
            WeightType::TQ1_0 | WeightType::TQ2_0 => block[ty.block_bytes() - 2..].copy_from_slice(&[low, high]),
            WeightType::IQ1_M => {
                let nibbles = [low << 4, low & 0xf0, high << 4, high & 0xf0];
                (0..4).for_each(|i| block[49 + 2 * i] = block[49 + 2 * i] & 15 | nibbles[i]);
            }
            WeightType::MXFP4 => block[0] = 121,
            _ => block[..2].copy_from_slice(&[low, high]),
        }
    }
    blocks
}

/// The same for types that can only be read: `kernels/tests/definitions/rare.rs` says what their blocks stand for.
#[test]
fn types_that_can_only_be_read_run() {
    let types = WeightType::ALL.iter().filter(|ty| TYPES.iter().all(|known| known.name != ty.name()));
    let mut n = 0;
    for &ty in types {
        let spec = Spec { head_dim: 32, n_ff: 256, ..BLOOM };
        let mut tensors = spec.tensors();
        let mut parts = spec.parts_of(&tensors, "F32");
        for (tensor, stored) in tensors.iter_mut().zip(&mut parts.tensors).filter(|(tensor, _)| tensor.is_matrix()) {
            stored.bytes = drawn_blocks(ty, tensor.data.len(), &tensor.name);
            stored.ty = ty as u32;
            let all = Matrix::new(ty, 1, tensor.data.len(), &stored.bytes).unwrap();
            scalar::dequantize_row(&all, 0, &mut tensor.data);
        }
        let tokens = spec.tokens(40);
        let want = Literal::new(&spec, &tensors).logits(&tokens);
        let found = difference(&want, &Setup::default().logits(parts.file().bytes(), &tokens));
        println!("{ty}: {found}");
        assert!(found.of_spread < 5e-2, "{ty}: {found}");
        n += 1;
    }
    assert_eq!(n, 10);
}

/// Sentinels: errors that the bound must notice.
#[test]
fn another_forward_pass_fails_the_bound() {
    type Change = fn(&mut Literal);
    let clamped = Spec { clamp_kqv: 0.5, ..MPT };
    let beyond = Spec { alibi_train_length: Some(20), ..JAIS };
    let cases: [(&str, Spec, Change); 12] = [
        ("the bias is dropped", MPT, |l| l.distance = |_| 0.0),
        ("the two nearest keys are as near", MPT, |l| l.distance = |d| d.saturating_sub(1) as f64),
        ("another max_alibi_bias", MPT, |l| l.set_max_bias(7.99)),
        ("no clamp", clamped, |l| l.spec.clamp_kqv = 0.0),
        ("the other GELU", BLOOM, |l| l.exact_gelu = true),
        ("another norm epsilon", BLOOM, |l| l.norm_eps = 2e-5),
        ("the bias is not scaled", FALCON, |l| l.spec.arch = "mpt"),
        ("the slopes do not shrink", beyond, |l| l.spec.alibi_train_length = None),
        ("scores over the root of the width", JAIS, |l| l.spec.arch = "refact"),
        ("the mean stays", REFACT, |l| l.spec.arch = "baichuan"),
        ("keys as they are", Spec { qk_norm: true, ..MPT }, |l| l.spec.qk_norm = false),
        ("another position", GPT2, |l| l.move_positions()),
    ];
    for (what, spec, change) in cases {
        let difference = difference_of(&spec, change);
        println!("{what}: {difference}");
        assert!(difference.of_spread > 2.0 * BOUND, "{what}: {difference}; {spec:?}");
    }
}
