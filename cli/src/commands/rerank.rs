//! `nearfield rerank`: scores texts by their relevance to a query.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use nearfield::{DocumentError, Encoder, Model};
use nearfield_host::encode::{PairForm, encoder, with_encoder, with_tokenizer};
use nearfield_host::model_file::ModelFile;
use nearfield_host::npy;
use nearfield_host::output_file::OutputFile;
use nearfield_host::text::Notes;
use serde::Serialize;

use crate::args::model::model_and_words;
use crate::args::text::{Source, texts};
use crate::args::tokens::read_ids;
use crate::args::{EncoderArgs, ModelArgs};
use crate::errors::explain;
use crate::json::{self, Text, Usage};
use crate::terminal::Progress;
use crate::terminal::StandardOutput;
use crate::terminal::interrupt;
use crate::terminal::monitor;

#[derive(Args, Debug)]
pub struct RerankArgs {
    /// Model file if the first ends in .gguf, the query, and texts [default: lines of standard input]
    #[arg(value_name = "MODEL.gguf|QUERY|TEXT")]
    pub words: Vec<OsString>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// File of texts, one per line; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Token ids of a whole pair in place of query and text, separated by commas, or @FILE with ids separated by commas or
    /// white space, @- for standard input
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, conflicts_with = "file")]
    pub tokens: Vec<String>,

    /// Output file: float32 [n_texts, 1], in the order of the texts [default: lines of score, number and text on standard
    /// output, the best first]
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,

    /// Print a JSON object for each text, the best first
    #[arg(long, conflicts_with = "output")]
    pub json: bool,

    /// Print probabilities, 1 / (1 + exp(-score)), in place of the model's raw scores, which have no bounds
    #[arg(long)]
    pub sigmoid: bool,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// Writes a score for each text, a raw logit or with `--sigmoid` a probability: a line with the text, the best first, or a row
/// of float32.
pub fn rerank(args: &RerankArgs) -> Result<()> {
    let (model, words) = model_and_words(&args.model, &args.words)?;
    let file = ModelFile::open(Some(model), monitor())?;
    let model = encoder(&file)?;
    args.output.as_deref().map(OutputFile::check).transpose()?;
    let (texts, pairs) = pairs(args, words, &file, &model)?;
    let name = file.name.clone();
    let engine = args.encoder.machine.engine()?;
    let file = engine.load(file, args.encoder.machine.repack)?;
    let done = with_encoder(&file, &engine, args.encoder.config(pairs.iter().map(n_tokens)), |_, encoder| {
        if !encoder.has_score() {
            return Err(DocumentError::NoScore).context(name);
        }
        for (i, (tokens, _)) in pairs.iter().enumerate() {
            encoder.check(tokens).with_context(|| format!("text {}", i + 1))?;
        }
        match &args.output {
            None => args.print(&texts, &pairs, &args.shown(scores(encoder, &pairs)?)),
            Some(path) => OutputFile::create(path)?.write(|out| {
                out.write_all(&npy::header(pairs.len(), 1))?;
                let bytes: Vec<u8> =
                    args.shown(scores(encoder, &pairs)?).iter().flat_map(|score| score.to_le_bytes()).collect();
                Ok(out.write_all(&bytes)?)
            }),
        }
    });
    done.map_err(|error| explain(&file, error))
}

impl RerankArgs {
    /// The scores, as probabilities with `--sigmoid`. Both put texts into the same order.
    fn shown(&self, mut scores: Vec<f32>) -> Vec<f32> {
        if self.sigmoid {
            scores.iter_mut().for_each(|score| *score = (1.0 / (1.0 + (-f64::from(*score)).exp())) as f32);
        }
        scores
    }

    /// Prints score, number and text, or objects, the best first; equal scores stay in the order of the texts.
    fn print(&self, texts: &[Vec<u8>], pairs: &[Pair], scores: &[f32]) -> Result<()> {
        let mut lines: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        lines.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut out = StandardOutput::lock();
        for (index, relevance_score) in lines {
            let text = &texts[index];
            if self.json {
                let (document, usage) = (Text::new(text), Usage::of_read(n_tokens(&pairs[index])));
                json::print(&ScoreObject { index, relevance_score, document, usage })?;
            } else {
                let text = String::from_utf8_lossy(text).replace(['\n', '\r', '\t'], " ");
                writeln!(out, "{relevance_score}\t{}\t{text}", index + 1)?;
            }
        }
        Ok(())
    }
}

/// Score of a text, named as in the answers of Jina and Cohere.
#[derive(Serialize)]
struct ScoreObject {
    /// Number of the text, from 0.
    index: usize,
    relevance_score: f32,
    document: Text,
    usage: Usage,
}

/// Tokens of a query and a text, and the index of the first of the second type; the number of tokens if there is none.
type Pair = (Vec<u32>, usize);

fn n_tokens((tokens, _): &Pair) -> usize {
    tokens.len()
}

/// The texts, and the tokens of each with the query.
fn pairs(
    args: &RerankArgs,
    words: &[OsString],
    file: &ModelFile,
    model: &Model<'_>,
) -> Result<(Vec<Vec<u8>>, Vec<Pair>)> {
    if !args.tokens.is_empty() {
        ensure!(words.is_empty(), "{:?} is a text, and --tokens stands for one", words[0].display());
        let pair = |ids: &String| -> Result<Pair> {
            let tokens = read_ids(ids)?;
            let second = tokens.len();
            Ok((tokens, second))
        };
        let texts = args.tokens.iter().map(|ids| ids.clone().into_bytes()).collect();
        return Ok((texts, args.tokens.iter().map(pair).collect::<Result<_>>()?));
    }
    let (query, words) = words.split_first().context("no query: it comes after the model, before the texts")?;
    let query = Source::of_text(query).read_prompt()?;
    let texts = texts(words, args.file.as_deref())?;
    ensure!(!texts.is_empty(), "no text to compare with the query");
    let form = PairForm::of(file, model)?;
    let pairs = with_tokenizer(file, model, |tokenizer| {
        let mut notes = Notes::default();
        let query = form.beginning(tokenizer, &query, &mut notes)?;
        let mut progress = Progress::of_texts("tokenizing", texts.len() as u64);
        let mut pair = |text: &Vec<u8>| {
            progress.advance();
            interrupt::check()?;
            Ok(form.pair(tokenizer, &query, text, &mut notes)?)
        };
        let pairs = texts.iter().map(&mut pair).collect::<Result<_>>();
        drop(progress);
        notes.tell(monitor());
        pairs
    })?;
    Ok((texts, pairs))
}

/// The score of each pair. Pairs go through the model together, as many as a pass holds.
fn scores(encoder: &mut Encoder<'_, '_, '_>, pairs: &[Pair]) -> Result<Vec<f32>> {
    let mut progress = Progress::of_tokens("reranking", pairs.iter().map(|pair| n_tokens(pair) as u64).sum());
    let mut scores = Vec::with_capacity(pairs.len());
    while scores.len() < pairs.len() {
        interrupt::check()?;
        scores.extend_from_slice(encoder.score_pass(&pairs[scores.len()..])?);
        progress.reached(pairs[..scores.len()].iter().map(|pair| n_tokens(pair) as u64).sum());
    }
    Ok(scores)
}
