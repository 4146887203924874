//! `nearfield tokenize` and `nearfield detokenize`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use nearfield::tokenizer::{Detokenizer, EncodeOptions, Tokenizer};
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::text::{self, Notes};
use serde::Serialize;

use crate::args::ModelArgs;
use crate::args::model::{model_and_text, names_a_model};
use crate::args::text::Source;
use crate::args::tokens::parse_ids;
use crate::json;
use crate::terminal::StandardOutput;
use crate::terminal::monitor;

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    /// Model file ending in .gguf [default: the built-in model]
    #[arg(value_name = "MODEL.gguf")]
    pub first: Option<OsString>,

    /// Text to tokenize [default: standard input, each byte of it]
    #[arg(value_name = "TEXT")]
    pub second: Option<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Text to tokenize, taken as it is even if it begins with a hyphen or ends in .gguf; - for standard input
    #[arg(short = 'p', long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<OsString>,

    /// File to tokenize, each byte of it; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,

    /// Parse names of control tokens in the text, such as <|endoftext|>, as these tokens
    #[arg(long)]
    pub special: bool,

    /// Do not add the tokens that the model puts before and after a text
    #[arg(long)]
    pub no_bos: bool,

    /// Print a JSON object with the ids and the text of each token
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DetokenizeArgs {
    /// Model file if the first ends in .gguf, and token ids [default: the built-in model, ids from standard input]
    #[arg(value_name = "MODEL.gguf|IDS")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Print control tokens by name [default: leave them out]
    #[arg(long)]
    pub special: bool,
}

/// Prints the token ids of a text on one line.
pub fn tokenize(args: &TokenizeArgs) -> Result<()> {
    let (model, source) = model_and_text([&args.first, &args.second], &args.model, &args.text, &args.file)?;
    with_tokenizer(model, |tokenizer| {
        let text = source.unwrap_or(Source::Input).read()?;
        let options = match args.no_bos {
            true => EncodeOptions::default(),
            false => tokenizer.options(),
        };
        let mut notes = Notes::default();
        let tokens = notes.encode_looking_for_names(
            tokenizer,
            &text,
            EncodeOptions { parse_special: args.special, ..options },
        )?;
        notes.tell(monitor());
        if args.json {
            let pieces = tokens.iter().map(|&token| Piece::new(&json::bytes_of(tokenizer, token))).collect();
            return json::print(&TokensObject { tokens, pieces });
        }
        let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
        Ok(writeln!(StandardOutput::lock(), "{}", words.join(" "))?)
    })
}

/// Tokens of a text as one object.
#[derive(Serialize)]
struct TokensObject {
    tokens: Vec<u32>,
    /// Text of each token, control tokens by name.
    pieces: Vec<Piece>,
}

/// Text of a token, or its bytes where they are not UTF-8, as llama.cpp's server gives it.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

impl Piece {
    fn new(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(bytes.to_owned()),
        }
    }
}

/// Prints the text of token ids: its bytes and nothing else, so that the tokenized text comes out again.
pub fn detokenize(args: &DetokenizeArgs) -> Result<()> {
    let (model, words) = model_and_words(args)?;
    with_tokenizer(model, |tokenizer| {
        let ids = match words {
            [] => String::from_utf8_lossy(&Source::Input.read()?).into_owned(),
            words => words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        };
        let (mut detokenizer, mut text) = (Detokenizer::of_whole_text(args.special), String::new());
        for token in parse_ids(&ids)? {
            detokenizer.push(tokenizer, token, &mut text)?;
        }
        detokenizer.finish(&mut text)?;
        let mut out = StandardOutput::lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    })
}

/// The model and the ids. The first word is the model if it ends in `.gguf` and no flag names one.
fn model_and_words(args: &DetokenizeArgs) -> Result<(Option<PathBuf>, &[OsString])> {
    match &args.words[..] {
        [first, ids @ ..] if !args.model.is_named() && names_a_model(first) => Ok((Some(first.into()), ids)),
        ids => Ok((args.model.or(&None)?, ids)),
    }
}

fn with_tokenizer(model: Option<PathBuf>, then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<()>) -> Result<()> {
    let file = ModelFile::open(model, monitor())?;
    let vocab = file.vocab()?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    then(&file.tokenizer(vocab, &mut lines)?)
}
