//! Kernels that something looks at while they work: what they compute is what they compute alone.

use nearfield::kernels::{
    Activations, BlockQ8, ColumnsMut, Kernels, KvBlock, KvRows, KvRowsMut, Layout, Matrix, Query, Walk,
};

/// What is told of a forward pass as it runs.
pub trait Watch: Sync {
    /// Queries are about to walk past a block of keys; see [`Kernels::attend_block`]. On any thread.
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &[Walk<'_>]) {
        let _ = (block, scale, walks);
    }

    /// A matrix is about to be multiplied; see [`Kernels::watch`].
    fn product(&self, w: &Matrix<'_>, x: &[f32]) {
        let _ = (w, x);
    }
}

/// Kernels, and who looks on.
pub struct Watched<W> {
    /// What computes.
    pub kernels: &'static dyn Kernels,
    /// What is told.
    pub watch: W,
}

impl<W: Watch> Kernels for Watched<W> {
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        self.watch.attend_block(block, scale, walks);
        self.kernels.attend_block(block, scale, walks);
    }

    fn watch(&self, w: &Matrix<'_>, x: &[f32]) {
        self.watch.product(w, x);
    }

    // All others as they are.

    fn name(&self) -> &'static str {
        self.kernels.name()
    }

    fn layout(&self) -> Layout {
        self.kernels.layout()
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        self.kernels.quantize_q8(x, out);
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        self.kernels.matmul(w, x, out);
    }

    fn dequantize_row(&self, w: &Matrix<'_>, row: usize, out: &mut [f32]) {
        self.kernels.dequantize_row(w, row, out);
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        self.kernels.layer_norm(x, weight, bias, eps, out);
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        self.kernels.rms_norm(x, weight, eps, out);
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        self.kernels.add(x, y);
    }

    fn multiply(&self, x: &mut [f32], y: &[f32]) {
        self.kernels.multiply(x, y);
    }

    fn clamp(&self, x: &mut [f32], limit: f32) {
        self.kernels.clamp(x, limit);
    }

    fn gelu_tanh(&self, x: &mut [f32]) {
        self.kernels.gelu_tanh(x);
    }

    fn gelu_erf(&self, x: &mut [f32]) {
        self.kernels.gelu_erf(x);
    }

    fn silu(&self, x: &mut [f32]) {
        self.kernels.silu(x);
    }

    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        self.kernels.store_kv(x, out);
    }

    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        self.kernels.sum_squares(row, head_dim)
    }

    fn score_block(
        &self,
        q: Query<'_>,
        keys: KvRows<'_>,
        scale: f32,
        slope: f32,
        distance: u32,
        scores: &mut [f32],
    ) -> f32 {
        self.kernels.score_block(q, keys, scale, slope, distance, scores)
    }

    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        self.kernels.exp_block(scores, max)
    }

    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        self.kernels.accumulate_block(probs, values, acc);
    }

    fn scale(&self, x: &mut [f32], factor: f32) {
        self.kernels.scale(x, factor);
    }

    fn int8_peak(&self, rounds: u32) -> u64 {
        self.kernels.int8_peak(rounds)
    }
}
