//! `nearfield convert`: converts a Hugging Face directory to a GGUF file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield_host::convert::{self, Conversion};
use nearfield_host::quantize::Target;

use crate::terminal::{Bytes, monitor, note};

#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// Folder of the model: config.json, model.safetensors or its shards, and the tokenizer's files
    #[arg(value_name = "FOLDER")]
    pub input: PathBuf,

    /// Output file
    #[arg(short, long, value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// Type of the weights: F32, F16, BF16, or one of `nearfield quantize`
    #[arg(long = "type", value_name = "TYPE", default_value = "F16")]
    pub ty: Target,

    /// Number of threads, 1 to 1024; does not change the file [default: one per core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Replace OUT.gguf if it exists
    #[arg(long)]
    pub force: bool,
}

/// Converts, and notes the family, the tensors read and the bytes written.
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
