//! Output of `nearfield perplexity`: the table, the CSV file and the chart.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file::OutputFile;
use nearfield_host::perplexity::Score;
use nearfield_host::perplexity::Text;

use super::args::PerplexityArgs;
use crate::args::rings;
use crate::args::slopes;
use crate::chart::{Axis, Chart, Line, Point};
use crate::terminal::StandardOutput;
use crate::terminal::columns::{shortened, wrapped};
use crate::terminal::{Count, note};

/// Columns of a file's name.
const NAME_WIDTH: usize = 40;

/// Result at one context length.
pub struct Row {
    /// Context length in tokens.
    pub n_ctx: usize,
    /// Score at this length.
    pub score: Score,
}

/// Results at all context lengths.
pub struct Table<'s> {
    args: &'s PerplexityArgs,
    model: &'s ModelFile,
    text: &'s Text,
    /// Name of the text.
    name: String,
    rows: Vec<Row>,
}

/// Files written in addition to the table.
pub struct Files {
    csv: Option<OutputFile>,
    plot: Option<OutputFile>,
}

impl Files {
    /// Checks that the files can be written, before a model is read.
    pub fn check(args: &PerplexityArgs) -> Result<()> {
        Ok([&args.csv, &args.plot].into_iter().flatten().try_for_each(|path| OutputFile::check(path))?)
    }

    /// Creates the files.
    pub fn create(args: &PerplexityArgs) -> Result<Self> {
        let create = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::create).transpose();
        Ok(Self { csv: create(&args.csv)?, plot: create(&args.plot)? })
    }
}

impl<'s> Table<'s> {
    /// Creates an empty table.
    pub fn new(args: &'s PerplexityArgs, model: &'s ModelFile, text: &'s Text, name: String) -> Self {
        Self { args, model, text, name, rows: Vec::new() }
    }

    /// Adds the result at one more length.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Writes the table to standard output, and to the files.
    pub fn write(&self, files: Files) -> Result<()> {
        let [model, text] = [&self.model.name, &self.name].map(|name| shortened(name, NAME_WIDTH));
        let (tokens, protocol) = (Count(self.text.tokens.len(), "token"), self.args.protocol().describe());
        note(wrapped(&format!("{model}: {tokens} of {text}, {protocol}"), 2));
        let mut out = StandardOutput::lock();
        writeln!(out, "{:>8} {:>12} {:>8} {:>10} {:>10}", "length", "perplexity", "+-", "bits/byte", "tokens")?;
        for Row { n_ctx, score } in &self.rows {
            let (perplexity, error, bits) = (score.perplexity(), score.error(), score.bits_per_byte());
            writeln!(out, "{n_ctx:>8} {perplexity:>12.4} {error:>8.4} {bits:>10.5} {:>10}", score.n_tokens)?;
        }
        out.flush()?;
        if let Some(file) = files.csv {
            file.write(|out| self.csv(out))?;
        }
        if let Some(file) = files.plot {
            let svg = self.chart().svg()?;
            file.write_all(svg.as_bytes())?;
        }
        Ok(())
    }

    fn csv(&self, out: &mut (dyn Write + Send)) -> Result<()> {
        let session = &self.args.session;
        writeln!(
            out,
            "model,text,protocol,kv,ring,sinks,horizon_eps,alibi_scale,alibi_bf16,length,perplexity,error,bits_per_byte,tokens,bytes"
        )?;
        let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
        for Row { n_ctx, score } in &self.rows {
            writeln!(
                out,
                "{},{},{},{},{},{},{:e},{},{},{n_ctx},{},{},{},{},{}",
                quoted(self.model.name.clone()),
                quoted(self.name.clone()),
                quoted(self.args.protocol().describe()),
                session.kv,
                quoted(rings::word(&session.ring)),
                session.sinks,
                session.horizon_eps,
                slopes::word(session.alibi_scale),
                session.alibi_bf16,
                score.perplexity(),
                score.error(),
                score.bits_per_byte(),
                score.n_tokens,
                score.n_bytes
            )?;
        }
        Ok(())
    }

    fn chart(&self) -> Chart {
        let point = |Row { n_ctx, score }: &Row| {
            let (y, error) = (score.perplexity(), score.error());
            Point { x: *n_ctx as f64, y, range: [(y - error).max(y / 2.0), y + error] }
        };
        let line =
            Line { label: shortened(&self.model.name, NAME_WIDTH), points: self.rows.iter().map(point).collect() };
        Chart { x: Axis::log2("tokens to look back on"), y: Axis::log10("perplexity"), lines: vec![line] }
    }
}
