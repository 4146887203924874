//! Sums of floats, in the one order that all kernels keep.

/// Number of partial sums of a float reduction.
pub const LANES: usize = 16;

/// Sums `terms` in 16 strided partial sums, each starting at zero (lane `i` takes terms `i`, `i + 16`, ... in order),
/// then the [`tree`].
///
/// A partial sum is never -0, so a machine may fill up the last lanes with zeros.
pub fn strided_sum(terms: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0; LANES];
    for (i, term) in terms.enumerate() {
        lanes[i % LANES] += term;
    }
    tree(lanes)
}

/// Number of chains of a float product: a register of 256 bits.
pub const CHAINS: usize = 8;

/// `a · b + c`, rounded once.
#[inline]
pub fn fused(a: f32, b: f32, c: f32) -> f32 {
    libm::fmaf(a, b, c)
}

/// `Σ w · x` in 8 strided chains of [`fused`] terms, each starting at zero (chain `i` takes columns `i`, `i + 8`, ... in order), then
/// the [tree](tree_of_chains).
///
/// A sum of zero is +0, also if all terms are -0. So a machine may fill up a row with zeros, and may begin a chain with a product.
pub fn fused_sum(terms: impl Iterator<Item = (f32, f32)>) -> f32 {
    let mut chains = [0.0; CHAINS];
    for (i, (w, x)) in terms.enumerate() {
        let chain = &mut chains[i % CHAINS];
        *chain = fused(w, x, *chain);
    }
    tree_of_chains(chains) + 0.0
}

/// Adds the upper half of the lanes to the lower half: 8, 4, 2, 1.
#[inline]
pub fn tree(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h, rest @ ..] = lanes;
    let [i, j, k, l, m, n, o, p] = rest;
    tree_of_chains([a + i, b + j, c + k, d + l, e + m, f + n, g + o, h + p])
}

/// Adds the upper half of the chains to the lower half: 4, 2, 1.
#[inline]
pub fn tree_of_chains([a, b, c, d, e, f, g, h]: [f32; CHAINS]) -> f32 {
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    (a + c) + (b + d)
}
