//! The types with blocks of 32 weights.
//!
//! Blocks: `nearfield::kernels::block`. Scales are searched for; the plain one, of the extremes, is one of those that are
//! compared, as the block stores them.

use half::f16;

use super::fit::{self, Line, Quants, error, inverse};

/// First scales: multiples of the one that takes the extreme to the last quant.
const SEARCH: [f32; 16] =
    [0.70, 0.74, 0.78, 0.82, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.06, 1.09, 1.12, 1.16, 1.2];
const SEARCH_8: [f32; 3] = [0.995, 1.0, 1.005];

type Weights = [f32; 32];

/// The half nearest to `x`, and its value.
fn half(x: f32) -> (f16, f32) {
    let half = f16::from_f32(x);
    (half, half.to_f32())
}

/// The best of scales, as halves, by the error with the nearest quants.
fn best_scale(x: &Weights, quants: Quants, scales: impl IntoIterator<Item = f32>) -> f16 {
    let mut best = (f32::INFINITY, f16::ZERO);
    for scale in scales {
        let (half, d) = half(scale);
        let error = error(x, quants, d, 0.0);
        if error < best.0 {
            best = (error, half);
        }
    }
    best.1
}

fn symmetric(x: &Weights, quants: Quants, search: &[f32]) -> (f16, [f32; 32]) {
    let d = best_scale(x, quants, [fit::extreme(x) / quants.lo, fit::scale(x, quants, search)]);
    let inverse = inverse(d.to_f32());
    (d, x.map(|x| quants.nearest(x * inverse)))
}

fn asymmetric(x: &Weights, q_max: f32) -> (Line, [f32; 32]) {
    let (lo, hi) = x.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &x| (lo.min(x), hi.max(x)));
    let quants = Quants { lo: 0.0, hi: q_max };
    let plain = Line { d: (hi - lo) / q_max, m: lo };
    let mut best = (f32::INFINITY, Line::default());
    for Line { d, m } in [plain, fit::line(x, q_max, false, &SEARCH)] {
        let (d, m) = (half(d).1, half(m).1);
        let error = error(x, quants, d, m);
        if error < best.0 {
            best = (error, Line { d, m });
        }
    }
    let Line { d, m } = best.1;
    let inverse = inverse(d);
    (best.1, x.map(|x| quants.nearest((x - m) * inverse)))
}

/// `d`, 32 quants.
pub fn q8_0(x: &Weights, out: &mut [u8; 34]) {
    let (d, q) = symmetric(x, Quants { lo: -127.0, hi: 127.0 }, &SEARCH_8);
    // The same numbers with a positive scale, as usual.
    let (d, q) = if d.is_sign_negative() { (-d, q.map(|q| -q)) } else { (d, q) };
    out[..2].copy_from_slice(&d.to_le_bytes());
    for (out, q) in out[2..].iter_mut().zip(q) {
        *out = q as i8 as u8;
    }
}

/// `d`, 32 quants of 4 bits with 8 added.
pub fn q4_0(x: &Weights, out: &mut [u8; 18]) {
    let (d, q) = symmetric(x, Quants { lo: -8.0, hi: 7.0 }, &SEARCH);
    out[..2].copy_from_slice(&d.to_le_bytes());
    put_nibbles(&mut out[2..], &q.map(|q| (q + 8.0) as u8));
}

/// `d`, `m`, 32 quants of 4 bits.
pub fn q4_1(x: &Weights, out: &mut [u8; 20]) {
    let (line, q) = asymmetric(x, 15.0);
    put_line(&mut out[..4], line);
    put_nibbles(&mut out[4..], &q.map(|q| q as u8));
}

/// `d`, 32 fifth bits, 32 quants of 4 bits, with 16 added.
pub fn q5_0(x: &Weights, out: &mut [u8; 22]) {
    let (d, q) = symmetric(x, Quants { lo: -16.0, hi: 15.0 }, &SEARCH);
    out[..2].copy_from_slice(&d.to_le_bytes());
    put_five_bits(&mut out[2..], &q.map(|q| (q + 16.0) as u8));
}

/// `d`, `m`, 32 fifth bits, 32 quants of 4 bits.
pub fn q5_1(x: &Weights, out: &mut [u8; 24]) {
    let (line, q) = asymmetric(x, 31.0);
    put_line(&mut out[..4], line);
    put_five_bits(&mut out[4..], &q.map(|q| q as u8));
}

fn put_line(out: &mut [u8], line: Line) {
    for (out, x) in out.chunks_exact_mut(2).zip([line.d, line.m]) {
        out.copy_from_slice(&f16::from_f32(x).to_le_bytes());
    }
}

/// Quant `i` in the low half of byte `i`, quant `i + 16` in the high half.
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
