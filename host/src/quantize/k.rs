//! K types: super-blocks of 256 weights, whose scales (and minimums) are small multiples of the super-block's own.
//!
//! For the blocks see `nearfield::kernels::block`. Every sub-block is fitted alone, and its numbers are rounded to multiples.
//! Each multiple is then changed by one up and down where that lowers the error of the stored numbers, and the super-block's
//! scale and minimum follow by regression, in turns.

use half::f16;

use super::fit::{self, Batch, Even, Importance, Levels, NonLinear, Quants, batch, errors, inverse, sums};

/// First scales: multiples of the one that takes the extreme to the last quant.
const SEARCH: [f32; 16] =
    [0.70, 0.74, 0.78, 0.82, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.06, 1.09, 1.12, 1.16, 1.2];
/// Number of turns over the multiples and the super-block's numbers.
const N_TURNS: usize = 3;

/// Nearest f16, but not zero unless `x` is, so that small weights keep a scale.
fn half(x: f32) -> f16 {
    let half = f16::from_f32(x);
    if half == f16::ZERO && x.abs() > 0.0 { f16::from_bits(1 | f16::from_f32(x).to_bits()) } else { half }
}

/// Multiples of `unit`, in `lo..=hi`: the nearest to `x` and its two neighbours.
fn around(x: f32, unit: f32, lo: f32, hi: f32) -> [f32; 3] {
    let middle = Quants { lo, hi }.nearest(x * inverse(unit));
    [middle, (middle - 1.0).max(lo), (middle + 1.0).min(hi)]
}

/// Super-block with minimums: `x ≈ d sc q - dmin mn`.
struct Lines<const SUBS: usize> {
    d: f16,
    dmin: f16,
    sc: [f32; SUBS],
    mn: [f32; SUBS],
    error: f32,
}

impl<const SUBS: usize> Lines<SUBS> {
    /// Best numbers found, with quants in `0..=q_max`, scales and minimums in `0..=s_max`.
    #[inline(always)]
    fn fit<const N: usize>(x: &Batch<N, SUBS>, importance: &impl Importance<N, SUBS>, q_max: f32, s_max: f32) -> Self {
        let lines = fit::lines(x, importance, q_max, true, &SEARCH);
        let largest = |values: [f32; SUBS]| values.into_iter().fold(0.0, f32::max);
        let (d, dmin) = (half(largest(lines.d) / s_max), half(largest(lines.m.map(|m| -m)) / s_max));
        let mut best = Self::multiples(x, importance, &lines, [d, dmin], q_max, s_max);
        for _ in 0..N_TURNS {
            let (d, dmin) = best.regression(x, importance, q_max);
            if (d, dmin) == (best.d, best.dmin) {
                break;
            }
            let found = Self::multiples(x, importance, &lines, [d, dmin], q_max, s_max);
            if found.error >= best.error {
                break;
            }
            best = found;
        }
        best
    }

    /// Best multiples of `d` and `dmin` near the lines.
    #[inline(always)]
    fn multiples<const N: usize>(
        x: &Batch<N, SUBS>,
        importance: &impl Importance<N, SUBS>,
        lines: &fit::Lines<SUBS>,
        [d, dmin]: [f16; 2],
        q_max: f32,
        s_max: f32,
    ) -> Self {
        let quants = Quants { lo: 0.0, hi: q_max };
        let mut found = Self { d, dmin, sc: [0.0; SUBS], mn: [0.0; SUBS], error: 0.0 };
        let (d, dmin) = (d.to_f32(), dmin.to_f32());
        let scales = lines.d.map(|scale| around(scale, d, 0.0, s_max));
        let minimums = lines.m.map(|m| around(-m, dmin, 0.0, s_max));
        let mut least = [f32::INFINITY; SUBS];
        for i in 0..3 {
            for k in 0..3 {
                let (sc, mn) = (scales.map(|sc| sc[i]), minimums.map(|mn| mn[k]));
                let errors = errors(x, importance, quants, &sc.map(|sc| d * sc), &mn.map(|mn| -(dmin * mn)));
                for (j, error) in errors.into_iter().enumerate() {
                    if error < least[j] {
                        (least[j], found.sc[j], found.mn[j]) = (error, sc[j], mn[j]);
                    }
                }
            }
        }
        found.error = least.iter().fold(0.0, |sum, error| sum + error);
        found
    }

    /// Scale and minimum of the super-block for the present multiples and their quants: `x ≈ d a - dmin b`.
    #[inline(always)]
    fn regression<const N: usize>(
        &self,
        x: &Batch<N, SUBS>,
        importance: &impl Importance<N, SUBS>,
        q_max: f32,
    ) -> (f16, f16) {
        let (inverse, m) = self.steps();
        let quants = Quants { lo: 0.0, hi: q_max };
        let totals = importance.totals();
        let [q, qq, xq, sum] = sums(x, importance, |x, w, j| {
            let q = quants.nearest((x - m[j]) * inverse[j]);
            [w * q, w * (q * q), w * (x * q), w * x]
        });
        let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for j in 0..SUBS {
            let (sc, mn) = (self.sc[j], self.mn[j]);
            aa += f64::from(sc * sc * qq[j]);
            ab += f64::from(sc * mn * q[j]);
            bb += f64::from(mn * mn) * f64::from(totals[j]);
            xa += f64::from(sc * xq[j]);
            xb += f64::from(mn * sum[j]);
        }
        let det = aa * bb - ab * ab;
        let (d, dmin) = match det > 1e-9 * aa * bb {
            true => ((xa * bb - xb * ab) / det, (xa * ab - xb * aa) / det),
            false if aa > 0.0 => (xa / aa, f64::from(self.dmin.to_f32())),
            false => (f64::from(self.d.to_f32()), f64::from(self.dmin.to_f32())),
        };
        // Numbers below zero make no sense in a block.
        (half(d.max(0.0) as f32), half(dmin.max(0.0) as f32))
    }

    /// Steps of each sub-block's quants: `1 / d`, and `m`.
    #[inline(always)]
    fn steps(&self) -> ([f32; SUBS], [f32; SUBS]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        (self.sc.map(|sc| inverse(d * sc)), self.mn.map(|mn| -(dmin * mn)))
    }

    /// Quants of all weights.
    #[inline(always)]
    fn quants<const N: usize>(&self, x: &Batch<N, SUBS>, q_max: f32) -> [u8; 256] {
        let (inverse, m) = self.steps();
        let quants = Quants { lo: 0.0, hi: q_max };
        interleave::<N, SUBS>(&x.map(|x| fit::each(|j| quants.nearest((x[j] - m[j]) * inverse[j]))))
    }
}

/// Quants in the order of the weights.
#[inline(always)]
fn interleave<const N: usize, const SUBS: usize>(q: &Batch<N, SUBS>) -> [u8; 256] {
    let mut out = [0; 256];
    for (j, out) in out.chunks_exact_mut(N).enumerate() {
        for (out, q) in out.iter_mut().zip(q) {
            *out = q[j] as u8;
        }
    }
    out
}

/// Super-block without minimums: `x ≈ d sc q`.
struct Scales<const SUBS: usize> {
    d: f16,
    sc: [f32; SUBS],
    error: f32,
}

impl<const SUBS: usize> Scales<SUBS> {
    /// Best numbers found, with scales in `s`.
    #[inline(always)]
    fn fit<const N: usize>(
        x: &Batch<N, SUBS>,
        importance: &impl Importance<N, SUBS>,
        levels: impl Levels,
        s: Quants,
    ) -> Self {
        let scales = fit::scales(x, importance, levels, &SEARCH);
        let mut best = Self::multiples(x, importance, &scales, half(fit::extreme(&scales) / s.lo), levels, s);
        for _ in 0..N_TURNS {
            let d = best.regression(x, importance, levels);
            let found = Self::multiples(x, importance, &scales, d, levels, s);
            if found.error >= best.error {
                break;
            }
            best = found;
        }
        best
    }

    #[inline(always)]
    fn multiples<const N: usize>(
        x: &Batch<N, SUBS>,
        importance: &impl Importance<N, SUBS>,
        scales: &[f32; SUBS],
        d: f16,
        levels: impl Levels,
        s: Quants,
    ) -> Self {
        let mut found = Self { d, sc: [0.0; SUBS], error: 0.0 };
        let d = d.to_f32();
        let mut least = [f32::INFINITY; SUBS];
        for stretch in Self::stretches(importance) {
            let near = scales.map(|scale| around(scale * stretch, d, s.lo, s.hi));
            for i in 0..3 {
                let sc = near.map(|near| near[i]);
                let errors = errors(x, importance, levels, &sc.map(|sc| d * sc), &[0.0; SUBS]);
                for (j, error) in errors.into_iter().enumerate() {
                    if error < least[j] {
                        (least[j], found.sc[j]) = (error, sc[j]);
                    }
                }
            }
        }
        found.error = least.iter().fold(0.0, |sum, error| sum + error);
        found
    }

    /// Scales to try, as multiples of the best one: where one weight counts more than all others, another quant may bring it
    /// nearer to a multiple.
    #[inline(always)]
    fn stretches<const N: usize, W: Importance<N, SUBS>>(_: &W) -> &'static [f32] {
        if W::VARIES { &[1.0, 4.0 / 3.0, 2.0, 4.0, -1.0, -4.0 / 3.0, 0.75] } else { &[1.0] }
    }

    /// Steps of each sub-block's quants: `1 / d`.
    #[inline(always)]
    fn steps(&self) -> [f32; SUBS] {
        let d = self.d.to_f32();
        self.sc.map(|sc| inverse(d * sc))
    }

    #[inline(always)]
    fn regression<const N: usize>(
        &self,
        x: &Batch<N, SUBS>,
        importance: &impl Importance<N, SUBS>,
        levels: impl Levels,
    ) -> f16 {
        let inverse = self.steps();
        let [qq, xq] = sums(x, importance, |x, w, j| {
            let q = levels.nearest(x * inverse[j]);
            [w * (q * q), w * (x * q)]
        });
        let (mut aa, mut xa) = (0.0, 0.0);
        for (j, sc) in self.sc.into_iter().enumerate() {
            aa += f64::from(sc * sc * qq[j]);
            xa += f64::from(sc * xq[j]);
        }
        if aa > 0.0 { half((xa / aa) as f32) } else { self.d }
    }

    /// Levels of all weights, counted from the lowest.
    #[inline(always)]
    fn quants<const N: usize>(&self, x: &Batch<N, SUBS>, levels: impl Levels) -> [u8; 256] {
        let inverse = self.steps();
        interleave::<N, SUBS>(&x.map(|x| fit::each(|j| levels.nearest(x[j] * inverse[j]) - levels.lo())))
    }
}

type Weights = [f32; 256];

/// Weights as a batch of sub-blocks.
#[inline(always)]
fn subs<const N: usize, const SUBS: usize>(x: &Weights) -> Batch<N, SUBS> {
    const { assert!(N * SUBS == 256) }
    batch(x.as_chunks().0.first_chunk().expect("as many as the weights make"))
}

/// Best lines, with importances if there are any.
#[inline(always)]
fn lines<const N: usize, const SUBS: usize>(
    x: &Batch<N, SUBS>,
    importance: Option<&Weights>,
    q_max: f32,
    s_max: f32,
) -> Lines<SUBS> {
    match importance {
        None => Lines::fit(x, &Even, q_max, s_max),
        Some(importance) => Lines::fit(x, &subs(importance), q_max, s_max),
    }
}

/// Best scales, with importances if there are any.
#[inline(always)]
fn scales<const N: usize, const SUBS: usize>(
    x: &Batch<N, SUBS>,
    importance: Option<&Weights>,
    levels: impl Levels,
    s: Quants,
) -> Scales<SUBS> {
    match importance {
        None => Scales::fit(x, &Even, levels, s),
        Some(importance) => Scales::fit(x, &subs(importance), levels, s),
    }
}

/// Writes `(d, dmin)` of a block, then the packed scales and minimums of 32 columns each.
fn put_lines(out: &mut [u8], lines: &Lines<8>) {
    let (halves, scales) = out.split_at_mut(4);
    put_halves(halves, [lines.d, lines.dmin]);
    put_scales_and_minimums(scales, &lines.sc.map(|sc| sc as u8), &lines.mn.map(|mn| mn as u8));
}

fn put_halves(out: &mut [u8], halves: [f16; 2]) {
    for (out, half) in out.chunks_exact_mut(2).zip(halves) {
        out.copy_from_slice(&half.to_le_bytes());
    }
}

/// Packs eight 6-bit scales and minimums in 12 bytes, as `nearfield_kernels::block::scale_and_minimum` unpacks them.
fn put_scales_and_minimums(out: &mut [u8], sc: &[u8; 8], mn: &[u8; 8]) {
    for j in 0..4 {
        out[j] = sc[j] | sc[j + 4] >> 4 << 6;
        out[j + 4] = mn[j] | mn[j + 4] >> 4 << 6;
        out[j + 8] = sc[j + 4] & 15 | (mn[j + 4] & 15) << 4;
    }
}

/// Packs 4 bits of each quant: column `64 n + l` in the low half of byte `32 n + l`, column `64 n + 32 + l` in the high half.
fn put_four_bits(out: &mut [u8], q: &[u8; 256]) {
    for (out, q) in out.chunks_exact_mut(32).zip(q.chunks_exact(64)) {
        for (l, out) in out.iter_mut().enumerate() {
            *out = q[l] & 15 | (q[l + 32] & 15) << 4;
        }
    }
}

/// Packs 2 bits of each quant: column `128 n + 32 k + l` in bits `2 k` and `2 k + 1` of byte `32 n + l`.
fn put_two_bits(out: &mut [u8], q: impl Fn(usize) -> u8) {
    for (i, out) in out.iter_mut().enumerate() {
        let first = i / 32 * 128 + i % 32;
        *out = (0..4).fold(0, |byte, k| byte | (q(first + 32 * k) & 3) << (2 * k));
    }
}

/// Packs one bit of each quant: bit `g` of byte `l` for column `32 g + l`.
fn put_bits(out: &mut [u8], bit: impl Fn(usize) -> u8) {
    for (l, out) in out.iter_mut().enumerate() {
        *out = (0..8).fold(0, |byte, g| byte | (bit(32 * g + l) & 1) << g);
    }
}

/// Writes a Q2_K block: 16 scales and minimums of 4 bits, 256 quants of 2 bits, `d`, `dmin`.
#[inline(always)]
pub fn q2_k(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 84]) {
    let x = subs::<16, 16>(x);
    let lines = lines(&x, importance, 3.0, 15.0);
    let q = lines.quants(&x, 3.0);
    let (scales, out) = out.split_at_mut(16);
    for ((out, sc), mn) in scales.iter_mut().zip(lines.sc).zip(lines.mn) {
        *out = sc as u8 | (mn as u8) << 4;
    }
    let (quants, halves) = out.split_at_mut(64);
    put_two_bits(quants, |i| q[i]);
    put_halves(halves, [lines.d, lines.dmin]);
}

/// Writes a Q3_K block: 256 third bits, 256 quants of 2 bits, 16 scales of 6 bits with 32 added, `d`.
#[inline(always)]
pub fn q3_k(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 110]) {
    let x = subs(x);
    let quants = Quants { lo: -4.0, hi: 3.0 };
    let found = scales::<16, 16>(&x, importance, quants, Quants { lo: -32.0, hi: 31.0 });
    let q = found.quants(&x, quants);
    let (thirds, out) = out.split_at_mut(32);
    put_bits(thirds, |i| q[i] >> 2);
    let (pairs, out) = out.split_at_mut(64);
    put_two_bits(pairs, |i| q[i]);
    let (scales, d) = out.split_at_mut(12);
    scales.fill(0);
    for (i, sc) in found.sc.iter().enumerate() {
        let sc = (sc + 32.0) as u8;
        scales[i % 8] |= (sc & 15) << (4 * (i / 8));
        scales[8 + i % 4] |= sc >> 4 << (2 * (i / 4));
    }
    d.copy_from_slice(&found.d.to_le_bytes());
}

/// Writes a Q4_K block: `d`, `dmin`, 8 scales and minimums of 6 bits, 256 quants of 4 bits.
#[inline(always)]
pub fn q4_k(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 144]) {
    let x = subs::<32, 8>(x);
    let lines = lines(&x, importance, 15.0, 63.0);
    let (head, quants) = out.split_at_mut(16);
    put_lines(head, &lines);
    put_four_bits(quants, &lines.quants(&x, 15.0));
}

/// Writes a Q5_K block: `d`, `dmin`, 8 scales and minimums of 6 bits, 256 fifth bits, 256 quants of 4 bits.
#[inline(always)]
pub fn q5_k(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 176]) {
    let x = subs::<32, 8>(x);
    let lines = lines(&x, importance, 31.0, 63.0);
    let q = lines.quants(&x, 31.0);
    let (head, out) = out.split_at_mut(16);
    put_lines(head, &lines);
    let (fifths, quants) = out.split_at_mut(32);
    put_bits(fifths, |i| q[i] >> 4);
    put_four_bits(quants, &q);
}

/// Writes a Q6_K block: 256 quants, their low 4 bits and their high 2 bits, 16 scales of 8 bits, `d`.
#[inline(always)]
pub fn q6_k(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 210]) {
    let x = subs(x);
    let quants = Quants { lo: -32.0, hi: 31.0 };
    let found = scales::<16, 16>(&x, importance, quants, Quants { lo: -128.0, hi: 127.0 });
    let q = found.quants(&x, quants);
    let (low, out) = out.split_at_mut(128);
    // Columns `128 n + l` and `128 n + 64 + l` share byte `64 n + l`.
    for (low, q) in low.chunks_exact_mut(64).zip(q.chunks_exact(128)) {
        for (l, low) in low.iter_mut().enumerate() {
            *low = q[l] & 15 | (q[l + 64] & 15) << 4;
        }
    }
    let (high, out) = out.split_at_mut(64);
    put_two_bits(high, |i| q[i] >> 4);
    let (scales, d) = out.split_at_mut(16);
    for (out, sc) in scales.iter_mut().zip(found.sc) {
        *out = sc as i8 as u8;
    }
    d.copy_from_slice(&found.d.to_le_bytes());
}

/// Writes an IQ4_XS block: `d`, the high 2 and the low 4 bits of 8 scales with 32 added, the indices of 256 levels.
#[inline(always)]
pub fn iq4_xs(x: &Weights, importance: Option<&Weights>, out: &mut [u8; 136]) {
    let x = subs::<32, 8>(x);
    let found = scales(&x, importance, NonLinear, Quants { lo: -32.0, hi: 31.0 });
    let q = found.quants(&x, NonLinear).map(|q| NonLinear::index(f32::from(q) + NonLinear.lo()));
    let (head, quants) = out.split_at_mut(8);
    let sc = found.sc.map(|sc| (sc + 32.0) as u8);
    let high = sc.iter().rev().fold(0_u16, |bits, sc| bits << 2 | u16::from(sc >> 4));
    head[..2].copy_from_slice(&found.d.to_le_bytes());
    head[2..4].copy_from_slice(&high.to_le_bytes());
    for (out, sc) in head[4..].iter_mut().zip(sc.as_chunks::<2>().0) {
        *out = sc[0] & 15 | sc[1] << 4;
    }
    // Column `l` of 32 is in the low half of byte `l`, column `l + 16` in the high half.
    for (out, q) in quants.chunks_exact_mut(16).zip(q.chunks_exact(32)) {
        for (l, out) in out.iter_mut().enumerate() {
            *out = q[l] | q[l + 16] << 4;
        }
    }
}
