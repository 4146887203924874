//! The forward pass: embedding, layers, output. Read top to bottom.
//!
//! ```text
//!   x = embed(tokens)                      [n_tokens, n_embd]     with learned positions where a model has them
//!   for each layer:
//!     q, k, v = W_qkv norm(x)              [n_tokens, n_qkv]      k, v go to the cache
//!     x += W_o attention(q, cache)         [n_tokens, n_embd]     bias -slope * distance, made on the fly
//!     x += W_down f(W_up norm(x))          [n_tokens, n_ff] between
//!   logits = W_out norm(x)                 [n, n_vocab], of the last token, or of some in a row
//! ```

use nearfield_kernels::{BlockQ8, Parts, RowsMut};

use crate::attention::Tile;
use crate::cache::KvCache;
use crate::heads::{self, Queries};
use crate::model::{Head, Layer, Linear, Qkv};
use crate::pass::{Forward, Visited};
use crate::planned::Planned;
use crate::steps::{ColumnsOf, rows, rows_mut};

/// Activations, in the arena. Each but `logits` and `visited` holds `n_batch` rows.
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
    /// Logits: `[n_draft + 1, n_vocab]`.
    pub(crate) logits: &'a mut [f32],
    /// Keys visited.
    pub(crate) visited: Visited<'a>,
}

impl Forward<'_, '_, '_> {
    /// Runs `tokens` (at most `n_batch`, each below `n_vocab`) at positions `pos..` through all layers; `act.x` then holds the
    /// residual stream. Like all functions here, returns `None` if some memory is shorter than planned.
    pub(crate) fn layers(&self, tokens: &[u32], pos: usize, cache: &mut KvCache<'_>, act: &mut Buffers<'_>) -> Planned {
        self.embed(tokens, pos, act)?;
        for i in 0..self.shape().n_layer {
            let layer = self.layers.layer(self.model, i)?;
            self.attention(&layer, i, tokens.len(), pos, cache, act)?;
            self.feed_forward(&layer, tokens.len(), act)?;
        }
        Some(())
    }

    /// Computes the logits of the tokens in `n` rows of `act.x` from `first` on, to the first rows of `act.logits`.
    pub(crate) fn outputs(&self, first: usize, n: usize, act: &mut Buffers<'_>) -> Planned {
        let (n_embd, n_vocab) = (self.shape().n_embd, self.shape().n_vocab);
        let Head::Decoder { output_norm, output } = &self.model.head else { return None };
        let output = Linear { weight: *output, bias: None };
        let (x, h) = (act.x.get(first * n_embd..(first + n) * n_embd)?, act.h.get_mut(..n * n_embd)?);
        let input = self.steps.normed(output_norm, x, h, act.q8, &[&output])?;
        self.steps.linear(&output, &input, ColumnsOf::whole(act.logits.get_mut(..n * n_vocab)?, n_vocab), |_| ());
        Some(())
    }

    fn embed(&self, tokens: &[u32], pos: usize, act: &mut Buffers<'_>) -> Planned {
        let kernels = self.steps.kernels;
        let n_embd = self.shape().n_embd;
        let over = self.steps.over_rows(tokens.len(), n_embd);
        let part = over.part;
        let (x, h) = (act.x.get_mut(..tokens.len() * n_embd)?, act.h.get_mut(..tokens.len() * n_embd)?);
        let parts = Parts::new((RowsMut::new(x, part * n_embd), RowsMut::new(h, part * n_embd)));
        over.run(&|| {
            while let Some((i, (x, h))) = parts.take() {
                let tokens = tokens.iter().zip(pos..).skip(i * part);
                for (((&token, pos), x), h) in tokens.zip(rows_mut(x, n_embd)).zip(rows_mut(h, n_embd)) {
                    kernels.dequantize_row(&self.model.token_embd, token as usize, x);
                    if let Some(positions) = &self.model.position_embd {
                        kernels.dequantize_row(positions, pos, h);
                        kernels.add(x, h);
                    }
                    if let Some(norm) = &self.model.token_embd_norm {
                        h.copy_from_slice(x);
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
        n_tokens: usize,
        pos: usize,
        cache: &mut KvCache<'_>,
        act: &mut Buffers<'_>,
    ) -> Planned {
        let s = self.shape();
        let x = act.x.get_mut(..n_tokens * s.n_embd)?;
        let h = act.h.get_mut(..n_tokens * s.n_embd)?;
        let qkv = act.qkv.get_mut(..n_tokens * s.n_qkv())?;
        self.project_qkv(layer, x, h, qkv, act.q8)?;

        for (i, row) in rows(qkv, s.n_qkv()).enumerate() {
            let (keys, values) = row.get(s.n_embd..)?.split_at_checked(s.n_embd_kv())?;
            cache.store(self.steps.kernels, index, pos + i, keys, values)?;
        }
        let cache = &*cache;
        let walk =
            |tile: &mut Tile<'_>, kv_head, last| tile.walk(self.steps.kernels, cache.blocks(index, kv_head, last));
        let text = Queries { heads: self.heads, pos, n_tokens, visited: act.visited.step(), walk };
        heads::attend(&self.steps, qkv, s.n_qkv(), h, act.q8, [text])?;
        act.visited.end_step(index)?;

        // The queries are no longer needed: their rows take the product.
        let product = act.qkv.get_mut(..n_tokens * s.n_embd)?;
        let input = self.steps.quantized(h, s.n_embd, act.q8, &[&layer.attn_output])?;
        self.steps
            .linear_beside(&layer.attn_output, &input, product, x, |product, x| self.steps.kernels.add(x, product));
        Some(())
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
    fn feed_forward(&self, layer: &Layer<'_>, n_tokens: usize, act: &mut Buffers<'_>) -> Planned {
        let s = self.shape();
        let x = act.x.get_mut(..n_tokens * s.n_embd)?;
        let h = act.h.get_mut(..n_tokens * s.n_embd)?;
        let ffn = act.ffn.get_mut(..n_tokens * s.n_ff)?;
        match &layer.ffn_gate {
            None => {
                let input = self.steps.normed(&layer.ffn_norm, x, h, act.q8, &[&layer.ffn_up])?;
                self.steps.linear(&layer.ffn_up, &input, ColumnsOf::whole(ffn, s.n_ff), |row| self.steps.activate(row));
            }
            Some(gate_weights) => {
                let gate = act.gate.get_mut(..n_tokens * s.n_ff)?;
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
