//! Arguments of `nearfield bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nearfield::{KvTypes, Ring};
use nearfield_host::engine::N_BATCH;
use nearfield_host::model_file::Repack;

use crate::args::hub::HubListArgs;
use crate::args::rings;
use crate::args::threads;
use crate::args::{kv_types, repack, share};

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Model files [default: the built-in model]
    #[arg(value_name = "MODEL.gguf")]
    pub models: Vec<PathBuf>,

    /// Another model file [env: NEARFIELD_MODEL]
    #[arg(short, long = "model", value_name = "FILE")]
    pub more_models: Vec<PathBuf>,

    #[command(flatten)]
    pub hub: HubListArgs,

    /// Prompt lengths to time, in tokens, or lengths of an encoder's texts; 0 skips them [default: 512; 20,95,512 for encoders]
    #[arg(short = 'p', long, value_name = "N,...", value_delimiter = ',')]
    pub prompt: Vec<usize>,

    /// Number of texts that an encoder embeds in a test
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub texts: u16,

    /// Numbers of tokens to generate one by one; 0 skips generation
    #[arg(short = 'n', long, value_name = "N,...", value_delimiter = ',', default_value = "64")]
    pub generate: Vec<usize>,

    /// Tokens in the KV cache before each test; they are processed beforehand, not simulated
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', default_value = "0")]
    pub depth: Vec<usize>,

    /// Text to run from its beginning; the timed tokens follow those of the depth [default: random tokens]
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,

    /// Parse names of control tokens in the text, such as <|endoftext|>, as these tokens
    #[arg(long, requires = "text")]
    pub special: bool,

    /// Numbers of threads, 1 to 1024 [env: NEARFIELD_THREADS] [default: one per core]
    #[arg(short, long, value_name = "T,...", value_delimiter = ',', value_parser = threads::parser())]
    pub threads: Vec<u16>,

    /// Types of the stored keys and values: f32, f16, q8_0 or q4_0; K/V sets one for keys and one for values [default: f16; f32
    /// for encoders]
    #[arg(long, value_name = "TYPE|K/V,...", value_delimiter = ',', value_parser = kv_types)]
    pub kv: Vec<KvTypes>,

    /// Newest keys kept by each head, as in `nearfield run --ring`
    #[arg(long, value_name = "RING", default_value = "full", value_parser = rings::parse)]
    pub ring: Ring,

    /// Instruction sets of the kernels [default: the fastest of this machine]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub isa: Vec<String>,

    /// Batch sizes: tokens that pass a layer together
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [N_BATCH])]
    pub batch: Vec<usize>,

    /// Numbers of sequences that run together, each with keys and values of its own; tokens per second count those of all
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub sequences: Vec<u16>,

    /// Share of the softmax that attention may skip: it stops once all older keys together hold less; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    /// Interleave the rows of the weights while loading, for the (first) kernels
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = repack())]
    pub repack: Repack,

    /// Repetitions of each test, at least 1
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub repetitions: u16,

    /// Skip the measurement of the machine; no shares of its read bandwidth and arithmetic are printed
    #[arg(long)]
    pub no_peaks: bool,

    /// Wait for a line on standard input before each filling and repetition, and write one after it
    #[arg(long)]
    pub turns: bool,

    /// Format of the results
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,

    /// Write a chart of tokens per second against depth
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns of text
    Table,
    /// Array of objects
    Json,
    /// Lines of values, after a line of field names
    Csv,
    /// Markdown table
    Md,
}
