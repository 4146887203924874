//! Small random encoders: as numbers, as GGUF files, and as a literal forward pass in f64 that shares nothing with the library.
//!
//! Post-norm BERT with ALiBi on both sides and a gated feed-forward, as in Jina's `modeling_bert.py` (Günther et al. 2023,
//! arXiv 2310.19923) and, with norms of queries and keys, `jina-bert-v2-qk-post-norm`.

use std::collections::HashMap;

use nearfield::kernels::{Kernels, best};
use nearfield::{Arena, Encoder, EncoderConfig, EncoderPlan, Executor, Inline, KvType, Line, Model};

use super::file::File;
use super::literal::{add, dot, slopes, softmax};
use super::model::{Parts, Stored};
use super::reference::gguf_writer::Value;
use super::reference::quantize;
use super::reference::weights::{Tensor, bell, random};

/// An encoder to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    pub n_vocab: usize,
    pub n_layer: usize,
    pub n_head: usize,
    pub head_dim: usize,
    pub n_ff: usize,
    /// 0 for none.
    pub n_token_types: usize,
    /// Norms of queries and keys, and one more of the stream.
    pub code: bool,
    /// Has a head for scores.
    pub reranker: bool,
    pub max_alibi_bias: f32,
    /// Standard deviation of a score `q · k / sqrt(head_dim)`, about.
    pub sharpness: f32,
    pub seed: u64,
}

/// A Jina with 8 heads of 8 columns.
pub const JINA: Spec = Spec {
    n_vocab: 48,
    n_layer: 2,
    n_head: 8,
    head_dim: 8,
    n_ff: 96,
    n_token_types: 2,
    code: false,
    reranker: false,
    max_alibi_bias: 8.0,
    sharpness: 1.0,
    seed: 1,
};

/// 1e-12 in the checkpoints, which no test could tell from 0.
const NORM_EPS: f32 = 1e-5;

impl Spec {
    pub fn n_embd(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Every tensor, in the order of the file.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.shapes().into_iter().map(|(name, shape)| self.draw(name, shape)).collect()
    }

    /// Gains around 1, biases around 0, and matrices that keep the size of what they multiply.
    fn draw(&self, name: String, shape: Vec<usize>) -> Tensor {
        let label = format!("{}/{name}", self.seed);
        let normal = bell(&label).map(|k| k as f32 / 147.8);
        let fan_in = (shape[shape.len() - 1] as f32).sqrt();
        let gain = if name.contains("attn_q.") || name.contains("attn_k.") { self.sharpness.sqrt() } else { 1.0 };
        let is_gain = name.contains("norm") && name.ends_with("weight");
        let value = |x: f32| match shape.len() {
            2 => x * gain / fan_in,
            _ if is_gain => 1.0 + 0.1 * x,
            _ => 0.1 * x,
        };
        let data = normal.map(value).take(shape.iter().product()).collect();
        Tensor { name, shape, data }
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.n_embd();
        let mut shapes = vec![];
        let mut add = |name: String, shape: &[usize], bias: bool| {
            shapes.push((format!("{name}.weight"), shape.to_vec()));
            if bias {
                shapes.push((format!("{name}.bias"), vec![shape[0]]));
            }
        };
        add("token_embd".into(), &[self.n_vocab, d], false);
        if self.n_token_types > 0 {
            add("token_types".into(), &[self.n_token_types, d], false);
        }
        add("token_embd_norm".into(), &[d], true);
        for i in 0..self.n_layer {
            for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
                add(format!("blk.{i}.{name}"), &[d, d], true);
            }
            add(format!("blk.{i}.attn_output_norm"), &[d], true);
            add(format!("blk.{i}.ffn_gate"), &[self.n_ff, d], false);
            add(format!("blk.{i}.ffn_up"), &[self.n_ff, d], false);
            add(format!("blk.{i}.ffn_down"), &[d, self.n_ff], true);
            add(format!("blk.{i}.layer_output_norm"), &[d], true);
            if self.code {
                for name in ["attn_q_norm", "attn_k_norm", "attn_norm_2"] {
                    add(format!("blk.{i}.{name}"), &[d], true);
                }
            }
        }
        if self.reranker {
            add("cls".into(), &[d, d], true);
            add("cls.output".into(), &[1, d], true);
        }
        shapes
    }

    /// Parts of a GGUF file of this model, with its matrices in one weight type.
    pub fn parts(&self, weight_type: &str) -> Parts {
        self.parts_of(&self.tensors(), weight_type)
    }

    /// The same, of these tensors.
    pub fn parts_of(&self, tensors: &[Tensor], weight_type: &str) -> Parts {
        let count = |n: usize| Value::U32(n as u32);
        let metadata = [
            ("general.architecture", Value::string("jina-bert-v2")),
            ("jina-bert-v2.context_length", count(8192)),
            ("jina-bert-v2.embedding_length", count(self.n_embd())),
            ("jina-bert-v2.block_count", count(self.n_layer)),
            ("jina-bert-v2.feed_forward_length", count(self.n_ff)),
            ("jina-bert-v2.attention.head_count", count(self.n_head)),
            ("jina-bert-v2.attention.layer_norm_epsilon", Value::F32(NORM_EPS)),
            ("jina-bert-v2.attention.max_alibi_bias", Value::F32(self.max_alibi_bias)),
            ("jina-bert-v2.attention.causal", Value::Bool(false)),
            ("jina-bert-v2.pooling_type", count(if self.reranker { 4 } else { 1 })),
        ];
        let (matrix, vector) = (quantize::by_name(weight_type), quantize::by_name("F32"));
        let stored = |tensor: &Tensor| {
            let ty = if tensor.is_matrix() { matrix } else { vector };
            let bytes = (ty.quantize)(&tensor.data);
            Stored { name: tensor.name.clone(), shape: tensor.shape.clone(), ty: ty.number, bytes }
        };
        Parts {
            version: 3,
            metadata: metadata.map(|(key, value)| (key.into(), value)).into(),
            tensors: tensors.iter().map(stored).collect(),
        }
    }

    pub fn file(&self, weight_type: &str) -> File {
        self.parts(weight_type).file()
    }

    /// Random tokens of the vocabulary.
    pub fn tokens(&self, n: usize) -> Vec<u32> {
        let label = format!("{}/tokens", self.seed);
        random(&label).map(|z| (z % self.n_vocab as u64) as u32).take(n).collect()
    }
}

/// Distance of a query from a key, from their positions.
pub type Distance = fn(usize, usize) -> f64;

/// The forward pass, with parts that a test may change to see that the change shows.
pub struct Literal {
    spec: Spec,
    tensors: HashMap<String, Vec<f64>>,
    slopes: Vec<f64>,
    /// Factor of the slope; infinite where a query does not see a key.
    pub distance: Distance,
}

impl Literal {
    pub fn new(spec: &Spec) -> Self {
        let wide = |t: Tensor| (t.name, t.data.iter().map(|&x| f64::from(x)).collect());
        Self {
            spec: *spec,
            tensors: spec.tensors().into_iter().map(wide).collect(),
            slopes: slopes(spec.n_head, f64::from(spec.max_alibi_bias)),
            distance: |i, j| i.abs_diff(j) as f64,
        }
    }

    /// A row for each token, those from `second` on of the second type.
    pub fn rows(&self, tokens: &[u32], second: usize) -> Vec<Vec<f64>> {
        let types = tokens.iter().enumerate().map(|(i, &token)| (token as usize, usize::from(i >= second)));
        let mut x: Vec<Vec<f64>> = types.map(|(token, ty)| self.embed(token, ty)).collect();
        for i in 0..self.spec.n_layer {
            x = self.layer(&format!("blk.{i}."), &x);
        }
        x
    }

    pub fn score(&self, tokens: &[u32], second: usize) -> f64 {
        let pooled = self.linear("cls", &self.rows(tokens, second)[0]);
        self.linear("cls.output", &pooled.into_iter().map(f64::tanh).collect::<Vec<_>>())[0]
    }

    fn embed(&self, token: usize, ty: usize) -> Vec<f64> {
        let n = self.spec.n_embd();
        let mut x = self.tensors["token_embd.weight"][token * n..][..n].to_vec();
        if self.spec.n_token_types > 0 {
            add(&mut x, &self.tensors["token_types.weight"][ty * n..][..n]);
        }
        self.norm("token_embd_norm", &x)
    }

    fn layer(&self, at: &str, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let project = |name: &str, norm: bool| -> Vec<Vec<f64>> {
            let project = |x: &Vec<f64>| self.linear(&format!("{at}attn_{name}"), x);
            let norm = |x: Vec<f64>| if norm { self.norm(&format!("{at}attn_{name}_norm"), &x) } else { x };
            x.iter().map(project).map(norm).collect()
        };
        let (q, k, v) = (project("q", self.spec.code), project("k", self.spec.code), project("v", false));
        let row = |(i, x): (usize, &Vec<f64>)| {
            let mut y = self.linear(&format!("{at}attn_output"), &self.attend(i, &q[i], &k, &v));
            add(&mut y, x);
            let mut y = self.norm(&format!("{at}attn_output_norm"), &y);
            if self.spec.code {
                add(&mut y, x);
                y = self.norm(&format!("{at}attn_norm_2"), &y);
            }
            let gate = self.linear(&format!("{at}ffn_gate"), &y);
            let up = self.linear(&format!("{at}ffn_up"), &y);
            let gelu = |x: f64| 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2));
            let gated: Vec<f64> = gate.iter().zip(&up).map(|(&g, u)| gelu(g) * u).collect();
            let mut z = self.linear(&format!("{at}ffn_down"), &gated);
            add(&mut z, &y);
            self.norm(&format!("{at}layer_output_norm"), &z)
        };
        x.iter().enumerate().map(row).collect()
    }

    /// Attention of the query at position `i` to all keys, for each head.
    fn attend(&self, i: usize, q: &[f64], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<f64> {
        let width = self.spec.head_dim;
        let mut out = vec![];
        for (head, (q, slope)) in q.chunks(width).zip(&self.slopes).enumerate() {
            let at = head * width..(head + 1) * width;
            let score = |(j, k): (usize, &Vec<f64>)| match (self.distance)(i, j) {
                f64::INFINITY => f64::NEG_INFINITY,
                distance => dot(q, &k[at.clone()]) / (width as f64).sqrt() - slope * distance,
            };
            let probs = softmax(&k.iter().enumerate().map(score).collect::<Vec<_>>());
            out.extend(at.clone().map(|c| probs.iter().zip(v).map(|(p, v)| p * v[c]).sum::<f64>()));
        }
        out
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let rows = self.tensors[&format!("{name}.weight")].chunks_exact(x.len());
        let mut y: Vec<f64> = rows.map(|row| dot(row, x)).collect();
        if let Some(bias) = self.tensors.get(&format!("{name}.bias")) {
            add(&mut y, bias);
        }
        y
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let scale = 1.0 / (variance + f64::from(NORM_EPS)).sqrt();
        let [weight, bias] = ["weight", "bias"].map(|kind| &self.tensors[&format!("{name}.{kind}")]);
        x.iter().zip(weight).zip(bias).map(|((x, w), b)| (x - mean) * scale * w + b).collect()
    }
}

/// Settings of an encoder's run.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub config: EncoderConfig,
    pub kernels: &'a dyn Kernels,
    pub executor: &'a dyn Executor,
}

impl Default for Setup<'_> {
    /// The fastest kernels, one worker, f32 keys and values, every key visited.
    fn default() -> Self {
        let (kv, horizon_eps) = (KvType::F32.into(), 0.0);
        let config = EncoderConfig { n_ctx: 512, n_batch: 512, n_documents: 1, kv, horizon_eps };
        Self { config, kernels: best(), executor: &Inline }
    }
}

impl Setup<'_> {
    /// Calls `run` with a new encoder, in an arena of exactly the planned size that held something else before.
    ///
    /// # Panics
    /// When there can be no such encoder.
    pub fn encoder<R>(&self, file: &[u8], run: impl FnOnce(&mut Encoder<'_, '_, '_>) -> R) -> R {
        let model = Model::from_gguf(file).unwrap_or_else(|error| panic!("{error}"));
        let plan = EncoderPlan::new(model.shape(), &self.config).unwrap_or_else(|error| panic!("{error}"));
        let mut lines = vec![Line::ZERO; plan.n_lines()];
        super::run::soil(&mut lines);
        let mut arena = Arena::new(&mut lines);
        let encoder = Encoder::new(&model, self.config, self.kernels, self.executor, &mut arena);
        let mut encoder = encoder.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(arena.free_bytes(), plan.tokenizer, "the encoder leaves what the plan keeps for the tokenizer");
        run(&mut encoder)
    }

    /// The rows of a document.
    pub fn rows(&self, file: &[u8], tokens: &[u32]) -> Vec<Vec<f32>> {
        self.encoder(file, |encoder| rows(encoder, tokens))
    }

    pub fn with(self, change: impl FnOnce(&mut EncoderConfig)) -> Self {
        let mut config = self.config;
        change(&mut config);
        Self { config, ..self }
    }
}

/// The rows of a document.
pub fn rows(encoder: &mut Encoder<'_, '_, '_>, tokens: &[u32]) -> Vec<Vec<f32>> {
    let rows = encoder.rows(tokens).unwrap_or_else(|error| panic!("{error}"));
    rows.chunks_exact(rows.len() / tokens.len()).map(<[f32]>::to_vec).collect()
}
