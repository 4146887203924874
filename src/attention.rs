//! Attention of one query head with the bias made on the fly, from the newest key to the oldest, up to its horizon.
//!
//! The keys are those that the head's ring holds (see [`crate::Ring`]): all of the text, unless it was made shorter.
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

use nearfield_kernels::{BlockQ8, KV_BLOCK, Kernels, KvRows, Query};

use crate::cache::{Block, Blocks};

/// What attention needs to know of a query head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadBias {
    /// Factor of `q · k`.
    pub(crate) scale: f32,
    /// ALiBi slope.
    pub(crate) slope: f32,
    /// Share of the denominator that may be left out; 0 visits every key.
    pub(crate) eps: f32,
}

/// Covers what rounding may take from a norm, a product or an exponential of the bound.
const ROUNDING_MARGIN: f32 = 1.0 + 1.0 / 4096.0;

/// Attends from position `pos` to the keys of `blocks`, which it sees, and writes `Σ softmax(s)_j v_j` to `out`
/// (`[head_dim]`). Returns the number of keys visited.
pub(crate) fn attend(
    kernels: &dyn Kernels,
    blocks: Blocks<'_>,
    query: Query<'_>,
    bias: HeadBias,
    pos: usize,
    out: &mut [f32],
) -> u32 {
    let horizon = Horizon::new(kernels, query, bias, out.len());
    let mut scores = [0.0; KV_BLOCK];
    let mut max = f32::NEG_INFINITY;
    let mut sum = 0.0;
    let mut n_visited = 0;
    out.fill(0.0);
    for block in blocks {
        let scores = scores.get_mut(..block.end - block.start).unwrap_or_default();
        // Distances fit: a context is at most 2^24 long.
        let distance = (pos + 1 - block.end) as u32;
        let block_max = kernels.score_block(query, block.keys, bias.scale, bias.slope, distance, scores);
        if block_max > max {
            let shrink = exp(kernels, max - block_max);
            sum *= shrink;
            kernels.scale(out, shrink);
            max = block_max;
        }
        sum += kernels.exp_block(scores, max);
        kernels.accumulate_block(scores, block.values, out);
        n_visited += scores.len() as u32;
        if block.n_older == 0 || horizon.reached(kernels, &block, pos + 1 - block.start, max, sum) {
            break;
        }
    }
    kernels.scale(out, 1.0 / sum);
    n_visited
}

/// The bound on what the keys not yet visited can add.
struct Horizon {
    /// `|q| * scale`, rounded up.
    query_norm: f32,
    slope: f32,
    /// `1 / (1 - exp(-slope))`: the geometric series over all older keys; infinite without a slope.
    series: f32,
    eps: f32,
}

impl Horizon {
    fn new(kernels: &dyn Kernels, query: Query<'_>, bias: HeadBias, head_dim: usize) -> Self {
        let sum_squares = match query {
            Query::F32(q) => kernels.sum_squares(KvRows::F32(q), head_dim),
            Query::Q8(blocks) => blocks.iter().map(sum_squares_q8).sum(),
        };
        Self {
            query_norm: libm::sqrtf(sum_squares) * bias.scale * ROUNDING_MARGIN,
            slope: bias.slope,
            series: ROUNDING_MARGIN / (1.0 - exp(kernels, -bias.slope)),
            eps: bias.eps,
        }
    }

    /// Whether all keys older than `block`, the nearest at `distance`, add at most `eps * sum`.
    fn reached(&self, kernels: &dyn Kernels, block: &Block<'_>, distance: usize, max: f32, sum: f32) -> bool {
        if self.eps == 0.0 {
            return false;
        }
        let largest = self.query_norm * block.older_norm * ROUNDING_MARGIN - self.slope * distance as f32 - max;
        // Far behind the horizon, the rounding of `largest` is a fixed share of it; near it, `exp` of it is what counts.
        let n_older = block.n_older as f32;
        let n = if self.series < n_older { self.series } else { n_older };
        // With a NaN anywhere the comparison is false, and the walk goes on.
        exp(kernels, largest) * n * ROUNDING_MARGIN <= self.eps * sum
    }
}

/// The kernels' own exponential, of one number.
fn exp(kernels: &dyn Kernels, x: f32) -> f32 {
    let mut one = [x];
    kernels.exp_block(&mut one, 0.0);
    let [y] = one;
    y
}

fn sum_squares_q8(block: &BlockQ8) -> f32 {
    // At most 32 * 127²: exact.
    let sum: i32 = block.qs.iter().map(|&q| i32::from(q) * i32::from(q)).sum();
    block.d * block.d * sum as f32
}
