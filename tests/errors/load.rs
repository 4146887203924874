//! Tensors that do not fit the header.

use nearfield::LoadError;

use super::{assert_error, load, parts};
use crate::common::file::File;
use crate::common::model::{BLOOM, JAIS, Parts, Stored};
use crate::common::reference::gguf_writer::Value;

#[test]
fn load_errors() {
    let shape_error = |layer, name, want, found| LoadError::TensorShape { layer, name, want, found };
    let change = |name: &str, change: &dyn Fn(&mut Stored)| {
        let mut parts = parts();
        let tensor = parts.tensor(name);
        change(tensor);
        // As many bytes as shape and type say: files that overlap are refused before.
        let n_weights: usize = tensor.shape.iter().product();
        tensor.bytes.resize(n_weights * if tensor.ty == 1 { 2 } else { 4 }, 0);
        parts
    };
    let with = |name: &str, like: &str| {
        let mut parts = parts();
        let tensor = Stored { name: name.into(), ..parts.tensor(like).clone() };
        parts.tensors.push(tensor);
        parts
    };
    let missing = |layer, name| LoadError::MissingTensor { layer, name };
    let unused = |name: &str| LoadError::UnusedTensor { name: name.try_into().expect("short") };
    let cases: Vec<(&str, Parts, LoadError, &[&str])> = vec![
        (
            "no norm",
            parts().without("output_norm.weight"),
            missing(None, "output_norm.weight"),
            &["output_norm.weight", "missing"],
        ),
        (
            "no matrix",
            parts().without("blk.1.ffn_down.weight"),
            missing(Some(1), "ffn_down.weight"),
            &["blk.1.ffn_down.weight", "missing"],
        ),
        (
            "no QKV",
            parts().without("blk.0.attn_qkv.weight"),
            missing(Some(0), "attn_q.weight"),
            &["blk.0.attn_q.weight"],
        ),
        (
            "a norm that is no number",
            change("blk.1.ffn_norm.weight", &|t| t.bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes())),
            LoadError::NotFinite { layer: Some(1), name: "ffn_norm.weight", index: 2 },
            &["blk.1.ffn_norm.weight", "NaN or infinite at index 2", "broken"],
        ),
        (
            "an infinite norm",
            change("output_norm.weight", &|t| t.bytes[..4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes())),
            LoadError::NotFinite { layer: None, name: "output_norm.weight", index: 0 },
            &["output_norm.weight", "index 0"],
        ),
        (
            "one layer less",
            parts().set("mpt.block_count", Value::U32(3)),
            missing(Some(2), "attn_norm.weight"),
            &["blk.2.attn_norm.weight"],
        ),
        (
            "one layer more",
            parts().set("mpt.block_count", Value::U32(1)),
            unused("blk.1.attn_norm.weight"),
            &["blk.1.attn_norm.weight"],
        ),
        (
            "positions",
            {
                let mut parts = BLOOM.parts_of(&BLOOM.tensors(), "F32");
                let tensor =
                    Stored { name: "position_embd.weight".into(), ..parts.tensor("token_embd.weight").clone() };
                parts.tensors.push(tensor);
                parts
            },
            unused("position_embd.weight"),
            &["position_embd.weight"],
        ),
        (
            "the bias of a norm that is not there",
            with("blk.1.attn_q_norm.bias", "blk.1.attn_norm.weight"),
            missing(Some(1), "attn_q_norm.weight"),
            &["blk.1.attn_q_norm.weight"],
        ),
        (
            "an output that should not be the embedding",
            JAIS.parts_of(&JAIS.tensors(), "F32").without("output.weight"),
            missing(None, "output.weight"),
            &["output.weight", "missing"],
        ),
        (
            "both kinds of QKV",
            with("blk.0.attn_q.weight", "blk.0.attn_output.weight"),
            unused("blk.0.attn_q.weight"),
            &["blk.0.attn_q.weight"],
        ),
        (
            "a gate",
            with("blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"),
            unused("blk.0.ffn_gate.weight"),
            &["ffn_gate"],
        ),
        (
            "a layer written otherwise",
            with("blk.00.attn_norm.weight", "blk.0.attn_norm.weight"),
            unused("blk.00.attn_norm.weight"),
            &["blk.00"],
        ),
        (
            "a norm after the embedding",
            with("token_embd_norm.weight", "output_norm.weight"),
            unused("token_embd_norm.weight"),
            &["token_embd_norm"],
        ),
        ("a long name", with(&"x".repeat(63), "output_norm.weight"), unused(&"x".repeat(48)), &["xxxxxxxx"]),
        (
            "a row too many",
            change("blk.0.ffn_up.weight", &|t| t.shape[0] = 97),
            shape_error(Some(0), "ffn_up.weight", [64, 96], [64, 97, 1, 1]),
            &["blk.0.ffn_up.weight", "64 x 97", "64 x 96"],
        ),
        (
            "a row too few",
            change("token_embd.weight", &|t| t.shape = vec![48, 32]),
            shape_error(None, "token_embd.weight", [64, 48], [32, 48, 1, 1]),
            &["32 x 48", "64 x 48"],
        ),
        (
            "three dimensions",
            change("blk.0.ffn_up.weight", &|t| t.shape = vec![1, 2, 96, 64]),
            shape_error(Some(0), "ffn_up.weight", [64, 96], [64, 96, 2, 1]),
            &["64 x 96 x 2", "not 64 x 96"],
        ),
        (
            "a vector in halves",
            change("output_norm.weight", &|t| t.ty = 1),
            LoadError::TensorType { layer: None, name: "output_norm.weight", want: "F32", found: "F16", number: 1 },
            &["output_norm.weight", "F16 (1)", "F32"],
        ),
        (
            "a type that cannot run",
            change("blk.0.ffn_up.weight", &|t| t.ty = 40),
            type_error(Some(0), "ffn_up.weight", "NVFP4", 40),
            &["blk.0.ffn_up.weight", "NVFP4 (40)", "Q4_0"],
        ),
        (
            "weights in an order that llama.cpp has given up",
            change("blk.0.ffn_up.weight", &|t| t.ty = 31),
            type_error(Some(0), "ffn_up.weight", "Q4_0_4_4", 31),
            &["blk.0.ffn_up.weight", "Q4_0_4_4 (31)", "quantize the original again, to Q4_0:", "nearfield pack"],
        ),
        (
            "the same of indexes",
            change("blk.0.ffn_up.weight", &|t| t.ty = 38),
            type_error(Some(0), "ffn_up.weight", "IQ4_NL_8_8", 38),
            &["IQ4_NL_8_8 (38)", "to IQ4_NL:"],
        ),
        (
            "a type that is none",
            change("token_embd.weight", &|t| t.ty = 1000),
            type_error(None, "token_embd.weight", "unknown", 1000),
            &["token_embd.weight", "unknown (1000)"],
        ),
    ];
    for (what, parts, want, words) in cases {
        assert_error(what, want, load(parts.file().bytes()), words);
    }
}

fn type_error(layer: Option<usize>, name: &'static str, found: &'static str, number: u32) -> LoadError {
    let want = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, TQ2_0, MXFP4";
    LoadError::TensorType { layer, name, want, found, number }
}

#[test]
fn a_file_at_an_odd_address_is_an_error() {
    let file = parts().file();
    let shifted = File::new(&[&[0], file.bytes()].concat());
    let want = LoadError::Misaligned { layer: None, name: "output_norm.weight" };
    assert_error("misaligned", want, load(&shifted.bytes()[1..]), &["output_norm.weight", "4 bytes"]);
}
