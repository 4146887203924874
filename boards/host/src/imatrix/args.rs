//! What can be asked of `nearfield imatrix`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{MachineArgs, ModelArgs};

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
