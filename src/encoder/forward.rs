//! The forward pass of an encoder: embedding, layers. Read top to bottom.
//!
//! ```text
//!   x = norm(embed(tokens) + type)         [n, n_embd]
//!   for each layer:
//!     k, v = W_k x, W_v x                  [n, n_embd_kv]     of whole documents, before any query
//!     for some tokens at a time:
//!       y = norm(x + W_o attention(W_q x, k, v))              bias -slope * |distance|, made on the fly
//!       x = norm(y + W_down (f(W_gate y) * W_up y))
//! ```
//!
//! A row is a token of a document. Rows of all documents are multiplied together; only attention tells the documents apart.
//!
//! Jina's code model (`jina-bert-v2-qk-post-norm`) also normalises all queries and all keys of a token, and `y` once more:
//! `y = norm(x + y)`.

use core::ops::Range;

use nearfield_kernels::{BlockQ8, Parts, RowsMut};

use super::documents::Documents;
use super::keys::Keys;
use crate::attention::Tile;
use crate::heads::{self, Queries};
use crate::model::{Head, LayerTable, Linear, Model, NormWeights, Weights};
use crate::pass::{Forward, Visited};
use crate::planned::Planned;
use crate::steps::{ColumnsOf, Input, rows, rows_mut};
use crate::stream::Window;
use crate::tensor::LayerSlot;

/// Weights of one layer.
#[derive(Clone, Copy, Debug)]
struct Layer<'f> {
    attn_q: Linear<'f>,
    attn_k: Linear<'f>,
    attn_v: Linear<'f>,
    attn_q_norm: Option<NormWeights<'f>>,
    attn_k_norm: Option<NormWeights<'f>>,
    attn_output: Linear<'f>,
    attn_output_norm: NormWeights<'f>,
    attn_norm_2: Option<NormWeights<'f>>,
    ffn_gate: Linear<'f>,
    ffn_up: Linear<'f>,
    ffn_down: Linear<'f>,
    layer_output_norm: NormWeights<'f>,
}

impl<'f> Layer<'f> {
    fn new(table: &LayerTable<'_>, model: &Model<'f>, layer: usize) -> Option<Self> {
        use LayerSlot as S;
        let weights = Weights { model, window: Window::NONE };
        let norm = |weight, bias| table.norm(&weights, layer, weight, bias);
        let linear = |weight, bias| table.linear(&weights, layer, weight, bias);
        Some(Self {
            attn_q: linear(S::AttnQ, S::AttnQBias)?,
            attn_k: linear(S::AttnK, S::AttnKBias)?,
            attn_v: linear(S::AttnV, S::AttnVBias)?,
            attn_q_norm: norm(S::AttnQNorm, S::AttnQNormBias),
            attn_k_norm: norm(S::AttnKNorm, S::AttnKNormBias),
            attn_output: linear(S::AttnOutput, S::AttnOutputBias)?,
            attn_output_norm: norm(S::AttnOutputNorm, S::AttnOutputNormBias)?,
            attn_norm_2: norm(S::AttnNorm2, S::AttnNorm2Bias),
            ffn_gate: linear(S::FfnGate, S::FfnGateBias)?,
            ffn_up: linear(S::FfnUp, S::FfnUpBias)?,
            ffn_down: linear(S::FfnDown, S::FfnDownBias)?,
            layer_output_norm: norm(S::LayerOutputNorm, S::LayerOutputNormBias)?,
        })
    }
}

/// Activations, in the arena. Each but `x` holds `n_batch` rows.
#[derive(Debug)]
pub(crate) struct Buffers<'a> {
    /// Rows of the documents: `[n_rows, n_embd]`.
    pub(crate) x: &'a mut [f32],
    /// Keys, queries, then products: `[n_batch, n_embd]`.
    pub(crate) a: &'a mut [f32],
    /// Normalised keys, attention's output, then `y`: `[n_batch, n_embd]`.
    pub(crate) b: &'a mut [f32],
    /// Feed-forward, `[n_batch, n_ff]`, or values.
    pub(crate) ffn: &'a mut [f32],
    /// Gate of the feed-forward: `[n_batch, n_ff]`.
    pub(crate) gate: &'a mut [f32],
    /// Quantized input of the next matrix, or quantized queries.
    pub(crate) q8: &'a mut [BlockQ8],
    /// Keys visited.
    pub(crate) visited: Visited<'a>,
}

impl Forward<'_, '_, '_> {
    /// Runs documents of tokens below `n_vocab`; `act.x` then holds their rows. Like all functions here, returns `None` if some
    /// memory is shorter than planned.
    pub(crate) fn documents(&self, documents: &Documents<'_>, keys: &mut Keys<'_>, act: &mut Buffers<'_>) -> Planned {
        let (n_rows, n_batch) = (documents.n_rows(), (act.a.len() / self.shape().n_embd.max(1)).max(1));
        let chunks = || (0..n_rows).step_by(n_batch).map(|first| first..n_rows.min(first + n_batch));
        for chunk in chunks() {
            self.embed_documents(documents, chunk, act)?;
        }
        for index in 0..self.shape().n_layer {
            let layer = Layer::new(self.layers, self.model, index)?;
            keys.begin();
            for chunk in chunks() {
                layer.store_keys(self, documents, chunk, keys, act)?;
            }
            keys.seal(documents)?;
            for chunk in chunks() {
                layer.attention(self, index, documents, chunk.clone(), keys, act)?;
                layer.feed_forward(self, chunk, act)?;
            }
        }
        Some(())
    }

    /// Computes `x = norm(embed(tokens) + type)` of some rows.
    fn embed_documents(&self, documents: &Documents<'_>, chunk: Range<usize>, act: &mut Buffers<'_>) -> Planned {
        let Head::Encoder { token_types, .. } = &self.model.head else { return None };
        let norm = self.model.token_embd_norm.as_ref()?;
        let (n_embd, kernels) = (self.shape().n_embd, self.steps.kernels);
        let tokens = documents.tokens(chunk.clone())?;
        let over = self.steps.over_rows(chunk.len(), n_embd);
        let part = over.part;
        let x = act.x.get_mut(chunk.start * n_embd..chunk.end * n_embd)?;
        let a = act.a.get_mut(..chunk.len() * n_embd)?;
        let parts = Parts::new((RowsMut::new(x, part * n_embd), RowsMut::new(a, part * n_embd)));
        over.run(&|| {
            while let Some((i, (x, a))) = parts.take() {
                let is_second = documents
                    .within(chunk.start + i * part..chunk.end)
                    .flat_map(|(document, positions)| positions.map(move |pos| pos >= document.second));
                let tokens = tokens.iter().skip(i * part).zip(is_second);
                for (((&token, is_second), x), a) in tokens.zip(rows_mut(x, n_embd)).zip(rows_mut(a, n_embd)) {
                    kernels.dequantize_row(&self.model.token_embd, token as usize, a);
                    if let Some(types) = token_types {
                        kernels.dequantize_row(types, usize::from(is_second), x);
                        kernels.add(a, x);
                    }
                    self.steps.norm(norm, a, x);
                }
            }
        });
        Some(())
    }
}

impl Layer<'_> {
    /// Computes and stores keys and values of some rows.
    fn store_keys(
        &self,
        forward: &Forward<'_, '_, '_>,
        documents: &Documents<'_>,
        chunk: Range<usize>,
        keys: &mut Keys<'_>,
        act: &mut Buffers<'_>,
    ) -> Planned {
        let (s, n_kv) = (forward.shape(), forward.shape().n_embd_kv());
        let x = act.x.get(chunk.start * s.n_embd..chunk.end * s.n_embd)?;
        let k = act.a.get_mut(..chunk.len() * n_kv)?;
        let normed = act.b.get_mut(..chunk.len() * n_kv)?;
        let v = act.ffn.get_mut(..chunk.len() * n_kv)?;
        let input = forward.steps.quantized(x, s.n_embd, act.q8, &[&self.attn_k, &self.attn_v])?;
        forward.project(&self.attn_k, &input, k);
        forward.project(&self.attn_v, &input, v);
        let k: &[f32] = match &self.attn_k_norm {
            None => k,
            Some(norm) => {
                forward.norm_rows(norm, n_kv, k, normed);
                normed
            }
        };
        let (kernels, v) = (forward.steps.kernels, &*v);
        let n_workers = forward.steps.workers_over(chunk.len(), 4 * n_kv);
        forward.steps.each(n_workers, keys.heads_mut().enumerate(), |&mut (head, ref mut of_head)| {
            let columns = head * s.head_dim..(head + 1) * s.head_dim;
            let mut stored = rows(k, n_kv).zip(rows(v, n_kv));
            documents.within(chunk.clone()).try_for_each(|(document, mut positions)| {
                let mut stored = stored.by_ref().take(positions.len());
                positions.try_for_each(|pos| {
                    let (k, v) = stored.next()?;
                    of_head.store(kernels, &document, pos, k.get(columns.clone())?, v.get(columns.clone())?)
                })
            })
        })
    }

    /// Computes `b = norm(x + W_o attention(W_q x))` of some rows.
    fn attention(
        &self,
        forward: &Forward<'_, '_, '_>,
        index: usize,
        documents: &Documents<'_>,
        chunk: Range<usize>,
        keys: &Keys<'_>,
        act: &mut Buffers<'_>,
    ) -> Planned {
        let s = forward.shape();
        let x = act.x.get_mut(chunk.start * s.n_embd..chunk.end * s.n_embd)?;
        let a = act.a.get_mut(..chunk.len() * s.n_embd)?;
        let b = act.b.get_mut(..chunk.len() * s.n_embd)?;
        let input = forward.steps.quantized(x, s.n_embd, act.q8, &[&self.attn_q])?;
        let (queries, attended) = match &self.attn_q_norm {
            None => {
                forward.project(&self.attn_q, &input, a);
                (a, b)
            }
            Some(norm) => {
                forward.project(&self.attn_q, &input, b);
                forward.norm_rows(norm, s.n_embd, b, a);
                (a, b)
            }
        };

        let kernels = forward.steps.kernels;
        let texts = documents.within(chunk).map(|(document, positions)| {
            let (heads, keys) = (keys.heads, keys.of(document));
            let walk = move |tile: &mut Tile<'_>, head, last| {
                tile.walk(kernels, keys.up_to(head, last));
                if tile.turn(kernels, |pos| keys.mirrored(pos), |pos| keys.own(head, pos)) {
                    tile.walk(kernels, keys.behind(head, keys.mirrored(last)));
                }
            };
            let (pos, n_tokens) = (positions.start, positions.len());
            Queries { heads, pos, n_tokens, visited: act.visited.step(), walk }
        });
        heads::attend(&forward.steps, queries, s.n_embd, attended, act.q8, texts)?;
        act.visited.end_step(index)?;

        // The queries are no longer needed: their rows take the product. Then the rows of attention's output take the norm.
        let (product, y) = (queries, attended);
        let input = forward.steps.quantized(y, s.n_embd, act.q8, &[&self.attn_output])?;
        forward.steps.linear_beside(&self.attn_output, &input, product, x, |product, x| kernels.add(product, x));
        forward.norm_rows(&self.attn_output_norm, s.n_embd, product, y);
        if let Some(norm) = &self.attn_norm_2 {
            product.copy_from_slice(y);
            kernels.add(product, x);
            forward.norm_rows(norm, s.n_embd, product, y);
        }
        Some(())
    }

    /// Computes `x = norm(b + W_down (f(W_gate b) * W_up b))` of some rows.
    fn feed_forward(&self, forward: &Forward<'_, '_, '_>, chunk: Range<usize>, act: &mut Buffers<'_>) -> Planned {
        let (s, n_tokens) = (forward.shape(), chunk.len());
        let x = act.x.get_mut(chunk.start * s.n_embd..chunk.end * s.n_embd)?;
        let (product, y) = (act.a.get_mut(..x.len())?, act.b.get_mut(..x.len())?);
        let (up, gate) = (act.ffn.get_mut(..n_tokens * s.n_ff)?, act.gate.get_mut(..n_tokens * s.n_ff)?);
        let input = forward.steps.quantized(y, s.n_embd, act.q8, &[&self.ffn_gate, &self.ffn_up])?;
        forward.steps.linear(&self.ffn_gate, &input, ColumnsOf::whole(gate, s.n_ff), |row| forward.steps.activate(row));
        forward
            .steps
            .linear_beside(&self.ffn_up, &input, up, gate, |up, gate| forward.steps.kernels.multiply(up, gate));
        let input = forward.steps.quantized(up, s.n_ff, act.q8, &[&self.ffn_down])?;
        forward
            .steps
            .linear_beside(&self.ffn_down, &input, product, y, |product, y| forward.steps.kernels.add(product, y));
        forward.norm_rows(&self.layer_output_norm, s.n_embd, product, x);
        Some(())
    }
}

impl Forward<'_, '_, '_> {
    /// Computes `out = W x + b`, clamped if the model does so.
    fn project(&self, linear: &Linear<'_>, input: &Input<'_>, out: &mut [f32]) {
        self.steps.linear(linear, input, ColumnsOf::whole(out, linear.weight.n_rows()), |row| {
            if let Some(limit) = self.shape().clamp_kqv {
                self.steps.kernels.clamp(row, limit);
            }
        });
    }

    /// Computes `out = norm(x)`, rows of `width`.
    fn norm_rows(&self, weights: &NormWeights<'_>, width: usize, x: &[f32], out: &mut [f32]) {
        let n_rows = out.len() / width.max(1);
        let over = self.steps.over_rows(n_rows, width);
        let part = over.part;
        let parts = Parts::new(RowsMut::new(out, part * width));
        over.run(&|| {
            while let Some((i, out)) = parts.take() {
                for (x, out) in rows(x, width).skip(i * part).zip(rows_mut(out, width)) {
                    self.steps.norm(weights, x, out);
                }
            }
        });
    }

    /// Computes the score of each document that was run, `W_output tanh(W_cls x)` of its first row `x`, to the beginning of `out`.
    pub(crate) fn scores(&self, documents: &Documents<'_>, act: &mut Buffers<'_>, out: &mut [f32]) -> Planned {
        let Head::Encoder { cls, cls_output: Some(cls_output), .. } = &self.model.head else { return None };
        let n_embd = self.shape().n_embd;
        let n_batch = (act.a.len() / n_embd.max(1)).max(1);
        let mut documents = documents.iter();
        for out in out.get_mut(..documents.clone().count())?.chunks_mut(n_batch) {
            let (a, b) = (act.a.get_mut(..out.len() * n_embd)?, act.b.get_mut(..out.len() * n_embd)?);
            // The rows come first: they end before a document is taken.
            for (a, document) in rows_mut(a, n_embd).zip(documents.by_ref()) {
                a.copy_from_slice(act.x.get(document.row * n_embd..(document.row + 1) * n_embd)?);
            }
            let x = match cls {
                None => a,
                Some(cls) => {
                    let input = self.steps.quantized(a, n_embd, act.q8, &[cls])?;
                    self.steps.linear(cls, &input, ColumnsOf::whole(b, n_embd), |row| row.iter_mut().for_each(tanh));
                    b
                }
            };
            let input = self.steps.quantized(x, n_embd, act.q8, &[cls_output])?;
            self.steps.linear(cls_output, &input, ColumnsOf::whole(out, 1), |_| ());
        }
        Some(())
    }
}

/// Replaces `x` by `tanh x = 1 - 2 / (exp(2 x) + 1)`: the error is less than 2e-7, and none at both ends.
fn tanh(x: &mut f32) {
    *x = 1.0 - 2.0 / (nearfield_kernels::exp(*x + *x) + 1.0);
}

#[cfg(test)]
mod tests {
    use super::tanh;

    #[test]
    fn tanh_is_as_close_as_stated() {
        let of = |x: f32| {
            let mut y = x;
            tanh(&mut y);
            y
        };
        for i in -20_000..=20_000 {
            let x = i as f32 / 1000.0;
            let want = libm::tanh(f64::from(x));
            assert!((f64::from(of(x)) - want).abs() < 2e-7, "{x}: {}, {want}", of(x));
        }
        assert_eq!([of(f32::INFINITY), of(f32::NEG_INFINITY), of(0.0)], [1.0, -1.0, 0.0]);
        assert!(of(f32::NAN).is_nan());
    }
}
