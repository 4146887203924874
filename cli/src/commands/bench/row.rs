//! One line of the results: what was timed, and what follows from it.

use std::fmt;
use std::rc::Rc;

use nearfield::kernels::Layout;
use nearfield::kernels::block::gguf_type_name;
use nearfield::{KvType, KvTypes, Model, Ring, Shape};

use super::noise::{self, Seen};

/// What a model is, for every line of it.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// The name of its file.
    pub name: String,
    /// Types of its matrices, those with the most bytes first.
    pub weights: String,
    /// Whether the rows of any of them are interleaved.
    pub layout: &'static str,
    /// Bytes of its tensors.
    pub size: u64,
    /// Numbers in its tensors.
    pub params: u64,
    /// Bytes of weights that a new token reads.
    pub bytes_per_token: u64,
    /// Multiplications by weights for each token, without the output matrix.
    pub layer_macs: u64,
    /// Those by the output matrix, of which a prompt needs one row.
    pub output_macs: u64,
    pub shape: Shape,
}

impl ModelFacts {
    pub fn new(name: String, model: &Model<'_>) -> Self {
        let mut types: Vec<(&str, u64)> = Vec::new();
        let (mut size, mut params, mut layout) = (0, 0, "plain");
        for tensor in model.gguf().tensors() {
            let bytes = tensor.n_bytes().unwrap_or(0);
            size += bytes;
            params += tensor.dims[..tensor.n_dims].iter().product::<u64>();
            if tensor.n_dims > 1 {
                let name = match Layout::from_gguf(tensor.ty) {
                    Some((ty, Layout::Plain)) => ty.name(),
                    Some((ty, Layout::Interleaved)) => {
                        layout = "interleaved";
                        ty.name()
                    }
                    None => gguf_type_name(tensor.ty),
                };
                match types.iter_mut().find(|(ty, _)| *ty == name) {
                    Some((_, sum)) => *sum += bytes,
                    None => types.push((name, bytes)),
                }
            }
        }
        types.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        let weights: Vec<&str> = types.iter().map(|&(name, _)| name).collect();
        let s = model.shape();
        let feed_forward = if s.arch.gated { 3 } else { 2 } * s.n_embd * s.n_ff;
        let attention = s.n_embd * (s.n_qkv() + s.n_embd);
        Self {
            name,
            weights: weights.join("+"),
            layout,
            size,
            params,
            bytes_per_token: model.bytes_per_token(),
            layer_macs: (s.n_layer * (attention + feed_forward)) as u64,
            output_macs: (s.n_embd * s.n_vocab) as u64,
            shape: *s,
        }
    }

    /// Bytes of one key and its value, as stored.
    fn bytes_per_key(&self, kv: KvTypes) -> u64 {
        let row_bytes = |ty: KvType| ty.row_bytes(self.shape.head_dim) as u64;
        row_bytes(kv.keys) + row_bytes(kv.values)
    }
}

/// What is timed: so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Together, as a prompt.
    Prompt(usize),
    /// One by one.
    Generate(usize),
}

impl Test {
    pub fn n_tokens(self) -> usize {
        match self {
            Self::Prompt(n) | Self::Generate(n) => n,
        }
    }
}

/// As llama-bench has it.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(n) => write!(f, "pp{n}"),
            Self::Generate(n) => write!(f, "tg{n}"),
        }
    }
}

/// Keys that one repetition visited; the same in each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// By each query head of each layer: `[n_layer, n_head]`.
    pub by_head: Vec<u64>,
    /// By all query heads of all layers.
    pub visited: u64,
    /// By all KV heads: query heads that share one find in the cache what the first of them read.
    pub read: u64,
    /// What all query heads of all layers would visit without a horizon.
    pub held: u64,
}

impl Keys {
    /// From what each query head of each layer visited, `[n_layer, n_head]`, and what each held.
    pub fn new(shape: &Shape, visited: &[u64], held: u64) -> Self {
        Self {
            by_head: visited.to_vec(),
            visited: visited.iter().sum(),
            read: visited.chunks(shape.heads_per_kv()).filter_map(|heads| heads.iter().max()).sum(),
            held: held * visited.len() as u64,
        }
    }

    pub fn share(&self) -> f64 {
        self.visited as f64 / self.held.max(1) as f64
    }
}

/// How a line is run.
#[derive(Clone, Debug)]
pub struct Setting {
    pub model: Rc<ModelFacts>,
    pub isa: &'static str,
    pub threads: usize,
    pub kv: KvTypes,
    pub batch: usize,
    pub ring: Ring,
    pub horizon_eps: f32,
    /// What is run.
    pub text: String,
    pub depth: usize,
    pub test: Test,
}

/// What the machine could do at most, just before.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Bytes a second.
    pub read_bandwidth: f64,
    /// Of this many bytes.
    pub buffer_bytes: u64,
    /// 8-bit multiplications and additions a second.
    pub int8: f64,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Row {
    pub setting: Setting,
    pub peaks: Option<Peaks>,
    pub keys: Keys,
    /// Of each repetition; at least one.
    pub samples: Vec<Seen>,
}

/// Lowest, middle and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one number.
    fn new(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let n = numbers.len();
        let median = (numbers[(n - 1) / 2] + numbers[n / 2]) / 2.0;
        Self { min: numbers[0], median, max: numbers[n - 1] }
    }
}

impl Row {
    /// Tokens a second.
    pub fn rate(&self) -> Spread {
        Spread::new(self.rates())
    }

    /// Tokens a second, of each repetition.
    pub fn rates(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|seen| self.setting.test.n_tokens() as f64 / seen.seconds)
    }

    /// Bytes of keys and values that a token reads.
    pub fn kv_bytes_per_token(&self) -> f64 {
        let bytes = self.keys.read * self.setting.model.bytes_per_key(self.setting.kv);
        bytes as f64 / self.setting.test.n_tokens() as f64
    }

    /// Bytes of weights, keys and values that a generated token reads, at least.
    pub fn bytes_per_token(&self) -> Option<f64> {
        match self.setting.test {
            Test::Prompt(_) => None,
            Test::Generate(_) => Some(self.setting.model.bytes_per_token as f64 + self.kv_bytes_per_token()),
        }
    }

    /// Share of the read bandwidth that this is. Above 1 when the weights stay in a cache.
    pub fn bandwidth_share(&self) -> Option<f64> {
        Some(self.bytes_per_token()? * self.rate().median / self.peaks?.read_bandwidth)
    }

    /// Multiplications and additions for a token of a prompt: by weights, and with keys and values.
    pub fn macs_per_token(&self) -> Option<[f64; 2]> {
        let (Test::Prompt(n), model) = (self.setting.test, &self.setting.model) else { return None };
        let weights = model.layer_macs as f64 + model.output_macs as f64 / n as f64;
        let attention = 2.0 * (self.keys.visited * model.shape.head_dim as u64) as f64 / n as f64;
        Some([weights, attention])
    }

    /// Of both kinds, a second.
    pub fn macs_per_second(&self) -> Option<f64> {
        Some(self.macs_per_token()?.iter().sum::<f64>() * self.rate().median)
    }

    /// Share of the 8-bit peak that this is.
    pub fn int8_share(&self) -> Option<f64> {
        Some(self.macs_per_second()? / self.peaks?.int8)
    }

    /// The most of a core that others took during a repetition.
    pub fn others(&self) -> Option<f64> {
        self.samples.iter().filter_map(|seen| seen.others).max_by(f64::total_cmp)
    }

    /// Repetitions during which others took more than [`noise::LIMIT`] of a core.
    pub fn n_disturbed(&self) -> usize {
        self.samples.iter().filter(|seen| seen.others.is_some_and(|others| others > noise::LIMIT)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let spread = |numbers: &[f64]| Spread::new(numbers.iter().copied());
        assert_eq!(spread(&[5.0]), Spread { min: 5.0, median: 5.0, max: 5.0 });
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 9.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), Spread { min: 1.0, median: 3.0, max: 9.0 });
    }
}
