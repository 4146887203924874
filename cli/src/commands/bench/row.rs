//! Row of the results: the setting, the measurements, and the numbers derived from them.

use std::fmt;
use std::rc::Rc;

use nearfield::kernels::Layout;
use nearfield::{KvType, KvTypes, Model, Ring, Shape};
use nearfield_kernels::block::gguf_type_name;

use super::noise::{self, Seen};

/// Facts about a model, shared by all of its rows.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Name of its file.
    pub name: String,
    /// Types of its matrices, those with the most bytes first.
    pub weights: String,
    /// `interleaved` if the rows of any matrix are, else `plain`.
    pub layout: &'static str,
    /// Bytes of its tensors.
    pub size: u64,
    /// Numbers in its tensors.
    pub params: u64,
    /// Bytes of weights that a new token reads.
    pub bytes_per_token: u64,
    /// Multiplications by weights for each token, without the output matrix.
    pub layer_macs: u64,
    /// Multiplications by the output matrix for each row of logits; a prompt needs one row.
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

/// Timed test, with its number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Tokens processed together, as a prompt.
    Prompt(usize),
    /// Tokens processed one by one, as in generation.
    Generate(usize),
    /// Texts that an encoder embeds.
    Embed {
        n_texts: usize,
        /// Tokens of each text.
        n_tokens: usize,
    },
}

impl Test {
    pub fn n_tokens(self) -> usize {
        match self {
            Self::Prompt(n) | Self::Generate(n) => n,
            Self::Embed { n_texts, n_tokens } => n_texts * n_tokens,
        }
    }
}

/// Writes the test as llama-bench does: `pp512`, `tg64`; `embed64x20` for 64 texts of 20 tokens.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(n) => write!(f, "pp{n}"),
            Self::Generate(n) => write!(f, "tg{n}"),
            Self::Embed { n_texts, n_tokens } => write!(f, "embed{n_texts}x{n_tokens}"),
        }
    }
}

/// Keys that one repetition visited, in all sequences; all repetitions visit the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Keys visited by each query head of each layer: `[n_layer, n_head]`.
    pub by_head: Vec<u64>,
    /// Keys visited by all query heads of all layers.
    pub visited: u64,
    /// Keys read by all KV heads: query heads that share a KV head find the keys in the cache that the first of them read.
    pub read: u64,
    /// Keys that all query heads of all layers would visit without a horizon.
    pub held: u64,
}

impl Keys {
    /// Adds those of another sequence.
    pub fn add(&mut self, other: &Self) {
        self.by_head.resize(other.by_head.len(), 0);
        self.by_head.iter_mut().zip(&other.by_head).for_each(|(sum, n)| *sum += n);
        self.visited += other.visited;
        self.read += other.read;
        self.held += other.held;
    }

    /// Sums up the keys visited by each query head of each layer, `[n_layer, n_head]`, and the keys held by each.
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

/// Setting of a row.
#[derive(Clone, Debug)]
pub struct Setting {
    pub model: Rc<ModelFacts>,
    pub isa: &'static str,
    pub threads: usize,
    pub kv: KvTypes,
    pub batch: usize,
    /// Sequences that run the test together.
    pub n_sequences: usize,
    pub ring: Ring,
    pub horizon_eps: f32,
    /// Name of the text.
    pub text: String,
    pub depth: usize,
    pub test: Test,
}

impl Setting {
    /// Name of the test, with the number of sequences if there are several: `tg64 x4`.
    pub fn name(&self) -> String {
        if self.n_sequences == 1 { self.test.to_string() } else { format!("{} x{}", self.test, self.n_sequences) }
    }

    /// Tokens of a repetition, those of all sequences together.
    pub fn n_tokens(&self) -> usize {
        self.test.n_tokens() * self.n_sequences
    }
}

/// Peaks of the machine, measured just before.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Bytes read in a second.
    pub read_bandwidth: f64,
    /// Bytes of the buffer that was read.
    pub buffer_bytes: u64,
    /// Multiply-accumulates of 8-bit numbers in a second.
    pub int8: f64,
}

/// Row of the results.
#[derive(Clone, Debug)]
pub struct Row {
    pub setting: Setting,
    pub peaks: Option<Peaks>,
    pub keys: Keys,
    /// Measurements of each repetition; at least one.
    pub samples: Vec<Seen>,
}

/// Lowest number, median and highest number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// Spread of `numbers`. Panics if there are none.
    fn new(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let n = numbers.len();
        let median = (numbers[(n - 1) / 2] + numbers[n / 2]) / 2.0;
        Self { min: numbers[0], median, max: numbers[n - 1] }
    }
}

impl Row {
    /// Tokens per second.
    pub fn tokens_per_second(&self) -> Spread {
        Spread::new(self.rates())
    }

    /// Tokens per second of each repetition.
    pub fn rates(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|seen| self.setting.n_tokens() as f64 / seen.seconds)
    }

    /// Bytes of keys and values that a token reads.
    pub fn kv_bytes_per_token(&self) -> f64 {
        let bytes = self.keys.read * self.setting.model.bytes_per_key(self.setting.kv);
        bytes as f64 / self.setting.n_tokens() as f64
    }

    /// Bytes of weights, keys and values that a generated token reads, at least: sequences share the weights.
    pub fn bytes_per_token(&self) -> Option<f64> {
        match self.setting.test {
            Test::Prompt(_) | Test::Embed { .. } => None,
            Test::Generate(_) => {
                let weights = self.setting.model.bytes_per_token as f64 / self.setting.n_sequences as f64;
                Some(weights + self.kv_bytes_per_token())
            }
        }
    }

    /// Bytes read per second as a share of the read bandwidth. Above 1 when the weights stay in a cache.
    pub fn bandwidth_share(&self) -> Option<f64> {
        Some(self.bytes_per_token()? * self.tokens_per_second().median / self.peaks?.read_bandwidth)
    }

    /// Texts per second of an encoder.
    pub fn texts_per_second(&self) -> Option<f64> {
        match self.setting.test {
            Test::Embed { n_tokens, .. } => Some(self.tokens_per_second().median / n_tokens as f64),
            Test::Prompt(_) | Test::Generate(_) => None,
        }
    }

    /// Multiply-accumulates for a token of a prompt or a text: by weights, and with keys and values.
    pub fn macs_per_token(&self) -> Option<[f64; 2]> {
        let model = &self.setting.model;
        let (n, output_macs) = match self.setting.test {
            Test::Prompt(n) => (n, model.output_macs),
            test @ Test::Embed { .. } => (test.n_tokens(), 0),
            Test::Generate(_) => return None,
        };
        let weights = model.layer_macs as f64 + output_macs as f64 / n as f64;
        let attention = 2.0 * (self.keys.visited * model.shape.head_dim as u64) as f64 / self.setting.n_tokens() as f64;
        Some([weights, attention])
    }

    /// Multiply-accumulates of both kinds per second.
    pub fn macs_per_second(&self) -> Option<f64> {
        Some(self.macs_per_token()?.iter().sum::<f64>() * self.tokens_per_second().median)
    }

    /// Multiply-accumulates per second as a share of the 8-bit peak.
    pub fn int8_share(&self) -> Option<f64> {
        Some(self.macs_per_second()? / self.peaks?.int8)
    }

    /// Largest share of a core that other processes took during a repetition.
    pub fn others(&self) -> Option<f64> {
        self.samples.iter().filter_map(|seen| seen.others).max_by(f64::total_cmp)
    }

    /// Repetitions during which other processes took more than [`noise::LIMIT`] of a core.
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
