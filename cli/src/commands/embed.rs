//! `nearfield embed`: prints or writes the embeddings of texts.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use nearfield::{Encoder, Model, Pooling};
use nearfield_host::encode::{encoder, with_encoder, with_tokenizer};
use nearfield_host::model_file::ModelFile;
use nearfield_host::npy;
use nearfield_host::output_file::OutputFile;
use nearfield_host::text::Notes;
use serde::Serialize;

use crate::args::model::model_and_words;
use crate::args::text::texts;
use crate::args::tokens::read_ids;
use crate::args::{EncoderArgs, ModelArgs};
use crate::errors::explain;
use crate::json::{self, Usage};
use crate::terminal::Progress;
use crate::terminal::StandardOutput;
use crate::terminal::interrupt;
use crate::terminal::monitor;

#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// Model file if the first ends in .gguf, and texts [default: lines of standard input]
    #[arg(value_name = "MODEL.gguf|TEXT")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// File of texts, one per line; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Token ids of a whole text in place of the text, separated by commas, or @FILE with ids separated by commas or white
    /// space, @- for standard input
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, conflicts_with = "file")]
    pub tokens: Vec<String>,

    /// Output file: float32 [n_texts, width] [default: one line per text on standard output]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,

    /// Print a JSON object for each text
    #[arg(long, conflicts_with = "output")]
    pub json: bool,

    /// Method that makes one vector of the rows of a text's tokens [default: as the model says]
    #[arg(long, value_name = "HOW", value_parser = pooling_names())]
    pub pooling: Option<Pooling>,

    /// Do not scale the vectors to length 1
    #[arg(long)]
    pub no_normalize: bool,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

fn pooling_names() -> impl TypedValueParser<Value = Pooling> {
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name)).map(|name| {
        Pooling::ALL.into_iter().find(|pooling| pooling.name() == name).expect("one of the possible values")
    })
}

/// Writes a vector for each text: a line of numbers, or a row of float32.
pub fn embed(args: &EmbedArgs) -> Result<()> {
    let (model, words) = model_and_words(&args.model, &args.words)?;
    let file = ModelFile::open(Some(model), monitor())?;
    let model = encoder(&file)?;
    args.output.as_deref().map(OutputFile::check).transpose()?;
    let documents = documents(args, words, &file, &model)?;
    let engine = args.encoder.machine.engine()?;
    let file = engine.load(file, args.encoder.machine.repack)?;
    let done = with_encoder(&file, &engine, args.encoder.config(documents.iter().map(Vec::len)), |model, encoder| {
        let pooling = pooling(args, model)?;
        for (i, tokens) in documents.iter().enumerate() {
            encoder.check(tokens).with_context(|| format!("text {}", i + 1))?;
        }
        let width = model.shape().n_embd;
        let mut vectors = Vectors { args, pooling, encoder, documents: &documents, width };
        match &args.output {
            None => vectors.print(),
            Some(path) => OutputFile::create(path)?.write(|out| {
                out.write_all(&npy::header(documents.len(), width))?;
                vectors.each(true, |vector| {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Ok(out.write_all(&bytes)?)
                })
            }),
        }
    });
    done.map_err(|error| explain(&file, error))
}

/// The tokens of each text.
fn documents(
    args: &EmbedArgs,
    words: &[std::ffi::OsString],
    file: &ModelFile,
    model: &Model<'_>,
) -> Result<Vec<Vec<u32>>> {
    if !args.tokens.is_empty() {
        ensure!(words.is_empty(), "{:?} is a text, and --tokens stands for one", words[0].display());
        return args.tokens.iter().map(|ids| read_ids(ids)).collect();
    }
    let texts = texts(words, args.file.as_deref())?;
    ensure!(!texts.is_empty(), "no text to embed");
    with_tokenizer(file, model, |tokenizer| {
        let mut progress = Progress::of_texts("tokenizing", texts.len() as u64);
        let mut notes = Notes::default();
        let mut tokens = |text: &Vec<u8>| {
            progress.advance();
            interrupt::check()?;
            Ok(notes.encode(tokenizer, text, tokenizer.options())?)
        };
        let documents = texts.iter().map(&mut tokens).collect::<Result<_>>();
        drop(progress);
        notes.tell(monitor());
        documents
    })
}

/// Pooling of `--pooling`, else of the model file. An error if neither names one.
fn pooling(args: &EmbedArgs, model: &Model<'_>) -> Result<Pooling> {
    let of_file = || Pooling::of_file(model.gguf(), model.shape().arch.name);
    args.pooling.or_else(of_file).context(
        "the model says of no pooling that gives a vector: --pooling names one (nearfield rerank is for scores)",
    )
}

/// Vector of a text, named as in OpenAI's answers.
#[derive(Serialize)]
struct VectorObject<'v> {
    object: &'static str,
    /// Number of the text, from 0.
    index: usize,
    embedding: &'v [f32],
    usage: Usage,
}

/// State of embedding: the arguments, the encoder and the texts.
struct Vectors<'v, 'm, 'f, 'a> {
    args: &'v EmbedArgs,
    pooling: Pooling,
    encoder: &'v mut Encoder<'m, 'f, 'a>,
    documents: &'v [Vec<u32>],
    /// Numbers of a vector.
    width: usize,
}

impl Vectors<'_, '_, '_, '_> {
    /// Prints each vector as a line on standard output.
    fn print(&mut self) -> Result<()> {
        let mut out = StandardOutput::lock();
        let (json, documents, mut index) = (self.args.json, self.documents, 0);
        // The lines themselves show the progress on a terminal.
        self.each(!stdout().is_terminal(), |vector| {
            if json {
                let usage = Usage::of_read(documents[index].len());
                json::print(&VectorObject { object: "embedding", index, embedding: vector, usage })?;
                index += 1;
                return Ok(());
            }
            let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
            Ok(writeln!(out, "{}", numbers.join(" "))?)
        })
    }

    /// Hands each vector to `take`. Texts go through the model together, as many as a pass holds.
    fn each(&mut self, with_bar: bool, mut take: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let n_tokens: usize = self.documents.iter().map(Vec::len).sum();
        let mut progress = with_bar.then(|| Progress::of_tokens("embedding", n_tokens as u64));
        let (mut rest, mut done) = (self.documents, 0);
        while !rest.is_empty() {
            interrupt::check()?;
            let vectors = self.encoder.embed_pass(rest, self.pooling, !self.args.no_normalize)?;
            let (of_pass, others) = rest.split_at(vectors.len() / self.width);
            vectors.chunks_exact(self.width).try_for_each(&mut take)?;
            rest = others;
            done += of_pass.iter().map(|tokens| tokens.len() as u64).sum::<u64>();
            if let Some(progress) = &mut progress {
                progress.reached(done);
            }
        }
        Ok(())
    }
}
