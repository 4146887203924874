//! What can be asked of `nearfield perplexity`.

use std::path::PathBuf;

use clap::Args;
use nearfield_host::perplexity::Protocol;

use crate::args::{ModelArgs, SessionArgs};

#[derive(Args, Debug)]
pub struct PerplexityArgs {
    /// The model; without it, the built-in one
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// The text
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,

    /// Take names of control tokens in the text, such as <|endoftext|>, for the tokens
    #[arg(long)]
    pub special: bool,

    /// Tokens that the model may look back on, one measurement each
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "512", value_parser = length)]
    pub ctx: Vec<usize>,

    /// Let windows overlap: each moves on by so many tokens, and these count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "stream")]
    pub stride: Option<u32>,

    /// Run the text once, as one, and forget what is older than the length (see --ring and --sinks)
    #[arg(long)]
    pub stream: bool,

    /// Of pieces, count all tokens but the first, and not only the second half
    #[arg(long, conflicts_with_all = ["stride", "stream"])]
    pub all: bool,

    /// Use no more than so many tokens of the text
    #[arg(long, value_name = "N", value_parser = length)]
    pub max_tokens: Option<usize>,

    /// Where to write the table as CSV
    #[arg(long, value_name = "FILE.csv")]
    pub csv: Option<PathBuf>,

    /// Draw perplexity against length
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// Keep what is done in this file, and go on from there if it exists
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,
}

impl PerplexityArgs {
    /// How the text is cut.
    pub fn protocol(&self) -> Protocol {
        match self.stride {
            Some(stride) => Protocol::Sliding { stride: stride as usize },
            None if self.stream => Protocol::Stream,
            None => Protocol::Pieces { second_half: !self.all },
        }
    }

    /// From the shortest on, each once.
    pub fn lengths(&self) -> Vec<usize> {
        let mut lengths = self.ctx.clone();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}

/// A number of tokens that one can look back on.
fn length(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|&n| n > 1).ok_or("a number of tokens from 2 on")
}
