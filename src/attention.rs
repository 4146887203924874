//! Attention with the bias made on the fly: each query walks from the newest key back to its horizon.
//!
//! Queries that see the same keys walk together, as a query tile ([`Tile`]): a kernel's work on a block of keys is done once
//! for all of them. Each query has its own maximum, denominator and end, and its result has the bits that it would have alone.
//!
//! The keys are those in the head's ring ([`crate::Ring`]): all of the text, unless the ring is shorter.
//!
//! The score of the key at distance `D` is `s = q·k * scale - slope * D`. Keys are visited in blocks of [`KV_BLOCK`], cut at
//! multiples of it, with an online softmax (running maximum and denominator: Milakov & Gimelshein 2018, arXiv 1805.02867;
//! Dao et al. 2022, arXiv 2205.14135), so no row of scores is ever stored.
//!
//! **The horizon.** With `M` the running maximum, `l` the running denominator and `R` the largest norm among the older keys,
//! the nearest of which lies at distance `D`, all of them together add at most
//!
//! ```text
//!   Σ_{i ≥ 0} exp(|q| R scale - slope (D + i) - M) = exp(|q| R scale - slope D - M) / (1 - exp(-slope))
//! ```
//!
//! to the denominator, since `q·k ≤ |q| |k|`; and at most their number times the first term. Once that is at most
//! `eps * l`, the walk stops.
//!
//! The error of the result: let `e < eps` be the share of the whole denominator that was left out, `out` the mean of the values
//! visited, and `o` that of the values left out, each value weighted by its exponential. The mean of all is
//! `(1 - e) out + e o`, so the result is off by `e |o - out|`: in each column by less than `eps` times the sum of the largest
//! magnitude among the values left out and that among the values visited. The values themselves are not bounded. An encoder's
//! query walks both sides, each with half of its `eps`.

use heapless::Vec;
use nearfield_kernels::{BlockQ8, KV_BLOCK, Kernels, KvRows, Query, Walk, exp};

use crate::cache::Block;
use crate::planned::Planned;
use crate::rounded::Rounded;

/// Greatest number of queries that walk together, a power of two. Small on machines with little memory, since a query tile lies
/// on the stack.
pub(crate) const TILE: usize = if cfg!(target_pointer_width = "64") { KV_BLOCK } else { 2 };

/// Factor that covers the rounding errors of a norm, a product or an exponential in the bound.
const ROUNDING_MARGIN: f32 = 1.0 + 1.0 / 4096.0;

/// A query tile: queries of one KV head whose own positions lie in the same block. They see the same blocks; in the newest one,
/// each sees the keys up to its own.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Factor of `q · k`.
    scale: f32,
    /// Share of the denominator that may be left out; 0 visits every key.
    eps: f32,
    /// Rounding of the bias, if there is any.
    rounded: Option<Rounded>,
    walks: Vec<Walk<'a>, TILE>,
    horizons: Vec<Horizon, TILE>,
}

impl<'a> Tile<'a> {
    pub(crate) fn new(scale: f32, eps: f32, rounded: Option<Rounded>) -> Self {
        Self { scale, eps, rounded, walks: Vec::new(), horizons: Vec::new() }
    }

    /// Adds the query at `pos` of a head; its result will be in `out` (`[head_dim]`). `slope` is the final factor of distances,
    /// or the one that `rounded` rounds and scales. `None` if the query tile is full.
    pub(crate) fn push(
        &mut self,
        kernels: &dyn Kernels,
        query: Query<'a>,
        pos: usize,
        slope: f32,
        out: &'a mut [f32],
    ) -> Planned {
        // A rounded bias falls in steps, to which the geometric series does not apply.
        let series_slope = if self.rounded.is_none() { slope } else { 0.0 };
        self.horizons.push(Horizon::new(kernels, query, series_slope, self.scale, out.len())).ok()?;
        self.walks.push(Walk::new(query, pos, slope, out)).ok()
    }

    /// Walks `blocks`, those that the last query sees, until every query has reached its horizon.
    pub(crate) fn walk<'c>(&mut self, kernels: &dyn Kernels, blocks: impl Iterator<Item = Block<'c>>) {
        for block in blocks {
            match &self.rounded {
                None => kernels.attend_block(&block.kv, self.scale, &mut self.walks),
                Some(rounded) => rounded.attend_block(kernels, &block.kv, self.scale, &mut self.walks),
            }
            for (walk, horizon) in self.walks.iter().zip(&mut self.horizons).filter(|(walk, _)| !walk.ended) {
                horizon.n_visited += block.kv.n_seen(walk.pos) as u32;
            }
            if block.n_older == 0 || self.all_ended_at(kernels, &block) {
                break;
            }
        }
    }

    /// Turns to the keys on the other side, where newer keys are older: `turned` maps a position there. Each query first walks
    /// alone over the keys of its own block, which `own` returns for its position and which differ between queries. Returns
    /// true if [`walk`](Self::walk) has to follow over the older blocks.
    ///
    /// A query whose first walk ended begins again with its maximum and sums, so the bound holds for each side by itself.
    pub(crate) fn turn<'c>(
        &mut self,
        kernels: &dyn Kernels,
        turned: impl Fn(usize) -> usize,
        own: impl Fn(usize) -> Option<Block<'c>>,
    ) -> bool {
        let mut last = None;
        for (walk, horizon) in self.walks.iter_mut().zip(&mut self.horizons) {
            walk.ended = false;
            walk.pos = turned(walk.pos);
            let Some(block) = own(walk.pos) else { continue };
            let n = block.kv.n_seen(walk.pos);
            if n > 0 {
                kernels.attend_block(&block.kv, self.scale, core::slice::from_mut(walk));
                horizon.n_visited += n as u32;
            }
            last = Some(block);
        }
        last.is_none_or(|block| block.n_older > 0 && !self.all_ended_at(kernels, &block))
    }

    /// Completes each `out`: `Σ softmax(s)_j v_j` over the keys visited. Returns the number of keys that each query visited.
    pub(crate) fn finish(&mut self, kernels: &dyn Kernels) -> impl Iterator<Item = u32> {
        for walk in &mut self.walks {
            kernels.scale(walk.acc, 1.0 / walk.sum);
        }
        self.horizons.iter().map(|horizon| horizon.n_visited)
    }

    /// Ends the walks for which the keys older than `block` lie beyond the horizon. Returns true if all walks ended.
    fn all_ended_at(&mut self, kernels: &dyn Kernels, block: &Block<'_>) -> bool {
        if self.eps == 0.0 {
            return false;
        }
        let mut bounds = [0.0; TILE];
        let Some(bounds) = bounds.get_mut(..self.walks.len()) else { return false };
        for ((bound, walk), horizon) in bounds.iter_mut().zip(&self.walks).zip(&self.horizons) {
            let bias = match &self.rounded {
                None => -walk.slope * (walk.pos + 1 - block.kv.start) as f32,
                Some(rounded) => rounded.bias(walk, block.kv.start.saturating_sub(1)),
            };
            *bound = horizon.exponent(block, bias, walk.max);
        }
        // A block of exponentials takes vectors, and makes their sum, too: few take less one by one.
        if bounds.len() < KV_BLOCK / 4 {
            bounds.iter_mut().for_each(|bound| *bound = exp(*bound));
        } else {
            kernels.exp_block(bounds, 0.0);
        }
        let mut all_ended = true;
        for ((&bound, walk), horizon) in bounds.iter().zip(&mut self.walks).zip(&self.horizons) {
            // With a NaN anywhere the comparison is false, and the walk continues.
            walk.ended |= bound * horizon.n_terms(block) * ROUNDING_MARGIN <= self.eps * walk.sum;
            all_ended &= walk.ended;
        }
        all_ended
    }
}

/// Bound on the sum that the keys not yet visited can add to the denominator.
#[derive(Debug)]
struct Horizon {
    /// `|q| * scale` of the query, rounded up.
    query_norm: f32,
    /// `1 / (1 - exp(-slope))`: the geometric series over all older keys; infinite without a slope.
    series: f32,
    /// Keys visited so far.
    n_visited: u32,
}

impl Horizon {
    fn new(kernels: &dyn Kernels, query: Query<'_>, slope: f32, scale: f32, head_dim: usize) -> Self {
        let sum_squares = match query {
            Query::F32(q) => kernels.sum_squares(KvRows::F32(q), head_dim),
            Query::Q8(blocks) => blocks.iter().map(sum_squares_q8).sum(),
        };
        Self {
            query_norm: libm::sqrtf(sum_squares) * scale * ROUNDING_MARGIN,
            series: ROUNDING_MARGIN * series(slope),
            n_visited: 0,
        }
    }

    /// Exponent of the bound on the nearest key older than `block`, which has this bias.
    fn exponent(&self, block: &Block<'_>, bias: f32, max: f32) -> f32 {
        self.query_norm * block.older_norm * ROUNDING_MARGIN + bias - max
    }

    /// Factor of the bound for one key: the series or the number of keys, whichever is smaller.
    fn n_terms(&self, block: &Block<'_>) -> f32 {
        // The exponent's rounding error is a fixed share of it: far behind the horizon it decides nothing; near it, the margin
        // covers its exponential.
        let n_older = block.n_older as f32;
        if self.series < n_older { self.series } else { n_older }
    }
}

/// `1 / (1 - exp(-slope))`, or a little more.
fn series(slope: f32) -> f32 {
    // For small slopes the difference would round to a few digits; exp(x) - 1 >= x gives a bound.
    if slope < 1.0 / 1024.0 { 1.0 + 1.0 / slope } else { 1.0 / (1.0 - exp(-slope)) }
}

fn sum_squares_q8(block: &BlockQ8) -> f32 {
    // The sum is at most 32 * 127², which is exact in `f32`.
    let sum: i32 = block.qs.iter().map(|&q| i32::from(q) * i32::from(q)).sum();
    block.d * block.d * sum as f32
}

#[cfg(test)]
mod tests {
    use super::{ROUNDING_MARGIN, series};

    #[test]
    fn the_series_is_as_long_as_it_is_and_hardly_longer() {
        for i in -3200..=800 {
            let slope = libm::exp2f(i as f32 / 160.0);
            let want = -1.0 / libm::expm1(-f64::from(slope));
            let got = f64::from(series(slope)) / want;
            assert!(got * f64::from(ROUNDING_MARGIN) >= 1.0 && got < 1.001, "slope {slope}: {got} of it");
        }
        assert_eq!([series(0.0), series(1e9)], [f32::INFINITY, 1.0]);
    }
}
