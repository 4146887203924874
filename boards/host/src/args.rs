//! What can be asked on the command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use nearfield::{EncoderConfig, KvType, KvTypes, Pooling, Ring, SamplerConfig, SessionConfig};

use crate::bench::BenchArgs;
use crate::chat::Chat;
use crate::engine::N_BATCH;
use crate::perplexity::PerplexityArgs;
use crate::plan::PlanArgs;
use crate::quantize::Target;
use crate::rings;

/// Stories and numbers from ALiBi transformers, on this machine's processor.
///
/// Without a command, in a terminal: type the beginning of a story and read the rest.
#[derive(Debug, Parser)]
#[command(name = "nearfield", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a text
    Run(RunArgs),
    /// Text to token ids, separated by spaces
    Tokenize(TokenizeArgs),
    /// Token ids to text
    Detokenize(DetokenizeArgs),
    /// Logits after each token of a text, as a NumPy file
    Logits(LogitsArgs),
    /// The vectors of texts, a line each
    Embed(EmbedArgs),
    /// Texts by how well they answer a query, the best first
    Rerank(RerankArgs),
    /// What a model file holds, and what running it takes
    Inspect(InspectArgs),
    /// The memory that a session takes, rings for a budget, and whether a board has room for it
    Plan(PlanArgs),
    /// Write a model's weights in the order in which this program reads them fastest
    Pack(PackArgs),
    /// Make a GGUF file of a model as Hugging Face has it
    Convert(ConvertArgs),
    /// Write a model with its weights in another type
    Quantize(QuantizeArgs),
    /// Tokens per second, beside what this machine could do; lists separated by commas are combined
    Bench(BenchArgs),
    /// How well a model foretells a text, by how far it may look back
    Perplexity(PerplexityArgs),
}

/// Which model: a flag, or the first argument if it ends in `.gguf`.
#[derive(Args, Debug, Default)]
pub struct ModelArgs {
    /// The model, whatever its name (the built-in one if none is given)
    #[arg(short, long = "model", value_name = "FILE")]
    pub model: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct EngineArgs {
    /// How keys and values are stored: f32, f16, q8_0 or q4_0, or one for keys and one for values
    #[arg(long, value_name = "TYPE|K,V", default_value = "f16", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Keys that each head keeps: full, so many, as many as leave this share of the sum to the bias of all older ones, or what
    /// `nearfield plan` found (heads:N,N,... or @FILE with its JSON)
    #[arg(long, value_name = "RING", default_value = "full", value_parser = rings::parse)]
    pub ring: Ring,

    /// First tokens of the text whose keys are kept besides those of the ring
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sinks: usize,

    /// Threads; the text is the same for any number [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Kernels to run with; the text is the same for all [default: the fastest that this machine has]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<String>,

    /// Attention stops where all older keys together add less than this share; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    /// Round the bias to bfloat16, as the code published with Falcon-RW does: its logits, not better ones
    #[arg(long)]
    pub alibi_bf16: bool,

    /// Whether to load the weights into memory in the order in which the kernels read them fastest; the text is the same
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub repack: Repack,
}

/// When weights are reordered as they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Repack {
    /// Where it makes the kernels faster and memory suffices
    Auto,
    /// Always
    On,
    /// Never: the file is used in place
    Off,
}

#[derive(Args, Debug)]
pub struct PackArgs {
    /// The model
    #[arg(value_name = "IN.gguf")]
    pub input: PathBuf,

    /// Where to: as many bytes, which this program maps and runs in place
    #[arg(value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// The model's folder: config.json, model.safetensors or its shards, and the tokenizer's files
    #[arg(value_name = "FOLDER")]
    pub input: PathBuf,

    /// Where to
    #[arg(short, long, value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// What the weights become: F32, F16, BF16, or one that `nearfield quantize` has
    #[arg(long = "type", value_name = "TYPE", default_value = "F16")]
    pub ty: Target,

    /// Threads; the file is the same for any number [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// The model, best in F16 or F32: what was quantized before only loses more
    #[arg(value_name = "IN.gguf")]
    pub input: PathBuf,

    /// Where to
    #[arg(value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// F32 F16 BF16 Q8_0 Q6_K Q5_1 Q5_K_M Q5_K_S Q5_0 Q4_1 Q4_K_M Q4_K_S Q4_0 Q3_K_L Q3_K_M Q3_K_S Q2_K Q2_K_S, as llama.cpp
    /// has them: the matrices that matter most get more bits
    #[arg(value_name = "TYPE")]
    pub ty: Target,

    /// All matrices in TYPE
    #[arg(long)]
    pub pure: bool,

    /// Threads; the file is the same for any number [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,
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
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    #[arg(conflicts_with = "endless")]
    pub chat: Option<Chat>,

    /// What a chat model is told of itself, instead of the words of its format
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<String>,

    #[command(flatten)]
    pub sampler: SamplerArgs,

    /// Positions for prompt and text together, as many as memory holds [default: 2048, or what prompt and N need]
    #[arg(long, value_name = "N")]
    pub ctx: Option<usize>,

    /// Go on when the context is full, in the same memory, and with another text when one ends
    #[arg(long)]
    pub endless: bool,

    #[command(flatten)]
    pub engine: EngineArgs,

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
    /// Whether nothing but its length ends the text.
    pub fn is_endless(&self) -> bool {
        self.endless || self.n == Length::Endless
    }
}

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    /// The model, if it ends in .gguf; without it, the built-in one
    #[arg(value_name = "MODEL.gguf")]
    pub first: Option<OsString>,

    /// The text [default: what comes from standard input]
    #[arg(value_name = "TEXT")]
    pub second: Option<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// The text, whatever it looks like
    #[arg(short = 'p', long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<OsString>,

    /// Take names of control tokens in the text, such as <|endoftext|>, for the tokens
    #[arg(long)]
    pub special: bool,

    /// Leave out the token that a text begins with, should the model want one
    #[arg(long)]
    pub no_bos: bool,
}

#[derive(Args, Debug)]
pub struct DetokenizeArgs {
    /// The model, if the first ends in .gguf, and token ids [default: ids from standard input]
    #[arg(value_name = "MODEL.gguf|IDS")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Write control tokens by their names
    #[arg(long)]
    pub special: bool,
}

#[derive(Args, Debug)]
pub struct LogitsArgs {
    /// The model; without it, the built-in one
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Token ids separated by commas, or @FILE with ids separated by commas or white space
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    pub tokens: String,

    /// Where to: float32 [n_tokens, n_vocab]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: PathBuf,

    /// Tokens that go through a layer together; the logits are the same for any number
    #[arg(long, value_name = "N", default_value_t = N_BATCH)]
    pub chunk: usize,

    #[command(flatten)]
    pub engine: EngineArgs,
}

/// How an encoder runs.
#[derive(Args, Debug)]
pub struct EncoderArgs {
    /// Tokens of the longest text that there is room for [default: those of the longest text]
    #[arg(long, value_name = "N")]
    pub ctx: Option<usize>,

    /// Tokens that go through a layer together; the numbers are the same for any
    #[arg(long, value_name = "N", default_value_t = N_BATCH)]
    pub chunk: usize,

    /// How the keys and values of a layer are stored
    #[arg(long, value_name = "TYPE|K,V", default_value = "f32", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Threads; the numbers are the same for any [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Kernels to run with; the numbers are the same for all [default: the fastest that this machine has]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<String>,

    /// Attention stops where all keys farther away add less than this share; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    /// Whether to load the weights into memory in the order in which the kernels read them fastest; the numbers are the same
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub repack: Repack,
}

impl EncoderArgs {
    /// What an encoder shares with all else that runs.
    pub fn engine(&self) -> EngineArgs {
        EngineArgs {
            kv: self.kv,
            ring: Ring::Full,
            sinks: 0,
            threads: self.threads,
            isa: self.isa.clone(),
            horizon_eps: self.horizon_eps,
            alibi_bf16: false,
            repack: self.repack,
        }
    }

    /// For texts of `longest` tokens at most.
    pub fn config(&self, longest: usize) -> EncoderConfig {
        let n_ctx = self.ctx.unwrap_or(longest);
        EncoderConfig { n_ctx, n_batch: self.chunk, kv: self.kv, horizon_eps: self.horizon_eps }
    }
}

#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// The model, if the first ends in .gguf, and texts [default: lines from standard input]
    #[arg(value_name = "MODEL.gguf|TEXT")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Texts, one each line
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Instead of a text, the ids of all its tokens, separated by commas, or @FILE with ids separated by commas or white space
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, conflicts_with = "file")]
    pub tokens: Vec<String>,

    /// Where to: float32 [n_texts, width] [default: a line each on standard output]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,

    /// How the rows of a text's tokens become one vector [default: as the model says]
    #[arg(long, value_name = "HOW", value_parser = pooling())]
    pub pooling: Option<Pooling>,

    /// Leave the vectors as long as they are
    #[arg(long)]
    pub no_normalize: bool,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

#[derive(Args, Debug)]
pub struct RerankArgs {
    /// The model, if the first ends in .gguf, the query, and texts [default: lines from standard input]
    #[arg(value_name = "MODEL.gguf|QUERY|TEXT")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Texts, one each line
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Instead of the query and a text, the ids of all tokens of the pair, separated by commas, or @FILE with ids separated by
    /// commas or white space
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, conflicts_with = "file")]
    pub tokens: Vec<String>,

    /// Where to: float32 [n_texts, 1], in the order of the texts [default: lines of score, number and text on standard output]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The model; without it, the built-in one
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Positions to state the memory for
    #[arg(long, value_name = "N", default_value_t = SessionConfig::default().n_ctx)]
    pub ctx: usize,
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

/// A number, which may be a power of two.
pub fn share(text: &str) -> Result<f32, &'static str> {
    let number = match text.strip_prefix("2^") {
        None => text.parse().ok(),
        Some(exponent) => exponent.parse().ok().map(|n| 2f32.powi(n)),
    };
    number.ok_or("a number such as 1e-6, or a power of two such as 2^-24")
}

/// One type, or that of keys and that of values: `q8_0,q4_0`, or `q8_0/q4_0` where a comma separates mixes.
pub fn kv_types(text: &str) -> Result<KvTypes, &'static str> {
    let ty = |name: &str| KvType::ALL.into_iter().find(|ty| ty.name() == name);
    match text.split_once([',', '/']) {
        None => ty(text).map(KvTypes::both),
        Some((keys, values)) => ty(keys).zip(ty(values)).map(|(keys, values)| KvTypes { keys, values }),
    }
    .ok_or("one of f32, f16, q8_0 and q4_0, or two of them for keys and values, such as q8_0/q4_0")
}

pub fn pooling() -> impl TypedValueParser<Value = Pooling> {
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name)).map(|name| {
        Pooling::ALL.into_iter().find(|pooling| pooling.name() == name).expect("one of the possible values")
    })
}

/// Whether an argument is the name of a model.
pub fn names_a_model(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().to_ascii_lowercase().ends_with(b".gguf")
}

/// The model and the text that two arguments and two flags tell.
pub fn model_and_text(
    [first, second]: [&Option<OsString>; 2],
    model: &ModelArgs,
    text: &Option<OsString>,
) -> Result<(Option<PathBuf>, Option<OsString>)> {
    let mut words: Vec<&OsString> = [first, second].into_iter().flatten().collect();
    let mut model = model.model.clone();
    if model.is_none() && words.first().is_some_and(|word| names_a_model(word)) {
        model = Some(words.remove(0).into());
    }
    match (&words[..], text) {
        ([], text) => Ok((model, text.clone())),
        ([text], None) => Ok((model, Some((*text).clone()))),
        ([.., word], _) => {
            let word = word.display();
            bail!(
                "{word:?} is one text too many (the name of a model ends in .gguf; -m FILE takes any, -p TEXT is the text)"
            )
        }
    }
}

/// A model, which may be the first of the words, and the other words.
pub fn model_and_words<'w>(model: &ModelArgs, words: &'w [OsString]) -> Result<(PathBuf, &'w [OsString])> {
    match (&model.model, words) {
        (Some(model), words) => Ok((model.clone(), words)),
        (None, [first, words @ ..]) if names_a_model(first) => Ok((first.into(), words)),
        (None, _) => bail!("which model? The first argument has to be one that ends in .gguf, or -m FILE names any"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Option<PathBuf>, Option<OsString>)> {
        match Cli::try_parse_from(["nearfield", "run"].into_iter().chain(line.split_whitespace()))?.command {
            Some(Command::Run(run)) => model_and_text([&run.first, &run.second], &run.model, &run.prompt),
            command => panic!("{command:?}"),
        }
    }

    #[test]
    fn a_first_argument_in_gguf_is_the_model() {
        let cases: [(&str, Option<&str>, Option<&str>); 8] = [
            ("", None, None),
            ("Once", None, Some("Once")),
            ("a.gguf", Some("a.gguf"), None),
            ("a.GGUF Once", Some("a.GGUF"), Some("Once")),
            ("-m a.bin Once", Some("a.bin"), Some("Once")),
            ("-m a.bin b.gguf", Some("a.bin"), Some("b.gguf")),
            ("a.gguf -p -b", Some("a.gguf"), Some("-b")),
            ("-p b.gguf", None, Some("b.gguf")),
        ];
        for (line, model, text) in cases {
            assert_eq!(parse(line).unwrap(), (model.map(PathBuf::from), text.map(OsString::from)), "{line}");
        }
        for line in ["Once upon", "-m a.gguf Once upon", "a.gguf Once -p Twice"] {
            assert!(parse(line).unwrap_err().to_string().contains("one text too many"), "{line}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(["-1".parse(), "-2".parse()], [Ok(Length::Endless), Ok(Length::Open)]);
        assert_eq!("0".parse(), Ok(Length::Tokens(0)));
        assert!("-3".parse::<Length>().is_err() && "x".parse::<Length>().is_err());
    }

    #[test]
    fn the_default_horizon_is_that_of_the_library() {
        assert_eq!(share("2^-24"), Ok(SessionConfig::HORIZON_EPS));
        assert_eq!([share("0"), share("1e-3"), share("-1")], [Ok(0.0), Ok(1e-3), Ok(-1.0)]);
        assert!(share("2^x").is_err() && share("").is_err());
    }

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
