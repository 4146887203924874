//! `nearfield imatrix`: how much each column of a model's matrices matters on a text, for `quantize --imatrix`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield_host::imatrix::{Measurement, measure};

use crate::args::{MachineArgs, ModelArgs};
use crate::terminal::{monitor, note};

#[derive(Args, Debug)]
pub struct ImatrixArgs {
    /// The model, best in F16 or F32; without it, the built-in one
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// The text
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,

    /// Where to, as llama.cpp's tools read it
    #[arg(short, long, value_name = "OUT.gguf", default_value = "imatrix.gguf")]
    pub output: PathBuf,

    /// Tokens of a chunk: the text is cut into chunks, each of which is run on its own
    #[arg(short, long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(2..))]
    pub ctx: u32,

    /// Run no more than so many chunks [default: all whole ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub chunks: Option<u32>,

    /// Measure output.weight too
    #[arg(long)]
    pub process_output: bool,

    /// Take names of control tokens in the text, such as <|endoftext|>, for the tokens
    #[arg(long, alias = "parse-special")]
    pub special: bool,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Measures, and says what was written.
pub fn imatrix(args: &ImatrixArgs) -> Result<()> {
    let machine = &args.machine;
    let imatrix = measure(
        &Measurement {
            model: args.first.clone().or_else(|| args.model.model.clone()),
            file: args.file.clone(),
            output: args.output.clone(),
            ctx: args.ctx,
            n_chunks: args.chunks,
            process_output: args.process_output,
            special: args.special,
            force: args.force,
            isa: machine.isa.clone(),
            n_threads: machine.threads.map(usize::from),
            repack: machine.repack,
        },
        monitor(),
    )?;
    let (n, n_chunks) = (imatrix.inputs.len(), imatrix.n_chunks.unwrap_or_default());
    let path = args.output.display();
    note(format_args!("written  {path}: {n} matrices, {n_chunks} chunks of {} tokens", args.ctx));
    Ok(())
}
