//! Arguments of `nearfield perplexity`.

use std::path::PathBuf;

use clap::Args;
use nearfield_host::perplexity::Protocol;

use crate::args::{ModelArgs, SessionArgs};

#[derive(Args, Debug)]
pub struct PerplexityArgs {
    /// Model file [default: the built-in model]
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Text file to measure on; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,

    /// Parse names of control tokens in the text, such as <|endoftext|>, as these tokens
    #[arg(long)]
    pub special: bool,

    /// Context lengths in tokens, at least 2; one measurement each
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', default_value = "512", value_parser = length)]
    pub ctx: Vec<usize>,

    /// Use overlapping windows, each N tokens after the one before, and score only the new tokens of each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "stream")]
    pub stride: Option<u32>,

    /// Run the text once in one session that keeps the newest keys of the length (see --ring and --sinks)
    #[arg(long)]
    pub stream: bool,

    /// Score all tokens of a piece but the first [default: the second half of each piece]
    #[arg(long, conflicts_with_all = ["stride", "stream"])]
    pub all: bool,

    /// Maximum number of tokens of the text to use
    #[arg(long, value_name = "N", value_parser = length)]
    pub max_tokens: Option<usize>,

    /// Write the table as CSV
    #[arg(long, value_name = "FILE.csv")]
    pub csv: Option<PathBuf>,

    /// Write a chart of perplexity against context length
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// Journal of finished windows: continue from it if it exists, and add to it
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,
}

impl PerplexityArgs {
    /// Protocol that cuts the text into windows.
    pub fn protocol(&self) -> Protocol {
        match self.stride {
            Some(stride) => Protocol::Sliding { stride: stride as usize },
            None if self.stream => Protocol::Stream,
            None => Protocol::Pieces { second_half: !self.all },
        }
    }

    /// Context lengths in ascending order, each once.
    pub fn lengths(&self) -> Vec<usize> {
        let mut lengths = self.ctx.clone();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}

/// Parses a context length: at least 2 tokens.
fn length(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|&n| n > 1).ok_or("a number of tokens from 2 on")
}
