//! Bounds of the distance between scores on any text, by the norms of the weights: `plan --certify`.
//!
//! The input of a layer's attention is normalised: `h = g ∘ x + b` with `|x| ≤ sqrt(n_embd)`. A head's query is `q = W h + c`,
//! so
//!
//! ```text
//!   |q| ≤ σ(W diag(g)) sqrt(n_embd) + |W b + c|
//! ```
//!
//! with the largest singular value `σ`; keys likewise. Scores `q · k * scale` then differ by at most `x = 2 |q| |k| scale`, and
//! the share that a ring cuts off by the bias (`nearfield::bias_cut`) is at most `exp(x)` times as large. For clamped queries
//! and keys the clamp bounds the norm, too. Where a model normalises queries and keys once more, the weights of that norm are
//! the bound.
//!
//! Rounding is included. Activations quantized to int8 (32 at a time, each off by at most `amax / 254`) are off by at most
//! `sqrt(32) / 254` of their norm. So are the keys of a q8_0 cache, and the queries that meet int8 keys or those of q4_0. A
//! group of 32 columns in q4_0 is a projection of the group (its scale is the one with the least error), and no longer than the
//! group except for the rounding of the scale to 11 bits.

use std::ops::Range;

use nearfield::kernels::Kernels;
use nearfield::{KvType, Layer, Linear, Model, NormWeights, SessionConfig};

use crate::error::{Context, Result, bail};
use crate::monitor::{Monitor, Unit};

/// Greatest share that int8 blocks add to a norm.
const INT8: f64 = 5.656_854_249_492_381 / 254.0;
/// Greatest share that the rounding of a scale to f16 adds to a norm.
const HALF: f64 = 1.0 / 2048.0;
/// Greatest share that rounding to f32 adds to a sum of products and to a norm, and that the sums below may lack.
const ROUNDING: f64 = 1e-3;
/// Number of squarings of a Gram matrix: `(Σ σ^128)^(1/128)` is at most 1.04 times the largest of 128 singular values.
const N_SQUARINGS: usize = 6;

/// Largest `x` of each KV head over all layers. `[n_head_kv]`
///
/// # Errors
/// When weights are missing or not finite, and when the monitor asks for an end.
pub fn spread(model: &Model<'_>, kernels: &dyn Kernels, config: &SessionConfig, monitor: &Monitor) -> Result<Vec<f64>> {
    let s = model.shape();
    let mut progress = monitor.begin("norms of the weights", Unit::Steps, s.n_layer as u64);
    let (of_query, of_key) = match config.kv.keys {
        KvType::F32 | KvType::F16 => (1.0, 1.0),
        KvType::Q8_0 => (1.0 + INT8, 1.0 + INT8),
        KvType::Q4_0 => (1.0 + INT8, 1.0 + HALF),
    };
    let mut most = vec![0f64; s.n_head_kv];
    for layer in 0..s.n_layer {
        monitor.check()?;
        let layer = model.layer(layer)?.context("a layer is missing")?;
        let rows = Rows::new(&layer, kernels, s.n_embd);
        let clamped = s.clamp_kqv.map_or(f64::INFINITY, |limit| f64::from(limit) * (s.head_dim as f64).sqrt());
        // Bound of the head that begins with row `first` of the rows normalised together, which begin at row `before` of all.
        let norm = |before: usize, first: usize, after: Option<NormWeights<'_>>| -> Result<f64> {
            let bound = match after {
                Some(weights) => normalised(&weights, first..first + s.head_dim),
                None => rows.norm(before + first, s.head_dim)?.min(clamped),
            };
            Ok(bound)
        };
        for (head, most) in most.iter_mut().enumerate() {
            let n = s.heads_per_kv();
            let mut query = 0f64;
            for head in head * n..(head + 1) * n {
                query = query.max(norm(0, head * s.head_dim, layer.q_norm)?);
            }
            let key = norm(s.n_embd, head * s.head_dim, layer.k_norm)?;
            *most = most.max(2.0 * query * key * of_query * of_key * f64::from(s.attention_scale()) * (1.0 + ROUNDING));
        }
        progress.advance();
    }
    if most.iter().any(|x| !x.is_finite()) {
        bail!("the weights are not all finite");
    }
    Ok(most)
}

/// Rows of queries, keys and values of a layer, one after another.
struct Rows<'l, 'f> {
    linears: &'l [Linear<'f>],
    kernels: &'l dyn Kernels,
    norm: &'l NormWeights<'f>,
    /// Norm of the input: `sqrt(n_embd)`.
    input: f64,
}

impl<'l, 'f> Rows<'l, 'f> {
    fn new(layer: &'l Layer<'f>, kernels: &'l dyn Kernels, n_embd: usize) -> Self {
        // Every field is named here, so that a new one between the norm and the scores does not compile until it is in the
        // bound.
        let Layer {
            attn_norm,
            qkv,
            q_norm: _,
            k_norm: _,
            attn_output: _,
            ffn_norm: _,
            ffn_gate: _,
            ffn_up: _,
            ffn_down: _,
        } = layer;
        Self { linears: qkv.linears(), kernels, norm: attn_norm, input: (n_embd as f64).sqrt() }
    }

    /// Matrix that row `i` of all belongs to, and the row's number in it.
    fn find(&self, mut i: usize) -> Option<(&'l Linear<'f>, usize)> {
        for linear in self.linears {
            if i < linear.weight.n_rows() {
                return Some((linear, i));
            }
            i -= linear.weight.n_rows();
        }
        None
    }

    /// Bound on the norm of the outputs of `n` rows from `first` on, for any normalised input.
    fn norm(&self, first: usize, n: usize) -> Result<f64> {
        let (gain, shift) = (self.norm.weight, self.norm.bias);
        let n_columns = gain.len();
        let mut scaled = Vec::with_capacity(n * n_columns);
        let (mut constant, mut all, mut is_quantized) = (0.0, 0.0, false);
        let mut row = vec![0.0; n_columns];
        for i in first..first + n {
            let Some((linear, i)) = self.find(i) else { bail!("the weights have too few rows") };
            self.kernels.dequantize_row(&linear.weight, i, &mut row);
            is_quantized |= linear.weight.ty().is_quantized();
            let from_shift = shift.map_or(0.0, |shift| dot(&as_f64(&row), &as_f64(shift)));
            let bias = linear.bias.and_then(|bias| bias.get(i)).map_or(0.0, |&bias| f64::from(bias));
            constant += (from_shift + bias).powi(2);
            all += row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
            scaled.extend(row.iter().zip(gain).map(|(&w, &g)| f64::from(w) * f64::from(g)));
        }
        let bound = singular(&scaled, n_columns) * self.input + constant.sqrt();
        let largest = gain.iter().fold(0f64, |most, &g| most.max(f64::from(g).abs()));
        let input = largest * self.input + shift.map_or(0.0, |shift| dot(&as_f64(shift), &as_f64(shift)).sqrt());
        let quantized = if is_quantized { INT8 * all.sqrt() * input } else { 0.0 };
        Ok((bound + quantized) * (1.0 + ROUNDING))
    }
}

/// Bound on the norm of some columns of a normalised row.
fn normalised(weights: &NormWeights<'_>, columns: Range<usize>) -> f64 {
    let most = |x: &[f32]| x.iter().fold(0f64, |most, &x| most.max(f64::from(x).abs()));
    let gain = weights.weight.get(columns.clone()).map_or(f64::INFINITY, most);
    let shift =
        weights.bias.and_then(|bias| bias.get(columns)).map_or(0.0, |bias| dot(&as_f64(bias), &as_f64(bias)).sqrt());
    (gain * (weights.weight.len() as f64).sqrt() + shift) * (1.0 + ROUNDING)
}

fn as_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// Upper bound of the largest singular value of rows of `n_columns`: `tr(G^(2^k))^(1 / 2^(k+1))` of their Gram matrix `G`.
fn singular(rows: &[f64], n_columns: usize) -> f64 {
    let n = rows.len() / n_columns.max(1);
    let row = |i: usize| &rows[i * n_columns..(i + 1) * n_columns];
    let mut gram: Vec<f64> =
        (0..n * n).map(|at| if at % n <= at / n { dot(row(at / n), row(at % n)) } else { 0.0 }).collect();
    mirror(&mut gram, n);
    // Logarithm of the factor that was taken out.
    let mut scale = 0.0;
    let mut power = 1.0;
    for _ in 0..N_SQUARINGS {
        let most = gram.iter().fold(0f64, |most, x| most.max(x.abs()));
        if most == 0.0 {
            return 0.0;
        }
        gram.iter_mut().for_each(|x| *x /= most);
        scale += most.ln() / power;
        gram = square(&gram, n);
        power *= 2.0;
    }
    let trace: f64 = (0..n).map(|i| gram[i * n + i]).sum();
    ((scale + trace.ln() / power) / 2.0).exp()
}

/// Square of a symmetric matrix `[n, n]`.
fn square(a: &[f64], n: usize) -> Vec<f64> {
    let row = |i: usize| &a[i * n..(i + 1) * n];
    let mut out: Vec<f64> =
        (0..n * n).map(|at| if at % n <= at / n { dot(row(at / n), row(at % n)) } else { 0.0 }).collect();
    mirror(&mut out, n);
    out
}

/// Copies the half below the diagonal to above it.
fn mirror(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in i + 1..n {
            a[i * n + j] = a[j * n + i];
        }
    }
}

/// Dot product in eight partial sums, which the compiler vectorizes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
