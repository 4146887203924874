//! `nearfield convert`: a Hugging Face directory to a GGUF file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield_host::convert::{self, Conversion};
use nearfield_host::quantize::Target;

use crate::terminal::{Bytes, monitor, note};

#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// The model's folder: config.json, model.safetensors or its shards, and the tokenizer's files
    #[arg(value_name = "FOLDER")]
    pub input: PathBuf,

    /// Where to
    #[arg(short, long, value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// What the weights become: F32, F16, BF16, or one that `nearfield quantize` has
    #[arg(long = "type", value_name = "TYPE", default_value = "F16")]
    pub ty: Target,

    /// Threads; the file is the same for any number [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,
}

/// Converts, and says what was read and written.
pub fn convert(args: &ConvertArgs) -> Result<()> {
    let converted = convert::convert(
        &Conversion {
            input: args.input.clone(),
            output: args.output.clone(),
            ty: args.ty,
            n_threads: args.threads.map(usize::from),
            force: args.force,
        },
        monitor(),
    )?;
    note(format_args!("read     {}: {}, {} tensors", args.input.display(), converted.family, converted.n_tensors));
    note(format_args!("written  {}: {}, {}", args.output.display(), args.ty, Bytes(converted.n_bytes)));
    Ok(())
}
