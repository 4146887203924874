//! Weight types, literal and slow: numbers to blocks and back.
//!
//! The simple types round as ggml's `quantize_row_*_ref` do. Blocks: ggml, `ggml-common.h`.

use super::quantize_iq4::*;
use super::quantize_k::*;
use half::{bf16, f16};

/// A weight type of GGUF.
pub struct Type {
    pub name: &'static str,
    /// `ggml_type`.
    pub number: u32,
    pub block_len: usize,
    pub block_bytes: usize,
    pub quantize: fn(&[f32]) -> Vec<u8>,
    pub dequantize: fn(&[u8]) -> Vec<f32>,
}

/// Every type that the runtime reads.
#[rustfmt::skip]
pub const TYPES: [Type; 15] = [
    Type { name: "F32", number: 0, block_len: 1, block_bytes: 4, quantize: f32_bytes, dequantize: f32_values },
    Type { name: "F16", number: 1, block_len: 1, block_bytes: 2, quantize: f16_bytes, dequantize: f16_values },
    Type { name: "BF16", number: 30, block_len: 1, block_bytes: 2, quantize: bf16_bytes, dequantize: bf16_values },
    Type { name: "Q8_0", number: 8, block_len: 32, block_bytes: 34, quantize: quantize_q8_0, dequantize: dequantize_q8_0 },
    Type { name: "Q4_0", number: 2, block_len: 32, block_bytes: 18, quantize: quantize_q4_0, dequantize: dequantize_q4_0 },
    Type { name: "Q4_1", number: 3, block_len: 32, block_bytes: 20, quantize: quantize_q4_1, dequantize: dequantize_q4_1 },
    Type { name: "Q5_0", number: 6, block_len: 32, block_bytes: 22, quantize: quantize_q5_0, dequantize: dequantize_q5_0 },
    Type { name: "Q5_1", number: 7, block_len: 32, block_bytes: 24, quantize: quantize_q5_1, dequantize: dequantize_q5_1 },
    Type { name: "Q2_K", number: 10, block_len: 256, block_bytes: 84, quantize: quantize_q2_k, dequantize: dequantize_q2_k },
    Type { name: "Q3_K", number: 11, block_len: 256, block_bytes: 110, quantize: quantize_q3_k, dequantize: dequantize_q3_k },
    Type { name: "Q4_K", number: 12, block_len: 256, block_bytes: 144, quantize: quantize_q4_k, dequantize: dequantize_q4_k },
    Type { name: "Q5_K", number: 13, block_len: 256, block_bytes: 176, quantize: quantize_q5_k, dequantize: dequantize_q5_k },
    Type { name: "Q6_K", number: 14, block_len: 256, block_bytes: 210, quantize: quantize_q6_k, dequantize: dequantize_q6_k },
    Type { name: "IQ4_NL", number: 20, block_len: 32, block_bytes: 18, quantize: quantize_iq4_nl, dequantize: dequantize_iq4_nl },
    Type { name: "IQ4_XS", number: 23, block_len: 256, block_bytes: 136, quantize: quantize_iq4_xs, dequantize: dequantize_iq4_xs },
];

/// The type with GGUF's name.
pub fn by_name(name: &str) -> &'static Type {
    TYPES.iter().find(|ty| ty.name == name).unwrap()
}

/// Applies `block` to each `N` values.
pub(super) fn blocks<const N: usize, const B: usize>(x: &[f32], block: fn(&[f32; N]) -> [u8; B]) -> Vec<u8> {
    assert!(x.len().is_multiple_of(N), "{} values are not whole blocks of {N}", x.len());
    x.chunks_exact(N).flat_map(|x| block(x.try_into().unwrap())).collect()
}

/// The numbers of blocks of `B` bytes: `value(block, i)` for `i` in `0..len`.
pub(super) fn values<const B: usize>(bytes: &[u8], len: usize, value: fn(&[u8; B], usize) -> f32) -> Vec<f32> {
    assert!(bytes.len().is_multiple_of(B));
    let block = |b: &[u8]| (0..len).map(|i| value(b.try_into().unwrap(), i)).collect::<Vec<f32>>();
    bytes.chunks_exact(B).flat_map(block).collect()
}

pub(super) fn get_f16(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

pub(super) fn put_f16(bytes: &mut [u8], x: f32) {
    bytes[..2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
}

/// `1 / d`, or 0 for 0.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The first value of the largest magnitude, with its sign.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |m: f32, &v| if v.abs() > m.abs() { v } else { m })
}

fn min_max(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}

fn f32_bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn f16_bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
}

fn f16_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(get_f16).collect()
}

fn bf16_bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()
}

fn bf16_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
}

/// `d` f16, 32 `i8`.
fn quantize_q8_0(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 34];
        let d = extreme(x).abs() / 127.0;
        put_f16(&mut out, d);
        for (out, v) in out[2..].iter_mut().zip(x) {
            *out = (v * inverse(d)).round() as i8 as u8;
        }
        out
    })
}

fn dequantize_q8_0(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 34], i| f32::from(b[2 + i] as i8) * get_f16(b))
}

/// `d` f16, 16 bytes: number `i` in the low half of byte `i`, number `i + 16` in the high half. `x = (q - 8) d`
fn quantize_q4_0(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 18];
        let d = extreme(x) / -8.0;
        put_f16(&mut out, d);
        put_nibbles(&mut out[2..], |i| ((x[i] * inverse(d) + 8.5) as u8).min(15));
        out
    })
}

fn dequantize_q4_0(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 18], i| (f32::from(nibble(&b[2..], i)) - 8.0) * get_f16(b))
}

/// `d`, `m` f16, 16 bytes as in Q4_0. `x = q d + m`
fn quantize_q4_1(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 20];
        let (min, max) = min_max(x);
        let d = (max - min) / 15.0;
        put_f16(&mut out, d);
        put_f16(&mut out[2..], min);
        put_nibbles(&mut out[4..], |i| (((x[i] - min) * inverse(d) + 0.5) as u8).min(15));
        out
    })
}

fn dequantize_q4_1(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 20], i| f32::from(nibble(&b[4..], i)) * get_f16(b) + get_f16(&b[2..]))
}

/// `d` f16, 32 fifth bits, 16 bytes as in Q4_0. `x = (q - 16) d`
fn quantize_q5_0(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 22];
        let d = extreme(x) / -16.0;
        put_f16(&mut out, d);
        put_five_bits(&mut out[2..], |i| ((x[i] * inverse(d) + 16.5) as u8).min(31));
        out
    })
}

fn dequantize_q5_0(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 22], i| (f32::from(five_bits(&b[2..], i)) - 16.0) * get_f16(b))
}

/// `d`, `m` f16, fifth bits and halves as in Q5_0. `x = q d + m`
fn quantize_q5_1(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 24];
        let (min, max) = min_max(x);
        let d = (max - min) / 31.0;
        put_f16(&mut out, d);
        put_f16(&mut out[2..], min);
        put_five_bits(&mut out[4..], |i| ((x[i] - min) * inverse(d) + 0.5) as u8);
        out
    })
}

fn dequantize_q5_1(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 24], i| f32::from(five_bits(&b[4..], i)) * get_f16(b) + get_f16(&b[2..]))
}

pub(super) fn put_nibbles(out: &mut [u8], q: impl Fn(usize) -> u8) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = (q(i) & 15) | (q(i + 16) & 15) << 4;
    }
}

pub(super) fn nibble(qs: &[u8], i: usize) -> u8 {
    if i < 16 { qs[i] & 15 } else { qs[i - 16] >> 4 }
}

fn put_five_bits(out: &mut [u8], q: impl Fn(usize) -> u8) {
    let fifths = (0..32).fold(0, |bits, i| bits | u32::from(q(i) >> 4) << i);
    out[..4].copy_from_slice(&fifths.to_le_bytes());
    put_nibbles(&mut out[4..], q);
}

fn five_bits(bytes: &[u8], i: usize) -> u8 {
    let fifth = bytes[i / 8] >> (i % 8) & 1;
    nibble(&bytes[4..], i) | fifth << 4
}
