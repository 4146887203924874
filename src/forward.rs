//! The forward pass: embedding, layers, output. Read top to bottom.
//!
//! ```text
//!   x = embed(tokens)                      [n_tokens, n_embd]
//!   for each layer:
//!     q, k, v = W_qkv norm(x)              [n_tokens, n_qkv]      k, v go to the cache
//!     x += W_o attention(q, cache)         [n_tokens, n_embd]     bias -slope * distance, made on the fly
//!     x += W_down f(W_up norm(x))          [n_tokens, n_ff] between
//!   logits = W_out norm(x)                 [n_vocab], of one token
//! ```

use core::slice::{ChunksExact, ChunksExactMut};
use core::sync::atomic::{AtomicU32, Ordering};

use nearfield_kernels::{Activations, BlockQ8, ColumnsMut, Kernels, Parts, QK, Query, RowsMut, Tiles};

use crate::alibi;
use crate::architecture::{Activation, Norm};
use crate::attention::{TILE, Tile};
use crate::cache::KvCache;
use crate::executor::Executor;
use crate::model::{Layer, LayerTable, Linear, Model, NormWeights, Qkv};
use crate::plan::KvType;
use crate::shape::Shape;

/// The activations, in the arena. Each holds `n_batch` rows.
#[derive(Debug)]
pub(crate) struct Activity<'a> {
    /// Residual stream: `[n_batch, n_embd]`.
    pub(crate) x: &'a mut [f32],
    /// Normalised stream, then attention's output: `[n_batch, n_embd]`.
    pub(crate) h: &'a mut [f32],
    /// `[n_batch, n_qkv]`
    pub(crate) qkv: &'a mut [f32],
    /// `[n_batch, n_ff]`
    pub(crate) ffn: &'a mut [f32],
    /// `[n_batch, n_ff]`, empty unless gated.
    pub(crate) gate: &'a mut [f32],
    /// Quantized input of the next matrix, or quantized queries.
    pub(crate) q8: &'a mut [BlockQ8],
    /// `[n_vocab]`
    pub(crate) logits: &'a mut [f32],
    /// Keys visited in this step: `[n_head]`.
    pub(crate) visited: &'a mut [AtomicU32],
    /// Keys visited since the session began: `[n_layer, n_head]`.
    pub(crate) visited_total: &'a mut [u64],
}

/// What a forward pass works with.
pub(crate) struct Forward<'s, 'f, 'a> {
    pub(crate) model: &'s Model<'f>,
    pub(crate) layers: &'s LayerTable<'a>,
    pub(crate) kernels: &'s dyn Kernels,
    pub(crate) executor: &'s dyn Executor,
    pub(crate) kv: KvType,
    pub(crate) horizon_eps: f32,
}

impl Forward<'_, '_, '_> {
    fn shape(&self) -> &Shape {
        self.model.shape()
    }

    /// Runs `tokens` (at most `n_batch`, each below `n_vocab`) at positions `pos..` through all layers; `act.x` then holds
    /// the residual stream. `None` if some memory is shorter than the plan says, here and below.
    pub(crate) fn layers(
        &self,
        tokens: &[u32],
        pos: usize,
        cache: &mut KvCache<'_>,
        act: &mut Activity<'_>,
    ) -> Option<()> {
        self.embed(tokens, act)?;
        for i in 0..self.shape().n_layer {
            let layer = self.layers.layer(self.model, i)?;
            self.attention(&layer, i, tokens.len(), pos, cache, act)?;
            self.feed_forward(&layer, tokens.len(), act)?;
        }
        Some(())
    }

    /// Logits (`act.logits`) of the token in row `row` of `act.x`.
    pub(crate) fn output(&self, row: usize, act: &mut Activity<'_>) -> Option<()> {
        let n_embd = self.shape().n_embd;
        let output = Linear { weight: self.model.output, bias: None };
        let (x, h) = (rows(act.x, n_embd).nth(row)?, act.h.get_mut(..n_embd)?);
        let input = self.normed(&self.model.output_norm, x, h, act.q8, &[&output])?;
        self.linear(&output, &input, ColumnsOf::whole(act.logits, self.shape().n_vocab), |_| ());
        Some(())
    }

    fn embed(&self, tokens: &[u32], act: &mut Activity<'_>) -> Option<()> {
        let (n_embd, part) = (self.shape().n_embd, self.rows_of_part(tokens.len()));
        let (x, h) = (act.x.get_mut(..tokens.len() * n_embd)?, act.h.get_mut(..tokens.len() * n_embd)?);
        let parts = Parts::new((RowsMut::new(x, part * n_embd), RowsMut::new(h, part * n_embd)));
        self.on_rows(tokens.len(), &|| {
            while let Some((i, (x, h))) = parts.take() {
                let tokens = tokens.iter().skip(i * part);
                for ((&token, x), h) in tokens.zip(rows_mut(x, n_embd)).zip(rows_mut(h, n_embd)) {
                    match &self.model.token_embd_norm {
                        None => self.kernels.dequantize_row(&self.model.token_embd, token as usize, x),
                        Some(norm) => {
                            self.kernels.dequantize_row(&self.model.token_embd, token as usize, h);
                            self.norm(norm, h, x);
                        }
                    }
                }
            }
        });
        Some(())
    }

    /// `x += W_o attention(W_qkv norm(x))`
    fn attention(
        &self,
        layer: &Layer<'_>,
        index: usize,
        n_tokens: usize,
        pos: usize,
        cache: &mut KvCache<'_>,
        act: &mut Activity<'_>,
    ) -> Option<()> {
        let s = self.shape();
        let x = act.x.get_mut(..n_tokens * s.n_embd)?;
        let h = act.h.get_mut(..n_tokens * s.n_embd)?;
        let qkv = act.qkv.get_mut(..n_tokens * s.n_qkv())?;
        self.project_qkv(layer, x, h, qkv, act.q8)?;

        for (i, row) in rows(qkv, s.n_qkv()).enumerate() {
            let (keys, values) = row.get(s.n_embd..)?.split_at_checked(s.n_embd_kv())?;
            cache.store(self.kernels, index, pos + i, keys, values)?;
        }
        self.attend_heads(index, pos, cache, qkv, h, act.q8, act.visited)?;
        for (total, step) in act.visited_total.get_mut(index * s.n_head..)?.iter_mut().zip(act.visited.iter_mut()) {
            *total += u64::from(core::mem::take(step.get_mut()));
        }

        // The queries are done with: their rows take the product.
        let product = act.qkv.get_mut(..n_tokens * s.n_embd)?;
        let input = self.quantized(h, s.n_embd, act.q8, &[&layer.attn_output])?;
        self.linear_beside(&layer.attn_output, &input, product, x, |product, x| self.kernels.add(x, product));
        Some(())
    }

    /// `qkv = W_qkv norm(x)`, clamped if the model wants it.
    fn project_qkv(
        &self,
        layer: &Layer<'_>,
        x: &[f32],
        h: &mut [f32],
        qkv: &mut [f32],
        q8: &mut [BlockQ8],
    ) -> Option<()> {
        let s = self.shape();
        let clamp = |row: &mut [f32]| {
            if let Some(limit) = s.clamp_kqv {
                self.kernels.clamp(row, limit);
            }
        };
        match &layer.qkv {
            Qkv::Fused(fused) => {
                let input = self.normed(&layer.attn_norm, x, h, q8, &[fused])?;
                self.linear(fused, &input, ColumnsOf::whole(qkv, s.n_qkv()), clamp);
            }
            Qkv::Split([q, k, v]) => {
                let input = self.normed(&layer.attn_norm, x, h, q8, &[q, k, v])?;
                let mut first = 0;
                for linear in [q, k, v] {
                    let n = linear.weight.n_rows();
                    self.linear(linear, &input, ColumnsOf { buffer: qkv, stride: s.n_qkv(), first, n }, clamp);
                    first += n;
                }
            }
        }
        Some(())
    }

    /// Attention of every head for every token. The parts that workers take are some heads (of one KV head) of some tokens,
    /// those whose positions lie in one block of keys; flat heads, which look far back, first.
    #[allow(clippy::too_many_arguments)]
    fn attend_heads(
        &self,
        layer: usize,
        pos: usize,
        cache: &KvCache<'_>,
        qkv: &[f32],
        out: &mut [f32],
        q8: &mut [BlockQ8],
        visited: &[AtomicU32],
    ) -> Option<()> {
        let s = self.shape();
        let n_tokens = out.len() / s.n_embd.max(1);
        let (n_heads, tile_tokens) = self.attention_tile(n_tokens);
        let n_blocks = s.head_dim.div_ceil(QK);
        let q8_stride = s.n_head * n_blocks;
        let q8 = q8.get_mut(..n_tokens * q8_stride)?;
        let parts = Parts::from_last((
            Tiles::of_columns(out, s.n_embd, 0..s.n_embd, n_heads * s.head_dim).of_tokens(tile_tokens, pos),
            Tiles::of_columns(q8, q8_stride, 0..q8_stride, n_heads * n_blocks).of_tokens(tile_tokens, pos),
        ));
        self.executor.run(&|| {
            while let Some((_, (mut out, mut q8))) = parts.take() {
                let first_head = out.start() / s.head_dim.max(1);
                let tokens = out.tokens();
                let mut tile = Tile::new(s.attention_scale(), self.horizon_eps);
                let rows_at = rows(qkv, s.n_qkv()).zip(pos..).skip(tokens.start);
                for (((row, at), out), q8) in rows_at.zip(out.rows_mut()).zip(q8.rows_mut()) {
                    let queries = rows(row, s.head_dim).zip(0..).skip(first_head);
                    let places = rows_mut(out, s.head_dim).zip(rows_mut(q8, n_blocks));
                    for ((query, head), (out, q8)) in queries.zip(places) {
                        let query = match self.kv {
                            KvType::F32 | KvType::F16 => Query::F32(query),
                            KvType::Q8_0 => {
                                self.kernels.quantize_q8(query, q8);
                                Query::Q8(q8)
                            }
                        };
                        let slope = alibi::slope(head, s.n_head, s.max_alibi_bias);
                        // There is room: a part has no more queries than a tile.
                        tile.push(self.kernels, query, at, slope, out);
                    }
                }
                let kv_head = first_head / s.heads_per_kv().max(1);
                let blocks = cache.blocks(layer, kv_head, pos + tokens.end.saturating_sub(1));
                for (n, head) in tile.attend(self.kernels, blocks).zip((first_head..first_head + n_heads).cycle()) {
                    if let Some(visited) = visited.get(head) {
                        visited.fetch_add(n, Ordering::Relaxed);
                    }
                }
            }
        });
        Some(())
    }

    /// Heads and tokens of a part of attention: as many heads of a KV head as leave each worker four parts, and as many tokens
    /// as then fit a tile.
    fn attention_tile(&self, n_tokens: usize) -> (usize, usize) {
        let s = self.shape();
        let n_workers = self.executor.n_workers();
        let n_parts = |n_heads: usize| s.n_head / n_heads * n_tokens.div_ceil(TILE / n_heads);
        let fits = |&n: &usize| s.heads_per_kv().is_multiple_of(n) && (n_workers <= 1 || n_parts(n) >= 4 * n_workers);
        let n_heads = (1..=TILE).rev().find(fits).unwrap_or(1);
        // A power of two, so that the blocks of positions are cut at multiples.
        (n_heads, 1 << (TILE / n_heads).checked_ilog2().unwrap_or(0))
    }

    /// `x += W_down f(W_up norm(x))`, or with a gate `x += W_down (f(W_gate norm(x)) * W_up norm(x))`
    fn feed_forward(&self, layer: &Layer<'_>, n_tokens: usize, act: &mut Activity<'_>) -> Option<()> {
        let s = self.shape();
        let x = act.x.get_mut(..n_tokens * s.n_embd)?;
        let h = act.h.get_mut(..n_tokens * s.n_embd)?;
        let ffn = act.ffn.get_mut(..n_tokens * s.n_ff)?;
        match &layer.ffn_gate {
            None => {
                let input = self.normed(&layer.ffn_norm, x, h, act.q8, &[&layer.ffn_up])?;
                self.linear(&layer.ffn_up, &input, ColumnsOf::whole(ffn, s.n_ff), |row| self.activate(row));
            }
            Some(gate_weights) => {
                let gate = act.gate.get_mut(..n_tokens * s.n_ff)?;
                let input = self.normed(&layer.ffn_norm, x, h, act.q8, &[gate_weights, &layer.ffn_up])?;
                self.linear(gate_weights, &input, ColumnsOf::whole(gate, s.n_ff), |row| self.activate(row));
                self.linear_beside(&layer.ffn_up, &input, ffn, gate, |up, gate| self.kernels.multiply(up, gate));
            }
        }
        let input = self.quantized(ffn, s.n_ff, act.q8, &[&layer.ffn_down])?;
        self.linear_beside(&layer.ffn_down, &input, h, x, |product, x| self.kernels.add(x, product));
        Some(())
    }

    fn activate(&self, x: &mut [f32]) {
        match self.shape().arch.activation {
            Activation::GeluTanh => self.kernels.gelu_tanh(x),
            Activation::GeluErf => self.kernels.gelu_erf(x),
            Activation::Silu => self.kernels.silu(x),
        }
    }

    /// `h = norm(x)`, row by row, also quantized if one of the `users` wants that.
    fn normed<'b>(
        &self,
        weights: &NormWeights<'_>,
        x: &[f32],
        h: &'b mut [f32],
        q8: &'b mut [BlockQ8],
        users: &[&Linear<'_>],
    ) -> Option<Input<'b>> {
        let n_embd = self.shape().n_embd;
        let (n_rows, n_blocks, quantize) = (h.len() / n_embd.max(1), n_embd.div_ceil(QK), want_q8(users));
        let (part, q8) = (self.rows_of_part(n_rows), q8.get_mut(..n_rows * n_blocks)?);
        let parts = Parts::new((RowsMut::new(h, part * n_embd), RowsMut::new(q8, part * n_blocks)));
        self.on_rows(n_rows, &|| {
            while let Some((i, (h, q8))) = parts.take() {
                let x = rows(x, n_embd).skip(i * part);
                for ((x, h), q8) in x.zip(rows_mut(h, n_embd)).zip(rows_mut(q8, n_blocks)) {
                    self.norm(weights, x, h);
                    if quantize {
                        self.kernels.quantize_q8(h, q8);
                    }
                }
            }
        });
        Some(Input { x: h, q8 })
    }

    /// `x`, rows of `n_cols`, also quantized if one of the `users` wants that.
    fn quantized<'b>(
        &self,
        x: &'b [f32],
        n_cols: usize,
        q8: &'b mut [BlockQ8],
        users: &[&Linear<'_>],
    ) -> Option<Input<'b>> {
        if !want_q8(users) {
            return Some(Input { x, q8: &[] });
        }
        let (n_rows, n_blocks) = (x.len() / n_cols.max(1), n_cols.div_ceil(QK));
        let (part, q8) = (self.rows_of_part(n_rows), q8.get_mut(..n_rows * n_blocks)?);
        let parts = Parts::new(RowsMut::new(q8, part * n_blocks));
        self.on_rows(n_rows, &|| {
            while let Some((i, q8)) = parts.take() {
                for (x, q8) in rows(x, n_cols).skip(i * part).zip(rows_mut(q8, n_blocks)) {
                    self.kernels.quantize_q8(x, q8);
                }
            }
        });
        Some(Input { x, q8 })
    }

    /// Runs `work` on all workers, if there are rows enough that it is worth a step.
    fn on_rows(&self, n_rows: usize, work: &(dyn Fn() + Sync)) {
        if n_rows > 1 { self.executor.run(work) } else { work() }
    }

    /// Rows that a worker takes at a time.
    fn rows_of_part(&self, n_rows: usize) -> usize {
        n_rows.div_ceil(self.executor.n_workers().saturating_mul(4).max(1))
    }

    fn norm(&self, weights: &NormWeights<'_>, x: &[f32], out: &mut [f32]) {
        let s = self.shape();
        match s.arch.norm {
            Norm::Layer => self.kernels.layer_norm(x, weights.weight, weights.bias, s.norm_eps, out),
            Norm::Rms => self.kernels.rms_norm(x, weights.weight, s.norm_eps, out),
        }
    }

    /// `out = then(W x + b)`; `then` works element by element, on any part of a row.
    fn linear(&self, linear: &Linear<'_>, input: &Input<'_>, out: ColumnsOf<'_>, then: impl Fn(&mut [f32]) + Sync) {
        let ColumnsOf { buffer, stride, first, n } = out;
        let tiles = Parts::new(Tiles::of_columns(buffer, stride, first..first + n, self.tile_len(n)));
        self.executor.run(&|| {
            while let Some((_, mut tile)) = tiles.take() {
                self.product(linear, input, &mut tile);
                tile.rows_mut().for_each(&then);
            }
        });
    }

    /// `out = W x + b`, then `then(out, other)`, which works element by element, on the same part of a row of either.
    fn linear_beside(
        &self,
        linear: &Linear<'_>,
        input: &Input<'_>,
        out: &mut [f32],
        other: &mut [f32],
        then: impl Fn(&mut [f32], &mut [f32]) + Sync,
    ) {
        let n = linear.weight.n_rows();
        let [out, other] = [out, other].map(|buffer| Tiles::of_columns(buffer, n, 0..n, self.tile_len(n)));
        let tiles = Parts::new((out, other));
        self.executor.run(&|| {
            while let Some((_, (mut tile, mut other))) = tiles.take() {
                self.product(linear, input, &mut tile);
                tile.rows_mut().zip(other.rows_mut()).for_each(|(row, other)| then(row, other));
            }
        });
    }

    /// `tile = W x + b`
    fn product(&self, linear: &Linear<'_>, input: &Input<'_>, tile: &mut ColumnsMut<'_>) {
        self.kernels.matmul(&linear.weight, input.of(linear), tile);
        if let Some(bias) = linear.bias {
            // A bias that were too short would be none, which kernels refuse to add.
            let bias = bias.get(tile.start()..tile.end()).unwrap_or_default();
            tile.rows_mut().for_each(|row| self.kernels.add(row, bias));
        }
    }

    /// Outputs that a worker takes at a time: whole for one worker, else four parts each, in groups of 16 rows; no longer than
    /// what others may have to wait for when its processor is taken from it.
    fn tile_len(&self, n: usize) -> usize {
        match self.executor.n_workers() {
            0 | 1 => n,
            workers => n.div_ceil(workers.saturating_mul(4)).next_multiple_of(16).clamp(64, 1024),
        }
    }
}

/// The rows of `[n, width]`. All widths of a [`Shape`] are at least 1.
fn rows<T>(x: &[T], width: usize) -> ChunksExact<'_, T> {
    x.chunks_exact(width.max(1))
}

fn rows_mut<T>(x: &mut [T], width: usize) -> ChunksExactMut<'_, T> {
    x.chunks_exact_mut(width.max(1))
}

/// Columns `first..first + n` of a buffer `[n_tokens, stride]`.
struct ColumnsOf<'b> {
    buffer: &'b mut [f32],
    stride: usize,
    first: usize,
    n: usize,
}

impl<'b> ColumnsOf<'b> {
    fn whole(buffer: &'b mut [f32], n: usize) -> Self {
        Self { buffer, stride: n, first: 0, n }
    }
}

/// The rows that matrices are multiplied with, quantized once if any of them wants it.
struct Input<'b> {
    x: &'b [f32],
    q8: &'b [BlockQ8],
}

impl<'b> Input<'b> {
    /// The form that goes with the weights.
    fn of(&self, linear: &Linear<'_>) -> Activations<'b> {
        if linear.weight.ty().is_quantized() { Activations::Q8(self.q8) } else { Activations::F32(self.x) }
    }
}

/// Whether any of them is multiplied with quantized rows.
fn want_q8(users: &[&Linear<'_>]) -> bool {
    users.iter().any(|user| user.weight.ty().is_quantized())
}
