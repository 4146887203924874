//! The library's logits against a literal forward pass in f64, for every head shape.

mod common;

use common::compare::{Difference, difference};
use common::literal::Literal;
use common::model::{BLOOM, MPT, Spec};
use common::reference::quantize::TYPES;
use common::run::Setup;

/// Largest difference over the spread of the logits. The formulas are the same: what is left is the rounding of f32.
const BOUND: f64 = 1e-5;
const N_TOKENS: usize = 80;

struct Case {
    what: &'static str,
    spec: Spec,
}

const CASES: [Case; 22] = [
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
];

/// The library's difference from a literal pass that `change` may have made another one.
fn difference_of(spec: &Spec, change: impl FnOnce(&mut Literal)) -> Difference {
    // The wide ones have few tokens: a literal pass is slow.
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

/// A literal pass with the numbers that the blocks stand for: what is left is that activations are rounded to int8.
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

/// The sentinels: what the bound must notice.
#[test]
fn another_forward_pass_fails_the_bound() {
    type Change = fn(&mut Literal);
    let clamped = Spec { clamp_kqv: 0.5, ..MPT };
    let cases: [(&str, Spec, Change); 6] = [
        ("the bias is dropped", MPT, |l| l.distance = |_| 0.0),
        ("the two nearest keys are as near", MPT, |l| l.distance = |d| d.saturating_sub(1) as f64),
        ("another max_alibi_bias", MPT, |l| l.set_max_bias(7.99)),
        ("no clamp", clamped, |l| l.spec.clamp_kqv = 0.0),
        ("the other GELU", BLOOM, |l| l.exact_gelu = true),
        ("another norm epsilon", BLOOM, |l| l.norm_eps = 2e-5),
    ];
    for (what, spec, change) in cases {
        let difference = difference_of(&spec, change);
        println!("{what}: {difference}");
        assert!(difference.of_spread > 2.0 * BOUND, "{what}: {difference}; {spec:?}");
    }
}
