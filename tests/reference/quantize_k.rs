//! The K types: super-blocks of 256 weights whose sub-blocks have scales, and in some minimums, of a few bits.
//!
//! The encoders are plain: each sub-block's own extremes make its scale. ggml's search for better ones; any choice is a valid file.

use super::quantize::{blocks, extreme, get_f16, inverse, put_f16, values};

/// Scales and minimums of the sub-blocks as small integers, with what they are multiples of.
struct Fit<const SUBS: usize> {
    d: f32,
    d_min: f32,
    scales: [u8; SUBS],
    mins: [u8; SUBS],
}

impl<const SUBS: usize> Fit<SUBS> {
    /// `x ≈ d scale q - d_min min`, with `q` in `0..=q_max` and scales and minimums in `0..=s_max`.
    fn new(x: &[f32; 256], q_max: f32, s_max: f32) -> Self {
        let sub = |j: usize| &x[j * 256 / SUBS..(j + 1) * 256 / SUBS];
        let min: [f32; SUBS] = core::array::from_fn(|j| sub(j).iter().fold(0.0, |m: f32, &v| m.min(v)));
        let max = |j: usize| sub(j).iter().fold(0.0, |m: f32, &v| m.max(v));
        let scale: [f32; SUBS] = core::array::from_fn(|j| (max(j) - min[j]) / q_max);
        let d = extreme(&scale) / s_max;
        let d_min = -extreme(&min) / s_max;
        Self {
            d,
            d_min,
            scales: scale.map(|s| (s * inverse(d)).round() as u8),
            mins: min.map(|m| (-m * inverse(d_min)).round() as u8),
        }
    }

    /// The quants of `x`.
    fn quants(&self, x: &[f32; 256], q_max: f32) -> [u8; 256] {
        core::array::from_fn(|i| {
            let j = i * SUBS / 256;
            let (scale, min) = (self.d * f32::from(self.scales[j]), self.d_min * f32::from(self.mins[j]));
            ((x[i] + min) * inverse(scale)).round().clamp(0.0, q_max) as u8
        })
    }
}

/// `x ≈ d scale q`, with `q` in `-q_max..q_max` and a scale of either sign, in `-s_max..=s_max`, for each of 16 sub-blocks.
fn fit_signed(x: &[f32; 256], q_max: f32, s_max: f32) -> (f32, [i8; 16], [i8; 256]) {
    let scale: [f32; 16] = core::array::from_fn(|j| extreme(&x[16 * j..16 * j + 16]) / -q_max);
    let d = extreme(&scale).abs() / s_max;
    let scales = scale.map(|s| (s * inverse(d)).round() as i8);
    let quants = core::array::from_fn(|i| {
        let scale = d * f32::from(scales[i / 16]);
        (x[i] * inverse(scale)).round().clamp(-q_max, q_max - 1.0) as i8
    });
    (d, scales, quants)
}

/// Two bits each of 256 numbers: number `128 n + 32 k + l` in bits `2 k` of byte `32 n + l`. Q2_K, Q3_K and Q6_K's upper bits.
fn put_pairs(out: &mut [u8], q: impl Fn(usize) -> u8) {
    for i in 0..256 {
        out[pair_byte(i)] |= (q(i) & 3) << pair_shift(i);
    }
}

fn pair(bytes: &[u8], i: usize) -> u8 {
    bytes[pair_byte(i)] >> pair_shift(i) & 3
}

fn pair_byte(i: usize) -> usize {
    i / 128 * 32 + i % 32
}

fn pair_shift(i: usize) -> usize {
    i % 128 / 32 * 2
}

/// Four bits each of 256 numbers: number `64 n + 32 k + l` in half `k` of byte `32 n + l`. Q4_K and Q5_K.
fn put_halves(out: &mut [u8], q: impl Fn(usize) -> u8) {
    for i in 0..256 {
        out[i / 64 * 32 + i % 32] |= (q(i) & 15) << (i % 64 / 32 * 4);
    }
}

fn half(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15
}

/// One bit each of 256 numbers: number `32 k + l` in bit `k` of byte `l`. Q3_K and Q5_K.
fn put_bits(out: &mut [u8], bit: impl Fn(usize) -> bool) {
    for i in 0..256 {
        out[i % 32] |= u8::from(bit(i)) << (i / 32);
    }
}

fn bit(bytes: &[u8], i: usize) -> u8 {
    bytes[i % 32] >> (i / 32) & 1
}

/// Eight 6-bit scales and eight 6-bit minimums in 12 bytes: the first four of each whole, in bytes 0 to 7; of the last four
/// the low halves in bytes 8 to 11 and the upper pairs on top of bytes 0 to 7. Q4_K and Q5_K.
fn put_scales_mins(out: &mut [u8], scales: &[u8; 8], mins: &[u8; 8]) {
    for j in 0..4 {
        out[j] = scales[j] | scales[j + 4] >> 4 << 6;
        out[j + 4] = mins[j] | mins[j + 4] >> 4 << 6;
        out[j + 8] = (scales[j + 4] & 15) | (mins[j + 4] & 15) << 4;
    }
}

fn scale_min(bytes: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (bytes[j] & 63, bytes[j + 4] & 63)
    } else {
        ((bytes[j + 4] & 15) | bytes[j - 4] >> 6 << 4, bytes[j + 4] >> 4 | bytes[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// 16 bytes: scale in the low half, minimum in the high half; 64 bytes of pairs; `d`, `d_min` f16.
pub fn quantize_q2_k(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 84];
        let fit = Fit::<16>::new(x, 3.0, 15.0);
        let q = fit.quants(x, 3.0);
        let scales_mins: [u8; 16] = core::array::from_fn(|j| fit.scales[j] | fit.mins[j] << 4);
        out[..16].copy_from_slice(&scales_mins);
        put_pairs(&mut out[16..], |i| q[i]);
        put_f16(&mut out[80..], fit.d);
        put_f16(&mut out[82..], fit.d_min);
        out
    })
}

pub fn dequantize_q2_k(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 84], i| {
        let (d, d_min) = (get_f16(&b[80..]), get_f16(&b[82..]));
        let (scale, min) = (f32::from(b[i / 16] & 15), f32::from(b[i / 16] >> 4));
        d * scale * f32::from(pair(&b[16..], i)) - d_min * min
    })
}

/// 32 bytes of third bits; 64 bytes of pairs; 16 scales of 6 bits in 12 bytes; `d` f16. `x = d (scale - 32) (q - 4)`
///
/// Scales: the low halves in bytes 0 to 7 (scale `j` and, on top, `j + 8`), the upper pairs in bytes 8 to 11, scale `j` in bits
/// `j / 4 * 2` of byte `8 + j % 4`.
pub fn quantize_q3_k(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 110];
        let (d, scales, q) = fit_signed(x, 4.0, 31.0);
        let q = q.map(|q| (q + 4) as u8);
        put_bits(&mut out, |i| q[i] > 3);
        put_pairs(&mut out[32..], |i| q[i]);
        for (j, scale) in scales.into_iter().enumerate() {
            let scale = (scale + 32) as u8;
            out[96 + j % 8] |= (scale & 15) << (j / 8 * 4);
            out[104 + j % 4] |= scale >> 4 << (j / 4 * 2);
        }
        put_f16(&mut out[108..], d);
        out
    })
}

pub fn dequantize_q3_k(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 110], i| {
        let scale = |j: usize| (b[96 + j % 8] >> (j / 8 * 4) & 15) | (b[104 + j % 4] >> (j / 4 * 2) & 3) << 4;
        let q = pair(&b[32..], i) | bit(b, i) << 2;
        get_f16(&b[108..]) * (f32::from(scale(i / 16)) - 32.0) * (f32::from(q) - 4.0)
    })
}

/// `d`, `d_min` f16; 12 bytes of scales and minimums; 128 bytes of halves.
pub fn quantize_q4_k(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 144];
        let fit = Fit::<8>::new(x, 15.0, 63.0);
        let q = fit.quants(x, 15.0);
        put_f16(&mut out, fit.d);
        put_f16(&mut out[2..], fit.d_min);
        put_scales_mins(&mut out[4..], &fit.scales, &fit.mins);
        put_halves(&mut out[16..], |i| q[i]);
        out
    })
}

pub fn dequantize_q4_k(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 144], i| {
        let (scale, min) = scale_min(&b[4..], i / 32);
        get_f16(b) * scale * f32::from(half(&b[16..], i)) - get_f16(&b[2..]) * min
    })
}

/// `d`, `d_min` f16; 12 bytes of scales and minimums; 32 bytes of fifth bits; 128 bytes of halves.
pub fn quantize_q5_k(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 176];
        let fit = Fit::<8>::new(x, 31.0, 63.0);
        let q = fit.quants(x, 31.0);
        put_f16(&mut out, fit.d);
        put_f16(&mut out[2..], fit.d_min);
        put_scales_mins(&mut out[4..], &fit.scales, &fit.mins);
        put_bits(&mut out[16..], |i| q[i] > 15);
        put_halves(&mut out[48..], |i| q[i]);
        out
    })
}

pub fn dequantize_q5_k(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 176], i| {
        let (scale, min) = scale_min(&b[4..], i / 32);
        let q = half(&b[48..], i) | bit(&b[16..], i) << 4;
        get_f16(b) * scale * f32::from(q) - get_f16(&b[2..]) * min
    })
}

/// 128 bytes of low halves (number `128 n + 64 k + l` in half `k` of byte `64 n + l`); 64 bytes of pairs, the upper bits; 16 `i8`
/// scales; `d` f16. `x = d scale (q - 32)`
pub fn quantize_q6_k(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 210];
        let (d, scales, q) = fit_signed(x, 32.0, 127.0);
        let q = q.map(|q| (q + 32) as u8);
        for i in 0..256 {
            out[i / 128 * 64 + i % 64] |= (q[i] & 15) << (i % 128 / 64 * 4);
        }
        put_pairs(&mut out[128..], |i| q[i] >> 4);
        out[192..208].copy_from_slice(&scales.map(|s| s as u8));
        put_f16(&mut out[208..], d);
        out
    })
}

pub fn dequantize_q6_k(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 210], i| {
        let low = b[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
        let q = low | pair(&b[128..], i) << 4;
        get_f16(&b[208..]) * f32::from(b[192 + i / 16] as i8) * (f32::from(q) - 32.0)
    })
}
