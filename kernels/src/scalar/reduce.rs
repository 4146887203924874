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

/// Adds the upper half of the lanes to the lower half: 8, 4, 2, 1.
pub fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut rest = &mut lanes[..];
    while let [_, _, ..] = rest {
        let (lower, upper) = rest.split_at_mut(rest.len() / 2);
        lower.iter_mut().zip(upper).for_each(|(lower, upper)| *lower += *upper);
        rest = lower;
    }
    lanes[0]
}
