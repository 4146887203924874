//! Importance matrices: their measurement on a text, and quantization with them.

use std::collections::BTreeMap;
use std::fs;

use nearfield::Gguf;
use nearfield::gguf::Value as Meta;

use crate::reference::gguf_writer::{Value, Writer};
use crate::{Folder, text, tiny};

const TEXT: &str = "In the winter the others went on. ";

fn folder() -> Folder {
    let f = Folder::new();
    f.write("text", TEXT.repeat(20).as_bytes());
    f.write("encoder.gguf", &tiny::encoder(false));
    f
}

/// Tensors of a file of floats, by name.
fn tensors(f: &Folder, name: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(f.path().join(name)).unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let floats = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
    gguf.tensors().map(|t| (t.name.to_owned(), floats(gguf.data(t.offset, t.n_bytes().unwrap()).unwrap()))).collect()
}

/// Token ids of the text in chunks of 32, each of which begins with the token that begins a text.
fn chunks(f: &Folder) -> Vec<Vec<usize>> {
    let whole = f.command(["tokenize", "tiny.gguf", &TEXT.repeat(20)]).output().unwrap();
    let ids: Vec<usize> = text(&whole.stdout).split_whitespace().map(|id| id.parse().unwrap()).collect();
    ids.chunks_exact(32).map(|chunk| [&[ids[0]], &chunk[1..]].concat()).collect()
}

#[test]
fn a_text_says_how_much_each_column_matters() {
    let f = folder();
    f.stderr("imatrix tiny.gguf -f text -o im.gguf --ctx 32");
    let bytes = fs::read(f.path().join("im.gguf")).unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    assert!(matches!(gguf.get("general.type"), Some(Meta::String(b"imatrix"))));
    let chunks = chunks(&f);
    assert_eq!(gguf.get("imatrix.chunk_count").and_then(Meta::as_u64), Some(chunks.len() as u64));
    assert_eq!(gguf.get("imatrix.chunk_size").and_then(Meta::as_u64), Some(32));
    let found = tensors(&f, "im.gguf");
    let names: Vec<&str> = found.keys().filter_map(|name| name.strip_suffix(".in_sum2")).collect();
    let mut want: Vec<String> = Vec::new();
    for layer in 0..2 {
        want.extend(["attn_output", "attn_qkv", "ffn_down", "ffn_up"].map(|name| format!("blk.{layer}.{name}.weight")));
    }
    assert_eq!(names, want);
    assert!(names.iter().all(|name| found[&format!("{name}.counts")] == [32.0 * chunks.len() as f32]));

    // The first matrix is multiplied with the normed embeddings, whose gains are one.
    let model = tensors(&f, "tiny.gguf");
    let embedding = &model["token_embd.weight"];
    let n = found["blk.0.attn_qkv.weight.in_sum2"].len();
    let mut sums = vec![0.0; n];
    for &token in chunks.iter().flatten() {
        let row: Vec<f64> = embedding[token * n..][..n].iter().map(|&x| f64::from(x)).collect();
        let mean = row.iter().sum::<f64>() / n as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        for (sum, x) in sums.iter_mut().zip(&row) {
            *sum += (x - mean).powi(2) / (variance + 1e-5);
        }
    }
    for (found, want) in found["blk.0.attn_qkv.weight.in_sum2"].iter().zip(sums) {
        assert!((f64::from(*found) / want - 1.0).abs() < 1e-5, "{found}, {want}");
    }
}

#[test]
fn the_same_bytes_come_out_in_any_way() {
    let f = folder();
    for model in ["tiny.gguf", "encoder.gguf"] {
        f.stderr(&format!("imatrix {model} -f text -o im.gguf --ctx 32 --threads 1 --force"));
        let want = fs::read(f.path().join("im.gguf")).unwrap();
        for how in ["--threads 2", "--isa scalar", "--repack off", "--repack on"] {
            f.stderr(&format!("imatrix {model} -f text -o other.gguf --ctx 32 --force {how}"));
            assert_eq!(fs::read(f.path().join("other.gguf")).unwrap(), want, "{model} {how}");
        }
        f.stderr(&format!("imatrix {model} -f text -o other.gguf --ctx 32 --chunks 2 --force"));
        assert_eq!(tensors(&f, "other.gguf").values().next().unwrap(), &[64.0], "{model}: two chunks");
    }
}

#[test]
fn a_quantized_model_is_nearer_where_it_matters() {
    let f = folder();
    f.stderr("imatrix tiny.gguf -f text -o im.gguf --ctx 32");
    let original = |name: &str| {
        f.stdout(&format!("logits {name} --tokens {} -o out.npy --force --repack off", "5,9,20,40,70,100,130"));
        let bytes = fs::read(f.path().join("out.npy")).unwrap();
        bytes[128..].as_chunks().0.iter().map(|&x| f64::from(f32::from_le_bytes(x))).collect::<Vec<_>>()
    };
    let want = original("tiny.gguf");
    let error = |name: &str| original(name).iter().zip(&want).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    for ty in ["Q4_0", "IQ4_NL", "Q5_1"] {
        f.stderr(&format!("quantize tiny.gguf plain.gguf {ty} --pure --force"));
        let told = f.stderr(&format!("quantize tiny.gguf weighed.gguf {ty} --pure --imatrix im.gguf --force"));
        // The embedding is looked up and is also the output, which is not measured.
        assert!(
            told.contains("im.gguf has nothing for 1 of 9 matrices, whose columns count alike: token_embd.weight"),
            "{told}"
        );
        let [plain, weighed] = ["plain.gguf", "weighed.gguf"].map(|name| fs::read(f.path().join(name)).unwrap());
        assert_ne!(plain, weighed, "{ty}");
        assert!(error("plain.gguf").is_finite() && error("weighed.gguf") > 0.0);
        let gguf = Gguf::parse(&weighed).unwrap();
        assert!(matches!(gguf.get("quantize.imatrix.file"), Some(Meta::String(b"im.gguf"))), "{ty}");
        assert_eq!(gguf.get("quantize.imatrix.entries_count").and_then(Meta::as_u64), Some(8), "{ty}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let f = folder();
    f.write("short", b"the");
    f.fails(
        "imatrix tiny.gguf -f short -o im.gguf --ctx 32",
        1,
        "short: 3 tokens, fewer than a chunk has of a text (32)",
    );
    f.fails("imatrix tiny.gguf -f gone -o im.gguf", 1, "cannot read gone: No such file");
    f.fails("imatrix tiny.gguf -f text -o none/im.gguf", 1, "cannot write none/im.gguf: there is no folder none");
    f.fails("imatrix tiny.gguf -f text -o text --force", 1, "cannot write text: the command reads it");
    f.fails("imatrix tiny.gguf -f text --ctx 1", 2, "invalid value '1' for '--ctx <N>'");
    f.write("im.gguf", b"mine");
    f.fails("imatrix tiny.gguf -f text -o im.gguf --ctx 32", 1, "im.gguf is there already: --force replaces it");
    f.fails(
        "quantize tiny.gguf out.gguf Q4_0 --imatrix im.gguf",
        1,
        "im.gguf: no importance matrix: neither llama.cpp's GGUF form",
    );
    f.fails(
        "quantize tiny.gguf out.gguf Q4_0 --imatrix tiny.gguf",
        1,
        "tiny.gguf: no importance matrix: it has no general.type",
    );
    let one = |name: &str, sums: &[f32], count: f32| {
        let bytes = |x: &[f32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let file = Writer::new(3).meta("general.type", Value::string("imatrix"));
        let file = file.tensor(&format!("{name}.in_sum2"), &[sums.len()], 0, bytes(sums));
        f.write("one.gguf", &file.tensor(&format!("{name}.counts"), &[1], 0, bytes(&[count])).finish());
    };
    let fails = |want: &str| f.fails("quantize tiny.gguf out.gguf Q4_0 --imatrix one.gguf", 1, want);
    one("blk.0.ffn_up.weight", &[1.0; 31], 5.0);
    fails("blk.0.ffn_up.weight has 32 columns, and one.gguf has 31 for blk.0.ffn_up.weight: it is another model's");
    one("blk.0.ffn_up.weight", &[f32::NAN; 32], 5.0);
    fails("one.gguf: blk.0.ffn_up.weight: column 0 has a sum of squares of NaN");
    one("blk.0.ffn_up.weight", &[-1.0; 32], 5.0);
    fails("one.gguf: blk.0.ffn_up.weight: column 0 has a sum of squares of -1");
    one("layers.0.ffn_up", &[1.0; 32], 5.0);
    fails("one.gguf has nothing for any of the 9 matrices: it is another model's");
    assert!(!f.names().contains(&"out.gguf".to_owned()));
}
