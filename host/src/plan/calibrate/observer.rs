//! Observer of the share of each query's softmax denominator in each block of keys, while the kernels walk over them.

use std::cell::RefCell;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nearfield::kernels::{KV_BLOCK, Kernels};
use nearfield::{AlibiScale, SessionConfig, Shape, alibi};
use nearfield_kernels::{KvBlock, Walk};

use super::shares::Shares;
use crate::error::{Result, ensure};
use crate::watched::Watch;

/// Observer of a session that visits every key of every text.
///
/// Heads are told apart by the slopes that they have at a query's position. The queries of a tile walk on one thread, from
/// their own block to the first of the text, so their sums so far are local to the thread.
pub struct Observer {
    kernels: &'static dyn Kernels,
    shape: Shape,
    scale: AlibiScale,
    /// Number of first keys that no ring cuts off.
    n_sinks: usize,
    n_ctx: usize,
    found: Mutex<Shares>,
    /// True if a walk had the slope of no head.
    is_lost: AtomicBool,
}

/// Sums of one block: the largest score, the sum of `exp(score - largest)` over all keys, and over those that can be cut off.
#[derive(Clone, Copy, Debug)]
struct Seen {
    max: f64,
    sum: f64,
    cut: f64,
}

thread_local! {
    /// Sums of the queries of the current tile, from the newest block on.
    static WALKS: RefCell<Vec<Vec<Seen>>> = const { RefCell::new(Vec::new()) };
}

impl Observer {
    /// Makes an observer of `kernels`; an error if heads have the same slope.
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

    /// Slope of a head for a query that sees `n_keys` keys.
    fn slope(&self, head: usize, n_keys: usize) -> f32 {
        alibi::slope_at(&self.shape, self.scale, head, n_keys) * self.shape.bias_scale()
    }

    /// First query head with this slope.
    fn find(&self, slope: f32, n_keys: usize) -> Option<usize> {
        (0..self.shape.n_head).find(|&head| self.slope(head, n_keys).to_bits() == slope.to_bits())
    }

    /// Adds the shares so far to `shares` and begins anew.
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

    /// Adds queries that have walked over all blocks.
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

impl Watch for Observer {
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &[Walk<'_>]) {
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
    }
}
