//! Tensors of the file, each with its source in the checkpoint: every one that the family's table names, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use super::checkpoint::{Checkpoint, Tensor};
use super::families::{Bias, Family, Hparams, Part, Row, Rows};
use crate::error::{Context, Result, bail, ensure};

/// Tensor of the file.
pub struct Planned<'c> {
    pub name: String,
    dims: Dims,
    source: Source<'c>,
}

/// Source of a tensor's numbers.
#[derive(Clone)]
struct Source<'c> {
    tensor: Tensor<'c>,
    /// Columns of the source; 1 if it is a vector, whose numbers are its rows.
    n_cols: usize,
    order: Order,
    transposed: bool,
    scale: f32,
    unit_rows: bool,
}

/// Map from rows of the file to rows of the source.
#[derive(Clone, Copy)]
enum Order {
    /// Row `i` is row `i` + this number.
    From(usize),
    /// Rows `[3, n_head, head_dim]` come from `[n_head, 3, head_dim]`.
    Deinterleaved { n_head: usize, head_dim: usize },
}

impl Order {
    fn of(self, row: usize) -> usize {
        match self {
            Self::From(start) => start + row,
            Self::Deinterleaved { n_head, head_dim } => {
                let (part, head, i) = (row / (n_head * head_dim), row / head_dim % n_head, row % head_dim);
                (head * 3 + part) * head_dim + i
            }
        }
    }
}

/// Tensors of a file, in their order. An error for a tensor that is missing, of another shape, or left over.
pub fn plan<'c>(family: &Family, hparams: &Hparams, checkpoint: &'c Checkpoint) -> Result<Vec<Planned<'c>>> {
    // Absent tensors that have a place are an error below, if they are needed.
    let is_unknown = |name: &str| !family.ignores(name) && !family.has_place(name) && checkpoint.shape(name).is_none();
    if let Some((name, file)) = checkpoint.absent().find(|(name, _)| is_unknown(name)) {
        bail!(absent(name, file));
    }
    let mut planner = Planner { family, hparams, checkpoint, planned: Vec::new(), used: BTreeSet::new() };
    // Tensors outside the layers stand before and behind them, as in the table.
    let (before, rest) = family.rows.split_at(family.rows.iter().take_while(|row| !row.is_layered()).count());
    let (layered, behind) = rest.split_at(rest.iter().take_while(|row| row.is_layered()).count());
    planner.add_all(before, None)?;
    for layer in 0..hparams.n_layer {
        planner.add_all(layered, Some(layer))?;
    }
    planner.add_all(behind, None)?;
    planner.settle_output()?;
    let left_over = |name: &&str| !planner.used.contains(*name) && !family.ignores(name);
    if let Some(name) = checkpoint.names().find(left_over) {
        bail!("{} has a tensor {name}, for which a {} has no place", checkpoint.directory(), family.name);
    }
    Ok(planner.planned)
}

struct Planner<'a, 'c> {
    family: &'a Family,
    hparams: &'a Hparams,
    checkpoint: &'c Checkpoint,
    planned: Vec<Planned<'c>>,
    /// Tensors of the checkpoint that have a place in the file.
    used: BTreeSet<&'c str>,
}

/// Dimensions of a tensor of the file.
#[derive(Clone, Copy)]
enum Dims {
    Vector(usize),
    Matrix(usize, usize),
}

impl Dims {
    /// Dimensions of a weight by its name without layer and suffix. All names that are not listed are norms.
    fn of(to: &str, h: &Hparams) -> Self {
        match to {
            "token_embd" | "output" => Self::Matrix(h.n_vocab, h.n_embd),
            "position_embd" => Self::Matrix(h.n_ctx, h.n_embd),
            "token_types" => Self::Matrix(h.encoder.map_or(0, |encoder| encoder.n_token_types), h.n_embd),
            "attn_qkv" => Self::Matrix(h.n_embd + 2 * h.n_embd_kv(), h.n_embd),
            "attn_q" | "attn_output" | "cls" => Self::Matrix(h.n_embd, h.n_embd),
            "attn_k" | "attn_v" => Self::Matrix(h.n_embd_kv(), h.n_embd),
            "ffn_up" | "ffn_gate" => Self::Matrix(h.n_ff, h.n_embd),
            "ffn_down" => Self::Matrix(h.n_embd, h.n_ff),
            "cls.output" => Self::Matrix(1, h.n_embd),
            "attn_k_norm" => Self::Vector(h.n_embd_kv()),
            _ => Self::Vector(h.n_embd),
        }
    }
}

impl<'c> Planner<'_, 'c> {
    /// Adds the tensors of rows, of a layer or of none.
    fn add_all(&mut self, rows: &[Row], layer: Option<usize>) -> Result<()> {
        for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.is_layered() == layer.is_some()) {
            let is_same = |other: &&Row| other.to == row.to;
            let is_wanted = (self.hparams.is_ranker() || !row.to.starts_with("cls"))
                && (self.hparams.qk_norms || !row.with_qk_norms);
            if is_wanted && !rows[..i].iter().any(|other| is_same(&other)) {
                let alternatives: Vec<&Row> = rows[i..].iter().filter(is_same).collect();
                self.add(&alternatives, layer)?;
            }
        }
        Ok(())
    }

    /// Adds a tensor, and its bias, by the first of several rows that finds its source.
    fn add(&mut self, alternatives: &[&Row], layer: Option<usize>) -> Result<()> {
        let found = alternatives.iter().find_map(|row| self.find(row, layer).map(|from| (*row, from)));
        let Some((row, from)) = found else {
            // A tied output is the embedding and need not be stored.
            let missing = alternatives.first().filter(|row| row.to != "output" || !self.hparams.tied);
            return missing.map_or(Ok(()), |row| Err(self.missing(&format!("{}.weight", self.full_name(row, layer)))));
        };
        let to = layer.map_or(row.to.to_owned(), |layer| format!("blk.{layer}.{}", row.to));
        let dims = Dims::of(row.to, self.hparams);
        self.push(format!("{to}.weight"), row, &format!("{from}.weight"), dims, row.transposed)?;
        let bias = format!("{from}.bias");
        let is_biased = match row.bias {
            Bias::Never => false,
            Bias::Always => true,
            Bias::Configured => self.hparams.biased.unwrap_or_else(|| self.checkpoint.shape(&bias).is_some()),
        };
        if is_biased {
            // A bias has one number for each row of a matrix, or for each weight of a norm.
            let (Dims::Vector(n) | Dims::Matrix(n, _)) = dims;
            self.push(format!("{to}.bias"), row, &bias, Dims::Vector(n), false)?;
        }
        Ok(())
    }

    /// Adds a tensor whose source is `from`.
    fn push(&mut self, name: String, row: &Row, from: &str, dims: Dims, transposed: bool) -> Result<()> {
        let source = self.source(row, from, dims, transposed)?;
        self.planned.push(Planned { name, dims, source });
        Ok(())
    }

    /// Stores a tied output where the file needs one: a scaled embedding is no longer the output. Otherwise an output that
    /// equals the embedding is left out, even if the checkpoint stores it twice.
    fn settle_output(&mut self) -> Result<()> {
        let h = self.hparams;
        let named = |name: &str| self.planned.iter().position(|planned| planned.name == name);
        let [embedding, output] = [named("token_embd.weight"), named("output.weight")];
        let embedding = &self.planned[embedding.context("missing tensor: the token embedding")?];
        let is_scaled = h.embedding_scale != 1.0 || h.output_scale != 1.0;
        let is_its_own = self.family.owns_output() || is_scaled;
        match output {
            None if is_its_own => {
                let Planned { dims, source, .. } = embedding;
                let source = Source { scale: h.output_scale as f32, unit_rows: h.unit_output_rows, ..source.clone() };
                self.planned.push(Planned { name: "output.weight".into(), dims: *dims, source });
            }
            Some(output) if !is_its_own && self.planned[output].source.is_same(&embedding.source) => {
                self.planned.remove(output);
            }
            _ => {}
        }
        Ok(())
    }

    /// Name of a row's source, without `.weight`, if the checkpoint has it.
    fn find(&self, row: &Row, layer: Option<usize>) -> Option<String> {
        if row.tied && !self.hparams.tied {
            return None;
        }
        let from = name_in_layer(row.from, layer);
        let names = self.family.prefixes.iter().map(|prefix| format!("{prefix}{from}"));
        names.into_iter().find(|name| self.checkpoint.shape(&format!("{name}.weight")).is_some())
    }

    /// Name that a missing tensor would have, without `.weight`: with the prefix that other tensors have.
    fn full_name(&self, row: &Row, layer: Option<usize>) -> String {
        if row.to == "output" {
            // The output's name has no prefix.
            return row.from.into();
        }
        let is_used = |prefix: &&&str| self.checkpoint.names().any(|name| name.starts_with(**prefix));
        let prefix = self.family.prefixes.iter().find(is_used).copied().unwrap_or("");
        format!("{prefix}{}", name_in_layer(row.from, layer))
    }

    fn missing(&self, name: &str) -> crate::error::Error {
        if let Some((name, file)) = self.checkpoint.absent().find(|(absent, _)| *absent == name) {
            return crate::error::Error::Invalid(absent(name, file));
        }
        let untied = match self.hparams.tied {
            false if name.ends_with("lm_head.weight") => ": its output is not its embedding",
            _ => "",
        };
        crate::error::Error::Invalid(format!(
            "{} has no tensor {name}, which a {} has{untied}",
            self.checkpoint.directory(),
            self.family.name
        ))
    }

    /// Source of a tensor, its shape checked.
    fn source(&mut self, row: &Row, name: &str, dims: Dims, transposed: bool) -> Result<Source<'c>> {
        let h = self.hparams;
        let tensor = self.checkpoint.tensor(name)?.ok_or_else(|| self.missing(name))?;
        let part = |part: &Part| match part {
            Part::Q => h.n_embd,
            Part::Kv => h.n_embd_kv(),
            Part::Ff => h.n_ff,
        };
        let (rows, cols) = match dims {
            Dims::Vector(n) => (n, 1),
            Dims::Matrix(rows, cols) => (rows, cols),
        };
        let (order, all_rows) = match row.rows {
            Rows::All => (Order::From(0), rows),
            Rows::Deinterleaved => (Order::Deinterleaved { n_head: h.n_head, head_dim: h.head_dim() }, rows),
            Rows::Part(parts, i) => (Order::From(parts[..i].iter().map(part).sum()), parts.iter().map(part).sum()),
        };
        let want = match dims {
            Dims::Vector(_) => vec![all_rows as u64],
            Dims::Matrix(..) if transposed => vec![cols as u64, all_rows as u64],
            Dims::Matrix(..) => vec![all_rows as u64, cols as u64],
        };
        let why = match tensor.bytes.is_empty() {
            true => ": it was left empty, as DeepSpeed's ZeRO-3 leaves what was not gathered",
            false => "",
        };
        ensure!(
            tensor.shape == want,
            "{}: the tensor {name} is {:?}, by config.json it is {want:?}{why}",
            tensor.file.display(),
            tensor.shape
        );
        self.used.insert(tensor.name);
        let scale = match row.to {
            "token_embd" => h.embedding_scale,
            "output" => h.output_scale,
            _ => 1.0,
        };
        let unit_rows = row.to == "output" && h.unit_output_rows;
        let n_cols = if transposed { all_rows } else { cols };
        Ok(Source { tensor, n_cols, order, transposed, scale: scale as f32, unit_rows })
    }
}

/// Message for a tensor that the index names and its file does not have.
fn absent(name: &str, file: &Path) -> String {
    format!("{} has no tensor {name}, which the index puts there", file.display())
}

fn name_in_layer(from: &str, layer: Option<usize>) -> String {
    layer.map_or(from.to_owned(), |layer| from.replace("{}", &layer.to_string()))
}

impl Planned<'_> {
    /// Dimensions in GGUF's order, fastest first.
    pub fn dims(&self) -> Vec<u64> {
        match self.dims {
            Dims::Vector(n) => vec![n as u64],
            Dims::Matrix(rows, cols) => vec![cols as u64, rows as u64],
        }
    }

    /// Number of rows, and numbers of each; a vector is one row.
    pub fn rows_and_cols(&self) -> (u64, u64) {
        match self.dims {
            Dims::Vector(n) => (1, n as u64),
            Dims::Matrix(rows, cols) => (rows as u64, cols as u64),
        }
    }

    /// Reads numbers of a row from column `col` on.
    pub fn read(&self, row: usize, col: usize, out: &mut [f32]) {
        let Self { dims, source, .. } = self;
        match dims {
            Dims::Vector(_) => source.column(0, col, out),
            Dims::Matrix(..) if source.transposed => {
                let source_col = source.order.of(row);
                (col..).zip(out.iter_mut()).for_each(|(i, x)| source.row(i, source_col, std::slice::from_mut(x)));
            }
            Dims::Matrix(..) => source.row(source.order.of(row), col, out),
        }
        if source.unit_rows {
            let length = source.length(source.order.of(row));
            out.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        if source.scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= source.scale);
        }
    }
}

impl Source<'_> {
    /// True if both have the same stored bytes and no scaling.
    fn is_same(&self, other: &Self) -> bool {
        let is_plain = |source: &Self| source.scale == 1.0 && !source.unit_rows;
        is_plain(self)
            && is_plain(other)
            && self.tensor.dtype == other.tensor.dtype
            && self.tensor.bytes == other.tensor.bytes
    }

    /// Numbers of a row of the source from column `col` on.
    fn row(&self, row: usize, col: usize, out: &mut [f32]) {
        let bytes = self.tensor.dtype.bytes();
        let at = (row * self.n_cols + col) * bytes;
        self.tensor.dtype.read(&self.tensor.bytes[at..at + out.len() * bytes], out);
    }

    /// Numbers of a column of the source, in the order of the file's rows.
    fn column(&self, col: usize, first_row: usize, out: &mut [f32]) {
        for (row, x) in (first_row..).zip(out) {
            self.row(self.order.of(row), col, std::slice::from_mut(x));
        }
    }

    /// Euclidean length of a row, at least 1e-12, as in `torch.nn.functional.normalize`.
    fn length(&self, row: usize) -> f64 {
        let mut numbers = vec![0.0; self.n_cols];
        self.row(row, 0, &mut numbers);
        numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(1e-12)
    }
}
