//! Models with NaN or infinite weights: one line names the number, and the exit code is 1.

use crate::{Folder, tiny};

/// Sets the first number of an F32 tensor to these bits.
fn with_number(mut model: Vec<u8>, tensor: &str, bits: u32) -> Vec<u8> {
    let gguf = nearfield::Gguf::parse(&model).unwrap();
    let info = gguf.tensor("", tensor).unwrap();
    assert_eq!(info.ty, 0, "{tensor} is F32");
    let at = gguf.data_at() + info.offset as usize;
    model[at..at + 4].copy_from_slice(&bits.to_le_bytes());
    model
}

const NAN: u32 = 0x7fc0_0000;
const INFINITE: u32 = 0x7f80_0000;

#[test]
fn a_norm_that_is_no_number_is_told_by_its_name() {
    let f = Folder::new();
    f.write("text", "beep ".repeat(50).as_bytes());
    f.write("output.gguf", &with_number(tiny::model("mpt"), "output_norm.weight", NAN));
    f.write("layer.gguf", &with_number(tiny::model("mpt"), "blk.0.ffn_norm.weight", INFINITE));
    let commands = [
        "run -m NAME beep",
        "logits -m NAME --tokens 1 -o out.npy --force",
        "perplexity -m NAME -f text",
        "bench NAME -p 8 -n 2",
    ];
    for command in commands {
        let line = |name| command.replace("NAME", name);
        let want = "is NaN or infinite at index 0: the model is broken";
        f.fails(&line("output.gguf"), 1, &format!("output.gguf: the tensor output_norm.weight {want}"));
        f.fails(&line("layer.gguf"), 1, &format!("layer.gguf: the tensor blk.0.ffn_norm.weight {want}"));
    }
    for reranker in [false, true] {
        f.write("encoder.gguf", &with_number(tiny::encoder(reranker), "token_embd_norm.weight", NAN));
        let want = "encoder.gguf: the tensor token_embd_norm.weight is NaN";
        f.fails("embed -m encoder.gguf beep", 1, want);
        f.fails("rerank -m encoder.gguf beep boop", 1, want);
    }
    assert!(!f.names().contains(&"out.npy".into()));
}

#[test]
fn logits_that_are_no_numbers_end_a_command() {
    let f = Folder::new();
    f.write("text", "beep ".repeat(50).as_bytes());
    // The first weight of the embedding is also the output's, so one of all logits is not finite.
    for (name, bits, value) in [("nan.gguf", NAN, "NaN"), ("infinite.gguf", INFINITE, "inf")] {
        f.write(name, &with_number(tiny::model("mpt"), "token_embd.weight", bits));
        let want = format!(
            "{name}: row 0, column 0 of the tensor token_embd.weight is {value}: the logits after the token at position "
        );
        for command in [
            "run -m NAME beep",
            "logits -m NAME --tokens 1,2 -o out.npy --force",
            "perplexity -m NAME -f text --ctx 16",
        ] {
            let line = command.replace("NAME", name);
            let output = f.nearfield(&line);
            let error = crate::text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{line}\n{error}");
            assert!(error.starts_with(&format!("nearfield: {want}")), "{line}\n{error}");
            assert_eq!(error.lines().count(), 1, "{line}\n{error}");
        }
    }
    assert!(!f.names().contains(&"out.npy".into()));
}

#[test]
fn vectors_and_scores_that_are_no_numbers_end_a_command() {
    let f = Folder::new();
    for (reranker, command) in [(false, "embed -m encoder.gguf beep"), (true, "rerank -m encoder.gguf beep boop")] {
        f.write("encoder.gguf", &with_number(tiny::encoder(reranker), "token_types.weight", NAN));
        f.fails(command, 1, "encoder.gguf: row 0, column 0 of the tensor token_types.weight is NaN: ");
    }
}
