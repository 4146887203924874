//! Shares of the softmax denominator that rings cut off, over many queries.

use nearfield::kernels::KV_BLOCK;

/// Bins of a factor 2^(1/4) each, down to 2^-40; smaller shares count in the last bin.
const BINS_PER_OCTAVE: f64 = 4.0;
const N_BINS: usize = 161;

/// Shares that are cut off, for each KV head and each ring length in blocks.
#[derive(Clone, Debug)]
pub struct Shares {
    /// Rows of `n_lengths`, one for each head; those of length 0 stay empty.
    cuts: Vec<Cut>,
    /// Number of blocks of the context, plus 1.
    n_lengths: usize,
}

/// Shares that a ring of one length cuts off, over all queries that see more keys.
#[derive(Clone, Debug)]
struct Cut {
    n: u64,
    sum: f64,
    most: f64,
    /// Number of queries by the size of their share. `[N_BINS]`
    bins: Vec<u32>,
}

/// Shares that a ring cuts off, in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of queries that see more keys than the ring holds.
    pub n_queries: u64,
    /// Mean share that these queries lose.
    pub mean: f64,
    /// Largest share that one of them loses.
    pub most: f64,
}

impl Shares {
    /// Makes empty sums for a context of `n_ctx`.
    pub fn new(n_heads: usize, n_ctx: usize) -> Self {
        let n_lengths = n_ctx.div_ceil(KV_BLOCK) + 1;
        let none = Cut { n: 0, sum: 0.0, most: 0.0, bins: vec![0; N_BINS] };
        Self { cuts: vec![none; n_heads * n_lengths], n_lengths }
    }

    /// Adds a query: the shares of the denominator in the blocks that it sees, from the newest on.
    pub fn add(&mut self, head: usize, shares: &[f64]) {
        let mut cut = 0.0;
        for n_blocks in (1..shares.len()).rev() {
            cut += shares[n_blocks];
            self.cuts[head * self.n_lengths + n_blocks].add(cut);
        }
    }

    /// Adds the sums of another.
    pub fn add_all(&mut self, other: &Self) {
        for (cut, other) in self.cuts.iter_mut().zip(&other.cuts) {
            cut.n += other.n;
            cut.sum += other.sum;
            cut.most = cut.most.max(other.most);
            cut.bins.iter_mut().zip(&other.bins).for_each(|(n, more)| *n += more);
        }
    }

    /// Shares that a ring of `n_blocks` cuts off.
    pub fn summary(&self, head: usize, n_blocks: usize) -> Summary {
        let cut = &self.cuts[head * self.n_lengths + n_blocks.min(self.n_lengths - 1)];
        Summary { n_queries: cut.n, mean: cut.sum / cut.n.max(1) as f64, most: cut.most }
    }

    /// Natural logarithm of the share that a ring of each length cuts off, a share of outliers left out. Made to fall; minus
    /// infinity for the whole context. `[n_lengths]`
    pub fn curve(&self, head: usize, outliers: f32) -> Vec<f32> {
        let row = &self.cuts[head * self.n_lengths..][..self.n_lengths];
        let mut curve: Vec<f32> = row.iter().map(|cut| cut.all_but(f64::from(outliers)).ln() as f32).collect();
        for i in (0..curve.len() - 1).rev() {
            curve[i] = curve[i].max(curve[i + 1]);
        }
        curve
    }
}

impl Cut {
    fn add(&mut self, share: f64) {
        // A NaN counts as the worst case.
        let share = if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) };
        self.n += 1;
        self.sum += share;
        self.most = self.most.max(share);
        self.bins[bin(share)] += 1;
    }

    /// Bound that all shares but the outliers keep: the upper end of a bin, or the largest share of all.
    fn all_but(&self, outliers: f64) -> f64 {
        let n_outliers = (self.n as f64 * outliers) as u64;
        let mut n = 0;
        for (i, &count) in self.bins.iter().enumerate() {
            n += u64::from(count);
            if n > n_outliers {
                return self.most.min((-(i as f64) / BINS_PER_OCTAVE).exp2());
            }
        }
        0.0
    }
}

/// Index of the bin with shares up to `2^(-i / 4)`.
fn bin(share: f64) -> usize {
    // A share of 0 has the logarithm minus infinity; the conversion saturates.
    ((-share.log2() * BINS_PER_OCTAVE).floor().max(0.0) as usize).min(N_BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ring_cuts_off_is_all_that_lies_behind_it() {
        let mut shares = Shares::new(2, 100);
        shares.add(1, &[0.5, 0.25, 0.125, 0.125]);
        shares.add(1, &[0.75, 0.25]);
        let of = |n_blocks| shares.summary(1, n_blocks);
        assert_eq!(of(1), Summary { n_queries: 2, mean: 0.375, most: 0.5 });
        assert_eq!(of(2), Summary { n_queries: 1, mean: 0.25, most: 0.25 });
        assert_eq!(of(3), Summary { n_queries: 1, mean: 0.125, most: 0.125 });
        assert_eq!([of(4), of(9), shares.summary(0, 1)], [Summary::default(); 3]);
        let curve = shares.curve(1, 0.0);
        assert_eq!(curve[1..].iter().map(|x| x.exp()).collect::<Vec<_>>(), [0.5, 0.25, 0.125, 0.0]);
    }

    #[test]
    fn outliers_are_left_out_and_bins_are_rounded_up() {
        let mut shares = Shares::new(1, 64);
        (1..=1000).for_each(|i| shares.add(0, &[1.0, f64::from(i) * 1e-6]));
        for (outliers, want) in [(0.0, 1e-3), (0.01, 0.99e-3), (0.5, 0.5e-3)] {
            let found = f64::from(shares.curve(0, outliers)[1].exp());
            assert!(found >= 0.999999 * want && found < 1.2 * want, "{outliers}: {found}");
        }
        // A longer ring never has a larger value, even if its queries are others.
        shares.add(0, &[1.0, 0.0, 0.9]);
        let curve = shares.curve(0, 0.01);
        assert!(curve.is_sorted_by(|a, b| a >= b), "{curve:?}");
        shares.add(0, &[1.0, f64::NAN]);
        assert_eq!(shares.summary(0, 1).most, 1.0);
    }
}
