//! What can be asked of `nearfield run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use nearfield::{SamplerConfig, SessionConfig};
use nearfield_host::chat::Chat;
use nearfield_host::generate::{self, Options, Save};

use super::telling::Telling;
use crate::args::{ModelArgs, SessionArgs, one_of};

#[derive(Args, Debug)]
pub struct RunArgs {
    /// The model, if it ends in .gguf; without it, the built-in one
    #[arg(value_name = "MODEL.gguf")]
    pub first: Option<OsString>,

    /// The beginning of the text [default: "Once upon a time"]
    #[arg(value_name = "PROMPT")]
    pub second: Option<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// The beginning of the text, whatever it looks like
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<OsString>,

    /// Tokens to add; -1: without end, as with --endless; -2: until the text ends or the context is full
    #[arg(short, value_name = "N", default_value = "256", allow_negative_numbers = true)]
    pub n: Length,

    /// Fill in what lies between the prompt and this text, with a model that was made for it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with_all = ["chat", "endless"])]
    pub suffix: Option<OsString>,

    /// Answer as a chat model; without a prompt each line of standard input, in turn. --chat=FORMAT for another format than
    /// the model's own
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "auto", value_parser = one_of(Chat::ALL))]
    #[arg(conflicts_with = "endless")]
    pub chat: Option<Chat>,

    /// What a chat model is told of itself, instead of the words of its format
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<OsString>,

    /// End the text before these words; may be given more than once
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "endless")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,

    #[command(flatten)]
    pub sampler: SamplerArgs,

    /// Positions for prompt and text together, as many as memory holds [default: 2048, or what prompt and N need]
    #[arg(long, value_name = "N")]
    pub ctx: Option<usize>,

    /// Go on when the context is full, in the same memory, and with another text when one ends
    #[arg(long)]
    pub endless: bool,

    /// Store the text's keys and values at its end, to go on from with --load-kv: here, or on a board (-n 0: those of the prompt)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chat", "suffix"])]
    pub save_kv: Option<PathBuf>,

    /// Replace the file of --save-kv, should it be there
    #[arg(long, requires = "save_kv")]
    pub force: bool,

    /// Go on where the stored text ended, without running it again: the prompt is what follows
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chat", "suffix"])]
    pub load_kv: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,

    /// Also tell the memory by part, the machine, the model's shape and the keys visited by each head
    #[arg(long)]
    pub verbose: bool,

    /// Also tell one number for the text and one for the bits of all logits: what two machines are compared by
    #[arg(long)]
    pub hash: bool,

    /// Draw the keys visited by each head
    #[arg(long, value_name = "FILE.svg")]
    pub plot_keys: Option<PathBuf>,
}

impl RunArgs {
    /// Settings of the text.
    pub fn options(&self) -> Options {
        let SamplerArgs { temp, top_k, top_p, min_p, repeat_penalty, seed: _ } = self.sampler;
        Options {
            length: match self.n {
                Length::Tokens(n) => generate::Length::Tokens(n),
                Length::Open | Length::Endless => generate::Length::Open,
            },
            endless: self.endless || self.n == Length::Endless,
            n_ctx: self.ctx,
            sampler: SamplerConfig { temp, top_k, top_p, min_p, repeat_penalty, ..SamplerConfig::default() },
            session: self.session.config(SessionConfig::default().n_ctx, SessionConfig::default().n_batch),
            save: self.save_kv.clone().map(|path| Save { path, force: self.force }),
        }
    }

    /// What is told of it.
    pub fn telling(&self) -> Telling {
        let Self { verbose, hash, .. } = *self;
        Telling { seed: self.sampler.seed, verbose, hash, plot_keys: self.plot_keys.clone() }
    }
}

#[derive(Args, Debug)]
pub struct SamplerArgs {
    /// Below 1 the likely becomes likelier; 0 takes the likeliest token always
    #[arg(long, value_name = "T", default_value_t = SamplerConfig::default().temp, allow_negative_numbers = true)]
    pub temp: f32,

    /// Likeliest tokens that stay in the draw; 0 for all
    #[arg(long, value_name = "K", default_value_t = SamplerConfig::default().top_k)]
    pub top_k: usize,

    /// Share of the probability that stays in the draw; 1 for all
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().top_p, allow_negative_numbers = true)]
    pub top_p: f32,

    /// Share of the highest probability that a token needs; 0 for all
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().min_p, allow_negative_numbers = true)]
    pub min_p: f32,

    /// What the last 64 tokens are made less likely by; 1 for nothing
    #[arg(long, value_name = "R", default_value_t = SamplerConfig::default().repeat_penalty, allow_negative_numbers = true)]
    pub repeat_penalty: f32,

    /// Same seed, same text [default: another one each time]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
}

/// How far a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Tokens(usize),
    /// Until it ends by itself.
    Open,
    /// On and on.
    Endless,
}

impl FromStr for Length {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(-1) => Ok(Self::Endless),
            Ok(-2) => Ok(Self::Open),
            Ok(n) => usize::try_from(n as i64).map(Self::Tokens).map_err(|_| "-1 and -2 are the only numbers below 0"),
            Err(_) => Err("a number of tokens, -1 or -2"),
        }
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
        assert_eq!(format!("{:?}", args.telling()), format!("{:?}", Telling::default()));
    }

    #[test]
    fn lengths() {
        assert_eq!(["-1".parse(), "-2".parse()], [Ok(Length::Endless), Ok(Length::Open)]);
        assert_eq!("0".parse(), Ok(Length::Tokens(0)));
        assert!("-3".parse::<Length>().is_err() && "x".parse::<Length>().is_err());
    }
}
