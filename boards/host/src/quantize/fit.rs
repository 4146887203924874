//! Scales and offsets with the least squared error: what all quantizers search for.
//!
//! Given the quants, the best scale (and offset) is a linear regression; given these, the best quants are the nearest ones. The
//! error has many local minimums, so the regression is tried for a row of first scales, around that of the extremes, and the
//! best is polished by turns of both steps. Source of the idea: ggml, `make_qx_quants` and `make_qkx2_quants`; the squared
//! errors here are not weighted, and what a block stores is what is measured.
//!
//! Sums run in eight lanes, in one order, so that the bits are the same on any machine.

/// Lanes of a sum.
const LANES: usize = 8;
/// Turns of regression and rounding after the search.
const N_TURNS: usize = 4;
/// Half of the smallest half-precision number: nothing is left of smaller weights.
pub const NOTHING: f32 = 1.0 / (1 << 25) as f32;

/// The integers that a type can store.
#[derive(Clone, Copy, Debug)]
pub struct Quants {
    pub lo: f32,
    pub hi: f32,
}

impl Quants {
    /// The nearest of them.
    #[inline(always)]
    pub fn nearest(self, x: f32) -> f32 {
        // Not `clamp`, which has a branch for NaN: there is none here.
        let x = if x < self.lo { self.lo } else { x };
        let x = if x > self.hi { self.hi } else { x };
        round(x)
    }
}

/// The nearest integer, ties to even, for up to 2^22: beyond 1.5 · 2^23 singles are integers.
#[inline(always)]
fn round(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// `Σ term(x)`, some sums at once.
#[inline(always)]
pub fn sums<const N: usize, const S: usize>(x: &[f32; N], term: impl Fn(f32) -> [f32; S]) -> [f32; S] {
    let mut lanes = [[0.0; LANES]; S];
    for x in x.as_chunks::<LANES>().0 {
        for (l, &x) in x.iter().enumerate() {
            for (lanes, term) in lanes.iter_mut().zip(term(x)) {
                lanes[l] += term;
            }
        }
    }
    lanes.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
}

/// The value of the largest magnitude, with its sign; of two, the first.
pub fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |m: f32, &x| if x.abs() > m.abs() { x } else { m })
}

/// `Σ (x - d q - m)²`, with the nearest quants.
#[inline(always)]
pub fn error<const N: usize>(x: &[f32; N], quants: Quants, d: f32, m: f32) -> f32 {
    let inverse = inverse(d);
    let [error] = sums(x, |x| {
        let rest = x - (d * quants.nearest((x - m) * inverse) + m);
        [rest * rest]
    });
    error
}

/// `1 / d`, or 0 for what has no such number.
#[inline(always)]
pub fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The scale of `x ≈ d q`, of either sign.
pub fn scale<const N: usize>(x: &[f32; N], quants: Quants, search: &[f32]) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < NOTHING {
        return 0.0;
    }
    // The larger Σxq² / Σq², the smaller the error that is left after the regression.
    let regression = |inverse: f32| {
        let [xq, qq] = sums(x, |x| {
            let q = quants.nearest(x * inverse);
            [x * q, q * q]
        });
        if qq > 0.0 { (xq * xq / qq, xq / qq) } else { (0.0, 0.0) }
    };
    let mut best = (0.0, 0.0);
    for end in [quants.lo, quants.hi] {
        for stretch in search {
            let found = regression(end * stretch / extreme);
            if found.0 > best.0 {
                best = found;
            }
        }
    }
    for _ in 0..N_TURNS {
        let found = regression(inverse(best.1));
        if found.0 <= best.0 {
            break;
        }
        best = found;
    }
    best.1
}

/// Scale and offset of `x ≈ d q + m`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub d: f32,
    pub m: f32,
}

/// The line with quants in `0..=q_max`; with `below`, its offset is not above zero.
pub fn line<const N: usize>(x: &[f32; N], q_max: f32, below: bool, search: &[f32]) -> Line {
    let quants = Quants { lo: 0.0, hi: q_max };
    let n = N as f32;
    let [sum] = sums(x, |x| [x]);
    // Differences from the mean: what counts does not drown in an offset.
    let mean = sum / n;
    let y = x.map(|x| x - mean);
    let [yy, y_sum] = sums(&y, |y| [y * y, y]);
    // The offset's limit, counted from there.
    let highest = if below { -mean } else { f32::MAX };
    let (lo, hi) = y.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &y| (lo.min(y), hi.max(y)));
    let lo = lo.min(highest);
    if hi - lo < NOTHING {
        // One number.
        return Line { d: 0.0, m: if below { mean.min(0.0) } else { mean } };
    }
    // The error that is left, and the line; offsets are counted from the mean.
    let regression = |inverse: f32, m: f32| {
        let [q, qq, yq] = sums(&y, |y| {
            let q = quants.nearest((y - m) * inverse);
            [q, q * q, y * q]
        });
        let det = n * qq - q * q;
        let d = if det > 0.0 { (n * yq - y_sum * q) / det } else { 0.0 };
        let m = (y_sum - d * q) / n;
        if m <= highest {
            return (yy - d * yq - m * y_sum, Line { d, m });
        }
        // Σ(y - d q - m)² for this offset.
        let m = highest;
        let dq = yq - m * q;
        let d = if qq > 0.0 { dq / qq } else { 0.0 };
        (yy - 2.0 * m * y_sum + n * m * m - d * dq, Line { d, m })
    };
    let mut best = (f32::INFINITY, Line::default());
    for stretch in search {
        let width = (hi - lo) / stretch;
        // What a narrower line leaves out is left out above, below, or on both sides.
        for share in [0.0, 0.5, 1.0] {
            let found = regression(q_max / width, lo + share * (hi - lo - width));
            if found.0 < best.0 {
                best = found;
            }
        }
    }
    for _ in 0..N_TURNS {
        let Line { d, m } = best.1;
        let found = regression(inverse(d), m);
        if found.0 >= best.0 {
            break;
        }
        best = found;
    }
    let Line { d, m } = best.1;
    Line { d, m: if below { (m + mean).min(0.0) } else { m + mean } }
}
