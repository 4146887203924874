//! Converts the model of every family of `tests/families`, inspects and runs it, and compares it with the output of the
//! family's reference code.
//!
//! The folders hold configurations and shapes; the weights are drawn again, with the bits of the reference.

mod added;
#[path = "../common/hugging_face.rs"]
mod hugging_face;
#[allow(dead_code)]
#[path = "../../../tests/reference/logits.rs"]
mod logits;
mod model;
mod pooling;
mod settings;
mod table;
mod ties;
mod tokenizers;
#[allow(dead_code)]
#[path = "../../../tests/reference/weights.rs"]
mod weights;

use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Floats, Gives, Model};

/// Positions of the longest prompt in `logits.npy`.
const N_LAST: usize = 8;
/// Tokens of the document that one encoder's reference has in addition to the prompts.
const N_LONG: usize = 8192;

/// Largest allowed difference from the reference: the mean KL divergence in nats, and the largest difference over the standard
/// deviation of all logits.
#[derive(Clone, Copy, Debug)]
struct Bound {
    mean_kl: f64,
    of_spread: f64,
}

/// Bound for F32 weights with an F32 cache: the rounding of f32.
const F32: Bound = Bound { mean_kl: 1e-7, of_spread: 1e-4 };
/// Bound for F16 weights with an F16 cache: the rounding of keys and values, and of weights that conversion scales.
const F16: Bound = Bound { mean_kl: 2e-6, of_spread: 2e-2 };

/// Differences of a family's files from its reference, as shares of the spread.
struct Found {
    f32: f64,
    f16: f64,
}

#[test]
fn every_family_is_converted_and_runs_as_its_reference() {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for model in model::all() {
        match check(&model) {
            Ok(found) => {
                println!("{}: {:.1e} of the spread in F32, {:.1e} in F16", model.name, found.f32, found.f16);
                rows.push(table::row(&model, &found));
            }
            Err(error) => failures.push(format!("{}: {error}", model.name)),
        }
    }
    assert!(failures.is_empty(), "{} of the families fail:\n{}", failures.len(), failures.join("\n"));
    table::check(rows);
}

fn check(model: &Model) -> Result<Found, String> {
    let folder = tempfile::tempdir().unwrap();
    let (f32_file, f16_file) = (folder.path().join("f32.gguf"), folder.path().join("f16.gguf"));
    for (floats, file) in [(Floats::F32, &f32_file), (Floats::F16, &f16_file)] {
        let directory = folder.path().join(format!("{floats:?}"));
        model.write(&directory, floats);
        nearfield(&["convert", path(&directory), "-o", path(file), "--type", &format!("{floats:?}")])?;
        inspect(file)?;
    }
    let want = model.reference();
    let f32 = within(F32, model, &want, &f32_file, &["--kv", "f32"])?;
    let f16 = within(F16, model, &want, &f16_file, &["--kv", "f16"])?;
    if let Some(want) = model.reference_in_bf16() {
        // The published code rounds the bias.
        within(F32, model, &want, &f32_file, &["--kv", "f32", "--alibi-bf16"])?;
        if within(F32, model, &model.reference(), &f32_file, &["--kv", "f32", "--alibi-bf16"]).is_ok() {
            return Err("rounding the bias changes nothing".into());
        }
    }
    if model.has_bias() {
        // A model without its bias must not be within a bound.
        model::zero_bias(&f32_file);
        if let Ok(found) = within(F16, model, &want, &f32_file, &["--kv", "f32"]) {
            return Err(format!("without its bias the model is no other: {:e} of the spread", found));
        }
    }
    Ok(Found { f32, f16 })
}

/// Largest difference over the spread, if it and the divergence are within the bound.
fn within(bound: Bound, model: &Model, want: &[f32], file: &Path, flags: &[&str]) -> Result<f64, String> {
    let got = match model.gives() {
        Gives::Logits => logits_of(file, flags)?,
        Gives::Vectors => vectors_of(file, "embed", want.len() / model.width(), flags)?,
        Gives::Scores => vectors_of(file, "rerank", want.len(), flags)?,
    };
    if got.len() != want.len() {
        return Err(format!("{} numbers, {} in the reference", got.len(), want.len()));
    }
    let n_cols = if model.gives() == Gives::Logits { weights::N_VOCAB } else { want.len() };
    let found = logits::difference(want, &got, n_cols);
    let of_spread = found.max_abs / deviation(want);
    // Only logits are made into probabilities, which a divergence compares.
    let is_near = model.gives() != Gives::Logits || found.mean_kl < bound.mean_kl;
    match is_near && of_spread < bound.of_spread {
        true => Ok(of_spread),
        false => Err(format!("{flags:?}: {found:?}, {of_spread:e} of the spread, not within {bound:?}")),
    }
}

/// Logits in the order of the reference: all positions of the shorter prompts, the last of the longest.
fn logits_of(file: &Path, flags: &[&str]) -> Result<Vec<f32>, String> {
    let npy = file.with_extension("npy");
    let prompts = weights::prompts();
    let mut rows = Vec::new();
    for (i, prompt) in prompts.iter().enumerate() {
        // The prompt runs in one chunk, so that slopes that shrink with the length are those of the whole prompt.
        let ids = ids(prompt);
        let args = ["logits", path(file), "--tokens", &ids, "--chunk", "512", "-o", path(&npy), "--force"];
        nearfield(&[&args, flags].concat())?;
        let all = model::read_npy(&npy);
        let n_kept = if i + 1 == prompts.len() { N_LAST } else { prompt.len() };
        rows.extend(&all[(prompt.len() - n_kept) * weights::N_VOCAB..]);
    }
    Ok(rows)
}

/// The prompts, and a document longer than any of them.
fn documents() -> Vec<Vec<u32>> {
    let label = format!("prompt/{N_LONG}");
    let long = weights::random(&label).map(|z| (z % weights::N_VOCAB as u64) as u32).take(N_LONG);
    weights::prompts().into_iter().chain([long.collect()]).collect()
}

/// Vectors or scores of `n_documents` documents.
fn vectors_of(file: &Path, command: &str, n_documents: usize, flags: &[&str]) -> Result<Vec<f32>, String> {
    let npy = file.with_extension("npy");
    let texts: Vec<PathBuf> = (0..n_documents).map(|i| file.with_extension(format!("{i}.ids"))).collect();
    for (text, tokens) in texts.iter().zip(documents()) {
        std::fs::write(text, ids(&tokens)).unwrap();
    }
    let texts: Vec<String> = texts.iter().map(|text| format!("@{}", path(text))).collect();
    let tokens = texts.iter().flat_map(|text| ["--tokens", text]);
    let args: Vec<&str> = [command, path(file), "-o", path(&npy)].into_iter().chain(tokens).collect();
    nearfield(&[&args, flags].concat())?;
    Ok(model::read_npy(&npy))
}

fn ids(tokens: &[u32]) -> String {
    tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Checks that the file can run and has a tokenizer.
fn inspect(file: &Path) -> Result<(), String> {
    let text = nearfield(&["inspect", path(file)])?;
    let is_complaint = |line: &&str| line.starts_with("cannot run") || line.starts_with("no text");
    if let Some(line) = text.lines().find(is_complaint) {
        return Err(line.into());
    }
    match text.contains(".attention.max_alibi_bias ") {
        true => Ok(()),
        false => Err("the file does not say its bias".into()),
    }
}

/// Standard output of a run that has to succeed.
fn nearfield(args: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_nearfield")).args(args).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(format!("{} failed: {}", args[0], String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn deviation(x: &[f32]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    (x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt()
}
