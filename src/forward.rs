//! The forward pass: embedding, layers, output. Read top to bottom.
//!
//! ```text
//!   x = embed(tokens)                      [n_rows, n_embd]       with learned positions where a model has them
//!   for each layer:
//!     q, k, v = W_qkv norm(x)              [n_rows, n_qkv]        k, v go to the cache of the row's sequence
//!     x += W_o attention(q, cache)         [n_rows, n_embd]       bias -slope * distance, made on the fly
//!     x += W_down f(W_up norm(x))          [n_rows, n_ff] between
//!   logits = W_out norm(x)                 [n, n_vocab], of some of the rows
//! ```
//!
//! A row is a token of a sequence. Rows of all sequences are multiplied together; only attention tells the sequences apart.

use core::ops::Range;

use nearfield_kernels::{BlockQ8, Parts, RowsMut};

use crate::attention::Tile;
use crate::heads::{self, Queries};
use crate::model::{Head, Layer, Linear, Qkv, Weights};
use crate::pass::Forward;
use crate::planned::Planned;
use crate::session::RunError;
use crate::session::sequence::{Chunk, Sequence};
use crate::steps::{ColumnsOf, rows, rows_mut};
use crate::stream::{Stream, Window};

/// Activations, in the arena. Each but `logits` holds `n_batch` rows.
#[derive(Debug)]
pub(crate) struct Buffers<'a> {
    /// Residual stream: `[n_batch, n_embd]`.
    pub(crate) x: &'a mut [f32],
    /// Normalised stream, then attention's output: `[n_batch, n_embd]`.
    pub(crate) h: &'a mut [f32],
    /// Queries, keys and values: `[n_batch, n_qkv]`.
    pub(crate) qkv: &'a mut [f32],
    /// Feed-forward: `[n_batch, n_ff]`.
    pub(crate) ffn: &'a mut [f32],
    /// Gate of the feed-forward: `[n_batch, n_ff]`, empty if there is none.
    pub(crate) gate: &'a mut [f32],
    /// Quantized input of the next matrix, or quantized queries.
    pub(crate) q8: &'a mut [BlockQ8],
    /// Logits: `[n_outputs, n_vocab]`.
    pub(crate) logits: &'a mut [f32],
}

impl Forward<'_, '_, '_> {
    /// Runs the rows of `chunks` (at most `n_batch`, tokens below `n_vocab`) through all layers; `act.x` then holds the residual
    /// stream. Layers that are not in memory come from `stream`.
    pub(crate) fn layers(
        &self,
        chunks: &mut [Chunk<'_, '_, '_>],
        act: &mut Buffers<'_>,
        mut stream: Option<&mut Stream<'_>>,
    ) -> Result<(), RunError> {
        let n_rows = chunks.iter().map(Chunk::n_rows).sum();
        self.embed(chunks, n_rows, act).ok_or(RunError::Broken)?;
        for i in 0..self.shape().n_layer {
            let mut work = |window: Window<'_>| self.layer(window, i, n_rows, chunks, act);
            match (self.layers.streamed(self.model, i), &mut stream) {
                (None, _) => work(Window::NONE).ok_or(RunError::Broken)?,
                (Some(now), Some(stream)) => stream.run(now, self.next_streamed(i).ok_or(RunError::Broken)?, work)?,
                (Some(_), None) => return Err(RunError::NoStream { layer: i }),
            }
        }
        Ok(())
    }

    /// Range in the file of the next layer after `i` that is not in memory, in this pass or the one after it.
    fn next_streamed(&self, i: usize) -> Option<Range<u64>> {
        let mut others = (i + 1..self.shape().n_layer).chain(0..=i);
        others.find_map(|next| self.layers.streamed(self.model, next))
    }

    /// Runs the rows through a layer, whose weights may lie in `window`. Like all functions below, returns `None` if some memory is
    /// shorter than planned.
    fn layer(
        &self,
        window: Window<'_>,
        index: usize,
        n_rows: usize,
        chunks: &mut [Chunk<'_, '_, '_>],
        act: &mut Buffers<'_>,
    ) -> Planned {
        let layer = self.layers.layer(&Weights { model: self.model, window }, index)?;
        self.attention(&layer, index, n_rows, chunks, act)?;
        self.feed_forward(&layer, n_rows, act)
    }

    /// Computes the logits of the tokens in some rows of `act.x`, to the rows of `act.logits` from `first` on; returns their number.
    pub(crate) fn outputs(
        &self,
        of: impl Iterator<Item = usize>,
        first: usize,
        act: &mut Buffers<'_>,
    ) -> Option<usize> {
        let (n_embd, n_vocab) = (self.shape().n_embd, self.shape().n_vocab);
        let Head::Decoder { output_norm, output } = &self.model.head else { return None };
        let output = Linear { weight: *output, bias: None };
        // The rows come together where queries were.
        let mut n = 0;
        let mut places = rows_mut(act.qkv, n_embd);
        for row in of {
            let x = act.x.get(row * n_embd..(row + 1) * n_embd)?;
            places.next()?.iter_mut().zip(x).for_each(|(to, x)| *to = *x);
            n += 1;
        }
        if n > 0 {
            let (x, h) = (act.qkv.get(..n * n_embd)?, act.h.get_mut(..n * n_embd)?);
            let input = self.steps.normed(output_norm, x, h, act.q8, &[&output])?;
            let logits = act.logits.get_mut(first * n_vocab..(first + n) * n_vocab)?;
            self.steps.linear(&output, &input, ColumnsOf::whole(logits, n_vocab), |_| ());
        }
        Some(n)
    }

    fn embed(&self, chunks: &[Chunk<'_, '_, '_>], n_rows: usize, act: &mut Buffers<'_>) -> Planned {
        let kernels = self.steps.kernels;
        let n_embd = self.shape().n_embd;
        let over = self.steps.over_rows(n_rows, n_embd);
        let part = over.part;
        let (x, h) = (act.x.get_mut(..n_rows * n_embd)?, act.h.get_mut(..n_rows * n_embd)?);
        let parts = Parts::new((RowsMut::new(x, part * n_embd), RowsMut::new(h, part * n_embd)));
        over.run(&|| {
            while let Some((i, (x, h))) = parts.take() {
                let tokens = chunks.iter().flat_map(Chunk::rows).skip(i * part);
                for (((token, pos), x), h) in tokens.zip(rows_mut(x, n_embd)).zip(rows_mut(h, n_embd)) {
                    kernels.dequantize_row(&self.model.token_embd, token as usize, x);
                    if let Some(positions) = &self.model.position_embd {
                        kernels.dequantize_row(positions, pos, h);
                        kernels.add(x, h);
                    }
                    if let Some(norm) = &self.model.token_embd_norm {
                        h.iter_mut().zip(&*x).for_each(|(h, x)| *h = *x);
                        self.steps.norm(norm, h, x);
                    }
                }
            }
        });
        Some(())
    }

    /// Computes `x += W_o attention(W_qkv norm(x))`.
    fn attention(
        &self,
        layer: &Layer<'_>,
        index: usize,
        n_rows: usize,
        chunks: &mut [Chunk<'_, '_, '_>],
        act: &mut Buffers<'_>,
    ) -> Planned {
        let (s, kernels) = (self.shape(), self.steps.kernels);
        let x = act.x.get_mut(..n_rows * s.n_embd)?;
        let h = act.h.get_mut(..n_rows * s.n_embd)?;
        let qkv = act.qkv.get_mut(..n_rows * s.n_qkv())?;
        self.project_qkv(layer, x, h, qkv, act.q8)?;

        let mut stored = &*qkv;
        for chunk in &mut *chunks {
            let of_chunk;
            (of_chunk, stored) = stored.split_at_checked(chunk.n_rows() * s.n_qkv())?;
            self.store(chunk.sequence, index, of_chunk)?;
        }
        let queries = chunks.iter().filter(|chunk| chunk.n_rows() > 0).map(|chunk| {
            let Sequence { cache, visited, .. } = &*chunk.sequence;
            Queries {
                heads: chunk.sequence.heads(),
                pos: chunk.sequence.pos(),
                n_tokens: chunk.n_rows(),
                visited: visited.step(),
                walk: move |tile: &mut Tile<'_>, kv_head, last| tile.walk(kernels, cache.blocks(index, kv_head, last)),
            }
        });
        heads::attend(&self.steps, qkv, s.n_qkv(), h, act.q8, queries)?;
        for chunk in chunks.iter_mut().filter(|chunk| chunk.n_rows() > 0) {
            chunk.sequence.visited.end_step(index)?;
        }

        // The queries are no longer needed: their rows take the product.
        let product = act.qkv.get_mut(..n_rows * s.n_embd)?;
        let input = self.steps.quantized(h, s.n_embd, act.q8, &[&layer.attn_output])?;
        self.steps.linear_beside(&layer.attn_output, &input, product, x, |product, x| kernels.add(x, product));
        Some(())
    }

    /// Stores the keys and values of a sequence's next rows (`[n, n_qkv]`) in a layer, head by head.
    fn store(&self, sequence: &mut Sequence<'_, '_>, index: usize, qkv: &[f32]) -> Planned {
        let (s, kernels, pos) = (self.shape(), self.steps.kernels, sequence.pos());
        let n_workers = self.steps.workers_over(qkv.len() / s.n_qkv().max(1), 2 * s.n_embd_kv());
        let heads = sequence.cache.heads_mut(index)?.enumerate();
        self.steps.each(n_workers, heads, |&mut (head, ref mut of_head)| {
            let key = s.n_embd + head * s.head_dim..s.n_embd + (head + 1) * s.head_dim;
            let value = key.start + s.n_embd_kv()..key.end + s.n_embd_kv();
            (pos..)
                .zip(rows(qkv, s.n_qkv()))
                .try_for_each(|(pos, row)| of_head.store(kernels, pos, row.get(key.clone())?, row.get(value.clone())?))
        })
    }

    /// Computes `qkv = W_qkv norm(x)`, clamped, and with queries and keys normalised, if the model does so.
    fn project_qkv(&self, layer: &Layer<'_>, x: &[f32], h: &mut [f32], qkv: &mut [f32], q8: &mut [BlockQ8]) -> Planned {
        let input = match &layer.qkv {
            Qkv::Fused(fused) => self.steps.normed(&layer.attn_norm, x, h, q8, &[fused])?,
            Qkv::Split([q, k, v]) => self.steps.normed(&layer.attn_norm, x, h, q8, &[q, k, v])?,
        };
        self.steps.qkv(&layer.qkv, &input, qkv);
        self.steps.norm_qk(layer, qkv, h)
    }

    /// Computes `x += W_down f(W_up norm(x))`, or with a gate `x += W_down (f(W_gate norm(x)) * W_up norm(x))`.
    fn feed_forward(&self, layer: &Layer<'_>, n_rows: usize, act: &mut Buffers<'_>) -> Planned {
        let s = self.shape();
        let x = act.x.get_mut(..n_rows * s.n_embd)?;
        let h = act.h.get_mut(..n_rows * s.n_embd)?;
        let ffn = act.ffn.get_mut(..n_rows * s.n_ff)?;
        match &layer.ffn_gate {
            None => {
                let input = self.steps.normed(&layer.ffn_norm, x, h, act.q8, &[&layer.ffn_up])?;
                self.steps.linear(&layer.ffn_up, &input, ColumnsOf::whole(ffn, s.n_ff), |row| self.steps.activate(row));
            }
            Some(gate_weights) => {
                let gate = act.gate.get_mut(..n_rows * s.n_ff)?;
                let input = self.steps.normed(&layer.ffn_norm, x, h, act.q8, &[gate_weights, &layer.ffn_up])?;
                self.steps.linear(gate_weights, &input, ColumnsOf::whole(gate, s.n_ff), |row| self.steps.activate(row));
                self.steps
                    .linear_beside(&layer.ffn_up, &input, ffn, gate, |up, gate| self.steps.kernels.multiply(up, gate));
            }
        }
        let input = self.steps.quantized(ffn, s.n_ff, act.q8, &[&layer.ffn_down])?;
        self.steps.linear_beside(&layer.ffn_down, &input, h, x, |product, x| self.steps.kernels.add(x, product));
        Some(())
    }
}
