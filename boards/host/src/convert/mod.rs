//! `nearfield convert`: a Hugging Face directory to a GGUF file.
//!
//! `families` says what each family's checkpoints look like; `checkpoint` and `safetensors` map them, so that nothing is read
//! before it is written; `tensors` plans the file; `vocabulary` reads the tokenizer.

mod args;
mod checkpoint;
mod config;
mod families;
mod metadata;
mod pooling;
mod safetensors;
mod tensors;
mod vocabulary;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::engine::{allocate, n_cores};
use crate::gguf_out::GgufOut;
use crate::output_file::{self, OutputFile};
use crate::quantize::{Policy, Quantized, Quantizer};
use crate::{report, text};
pub use args::ConvertArgs;
use checkpoint::Checkpoint;
use config::Config;
use families::Family;
use nearfield::Model;
use nearfield::kernels::WeightType;
use nearfield::tokenizer::Vocab;
use vocabulary::Vocabulary;

/// Marks the files of a checkpoint as read, so that the output takes the place of none. A GGUF file beside them is none of them.
fn protect(directory: &Path) {
    let paths = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_none_or(|end| end != "gguf")).for_each(|path| output_file::protect(&path));
}

/// Reads one and writes the other, tensor by tensor.
pub fn convert(args: &ConvertArgs) -> Result<()> {
    let directory = &args.input;
    checkpoint::check_directory(directory)?;
    protect(directory);
    OutputFile::check_new(&args.output, args.force)?;
    let config = Config::read(&directory.join("config.json"))?;
    let family = Family::of(&config)?;
    families::check_common(&config)?;
    let checkpoint = Checkpoint::open(directory)?;
    let mut hparams = (family.hparams)(&config, &checkpoint)?;
    if let Some(encoder) = hparams.encoder.as_mut().filter(|encoder| encoder.pooling != families::Pooling::Rank)
        && let Some(pooling) = pooling::read(directory)?
    {
        encoder.pooling = pooling;
    }
    if hparams.encoder.is_some() {
        pooling::tell_what_is_left_out(directory, hparams.n_ctx)?;
    }
    hparams.check().map_err(|why| config.refuse(why))?;
    let tensors = tensors::plan(family, &hparams, &checkpoint)?;
    let vocabulary = Vocabulary::read(directory, &config, hparams.n_vocab, family.pre)?;

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
    file.checked(can_run).with_context(|| format!("{}: what it makes cannot run", directory.display()))?;
    let mut quantizer =
        Quantizer::new(args.threads.map_or_else(n_cores, usize::from)).context("cannot start threads")?;
    let n_bytes = file.write(&args.output, args.force, "converting", |data| {
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
    report::note(format_args!("read     {}: {}, {} tensors", directory.display(), family.name, tensors.len()));
    report::note(format_args!("written  {}: {}, {}", args.output.display(), args.ty, report::Bytes(n_bytes)));
    Ok(())
}

/// What `nearfield run` checks before it reads a weight.
fn can_run(file: &[u8]) -> Result<()> {
    let model = Model::from_gguf(file)?;
    let vocab = Vocab::from_gguf(model.gguf())?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    text::tokenizer(vocab, &mut lines)?;
    Ok(())
}
