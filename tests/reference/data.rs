//! The reference data agrees with itself and with what Python made of it.

use crate::common::reference::quantize::{self, TYPES};
use crate::common::reference::{logits, tiny_gguf, weights};

#[test]
fn weights_are_those_of_python() {
    let mut ours = String::new();
    for model in weights::MODELS {
        for tensor in model.tensors() {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            let sum = weights::checksum(&tensor.data);
            ours += &format!("{} {} {} {sum:016x}\n", model.name, tensor.name, shape.join("x"));
        }
    }
    assert_eq!(ours, include_str!("checksums.txt"));
}

#[test]
fn one_row_of_logits_for_each_prompt_token() {
    let n_rows: usize = weights::PROMPT_LENS.iter().sum();
    for model in weights::MODELS {
        let reference = logits::reference(model.name);
        assert_eq!(reference.len(), n_rows * weights::N_VOCAB);
        assert_eq!(logits::difference(&reference, &reference, weights::N_VOCAB).max_abs, 0.0);
    }
}

/// Numbers in `blocks.txt`: spreads that differ between sub-blocks, values of one sign, zeros alone, one number repeated.
fn block_values() -> Vec<f32> {
    let spread: Vec<f32> = weights::bell("blocks")
        .take(1024)
        .enumerate()
        .map(|(i, k)| k as f32 / 2048.0 * (1 + i / 16 % 7) as f32)
        .collect();
    let value = |i: usize| match i {
        256..512 => spread[i].abs(),
        512..640 => 0.0,
        640..704 => -0.75,
        704..768 => -spread[i].abs(),
        _ => spread[i],
    };
    (0..1024).map(value).collect()
}

/// One line for each type: its name, the blocks of `block_values` and the checksum of the numbers they stand for.
fn block_lines() -> String {
    let x = block_values();
    let line = |ty: &quantize::Type| {
        let blocks = (ty.quantize)(&x);
        let hex: String = blocks.iter().map(|b| format!("{b:02x}")).collect();
        format!("{} {hex} {:016x}\n", ty.name, weights::checksum(&(ty.dequantize)(&blocks)))
    };
    TYPES.iter().map(line).collect()
}

/// `check_blocks.py` has shown that `blocks.txt` means the same to ggml's own Python package.
#[test]
fn blocks_are_those_that_python_checked() {
    assert!(block_lines() == include_str!("blocks.txt"), "run write_files and check_blocks.py (README.md)");
}

#[test]
fn numbers_survive_quantization() {
    let x: Vec<f32> = weights::bell("round trip").take(4096).map(|k| k as f32 / 2048.0).collect();
    let norm = x.iter().map(|v| v * v).sum::<f32>();
    for ty in &TYPES {
        let blocks = (ty.quantize)(&x);
        assert_eq!(blocks.len(), x.len() / ty.block_len * ty.block_bytes, "{}", ty.name);
        let error: f32 = (ty.dequantize)(&blocks).iter().zip(&x).map(|(a, b)| (a - b) * (a - b)).sum();
        let relative = (error / norm).sqrt();
        let bound = match ty.name {
            "F32" | "F16" => 0.0,
            "BF16" => 0.002,
            "Q8_0" => 0.006,
            "Q6_K" => 0.02,
            "Q5_0" | "Q5_1" | "Q5_K" => 0.05,
            "Q4_0" | "Q4_1" | "Q4_K" | "IQ4_NL" | "IQ4_XS" => 0.1,
            "Q3_K" => 0.2,
            "Q2_K" => 0.35,
            name => panic!("no bound for {name}"),
        };
        assert!(relative <= bound, "{}: {relative}", ty.name);
    }
}

/// Not a test: writes `blocks.txt`, and where `NEARFIELD_GGUF_DIR` names a folder, there each tiny model in each type.
#[test]
#[ignore = "writes files"]
fn write_files() {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/blocks.txt"), block_lines()).unwrap();
    let Ok(dir) = std::env::var("NEARFIELD_GGUF_DIR") else { return };
    for model in weights::MODELS {
        for ty in TYPES.iter().filter(|ty| model.n_embd.is_multiple_of(ty.block_len)) {
            let path = format!("{dir}/{}-{}.gguf", model.name, ty.name);
            std::fs::write(path, tiny_gguf::gguf(&model, ty)).unwrap();
        }
    }
}
