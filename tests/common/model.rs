//! Small random models of any shape, as numbers and as GGUF files.

use super::file::File;
use super::reference::gguf_writer::{Value, Writer};
use super::reference::quantize;
use super::reference::weights::{Tensor, bell, random};

/// A model to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// GGUF architecture.
    pub arch: &'static str,
    pub n_vocab: usize,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_head_kv: usize,
    pub head_dim: usize,
    pub n_ff: usize,
    /// Not in the file when `None`.
    pub max_alibi_bias: Option<f32>,
    /// Not in the file when 0.
    pub clamp_kqv: f32,
    /// Every matrix and norm has a bias.
    pub biases: bool,
    /// `attn_q`, `attn_k`, `attn_v` instead of `attn_qkv`.
    pub split_qkv: bool,
    /// Has an `output.weight` of its own.
    pub untied: bool,
    /// Queries, and keys, of a token are normalised.
    pub qk_norm: bool,
    /// Rows of `position_embd.weight`; no such tensor when 0.
    pub n_positions: usize,
    /// Not in the file when `None`.
    pub alibi_train_length: Option<u32>,
    /// Standard deviation of a score `q · k / sqrt(head_dim)`, about: below 1 flat, above 3 sharp.
    pub sharpness: f32,
    pub seed: u64,
}

/// An MPT with 8 heads of 8 columns.
pub const MPT: Spec = Spec {
    arch: "mpt",
    n_vocab: 48,
    n_layer: 2,
    n_head: 8,
    n_head_kv: 8,
    head_dim: 8,
    n_ff: 96,
    max_alibi_bias: Some(8.0),
    clamp_kqv: 0.0,
    biases: false,
    split_qkv: false,
    untied: false,
    qk_norm: false,
    n_positions: 0,
    alibi_train_length: None,
    sharpness: 1.0,
    seed: 1,
};

/// The same as a BLOOM: biases, a norm after the embedding, tanh.
pub const BLOOM: Spec = Spec { arch: "bloom", max_alibi_bias: None, biases: true, ..MPT };

/// The other families, in the same shape.
pub const GPT2: Spec = Spec { arch: "gpt2", max_alibi_bias: None, biases: true, n_positions: 512, ..MPT };
pub const FALCON: Spec = Spec { arch: "falcon", biases: true, ..MPT };
pub const BAICHUAN: Spec = Spec { arch: "baichuan", split_qkv: true, untied: true, ..MPT };
pub const REFACT: Spec =
    Spec { arch: "refact", max_alibi_bias: None, split_qkv: true, untied: true, n_head_kv: 1, ..MPT };
pub const JAIS: Spec = Spec { arch: "jais", biases: true, untied: true, ..MPT };

pub const NORM_EPS: f32 = 1e-5;
pub const N_CTX_TRAIN: u32 = 256;
/// Standard deviation of [`bell`].
const BELL_DEVIATION: f32 = 147.8;

impl Spec {
    pub fn n_embd(&self) -> usize {
        self.n_head * self.head_dim
    }

    pub fn n_embd_kv(&self) -> usize {
        self.n_head_kv * self.head_dim
    }

    /// True if the feed-forward has a gate.
    pub fn is_gated(&self) -> bool {
        matches!(self.arch, "baichuan" | "refact" | "jais")
    }

    /// Every tensor, in the order of the file.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.shapes().into_iter().map(|(name, shape)| self.draw(name, shape)).collect()
    }

    /// Gains around 1, biases around 0, and matrices that keep the size of what they multiply.
    fn draw(&self, name: String, shape: Vec<usize>) -> Tensor {
        let label = format!("{}/{name}", self.seed);
        let normal = bell(&label).map(|k| k as f32 / BELL_DEVIATION);
        let n = shape.iter().product();
        let fan_in = (shape[shape.len() - 1] as f32).sqrt();
        // Queries and keys each get the square root of the sharpness. In a fused matrix the values get it too.
        let gain = match name.rsplit('.').nth(1) {
            Some("attn_q" | "attn_k" | "attn_qkv") => self.sharpness.sqrt(),
            _ => 1.0,
        };
        let data = match shape.len() {
            2 => normal.map(|x| x * gain / fan_in).take(n).collect(),
            _ if name.ends_with("norm.weight") => normal.map(|x| 1.0 + 0.1 * x).take(n).collect(),
            _ => normal.map(|x| 0.1 * x).take(n).collect(),
        };
        Tensor { name, shape, data }
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (d, kv) = (self.n_embd(), self.n_embd_kv());
        let mut shapes = vec![];
        let mut add = |name: &str, shape: &[usize], bias: bool| {
            shapes.push((format!("{name}.weight"), shape.to_vec()));
            if bias {
                shapes.push((format!("{name}.bias"), vec![shape[0]]));
            }
        };
        add("token_embd", &[self.n_vocab, d], false);
        if self.n_positions != 0 {
            add("position_embd", &[self.n_positions, d], false);
        }
        if self.arch == "bloom" {
            add("token_embd_norm", &[d], self.biases);
        }
        for i in 0..self.n_layer {
            add(&format!("blk.{i}.attn_norm"), &[d], self.biases);
            if self.split_qkv {
                add(&format!("blk.{i}.attn_q"), &[d, d], self.biases);
                add(&format!("blk.{i}.attn_k"), &[kv, d], self.biases);
                add(&format!("blk.{i}.attn_v"), &[kv, d], self.biases);
            } else {
                add(&format!("blk.{i}.attn_qkv"), &[d + 2 * kv, d], self.biases);
            }
            if self.qk_norm {
                add(&format!("blk.{i}.attn_q_norm"), &[d], self.biases);
                add(&format!("blk.{i}.attn_k_norm"), &[kv], self.biases);
            }
            add(&format!("blk.{i}.attn_output"), &[d, d], self.biases);
            add(&format!("blk.{i}.ffn_norm"), &[d], self.biases);
            if self.is_gated() {
                add(&format!("blk.{i}.ffn_gate"), &[self.n_ff, d], self.biases);
            }
            add(&format!("blk.{i}.ffn_up"), &[self.n_ff, d], self.biases);
            add(&format!("blk.{i}.ffn_down"), &[d, self.n_ff], self.biases);
        }
        add("output_norm", &[d], self.biases);
        if self.untied {
            add("output", &[self.n_vocab, d], false);
        }
        shapes
    }

    /// The metadata.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let count = |n: usize| Value::U32(n as u32);
        let norm_eps = match self.arch {
            "baichuan" | "refact" => ".attention.layer_norm_rms_epsilon",
            _ => ".attention.layer_norm_epsilon",
        };
        let mut metadata = vec![
            (".context_length", Value::U32(N_CTX_TRAIN)),
            (".embedding_length", count(self.n_embd())),
            (".block_count", count(self.n_layer)),
            (".feed_forward_length", count(self.n_ff)),
            (".attention.head_count", count(self.n_head)),
            (".attention.head_count_kv", count(self.n_head_kv)),
            (norm_eps, Value::F32(NORM_EPS)),
        ];
        if let Some(bias) = self.max_alibi_bias {
            metadata.push((".attention.max_alibi_bias", Value::F32(bias)));
        }
        if let Some(length) = self.alibi_train_length {
            metadata.push((".attention.alibi_train_length", Value::U32(length)));
        }
        if self.clamp_kqv != 0.0 {
            metadata.push((".attention.clamp_kqv", Value::F32(self.clamp_kqv)));
        }
        let architecture = ("general.architecture".into(), Value::string(self.arch));
        let prefixed = metadata.into_iter().map(|(key, value)| (format!("{}{key}", self.arch), value));
        std::iter::once(architecture).chain(prefixed).collect()
    }

    /// Parts of a GGUF file with these tensors, the matrices in one weight type.
    pub fn parts_of(&self, tensors: &[Tensor], weight_type: &str) -> Parts {
        let (matrix, vector) = (quantize::by_name(weight_type), quantize::by_name("F32"));
        let stored = |tensor: &Tensor| {
            let ty = if tensor.is_matrix() { matrix } else { vector };
            let bytes = (ty.quantize)(&tensor.data);
            Stored { name: tensor.name.clone(), shape: tensor.shape.clone(), ty: ty.number, bytes }
        };
        Parts { version: 3, metadata: self.metadata(), tensors: tensors.iter().map(stored).collect() }
    }

    /// A file of these tensors, the matrices in one weight type.
    pub fn file_of(&self, tensors: &[Tensor], weight_type: &str) -> File {
        self.parts_of(tensors, weight_type).file()
    }

    /// Random tokens of the vocabulary.
    pub fn tokens(&self, n: usize) -> Vec<u32> {
        let label = format!("{}/tokens", self.seed);
        random(&label).map(|z| (z % self.n_vocab as u64) as u32).take(n).collect()
    }

    /// The model's file, GGUF version 3.
    pub fn file(&self, weight_type: &str) -> File {
        self.file_of(&self.tensors(), weight_type)
    }
}

/// Parts of a GGUF file, which a test may change before it is written.
#[derive(Clone, Debug)]
pub struct Parts {
    pub version: u32,
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Stored>,
}

/// A tensor as a file holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub name: String,
    /// Rows, then columns.
    pub shape: Vec<usize>,
    /// GGUF's number of the weight type.
    pub ty: u32,
    pub bytes: Vec<u8>,
}

impl Parts {
    pub fn file(&self) -> File {
        let writer = Writer::new(self.version);
        let writer = self.metadata.iter().fold(writer, |file, (key, value)| file.meta(key, value.clone()));
        let tensor = |file: Writer, t: &Stored| file.tensor(&t.name, &t.shape, t.ty, t.bytes.clone());
        File::new(&self.tensors.iter().fold(writer, tensor).finish())
    }

    /// Gives the key another value, or a value.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.into(), value));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.metadata.retain(|(key, _)| key != name);
        self.tensors.retain(|tensor| tensor.name != name);
        self
    }

    /// The tensor of that name.
    pub fn tensor(&mut self, name: &str) -> &mut Stored {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect(name)
    }
}

/// The rows of fused matrices and biases cut into `attn_q`, `attn_k` and `attn_v`; everything else as it is.
pub fn split_qkv(spec: &Spec, tensors: Vec<Tensor>) -> Vec<Tensor> {
    let parts = [("attn_q", spec.n_embd()), ("attn_k", spec.n_embd_kv()), ("attn_v", spec.n_embd_kv())];
    let cut = |tensor: Tensor| -> Vec<Tensor> {
        if !tensor.name.contains("attn_qkv") {
            return vec![tensor];
        }
        let width: usize = tensor.shape[1..].iter().product();
        let mut rows = tensor.data.chunks_exact(width);
        let part = |(name, n): (&str, usize)| Tensor {
            name: tensor.name.replace("attn_qkv", name),
            shape: [&[n], &tensor.shape[1..]].concat(),
            data: rows.by_ref().take(n).flatten().copied().collect(),
        };
        parts.map(part).into()
    };
    tensors.into_iter().flat_map(cut).collect()
}
