//! Conversion of a Hugging Face directory to a GGUF file.
//!
//! `families` describes each family's checkpoints; `checkpoint` and `safetensors` map them, so that no weight is read before it
//! is written; `tensors` plans the file; `vocabulary` reads the tokenizer.

mod checkpoint;
mod config;
mod families;
mod metadata;
mod pooling;
mod safetensors;
mod tensors;
mod vocabulary;

use std::fs;
use std::path::{Path, PathBuf};

use nearfield::Model;
use nearfield::kernels::WeightType;
use nearfield::tokenizer::Vocab;

use crate::engine::n_cores;
use crate::error::{Context, Result};
use crate::gguf_out::GgufOut;
use crate::memory::allocate;
use crate::monitor::Monitor;
use crate::output_file::{self, OutputFile};
use crate::quantize::{Policy, Quantized, Quantizer, Target};
use crate::text;

use checkpoint::Checkpoint;
use config::Config;
use families::Family;
use vocabulary::Vocabulary;

/// Marks the files of a checkpoint as inputs, which the output must not replace. A GGUF file beside them may be replaced.
fn protect(directory: &Path) {
    let paths = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_none_or(|end| end != "gguf")).for_each(|path| output_file::protect(&path));
}

/// Paths and settings of a conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Folder of the model: config.json, model.safetensors or its shards, and the tokenizer's files.
    pub input: PathBuf,
    /// Path of the GGUF file.
    pub output: PathBuf,
    /// Type of the weights.
    pub ty: Target,
    /// Number of threads; the file is the same for any. `None`: one for each core.
    pub n_threads: Option<usize>,
    /// True if an existing file is replaced.
    pub force: bool,
}

/// Result of a conversion.
#[derive(Clone, Copy, Debug)]
pub struct Converted {
    /// Name of the checkpoint's family.
    pub family: &'static str,
    /// Number of tensors written.
    pub n_tensors: usize,
    /// Size of the file in bytes.
    pub n_bytes: u64,
}

/// Reads the checkpoint and writes the file, tensor by tensor.
///
/// # Errors
/// When a file of the checkpoint is missing or broken, when the model's family or one of its settings cannot run, and when the
/// output cannot be written.
pub fn convert(args: &Conversion, monitor: &Monitor) -> Result<Converted> {
    let directory = &args.input;
    checkpoint::check_directory(directory)?;
    protect(directory);
    OutputFile::check_new(&args.output, args.force)?;
    let config = Config::read(&directory.join("config.json"))?;
    let family = Family::of(&config)?;
    families::check_common(&config)?;
    let checkpoint = Checkpoint::open(directory, monitor)?;
    let mut hparams = (family.hparams)(&config, &checkpoint)?;
    if let Some(encoder) = hparams.encoder.as_mut().filter(|encoder| encoder.pooling != families::Pooling::Rank)
        && let Some(pooling) = pooling::read(directory)?
    {
        encoder.pooling = pooling;
    }
    if hparams.encoder.is_some() {
        pooling::tell_what_is_left_out(directory, hparams.n_ctx, monitor)?;
    }
    hparams.check().map_err(|why| config.refuse(why))?;
    let tensors = tensors::plan(family, &hparams, &checkpoint)?;
    let vocabulary = Vocabulary::read(directory, &config, hparams.n_vocab, family.pre, monitor)?;

    let mut file = GgufOut::default();
    metadata::write(&mut file, directory, family, &hparams, args.ty);
    vocabulary.write(&mut file);
    let n_gqa = (hparams.n_head / hparams.n_head_kv) as u64;
    let names = || tensors.iter().map(|tensor| &tensor.name[..]);
    let policy = Policy::new(args.ty, false, family.arch, n_gqa, names());
    let mut types = Vec::new();
    for tensor in &tensors {
        let ty = policy.tensor_type(&tensor.name, &tensor.dims()).map_or(WeightType::F32, |choice| choice.ty);
        file.tensor(&tensor.name, &tensor.dims(), ty)?;
        types.push(ty);
    }
    file.checked(|file| can_run(file, monitor))
        .with_context(|| format!("{}: what it makes cannot run", directory.display()))?;
    let mut quantizer = Quantizer::new(args.n_threads.unwrap_or_else(n_cores)).context("cannot start threads")?;
    let n_bytes = file.write(&args.output, args.force, "converting", monitor, |data| {
        for (tensor, &ty) in tensors.iter().zip(&types) {
            data.begin(&tensor.name)?;
            let (n_rows, n_cols) = tensor.rows_and_cols();
            let quantized = Quantized { name: &tensor.name, ty, n_rows, n_cols, importance: None };
            let read = |row: u64, col: u64, out: &mut [f32]| {
                tensor.read(row as usize, col as usize, out);
                Ok(())
            };
            quantizer.tensor(&quantized, read, |bytes| data.put(bytes))?;
        }
        Ok(())
    })?;
    Ok(Converted { family: family.name, n_tensors: tensors.len(), n_bytes })
}

/// Checks that the written file is a model with a tokenizer, as `nearfield run` does before it reads a weight.
fn can_run(file: &[u8], monitor: &Monitor) -> Result<()> {
    let model = Model::from_gguf(file)?;
    let vocab = Vocab::from_gguf(model.gguf())?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    text::tokenizer(vocab, &mut lines, monitor)?;
    Ok(())
}
