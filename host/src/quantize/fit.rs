//! Search for the scales and offsets with the least squared error, for all quantizers.
//!
//! Given the quants, the best scale (and offset) is a linear regression; given these, the best quants are the nearest ones. The
//! error has many local minima, so the regression starts from several first scales around that of the extremes, and the best
//! result is polished by turns of both steps. Source of the idea: ggml, `make_qx_quants` and `make_qkx2_quants`; errors are
//! measured on the numbers that a block stores. All squared errors have weight 1 ([`Even`]), or each has its column's
//! importance (a [`Batch`] of importances).
//!
//! Blocks are fitted many at a time, each on its own: weight `i` of all blocks lies together, so that an instruction does the
//! same for each. A block's sums run in eight parts, in one order, and its bits are the same on any machine and beside any
//! others.

/// Number of parts of a sum.
const PARTS: usize = 8;
/// Number of turns of regression and rounding after the search.
const N_TURNS: usize = 4;
/// Half of the smallest f16: smaller weights round to zero.
pub const NOTHING: f32 = 1.0 / (1 << 25) as f32;

/// Batch of `B` blocks of `N` weights: `[i][b]` is weight `i` of block `b`.
pub type Batch<const N: usize, const B: usize> = [[f32; B]; N];

/// Transposes blocks to a batch.
#[inline(always)]
pub fn batch<const N: usize, const B: usize>(x: &[[f32; N]; B]) -> Batch<N, B> {
    let mut out = [[0.0; B]; N];
    for (b, x) in x.iter().enumerate() {
        for (out, &x) in out.iter_mut().zip(x) {
            out[b] = x;
        }
    }
    out
}

/// Calls `number` for each block.
#[inline(always)]
pub fn each<const B: usize>(number: impl Fn(usize) -> f32) -> [f32; B] {
    let mut out = [0.0; B];
    for (b, out) in out.iter_mut().enumerate() {
        *out = number(b);
    }
    out
}

/// Weights of the squared errors of a batch, in `Σ w (x - y)²` of each block.
pub trait Importance<const N: usize, const B: usize> {
    /// First scales, as multiples of one that the caller knows: wider where some weights hardly count.
    const STRETCHES: &'static [f32];
    /// True if some importances may be so much larger than others that f32 sums have to be taken over differences from those
    /// weights.
    const VARIES: bool;

    /// Importance of weight `i` of block `b`.
    fn of(&self, i: usize, b: usize) -> f32;

    /// Sum of the importances of each block.
    fn totals(&self) -> [f32; B];
}

/// Importance 1 for every weight.
#[derive(Clone, Copy, Debug)]
pub struct Even;

impl<const N: usize, const B: usize> Importance<N, B> for Even {
    const STRETCHES: &'static [f32] = &[];
    const VARIES: bool = false;

    #[inline(always)]
    fn of(&self, _: usize, _: usize) -> f32 {
        1.0
    }

    #[inline(always)]
    fn totals(&self) -> [f32; B] {
        [N as f32; B]
    }
}

impl<const N: usize, const B: usize> Importance<N, B> for Batch<N, B> {
    const STRETCHES: &'static [f32] = &[1.3, 1.45, 1.6, 1.8, 2.1, 2.5, 3.0];
    const VARIES: bool = true;

    #[inline(always)]
    fn of(&self, i: usize, b: usize) -> f32 {
        self[i][b]
    }

    #[inline(always)]
    fn totals(&self) -> [f32; B] {
        let [totals] = sums(self, &Even, |w, _, _| [w]);
        totals
    }
}

/// Numbers that a type can store, times a block's scale.
pub trait Levels: Copy {
    /// Lowest level.
    fn lo(self) -> f32;

    /// Highest level.
    fn hi(self) -> f32;

    /// Level nearest to `x`.
    fn nearest(self, x: f32) -> f32;
}

/// Integers from `lo` to `hi`.
#[derive(Clone, Copy, Debug)]
pub struct Quants {
    pub lo: f32,
    pub hi: f32,
}

impl Levels for Quants {
    #[inline(always)]
    fn lo(self) -> f32 {
        self.lo
    }

    #[inline(always)]
    fn hi(self) -> f32 {
        self.hi
    }

    #[inline(always)]
    fn nearest(self, x: f32) -> f32 {
        // Comparisons instead of `clamp`, which has a branch for NaN; no NaN comes here.
        let x = if x < self.lo { self.lo } else { x };
        let x = if x > self.hi { self.hi } else { x };
        round(x)
    }
}

/// Sixteen levels of IQ4_NL and IQ4_XS, denser around zero. Source: ggml, `kvalues_iq4nl`.
#[derive(Clone, Copy, Debug)]
pub struct NonLinear;

impl NonLinear {
    pub const LEVELS: [f32; 16] =
        [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

    /// Index of a level.
    pub fn index(level: f32) -> u8 {
        const OF: [u8; 241] = {
            let (mut of, mut i) = ([0; 241], 0);
            while i < 16 {
                of[(NonLinear::LEVELS[i] + 127.0) as usize] = i as u8;
                i += 1;
            }
            of
        };
        OF[(level + 127.0) as usize]
    }
}

impl Levels for NonLinear {
    #[inline(always)]
    fn lo(self) -> f32 {
        Self::LEVELS[0]
    }

    #[inline(always)]
    fn hi(self) -> f32 {
        Self::LEVELS[15]
    }

    #[inline(always)]
    fn nearest(self, x: f32) -> f32 {
        let mut level = Self::LEVELS[0];
        for i in 1..Self::LEVELS.len() {
            let [below, above] = [Self::LEVELS[i - 1], Self::LEVELS[i]];
            level = if x > (below + above) / 2.0 { above } else { level };
        }
        level
    }
}

/// Nearest integer, ties to even, for magnitudes up to 2^22: f32 beyond 1.5 · 2^23 are integers.
#[inline(always)]
fn round(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// All bits set if the condition holds, to choose for many blocks without a branch.
#[inline(always)]
fn mask(is_so: bool) -> u32 {
    0_u32.wrapping_sub(is_so.into())
}

/// Writes `new` where the mask is set; elsewhere `old` stays.
#[inline(always)]
fn put_where(mask: u32, old: &mut f32, new: f32) {
    *old = f32::from_bits(new.to_bits() & mask | old.to_bits() & !mask);
}

/// Sums `Σ term(x, w, b)` of each block, `S` at once; `w` is the weight's importance.
#[inline(always)]
pub fn sums<const N: usize, const B: usize, const S: usize>(
    x: &Batch<N, B>,
    importance: &impl Importance<N, B>,
    term: impl Fn(f32, f32, usize) -> [f32; S],
) -> [[f32; B]; S] {
    let mut sums = [[0.0; B]; S];
    // Vectorized loop: all sums stay in registers.
    for b in 0..B {
        let part = |first| part::<N, S>(first, |i| term(x[i][b], importance.of(i, b), b));
        let even = plus(plus(part(0), part(4)), plus(part(2), part(6)));
        let odd = plus(plus(part(1), part(5)), plus(part(3), part(7)));
        for (sums, sum) in sums.iter_mut().zip(plus(even, odd)) {
            sums[b] = sum;
        }
    }
    sums
}

/// Sum over every eighth weight, from `first` on.
#[inline(always)]
fn part<const N: usize, const S: usize>(first: usize, term: impl Fn(usize) -> [f32; S]) -> [f32; S] {
    let mut sum = [0.0; S];
    for i in 0..N / PARTS {
        sum = plus(sum, term(i * PARTS + first));
    }
    sum
}

#[inline(always)]
fn plus<const S: usize>(a: [f32; S], b: [f32; S]) -> [f32; S] {
    core::array::from_fn(|s| a[s] + b[s])
}

/// Value of the largest magnitude, with its sign; of two, the first.
pub fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |m: f32, &x| if x.abs() > m.abs() { x } else { m })
}

/// Value of the largest magnitude of each block, with its sign.
#[inline(always)]
pub fn extremes<const N: usize, const B: usize>(x: &Batch<N, B>) -> [f32; B] {
    let mut most = [0.0_f32; B];
    for x in x {
        for (most, &x) in most.iter_mut().zip(x) {
            put_where(mask(x.abs() > most.abs()), most, x);
        }
    }
    most
}

/// Errors `Σ w (x - d q - m)²` of each block, with the nearest quants.
#[inline(always)]
pub fn errors<const N: usize, const B: usize>(
    x: &Batch<N, B>,
    importance: &impl Importance<N, B>,
    levels: impl Levels,
    d: &[f32; B],
    m: &[f32; B],
) -> [f32; B] {
    let inverse: [f32; B] = each(|b| inverse(d[b]));
    let [errors] = sums(x, importance, |x, w, b| {
        let rest = x - (d[b] * levels.nearest((x - m[b]) * inverse[b]) + m[b]);
        [w * (rest * rest)]
    });
    errors
}

/// Inverse `1 / d`, or 0 where it is not finite.
#[inline(always)]
pub fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// Result for each block: the larger the gain, the smaller the error.
#[derive(Clone, Copy)]
struct Scales<const B: usize> {
    gain: [f32; B],
    d: [f32; B],
}

/// Best scales for the quants that the scales with these inverses give.
#[inline(always)]
fn scales_of<const N: usize, const B: usize>(
    x: &Batch<N, B>,
    importance: &impl Importance<N, B>,
    levels: impl Levels,
    inverse: &[f32; B],
) -> Scales<B> {
    let [xq, qq] = sums(x, importance, |x, w, b| {
        let q = levels.nearest(x * inverse[b]);
        [w * (x * q), w * (q * q)]
    });
    // The larger (Σwxq)² / Σwq², the smaller is the error after the regression.
    Scales {
        gain: each(|b| if qq[b] > 0.0 { xq[b] * xq[b] / qq[b] } else { 0.0 }),
        d: each(|b| if qq[b] > 0.0 { xq[b] / qq[b] } else { 0.0 }),
    }
}

/// Scales of `x ≈ d q` of each block, of either sign.
#[inline(always)]
pub fn scales<const N: usize, const B: usize, W: Importance<N, B>>(
    x: &Batch<N, B>,
    importance: &W,
    levels: impl Levels,
    search: &[f32],
) -> [f32; B] {
    let extremes = extremes(x);
    let mut best = Scales { gain: [0.0; B], d: [0.0; B] };
    for end in [levels.lo(), levels.hi()] {
        for stretch in search.iter().chain(W::STRETCHES) {
            let found = scales_of(x, importance, levels, &each(|b| end * stretch / extremes[b]));
            for b in 0..B {
                let better = mask(found.gain[b] > best.gain[b]);
                put_where(better, &mut best.gain[b], found.gain[b]);
                put_where(better, &mut best.d[b], found.d[b]);
            }
        }
    }
    // A block stops at the first turn that does not improve it.
    let mut goes_on = [mask(true); B];
    for _ in 0..N_TURNS {
        let found = scales_of(x, importance, levels, &each(|b| inverse(best.d[b])));
        for (b, goes_on) in goes_on.iter_mut().enumerate() {
            *goes_on &= mask(found.gain[b] > best.gain[b]);
            put_where(*goes_on, &mut best.gain[b], found.gain[b]);
            put_where(*goes_on, &mut best.d[b], found.d[b]);
        }
        if goes_on.iter().all(|&mask| mask == 0) {
            break;
        }
    }
    each(|b| if extremes[b].abs() < NOTHING { 0.0 } else { best.d[b] })
}

/// Scales and offsets of `x ≈ d q + m` of each block.
#[derive(Clone, Copy, Debug)]
pub struct Lines<const B: usize> {
    pub d: [f32; B],
    pub m: [f32; B],
}

/// Weights without their mean, and sums of them.
struct Deviations<'w, const N: usize, const B: usize, W> {
    y: Batch<N, B>,
    importance: &'w W,
    totals: [f32; B],
    yy: [f32; B],
    y_sum: [f32; B],
    /// Greatest offset allowed.
    highest: [f32; B],
}

impl<const N: usize, const B: usize, W: Importance<N, B>> Deviations<'_, N, B, W> {
    /// Errors and best lines for the quants that the given lines produce. A given line is the inverse of its scale, and its
    /// offset.
    #[inline(always)]
    fn lines_of(&self, quants: Quants, [inverse, m]: &[[f32; B]; 2]) -> ([f32; B], Lines<B>) {
        let Self { y, importance, totals, yy, y_sum, highest } = self;
        // Quants are counted from that of the mean. A weight with a far larger importance than all others then adds nothing to
        // the sums in which the others would be lost.
        let middle: [f32; B] = each(|b| if W::VARIES { quants.nearest(-m[b] * inverse[b]) } else { 0.0 });
        let [q, qq, yq] = sums(y, *importance, |y, w, b| {
            let q = quants.nearest((y - m[b]) * inverse[b]) - middle[b];
            [w * q, w * (q * q), w * (y * q)]
        });
        let (mut error, mut line) = ([0.0; B], Lines { d: [0.0; B], m: [0.0; B] });
        for b in 0..B {
            let n = totals[b];
            let det = n * qq[b] - q[b] * q[b];
            let d = if det > 0.0 { (n * yq[b] - y_sum[b] * q[b]) / det } else { 0.0 };
            let m = (y_sum[b] - d * q[b]) / n;
            let free = yy[b] - d * yq[b] - m * y_sum[b];
            // Offset and sums for quants counted from zero again.
            let m = m - d * middle[b];
            let yq = yq[b] + middle[b] * y_sum[b];
            let qq = qq[b] + middle[b] * (2.0 * q[b] + n * middle[b]);
            let q = q[b] + n * middle[b];
            // Error Σ w (y - d q - m)² with the greatest offset.
            let top = highest[b];
            let dq = yq - top * q;
            let d_top = if qq > 0.0 { dq / qq } else { 0.0 };
            let held = yy[b] - 2.0 * top * y_sum[b] + n * top * top - d_top * dq;
            let is_free = mask(m <= top);
            (error[b], line.d[b], line.m[b]) = (held, d_top, top);
            put_where(is_free, &mut error[b], free);
            put_where(is_free, &mut line.d[b], d);
            put_where(is_free, &mut line.m[b], m);
        }
        (error, line)
    }
}

/// Lines with quants in `0..=q_max`; with `below`, no offset is above zero.
#[inline(always)]
pub fn lines<const N: usize, const B: usize, W: Importance<N, B>>(
    x: &Batch<N, B>,
    importance: &W,
    q_max: f32,
    below: bool,
    search: &[f32],
) -> Lines<B> {
    let quants = Quants { lo: 0.0, hi: q_max };
    let totals = importance.totals();
    let [sum] = sums(x, importance, |x, w, _| [w * x]);
    // Differences from the mean keep their digits beside a large offset.
    let mean: [f32; B] = each(|b| sum[b] / totals[b]);
    let y: Batch<N, B> = x.map(|x| each(|b| x[b] - mean[b]));
    let [yy, y_sum] = sums(&y, importance, |y, w, _| [w * (y * y), w * y]);
    // Greatest offset, counted from the mean.
    let highest: [f32; B] = each(|b| if below { -mean[b] } else { f32::MAX });
    let (mut lo, mut hi) = ([f32::MAX; B], [f32::MIN; B]);
    for y in &y {
        for b in 0..B {
            lo[b] = if y[b] < lo[b] { y[b] } else { lo[b] };
            hi[b] = if y[b] > hi[b] { y[b] } else { hi[b] };
        }
    }
    let lo: [f32; B] = each(|b| if highest[b] < lo[b] { highest[b] } else { lo[b] });
    let deviations = Deviations { y, importance, totals, yy, y_sum, highest };
    let mut least = [f32::INFINITY; B];
    let mut best = Lines { d: [0.0; B], m: [0.0; B] };
    for stretch in search.iter().chain(W::STRETCHES) {
        // A narrower line leaves out weights above, below, or on both sides.
        for share in [0.0, 0.5, 1.0] {
            let width: [f32; B] = each(|b| (hi[b] - lo[b]) / stretch);
            let first = [each(|b| q_max / width[b]), each(|b| lo[b] + share * (hi[b] - lo[b] - width[b]))];
            let (error, line) = deviations.lines_of(quants, &first);
            for b in 0..B {
                let better = mask(error[b] < least[b]);
                put_where(better, &mut least[b], error[b]);
                put_where(better, &mut best.d[b], line.d[b]);
                put_where(better, &mut best.m[b], line.m[b]);
            }
        }
    }
    let mut goes_on = [mask(true); B];
    for _ in 0..N_TURNS {
        let (error, line) = deviations.lines_of(quants, &[each(|b| inverse(best.d[b])), best.m]);
        for (b, goes_on) in goes_on.iter_mut().enumerate() {
            *goes_on &= mask(error[b] < least[b]);
            put_where(*goes_on, &mut least[b], error[b]);
            put_where(*goes_on, &mut best.d[b], line.d[b]);
            put_where(*goes_on, &mut best.m[b], line.m[b]);
        }
        if goes_on.iter().all(|&mask| mask == 0) {
            break;
        }
    }
    // A block of equal weights is its mean; others have a line.
    let is_flat = |b: usize| hi[b] - lo[b] < NOTHING;
    let m = each(|b| {
        let m = if is_flat(b) { mean[b] } else { best.m[b] + mean[b] };
        if below && m > 0.0 { 0.0 } else { m }
    });
    Lines { d: each(|b| if is_flat(b) { 0.0 } else { best.d[b] }), m }
}
