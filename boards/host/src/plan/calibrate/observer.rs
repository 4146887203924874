//! Kernels that look on: how much of each query's denominator lies in which block of keys.

use std::cell::RefCell;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use nearfield::kernels::{
    Activations, BlockQ8, ColumnsMut, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, Layout, Matrix, Query, Walk,
};
use nearfield::{AlibiScale, SessionConfig, Shape, alibi};

use super::shares::Shares;

/// The kernels of a session that visits every key of every text; what they do is what the others do.
///
/// Heads are told apart by the slopes that they have at a query's position. The queries that walk together do so on one thread, from their own block to the first of the text, so
/// what was seen of them so far lies with the thread.
pub struct Observer {
    kernels: &'static dyn Kernels,
    shape: Shape,
    scale: AlibiScale,
    /// First keys that no ring cuts off.
    n_sinks: usize,
    n_ctx: usize,
    found: Mutex<Shares>,
    /// Whether a slope was none of those.
    is_lost: AtomicBool,
}

/// Of one block: the largest score, the sum of `exp(score - largest)` of all keys, and of those that can be cut off.
#[derive(Clone, Copy, Debug)]
struct Seen {
    max: f64,
    sum: f64,
    cut: f64,
}

thread_local! {
    /// What the queries that walk together saw, from the newest block on.
    static WALKS: RefCell<Vec<Vec<Seen>>> = const { RefCell::new(Vec::new()) };
}

impl Observer {
    /// Looks on while these kernels work.
    pub fn new(kernels: &'static dyn Kernels, shape: &Shape, config: &SessionConfig, n_sinks: usize) -> Result<Self> {
        let (scale, n_ctx) = (config.alibi_scale, config.n_ctx);
        let found = Mutex::new(Shares::new(shape.n_head_kv, n_ctx));
        let is_lost = AtomicBool::new(false);
        let observer = Self { kernels, shape: *shape, scale, n_sinks, n_ctx, found, is_lost };
        let are_apart =
            |n_keys| (0..shape.n_head).all(|head| observer.find(observer.slope(head, n_keys), n_keys) == Some(head));
        ensure!(are_apart(1) && are_apart(n_ctx), "heads have the same slope: they cannot be told apart");
        Ok(observer)
    }

    /// Of a query that sees `n_keys` keys.
    fn slope(&self, head: usize, n_keys: usize) -> f32 {
        alibi::slope_at(&self.shape, self.scale, head, n_keys) * self.shape.bias_scale()
    }

    /// The first query head with this slope.
    fn find(&self, slope: f32, n_keys: usize) -> Option<usize> {
        (0..self.shape.n_head).find(|&head| self.slope(head, n_keys).to_bits() == slope.to_bits())
    }

    /// Adds what was found to `shares` and begins anew.
    pub fn move_to(&self, shares: &mut Shares) -> Result<()> {
        ensure!(!self.is_lost.load(Ordering::Relaxed), "a query has the slope of no head");
        let mut found = self.found.lock().expect("no thread stops while it holds this");
        shares.add_all(&mem::replace(&mut *found, Shares::new(self.shape.n_head_kv, self.n_ctx)));
        Ok(())
    }

    fn look(&self, block: &KvBlock<'_>, scale: f32, walk: &Walk<'_>) -> Seen {
        let n = block.n_seen(walk.pos);
        let mut scores = [0.0; KV_BLOCK];
        let scores = &mut scores[..n];
        let distance = (walk.pos + 1 - (block.start + n)) as u32;
        let keys = block.keys.first(n, walk.acc.len());
        let max = f64::from(self.kernels.score_block(walk.query, keys, scale, walk.slope, distance, scores));
        let terms = || scores.iter().map(|&score| (f64::from(score) - max).exp());
        Seen { max, sum: terms().sum(), cut: terms().skip(self.n_sinks.saturating_sub(block.start)).sum() }
    }

    /// Queries that have seen all.
    fn take_in(&self, walks: &[Walk<'_>], seen: &[Vec<Seen>]) {
        let mut found = self.found.lock().expect("no thread stops while it holds this");
        let mut shares = Vec::new();
        for (walk, seen) in walks.iter().zip(seen) {
            let max = seen.iter().map(|seen| seen.max).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = seen.iter().map(|seen| seen.sum * (seen.max - max).exp()).sum();
            shares.clear();
            shares.extend(seen.iter().map(|seen| seen.cut * (seen.max - max).exp() / total));
            match self.find(walk.slope, walk.pos + 1) {
                Some(head) => found.add(head / self.shape.heads_per_kv(), &shares),
                None => self.is_lost.store(true, Ordering::Relaxed),
            }
        }
    }
}

impl Kernels for Observer {
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        WALKS.with_borrow_mut(|seen| {
            if walks.iter().all(|walk| walk.sum == 0.0) {
                seen.clear();
                seen.resize(walks.len(), Vec::new());
            }
            for (walk, seen) in walks.iter().zip(seen.iter_mut()) {
                seen.push(self.look(block, scale, walk));
            }
            if block.start == 0 {
                self.take_in(walks, seen);
            }
        });
        self.kernels.attend_block(block, scale, walks);
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
