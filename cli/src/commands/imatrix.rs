//! `nearfield imatrix`: measures how much each column of a model's matrices matters on a text, for `quantize --imatrix`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield_host::imatrix::{Measurement, measure};

use crate::args::text::Source;
use crate::args::{MachineArgs, ModelArgs};
use crate::terminal::{Count, monitor, note};

#[derive(Args, Debug)]
pub struct ImatrixArgs {
    /// Model file, best in F16 or F32 [default: the built-in model]
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Text file to measure on; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,

    /// Output file, in the format of llama.cpp's imatrix GGUF files
    #[arg(short, long, value_name = "OUT.gguf", default_value = "imatrix.gguf")]
    pub output: PathBuf,

    /// Tokens per chunk, at least 2; each chunk of the text is run on its own
    #[arg(short, long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(2..))]
    pub ctx: u32,

    /// Maximum number of chunks to run [default: all whole ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub chunks: Option<u32>,

    /// Measure output.weight too
    #[arg(long)]
    pub process_output: bool,

    /// Parse names of control tokens in the text, such as <|endoftext|>, as these tokens
    #[arg(long, alias = "parse-special")]
    pub special: bool,

    /// Replace OUT.gguf if it exists
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Measures, and notes the number of matrices and chunks written.
pub fn imatrix(args: &ImatrixArgs) -> Result<()> {
    let machine = &args.machine;
    let imatrix = measure(
        &Measurement {
            model: args.model.or(&args.first)?,
            text: Source::of_file(&args.file).input()?,
            output: args.output.clone(),
            ctx: args.ctx,
            n_chunks: args.chunks,
            process_output: args.process_output,
            special: args.special,
            force: args.force,
            isa: machine.isa.clone(),
            n_threads: machine.threads.number()?,
            repack: machine.repack,
        },
        monitor(),
    )?;
    let (n, n_chunks) = (imatrix.inputs.len(), imatrix.n_chunks.unwrap_or_default());
    let (path, matrices) = (args.output.display(), if n == 1 { "matrix" } else { "matrices" });
    let chunks = Count(n_chunks as usize, "chunk");
    note(format_args!("written  {path}: {n} {matrices}, {chunks} of {} tokens", args.ctx));
    Ok(())
}
