//! A literal forward pass in f64, written down from the papers and slow on purpose. It shares nothing with the library.
//!
//! Press, Smith & Lewis 2021 (slopes as in their reference code, `get_slopes`); BLOOM, MPT, GPT-2 and Falcon as in
//! `transformers`; Baichuan, Refact, Jais and BTLM after their papers and model cards.

use std::collections::HashMap;

use half::bf16;

use super::model::{NORM_EPS, Spec};
use super::reference::weights::Tensor;

/// A model, with parts that a test may change to see that the change shows.
pub struct Literal {
    pub spec: Spec,
    tensors: HashMap<String, Vec<f64>>,
    slopes: Vec<f64>,
    /// Factor of the slope, for two positions at this distance.
    pub distance: fn(usize) -> f64,
    /// GELU with erf instead of tanh.
    pub exact_gelu: bool,
    /// Slope, position of the key and their product rounded to bfloat16.
    pub bf16: bool,
    /// Factor of all slopes.
    pub slope_scale: f64,
    pub norm_eps: f64,
}

impl Literal {
    pub fn new(spec: &Spec, tensors: &[Tensor]) -> Self {
        let wide = |t: &Tensor| (t.name.clone(), t.data.iter().map(|&x| f64::from(x)).collect());
        let max_bias = if spec.arch == "gpt2" { 0.0 } else { spec.max_alibi_bias.unwrap_or(8.0) };
        Self {
            spec: *spec,
            tensors: tensors.iter().map(wide).collect(),
            slopes: if max_bias == 0.0 { vec![0.0; spec.n_head] } else { slopes(spec.n_head, max_bias.into()) },
            distance: |d| d as f64,
            exact_gelu: spec.arch != "bloom" && spec.arch != "gpt2",
            bf16: false,
            slope_scale: 1.0,
            norm_eps: f64::from(NORM_EPS),
        }
    }

    pub fn set_max_bias(&mut self, max_bias: f64) {
        self.slopes = slopes(self.spec.n_head, max_bias);
    }

    /// Each position takes the vector of the next.
    pub fn move_positions(&mut self) {
        let n = self.spec.n_embd();
        self.tensors.get_mut("position_embd.weight").expect("learned positions").rotate_left(n);
    }

    /// The logits after each of `tokens`.
    pub fn logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        self.logits_from(tokens, 0)
    }

    /// The logits after the tokens from `first` on. The last layer is computed for these alone.
    pub fn logits_from(&self, tokens: &[u32], first: usize) -> Vec<Vec<f64>> {
        let mut x: Vec<Vec<f64>> =
            tokens.iter().enumerate().map(|(pos, &token)| self.embed(token as usize, pos)).collect();
        for layer in 0..self.spec.n_layer {
            let from = if layer + 1 == self.spec.n_layer { first } else { 0 };
            let qkv: Vec<Vec<f64>> = x.iter().map(|x| self.qkv(layer, x)).collect();
            for pos in from..x.len() {
                let attended = self.attend(&qkv[..=pos]);
                let y = self.linear(&format!("blk.{layer}.attn_output"), &attended);
                add(&mut x[pos], &y);
                let h = self.norm(&format!("blk.{layer}.ffn_norm"), &x[pos]);
                let up = self.linear(&format!("blk.{layer}.ffn_up"), &h);
                let up: Vec<f64> = if self.spec.is_gated() {
                    let gate = self.linear(&format!("blk.{layer}.ffn_gate"), &h);
                    up.iter().zip(gate).map(|(up, gate)| up * gate / (1.0 + (-gate).exp())).collect()
                } else {
                    up.into_iter().map(|x| self.gelu(x)).collect()
                };
                let y = self.linear(&format!("blk.{layer}.ffn_down"), &up);
                add(&mut x[pos], &y);
            }
        }
        x[first..].iter().map(|x| self.output(x)).collect()
    }

    fn embed(&self, token: usize, pos: usize) -> Vec<f64> {
        let n = self.spec.n_embd();
        let mut x = self.tensors["token_embd.weight"][token * n..][..n].to_vec();
        if let Some(positions) = self.tensors.get("position_embd.weight") {
            add(&mut x, &positions[pos * n..][..n]);
        }
        if self.spec.arch == "bloom" { self.norm("token_embd_norm", &x) } else { x }
    }

    fn output(&self, x: &[f64]) -> Vec<f64> {
        let matrix = if self.spec.untied { "output" } else { "token_embd" };
        self.linear(matrix, &self.norm("output_norm", x))
    }

    fn qkv(&self, layer: usize, x: &[f64]) -> Vec<f64> {
        let h = self.norm(&format!("blk.{layer}.attn_norm"), x);
        let names: &[&str] = if self.spec.split_qkv { &["attn_q", "attn_k", "attn_v"] } else { &["attn_qkv"] };
        let mut qkv: Vec<f64> = names.iter().flat_map(|name| self.linear(&format!("blk.{layer}.{name}"), &h)).collect();
        let limit = f64::from(self.spec.clamp_kqv);
        if limit > 0.0 {
            qkv.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        }
        if self.spec.qk_norm {
            let values = qkv.split_off(self.spec.n_embd() + self.spec.n_embd_kv());
            let keys = qkv.split_off(self.spec.n_embd());
            let normed = self.norm(&format!("blk.{layer}.attn_q_norm"), &qkv);
            qkv = [normed, self.norm(&format!("blk.{layer}.attn_k_norm"), &keys), values].concat();
        }
        qkv
    }

    /// Attention of the last position to all positions, for each head.
    fn attend(&self, qkv: &[Vec<f64>]) -> Vec<f64> {
        let s = &self.spec;
        let query = &qkv[qkv.len() - 1];
        let mut out = vec![];
        for head in 0..s.n_head {
            let q = &query[head * s.head_dim..][..s.head_dim];
            let kv_head = head / (s.n_head / s.n_head_kv);
            let key_at = s.n_embd() + kv_head * s.head_dim;
            let value_at = key_at + s.n_embd_kv();
            let scale = if s.arch == "jais" { s.head_dim as f64 } else { (s.head_dim as f64).sqrt() };
            let score = |(j, row): (usize, &Vec<f64>)| {
                let (product, bias) = (dot(q, &row[key_at..][..s.head_dim]), self.bias(head, qkv.len() - 1, j));
                if s.arch == "falcon" { (product + bias) / scale } else { product / scale + bias }
            };
            let probs = softmax(&qkv.iter().enumerate().map(score).collect::<Vec<_>>());
            for i in 0..s.head_dim {
                out.push(probs.iter().zip(qkv).map(|(p, row)| p * row[value_at + i]).sum());
            }
        }
        out
    }

    /// Bias of the key at `key` for the query at `pos`.
    fn bias(&self, head: usize, pos: usize, key: usize) -> f64 {
        let shrink = self.spec.alibi_train_length.map_or(1.0, |n| (f64::from(n) / (pos + 1) as f64).min(1.0));
        let slope = self.slopes[head] * shrink * self.slope_scale;
        if self.bf16 {
            let round = |x: f64| bf16::from_f32(x as f32).to_f64();
            return round(round(slope) * round(key as f64));
        }
        -slope * (self.distance)(pos - key)
    }

    /// `W x + b`, with the bias if there is one.
    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mut y: Vec<f64> =
            self.tensors[&format!("{name}.weight")].chunks_exact(x.len()).map(|row| dot(row, x)).collect();
        if let Some(bias) = self.tensors.get(&format!("{name}.bias")) {
            add(&mut y, bias);
        }
        y
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = if self.spec.arch == "baichuan" { 0.0 } else { x.iter().sum::<f64>() / n };
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let weight = &self.tensors[&format!("{name}.weight")];
        let scale = 1.0 / (variance + self.norm_eps).sqrt();
        let mut y: Vec<f64> = x.iter().zip(weight).map(|(x, w)| (x - mean) * scale * w).collect();
        if let Some(bias) = self.tensors.get(&format!("{name}.bias")) {
            add(&mut y, bias);
        }
        y
    }

    fn gelu(&self, x: f64) -> f64 {
        if self.exact_gelu {
            return 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2));
        }
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
    }
}

/// `get_slopes` of the ALiBi reference code, with 8 as a parameter.
pub(super) fn slopes(n: usize, max_bias: f64) -> Vec<f64> {
    if n.is_power_of_two() {
        let start = 2f64.powf(-max_bias / n as f64);
        return (0..n).map(|i| start * start.powi(i as i32)).collect();
    }
    let closest = 1 << n.ilog2();
    let mut all = slopes(closest, max_bias);
    all.extend(slopes(2 * closest, max_bias).into_iter().step_by(2).take(n - closest));
    all
}

pub(super) fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| e / sum).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
