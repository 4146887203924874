//! What can be asked of `nearfield bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nearfield::{KvTypes, Ring};
use nearfield_host::engine::N_BATCH;
use nearfield_host::model_file::Repack;

use crate::args::rings;
use crate::args::{kv_types, repack, share};

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Models; without any, the built-in one
    #[arg(value_name = "MODEL.gguf")]
    pub models: Vec<PathBuf>,

    /// Tokens of the prompts to time; 0 for none
    #[arg(short = 'p', long, value_name = "N,...", value_delimiter = ',', default_value = "512")]
    pub prompt: Vec<usize>,

    /// Tokens to generate one by one; 0 for none
    #[arg(short = 'n', long, value_name = "N,...", value_delimiter = ',', default_value = "64")]
    pub generate: Vec<usize>,

    /// Tokens that are in the cache before, in truth and not by pretence
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', default_value = "0")]
    pub depth: Vec<usize>,

    /// A text to run, from its beginning; what is timed goes on in it [default: random tokens]
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,

    /// Take names of control tokens in the text, such as <|endoftext|>, for the tokens
    #[arg(long, requires = "text")]
    pub special: bool,

    /// Threads [default: one for each core]
    #[arg(long, value_name = "T,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,

    /// How keys and values are stored: f32, f16, q8_0 or q4_0, or one for keys and one for values
    #[arg(long, value_name = "TYPE|K/V,...", value_delimiter = ',', default_value = "f16", value_parser = kv_types)]
    pub kv: Vec<KvTypes>,

    /// Keys that each head keeps, as `run --ring` has it
    #[arg(long, value_name = "RING", default_value = "full", value_parser = rings::parse)]
    pub ring: Ring,

    /// Kernels to run with [default: the fastest that this machine has]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub isa: Vec<String>,

    /// Tokens that go through a layer together
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [N_BATCH])]
    pub batch: Vec<usize>,

    /// Attention stops where all older keys together add less than this share; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    /// Whether the weights are first put into the order in which the (first) kernels read them fastest
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = repack())]
    pub repack: Repack,

    /// How often each is timed
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub repetitions: u16,

    /// Do not measure the machine: no shares of its read bandwidth and of its arithmetic
    #[arg(long)]
    pub no_peaks: bool,

    /// Wait for a line on standard input before each filling and repetition, and write one after it
    #[arg(long)]
    pub turns: bool,

    /// How the results are written
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,

    /// Draw tokens per second against depth
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// How the results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns of text
    Table,
    /// An array of objects
    Json,
    /// A line each, the names of the fields first
    Csv,
    /// A table in Markdown
    Md,
}
