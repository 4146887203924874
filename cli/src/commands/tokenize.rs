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

use crate::args::{ModelArgs, model_and_text, names_a_model};
use crate::terminal::StandardOutput;
use crate::terminal::input;
use crate::terminal::monitor;

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

/// Text to ids.
pub fn tokenize(args: &TokenizeArgs) -> Result<()> {
    let (model, argument) = model_and_text([&args.first, &args.second], &args.model, &args.text)?;
    with_tokenizer(model, |tokenizer| {
        let text = match &argument {
            Some(text) => input::bytes_of(text).to_vec(),
            None => input::read_input()?,
        };
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
        let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
        Ok(writeln!(StandardOutput::lock(), "{}", words.join(" "))?)
    })
}

/// Ids to text: its bytes and nothing else, so that what was tokenized comes out again.
pub fn detokenize(args: &DetokenizeArgs) -> Result<()> {
    let (model, words) = model_and_words(args);
    with_tokenizer(model, |tokenizer| {
        let ids = match words {
            [] => String::from_utf8_lossy(&input::read_input()?).into_owned(),
            words => words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        };
        let (mut detokenizer, mut text) = (Detokenizer::of_whole_text(args.special), String::new());
        for token in input::parse_ids(&ids)? {
            detokenizer.push(tokenizer, token, &mut text)?;
        }
        detokenizer.finish(&mut text)?;
        let mut out = StandardOutput::lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    })
}

/// The first word is the model if its name says so and no flag does.
fn model_and_words(args: &DetokenizeArgs) -> (Option<PathBuf>, &[OsString]) {
    match (&args.model.model, &args.words[..]) {
        (None, [first, ids @ ..]) if names_a_model(first) => (Some(first.into()), ids),
        (model, ids) => (model.clone(), ids),
    }
}

fn with_tokenizer(model: Option<PathBuf>, then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<()>) -> Result<()> {
    let file = ModelFile::open(model, monitor())?;
    let vocab = file.vocab()?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    then(&text::tokenizer(vocab, &mut lines, monitor())?)
}
