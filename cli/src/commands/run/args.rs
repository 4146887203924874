//! Arguments of `nearfield run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use nearfield::SessionConfig;
use nearfield_host::chat::Chat;
use nearfield_host::draft::Draft;
use nearfield_host::generate::{self, Options, Save};

use super::print::PrintOptions;
use crate::args::draft::DraftParser;
use crate::args::grammar::GrammarArgs;
use crate::args::length::Length;
use crate::args::sampler::SamplerArgs;
use crate::args::seed::Seed;
use crate::args::{ModelArgs, SessionArgs, one_of};

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Model file ending in .gguf [default: the built-in model]
    #[arg(value_name = "MODEL.gguf")]
    pub first: Option<OsString>,

    /// Text to continue; - for standard input [default: a pipe, or "Once upon a time"]
    #[arg(value_name = "PROMPT")]
    pub second: Option<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Text to continue, taken as it is even if it begins with a hyphen or ends in .gguf; - for standard input
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<OsString>,

    /// File with the text to continue, without the line end at its end; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "prompt")]
    pub file: Option<PathBuf>,

    /// Tokens to generate; -1: without end, as with --endless; -2: until the text ends or the context is full
    #[arg(
        short,
        long = "predict",
        alias = "n-predict",
        value_name = "N",
        default_value = "256",
        allow_negative_numbers = true
    )]
    pub n: Length,

    /// Generate the text between the prompt and this suffix; the model needs fill-in-the-middle tokens
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with_all = ["chat", "endless"])]
    pub suffix: Option<OsString>,

    /// Chat: answer the prompt, or without one each message typed, or each line of a pipe. --chat=FORMAT replaces the model's
    /// own format
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "auto", value_parser = one_of(Chat::ALL))]
    #[arg(conflicts_with = "endless")]
    pub chat: Option<Chat>,

    /// System prompt of --chat [default: that of the format]
    #[arg(long, value_name = "TEXT", requires = "chat", conflicts_with = "load_kv")]
    pub system: Option<OsString>,

    /// Do not keep what is typed in a chat for the next time
    #[arg(long, requires = "chat")]
    pub no_history: bool,

    /// Stop before this text; may be given more than once
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "endless")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,

    #[command(flatten)]
    pub grammar: GrammarArgs,

    #[command(flatten)]
    pub sampler: SamplerArgs,

    /// Context size: positions for prompt and generated text together [default: 2048, or more if the prompt and N need it]
    #[arg(short, long, alias = "ctx-size", value_name = "N")]
    pub ctx: Option<usize>,

    /// Continue past a full context in the same memory, without the oldest keys, and with another text when one ends
    #[arg(long)]
    pub endless: bool,

    /// Save the text's keys and values as a snapshot at its end, for --load-kv here or on a board (-n 0: those of the prompt)
    #[arg(long, value_name = "FILE", conflicts_with = "suffix")]
    pub save_kv: Option<PathBuf>,

    /// Replace the file of --save-kv if it exists
    #[arg(long, requires = "save_kv")]
    pub force: bool,

    /// Continue from a snapshot without processing its text again; the prompt is the text that follows it
    #[arg(long, value_name = "FILE", conflicts_with = "suffix")]
    pub load_kv: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,

    /// Guess the next tokens and check several in one pass; the text and the bits of its logits stay the same
    #[arg(long, value_name = "FROM", default_value = "auto", value_parser = DraftParser)]
    pub draft: Draft,

    /// Print the text alone: no report, notes or progress, and errors as always
    #[arg(short, long, conflicts_with_all = ["verbose", "hash"])]
    pub quiet: bool,

    /// Do not repeat the prompt before the generated text
    #[arg(long, alias = "no-display-prompt")]
    pub no_echo: bool,

    /// Print a JSON object at the end instead of the text: text without the prompt, tokens, reason of the end, timings, hashes
    #[arg(long, conflicts_with = "endless")]
    pub json: bool,

    /// Log-probabilities of each token and of the N likeliest at its place, in the JSON object
    #[arg(long, value_name = "N", requires = "json")]
    pub logprobs: Option<usize>,

    /// Also print the memory by part, the machine, the model's shape, drafts and the keys visited by each head
    #[arg(short, long)]
    pub verbose: bool,

    /// Also print a hash of the text and one of the bits of all logits, to compare machines
    #[arg(long)]
    pub hash: bool,

    /// Write a chart of the keys visited by each head
    #[arg(long, value_name = "FILE.svg")]
    pub plot_keys: Option<PathBuf>,
}

impl RunArgs {
    /// Options of the generator.
    pub fn options(&self) -> Options {
        Options {
            length: match self.n {
                Length::Tokens(n) => generate::Length::Tokens(n),
                Length::Open | Length::Endless => generate::Length::Open,
            },
            endless: self.endless || self.n == Length::Endless,
            n_ctx: self.ctx,
            sampler: self.sampler.options(),
            session: self.session.config(SessionConfig::default().n_ctx, SessionConfig::default().n_batch),
            draft: self.draft.clone(),
            echo: !(self.no_echo || self.json),
            n_logprobs: self.logprobs,
            grammar: None,
            // A chat is saved at its end, not behind each answer.
            save: self.save().filter(|_| self.chat.is_none()),
            identify: self.chat.is_some(),
        }
    }

    /// File for the snapshot at the end.
    pub fn save(&self) -> Option<Save> {
        self.save_kv.clone().map(|path| Save { path, force: self.force })
    }

    /// Settings of the report on standard error.
    pub fn print_options(&self) -> PrintOptions {
        let Self { quiet, json, verbose, hash, .. } = *self;
        let seed = self.sampler.seed.map(Seed::number);
        PrintOptions { seed, quiet, json, verbose, hash, plot_keys: self.plot_keys.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn without_arguments_the_settings_are_those_of_the_library() {
        use clap::Parser;
        let args = Line::try_parse_from(["run"]).unwrap().run;
        assert_eq!(format!("{:?}", args.options()), format!("{:?}", Options::default()));
        assert_eq!(format!("{:?}", args.print_options()), format!("{:?}", PrintOptions::default()));
    }
}
