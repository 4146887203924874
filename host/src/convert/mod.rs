//! A Hugging Face directory to a GGUF file.
//!
//! `families` says what each family's checkpoints look like; `checkpoint` and `safetensors` map them, so that nothing is read
//! before it is written; `tensors` plans the file; `vocabulary` reads the tokenizer.

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

/// Marks the files of a checkpoint as read, so that the output takes the place of none. A GGUF file beside them is none of them.
fn protect(directory: &Path) {
    let paths = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_none_or(|end| end != "gguf")).for_each(|path| output_file::protect(&path));
}

/// Which checkpoint becomes which file.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The model's folder: config.json, model.safetensors or its shards, and the tokenizer's files.
    pub input: PathBuf,
    /// The GGUF file.
    pub output: PathBuf,
    /// Type of the weights.
    pub ty: Target,
    /// Threads; the file is the same for any number. `None`: one for each core.
    pub n_threads: Option<usize>,
    /// Replace the file, should it be there.
    pub force: bool,
}

/// A checkpoint that was converted.
#[derive(Clone, Copy, Debug)]
pub struct Converted {
    /// Name of the family that the checkpoint is of.
    pub family: &'static str,
    /// Tensors written.
    pub n_tensors: usize,
    /// Bytes of the file.
    pub n_bytes: u64,
}

/// Reads one and writes the other, tensor by tensor.
///
/// # Errors
/// When a file of the checkpoint is missing or broken, when the model is of no family that can run or is set in a way that
/// cannot, and when the output cannot be written.
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

/// What `nearfield run` checks before it reads a weight.
fn can_run(file: &[u8], monitor: &Monitor) -> Result<()> {
    let model = Model::from_gguf(file)?;
    let vocab = Vocab::from_gguf(model.gguf())?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    text::tokenizer(vocab, &mut lines, monitor)?;
    Ok(())
}
