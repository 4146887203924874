//! Steps of a graph: products, norms and activation functions over rows, cut into parts for the workers.

use core::slice::{ChunksExact, ChunksExactMut};
use core::sync::atomic::{AtomicBool, Ordering};

use heapless::Vec;
use nearfield_kernels::{Activations, BlockQ8, ColumnsMut, Kernels, Parts, QK, RowsMut, Tiles};

use crate::architecture::{Activation, Norm};
use crate::executor::Executor;
use crate::model::{Layer, Linear, NormWeights, Qkv};
use crate::planned::Planned;
use crate::shape::Shape;

/// Kernels, workers and the shape of the model.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'s> {
    pub(crate) shape: &'s Shape,
    pub(crate) kernels: &'s dyn Kernels,
    pub(crate) executor: &'s dyn Executor,
}

impl Steps<'_> {
    pub(crate) fn activate(&self, x: &mut [f32]) {
        match self.shape.arch.activation {
            Activation::GeluTanh => self.kernels.gelu_tanh(x),
            Activation::GeluErf => self.kernels.gelu_erf(x),
            Activation::Silu => self.kernels.silu(x),
        }
    }

    /// Computes `h = norm(x)`, row by row, also quantized if one of the `users` has quantized weights.
    pub(crate) fn normed<'b>(
        &self,
        weights: &NormWeights<'_>,
        x: &[f32],
        h: &'b mut [f32],
        q8: &'b mut [BlockQ8],
        users: &[&Linear<'_>],
    ) -> Option<Input<'b>> {
        let n_embd = self.shape.n_embd;
        let (n_rows, n_blocks, quantize) = (h.len() / n_embd.max(1), n_embd.div_ceil(QK), want_q8(users));
        let q8 = q8.get_mut(..n_rows * n_blocks)?;
        let over = self.over_rows(n_rows, n_embd);
        let part = over.part;
        let parts = Parts::new((RowsMut::new(h, part * n_embd), RowsMut::new(q8, part * n_blocks)));
        over.run(&|| {
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

    /// Quantizes `x`, rows of `n_cols`, if one of the `users` has quantized weights.
    pub(crate) fn quantized<'b>(
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
        let q8 = q8.get_mut(..n_rows * n_blocks)?;
        let over = self.over_rows(n_rows, n_cols);
        let part = over.part;
        let parts = Parts::new(RowsMut::new(q8, part * n_blocks));
        over.run(&|| {
            while let Some((i, q8)) = parts.take() {
                for (x, q8) in rows(x, n_cols).skip(i * part).zip(rows_mut(q8, n_blocks)) {
                    self.kernels.quantize_q8(x, q8);
                }
            }
        });
        Some(Input { x, q8 })
    }

    /// Number of workers that a step of `macs` multiply-accumulates is worth.
    pub(crate) fn workers(&self, macs: usize) -> usize {
        (macs / self.executor.least_work().max(1)).clamp(1, self.executor.n_workers().max(1))
    }

    /// Runs `work` on at most `n_workers` workers; for 1, on the caller alone.
    pub(crate) fn run(&self, n_workers: usize, work: &(dyn Fn() + Sync)) {
        if n_workers > 1 { self.executor.run(n_workers, work) } else { work() }
    }

    /// Number of workers that a step without a matrix is worth, over rows of `width` columns.
    pub(crate) fn workers_over(&self, n_rows: usize, width: usize) -> usize {
        self.workers(n_rows.saturating_mul(width).saturating_mul(MACS_OF_ELEMENT))
    }

    /// Calls `work` with each item, on at most `n_workers` workers; `None` if any call returns that. Items are shared out
    /// [`TOGETHER`] at a time; where that is one, the caller does all.
    pub(crate) fn each<T: Send>(
        &self,
        n_workers: usize,
        items: impl IntoIterator<Item = T>,
        work: impl Fn(&mut T) -> Planned + Sync,
    ) -> Planned {
        let mut items = items.into_iter();
        if n_workers <= 1 || TOGETHER == 1 {
            return items.try_for_each(|mut item| work(&mut item));
        }
        loop {
            let mut group = Vec::<T, TOGETHER>::new();
            for item in items.by_ref().take(TOGETHER) {
                group.push(item).ok()?;
            }
            if group.is_empty() {
                return Some(());
            }
            let (parts, failed) = (Parts::new(RowsMut::new(&mut group, 1)), AtomicBool::new(false));
            self.run(n_workers, &|| {
                while let Some((_, part)) = parts.take() {
                    if part.iter_mut().try_for_each(&work).is_none() {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
            if failed.into_inner() {
                return None;
            }
        }
    }

    /// Cuts a step over rows, all columns of each.
    pub(crate) fn over_rows(&self, n_rows: usize, width: usize) -> OverRows<'_> {
        let n_workers = self.workers_over(n_rows, width).min(n_rows);
        OverRows { steps: self, n_workers, part: n_rows.div_ceil(n_workers.saturating_mul(4).max(1)) }
    }

    pub(crate) fn norm(&self, weights: &NormWeights<'_>, x: &[f32], out: &mut [f32]) {
        let s = self.shape;
        match s.arch.norm {
            Norm::Layer => self.kernels.layer_norm(x, weights.weight, weights.bias, s.norm_eps, out),
            Norm::Rms => self.kernels.rms_norm(x, weights.weight, s.norm_eps, out),
        }
    }

    /// Computes `out = W_qkv x + b`, rows of queries, keys and values, clamped if the model does so.
    pub(crate) fn qkv(&self, qkv: &Qkv<'_>, input: &Input<'_>, out: &mut [f32]) {
        let (linears, stride) = (qkv.linears(), self.shape.n_qkv());
        let mut first = 0;
        for linear in linears {
            let n = linear.weight.n_rows();
            self.linear(linear, input, ColumnsOf { buffer: out, stride, first, n }, |row| {
                if let Some(limit) = self.shape.clamp_kqv {
                    self.kernels.clamp(row, limit);
                }
            });
            first += n;
        }
    }

    /// Normalises the queries of a token as one row, and its keys as one row, if the layer has weights for it (MosaicML's
    /// `attn_qk_ln`). `h` holds as many numbers as the queries and is overwritten.
    pub(crate) fn norm_qk(&self, layer: &Layer<'_>, qkv: &mut [f32], h: &mut [f32]) -> Planned {
        let s = self.shape;
        if layer.q_norm.is_none() && layer.k_norm.is_none() {
            return Some(());
        }
        let n_rows = qkv.len() / s.n_qkv().max(1);
        let over = self.over_rows(n_rows, s.n_qkv());
        let parts = Parts::new((RowsMut::new(qkv, over.part * s.n_qkv()), RowsMut::new(h, over.part * s.n_embd)));
        over.run(&|| {
            while let Some((_, (qkv, h))) = parts.take() {
                for (row, h) in rows_mut(qkv, s.n_qkv()).zip(rows_mut(h, s.n_embd)) {
                    let (queries, rest) = row.split_at_mut_checked(s.n_embd).unwrap_or_default();
                    let keys = rest.get_mut(..s.n_embd_kv()).unwrap_or_default();
                    for (weights, x) in [(&layer.q_norm, queries), (&layer.k_norm, keys)] {
                        if let (Some(weights), Some(copy)) = (weights, h.get_mut(..x.len())) {
                            copy.copy_from_slice(x);
                            self.norm(weights, copy, x);
                        }
                    }
                }
            }
        });
        Some(())
    }

    /// Computes `out = then(W x + b)`; `then` works element by element, on any part of a row.
    pub(crate) fn linear(
        &self,
        linear: &Linear<'_>,
        input: &Input<'_>,
        out: ColumnsOf<'_>,
        then: impl Fn(&mut [f32]) + Sync,
    ) {
        let ColumnsOf { buffer, stride, first, n } = out;
        self.kernels.watch(&linear.weight, input.x);
        let n_workers = self.product_workers(linear, buffer.len() / stride.max(1));
        let tiles = Parts::new(Tiles::of_columns(buffer, stride, first..first + n, tile_len(n, n_workers)));
        self.run(n_workers, &|| {
            while let Some((_, mut tile)) = tiles.take() {
                self.product(linear, input, &mut tile);
                tile.rows_mut().for_each(&then);
            }
        });
    }

    /// Computes `out = W x + b`, then `then(out, other)`, which works element by element, on the same part of a row of each.
    pub(crate) fn linear_beside(
        &self,
        linear: &Linear<'_>,
        input: &Input<'_>,
        out: &mut [f32],
        other: &mut [f32],
        then: impl Fn(&mut [f32], &mut [f32]) + Sync,
    ) {
        let n = linear.weight.n_rows();
        self.kernels.watch(&linear.weight, input.x);
        let n_workers = self.product_workers(linear, out.len() / n.max(1));
        let [out, other] = [out, other].map(|buffer| Tiles::of_columns(buffer, n, 0..n, tile_len(n, n_workers)));
        let tiles = Parts::new((out, other));
        self.run(n_workers, &|| {
            while let Some((_, (mut tile, mut other))) = tiles.take() {
                self.product(linear, input, &mut tile);
                tile.rows_mut().zip(other.rows_mut()).for_each(|(row, other)| then(row, other));
            }
        });
    }

    /// Computes `tile = W x + b`.
    fn product(&self, linear: &Linear<'_>, input: &Input<'_>, tile: &mut ColumnsMut<'_>) {
        self.kernels.matmul(&linear.weight, input.of(linear), tile);
        if let Some(bias) = linear.bias {
            // A bias that is too short becomes empty here, and `add` panics on it.
            let bias = bias.get(tile.start()..tile.end()).unwrap_or_default();
            tile.rows_mut().for_each(|row| self.kernels.add(row, bias));
        }
    }

    /// Workers for a product with `n_tokens` tokens.
    fn product_workers(&self, linear: &Linear<'_>, n_tokens: usize) -> usize {
        let of_token = linear.weight.n_rows().saturating_mul(linear.weight.n_cols());
        self.workers(of_token.saturating_mul(n_tokens))
    }
}

/// Number of items that are shared out together. Small on machines with little memory, since they lie on the stack.
pub(crate) const TOGETHER: usize = if cfg!(target_pointer_width = "64") { 8 } else { 1 };

/// Multiply-accumulates that take as long as the work on one element in a step without a matrix: a norm, a copy, rounding to
/// int8.
const MACS_OF_ELEMENT: usize = 32;

/// Step over rows that is cut into parts.
pub(crate) struct OverRows<'s> {
    steps: &'s Steps<'s>,
    n_workers: usize,
    /// Number of rows that a worker takes at a time.
    pub(crate) part: usize,
}

impl OverRows<'_> {
    pub(crate) fn run(&self, work: &(dyn Fn() + Sync)) {
        self.steps.run(self.n_workers, work);
    }
}

/// Number of outputs that a worker takes at a time: all for one worker, otherwise a quarter of its share, in groups of 16 rows.
/// The upper limit bounds the time that others wait if a worker is interrupted.
fn tile_len(n: usize, n_workers: usize) -> usize {
    match n_workers {
        0 | 1 => n,
        workers => n.div_ceil(workers.saturating_mul(4)).next_multiple_of(16).clamp(64, 1024),
    }
}

/// Rows of `[n, width]`. All widths of a [`Shape`] are at least 1.
pub(crate) fn rows<T>(x: &[T], width: usize) -> ChunksExact<'_, T> {
    x.chunks_exact(width.max(1))
}

pub(crate) fn rows_mut<T>(x: &mut [T], width: usize) -> ChunksExactMut<'_, T> {
    x.chunks_exact_mut(width.max(1))
}

/// True if no number is NaN or infinite.
pub(crate) fn all_finite(x: &[f32]) -> bool {
    // The largest magnitude as bits, in a loop without branches: NaN and infinity have all bits of the exponent set.
    let largest = x.iter().fold(0, |largest, x| x.to_bits().wrapping_shl(1).max(largest));
    largest < f32::INFINITY.to_bits() << 1
}

/// Columns `first..first + n` of a buffer `[n_tokens, stride]`.
pub(crate) struct ColumnsOf<'b> {
    pub(crate) buffer: &'b mut [f32],
    pub(crate) stride: usize,
    pub(crate) first: usize,
    pub(crate) n: usize,
}

impl<'b> ColumnsOf<'b> {
    pub(crate) fn whole(buffer: &'b mut [f32], n: usize) -> Self {
        Self { buffer, stride: n, first: 0, n }
    }
}

/// Rows that matrices are multiplied with, quantized once if any matrix is quantized.
pub(crate) struct Input<'b> {
    x: &'b [f32],
    q8: &'b [BlockQ8],
}

impl<'b> Input<'b> {
    /// Form of the rows for these weights.
    fn of(&self, linear: &Linear<'_>) -> Activations<'b> {
        if linear.weight.ty().is_quantized() { Activations::Q8(self.q8) } else { Activations::F32(self.x) }
    }
}

/// True if any of the matrices is multiplied with quantized rows.
fn want_q8(users: &[&Linear<'_>]) -> bool {
    users.iter().any(|user| user.weight.ty().is_quantized())
}
