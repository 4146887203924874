//! Types with blocks of 32 weights.
//!
//! For the blocks see `nearfield::kernels::block`. Several scales are compared by their error as the block stores them; the
//! plain one, of the extremes, is among them.

use half::f16;

use super::fit::{self, Batch, Even, Importance, Levels, Lines, NonLinear, Quants, errors, inverse};

/// Number of blocks that are fitted at a time.
const B: usize = 64;
/// First scales: multiples of the one that takes the extreme to the last quant.
const SEARCH: [f32; 16] =
    [0.70, 0.74, 0.78, 0.82, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.06, 1.09, 1.12, 1.16, 1.2];
const SEARCH_8: [f32; 3] = [0.995, 1.0, 1.005];

type Weights = [f32; 32];

/// Nearest f16 to `x`, and its value.
fn half(x: f32) -> (f16, f32) {
    let half = f16::from_f32(x);
    (half, half.to_f32())
}

/// Batch of `B` blocks; blocks that are missing are filled with `rest`.
#[inline(always)]
fn filled_up<'x>(x: impl IntoIterator<Item = &'x Weights>, rest: f32) -> Batch<32, B> {
    let mut blocks = [[rest; 32]; B];
    for (block, x) in blocks.iter_mut().zip(x) {
        *block = *x;
    }
    fit::batch(&blocks)
}

/// Calls `then` with each batch of blocks, its importances, and the room for its bytes.
#[inline(always)]
fn batches<const BYTES: usize>(
    x: &[Weights],
    importance: Option<&[Weights]>,
    out: &mut [[u8; BYTES]],
    mut then: impl FnMut(&Batch<32, B>, Option<&Batch<32, B>>, &mut [[u8; BYTES]]),
) {
    // Importances are as long as a row and repeat for each.
    let mut importance = importance.map(|row| row.iter().cycle());
    for (x, out) in x.chunks(B).zip(out.chunks_mut(B)) {
        let importance = importance.as_mut().map(|blocks| filled_up(blocks.take(x.len()), 1.0));
        then(&filled_up(x, 0.0), importance.as_ref(), out);
    }
}

/// Fits blocks with a scale, and passes each with its levels to `put`.
#[inline(always)]
fn with_scales<const BYTES: usize>(
    x: &[Weights],
    importance: Option<&[Weights]>,
    out: &mut [[u8; BYTES]],
    levels: impl Levels,
    search: &[f32],
    put: impl Fn(f16, &Weights, &mut [u8; BYTES]),
) {
    batches(x, importance, out, |x, importance, out| {
        let (d, q) = match importance {
            None => symmetric(x, &Even, levels, search),
            Some(importance) => symmetric(x, importance, levels, search),
        };
        let q: [Weights; B] = fit::batch(&q);
        for ((out, q), d) in out.iter_mut().zip(&q).zip(d) {
            put(d, q, out);
        }
    });
}

/// Fits blocks with a scale and an offset, with quants in `0..=q_max`, and passes each with its quants to `put`.
#[inline(always)]
fn with_lines<const BYTES: usize>(
    x: &[Weights],
    importance: Option<&[Weights]>,
    out: &mut [[u8; BYTES]],
    q_max: f32,
    put: impl Fn([f32; 2], &Weights, &mut [u8; BYTES]),
) {
    batches(x, importance, out, |x, importance, out| {
        let (Lines { d, m }, q) = match importance {
            None => asymmetric(x, &Even, q_max),
            Some(importance) => asymmetric(x, importance, q_max),
        };
        let q: [Weights; B] = fit::batch(&q);
        for (b, (out, q)) in out.iter_mut().zip(&q).enumerate() {
            put([d[b], m[b]], q, out);
        }
    });
}

/// Better of two scales of each block, as f16, by the error with the nearest levels; and these levels.
#[inline(always)]
fn symmetric(
    x: &Batch<32, B>,
    importance: &impl Importance<32, B>,
    levels: impl Levels,
    search: &[f32],
) -> ([f16; B], Batch<32, B>) {
    let extremes = fit::extremes(x);
    let mut best = ([f32::INFINITY; B], [f16::ZERO; B]);
    for scales in [fit::each(|b| extremes[b] / levels.lo()), fit::scales(x, importance, levels, search)] {
        let halves = scales.map(half);
        let errors = errors(x, importance, levels, &halves.map(|(_, d)| d), &[0.0; B]);
        for (b, error) in errors.into_iter().enumerate() {
            if error < best.0[b] {
                (best.0[b], best.1[b]) = (error, halves[b].0);
            }
        }
    }
    let d = best.1;
    let inverse = d.map(|d| inverse(d.to_f32()));
    (d, x.map(|x| fit::each(|b| levels.nearest(x[b] * inverse[b]))))
}

/// Better of two lines of each block, rounded to f16; and the nearest quants.
#[inline(always)]
fn asymmetric(x: &Batch<32, B>, importance: &impl Importance<32, B>, q_max: f32) -> (Lines<B>, Batch<32, B>) {
    let (mut lo, mut hi) = ([f32::MAX; B], [f32::MIN; B]);
    for x in x {
        for b in 0..B {
            lo[b] = if x[b] < lo[b] { x[b] } else { lo[b] };
            hi[b] = if x[b] > hi[b] { x[b] } else { hi[b] };
        }
    }
    let quants = Quants { lo: 0.0, hi: q_max };
    let plain = Lines { d: fit::each(|b| (hi[b] - lo[b]) / q_max), m: lo };
    let mut best = ([f32::INFINITY; B], Lines { d: [0.0; B], m: [0.0; B] });
    for Lines { d, m } in [plain, fit::lines(x, importance, q_max, false, &SEARCH)] {
        let (d, m) = (d.map(|d| half(d).1), m.map(|m| half(m).1));
        let errors = errors(x, importance, quants, &d, &m);
        for (b, error) in errors.into_iter().enumerate() {
            if error < best.0[b] {
                (best.0[b], best.1.d[b], best.1.m[b]) = (error, d[b], m[b]);
            }
        }
    }
    let Lines { d, m } = best.1;
    let inverse = d.map(inverse);
    (best.1, x.map(|x| fit::each(|b| quants.nearest((x[b] - m[b]) * inverse[b]))))
}

/// Writes Q8_0 blocks: `d`, 32 quants.
#[inline(always)]
pub fn q8_0(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 34]]) {
    let quants = Quants { lo: -127.0, hi: 127.0 };
    with_scales(x, importance, out, quants, &SEARCH_8, |d, q, out| {
        // The scale is made positive, as usual; the numbers are the same.
        let (d, sign) = if d.is_sign_negative() { (-d, -1.0) } else { (d, 1.0) };
        out[..2].copy_from_slice(&d.to_le_bytes());
        for (out, q) in out[2..].iter_mut().zip(q) {
            *out = (sign * q) as i8 as u8;
        }
    });
}

/// Writes Q4_0 blocks: `d`, 32 quants of 4 bits with 8 added.
#[inline(always)]
pub fn q4_0(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 18]]) {
    let quants = Quants { lo: -8.0, hi: 7.0 };
    with_scales(x, importance, out, quants, &SEARCH, |d, q, out| {
        out[..2].copy_from_slice(&d.to_le_bytes());
        put_nibbles(&mut out[2..], &q.map(|q| (q + 8.0) as u8));
    });
}

/// Writes IQ4_NL blocks: `d`, the indices of 32 levels.
#[inline(always)]
pub fn iq4_nl(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 18]]) {
    with_scales(x, importance, out, NonLinear, &SEARCH, |d, q, out| {
        out[..2].copy_from_slice(&d.to_le_bytes());
        put_nibbles(&mut out[2..], &q.map(NonLinear::index));
    });
}

/// Writes Q4_1 blocks: `d`, `m`, 32 quants of 4 bits.
#[inline(always)]
pub fn q4_1(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 20]]) {
    with_lines(x, importance, out, 15.0, |line, q, out| {
        put_line(&mut out[..4], line);
        put_nibbles(&mut out[4..], &q.map(|q| q as u8));
    });
}

/// Writes Q5_0 blocks: `d`, 32 fifth bits, 32 quants of 4 bits, with 16 added.
#[inline(always)]
pub fn q5_0(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 22]]) {
    let quants = Quants { lo: -16.0, hi: 15.0 };
    with_scales(x, importance, out, quants, &SEARCH, |d, q, out| {
        out[..2].copy_from_slice(&d.to_le_bytes());
        put_five_bits(&mut out[2..], &q.map(|q| (q + 16.0) as u8));
    });
}

/// Writes Q5_1 blocks: `d`, `m`, 32 fifth bits, 32 quants of 4 bits.
#[inline(always)]
pub fn q5_1(x: &[Weights], importance: Option<&[Weights]>, out: &mut [[u8; 24]]) {
    with_lines(x, importance, out, 31.0, |line, q, out| {
        put_line(&mut out[..4], line);
        put_five_bits(&mut out[4..], &q.map(|q| q as u8));
    });
}

fn put_line(out: &mut [u8], line: [f32; 2]) {
    for (out, x) in out.chunks_exact_mut(2).zip(line) {
        out.copy_from_slice(&f16::from_f32(x).to_le_bytes());
    }
}

/// Packs 4 bits of each quant: quant `i` in the low half of byte `i`, quant `i + 16` in the high half.
fn put_nibbles(out: &mut [u8], q: &[u8; 32]) {
    let (low, high) = q.split_at(16);
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        *out = low & 15 | high << 4;
    }
}

fn put_five_bits(out: &mut [u8], q: &[u8; 32]) {
    let fifths = q.iter().rev().fold(0_u32, |bits, q| bits << 1 | u32::from(q >> 4));
    out[..4].copy_from_slice(&fifths.to_le_bytes());
    put_nibbles(&mut out[4..], q);
}
