//! `nearfield convert`: converts a Hugging Face directory to a GGUF file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield_host::convert::{self, Conversion};
use nearfield_host::quantize::Target;

use crate::args::threads::ThreadsArgs;
use crate::terminal::{Bytes, Count, monitor, note};

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

    #[command(flatten)]
    pub threads: ThreadsArgs,

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
            n_threads: args.threads.number()?,
            force: args.force,
        },
        monitor(),
    )?;
    let tensors = Count(converted.n_tensors, "tensor");
    note(format_args!("read     {}: {}, {tensors}", args.input.display(), converted.family));
    note(format_args!("written  {}: {}, {}", args.output.display(), args.ty, Bytes(converted.n_bytes)));
    Ok(())
}
