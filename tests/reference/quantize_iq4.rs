//! The 4-bit types whose quants are indexes of sixteen values, in the simplest encoding that deserves the name: the number of the
//! largest magnitude becomes the value of the largest magnitude, and the others the nearest value.

use super::quantize::{blocks, extreme, get_f16, inverse, nibble, put_f16, put_nibbles, values};

/// `kvalues_iq4nl`
const VALUES: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

/// The index of the value nearest to `x`.
fn nearest(x: f32) -> u8 {
    let distance = |&i: &u8| (VALUES[usize::from(i)] - x).abs();
    (0..16).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
}

/// `d` f16; 16 bytes of indexes as in Q4_0. `x = d value`
pub fn quantize_iq4_nl(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 32]| {
        let mut out = [0; 18];
        let d = extreme(x) / -127.0;
        put_f16(&mut out, d);
        put_nibbles(&mut out[2..], |i| nearest(x[i] * inverse(d)));
        out
    })
}

pub fn dequantize_iq4_nl(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 32, |b: &[u8; 18], i| VALUES[usize::from(nibble(&b[2..], i))] * get_f16(b))
}

/// `d` f16; `u16` with the upper two bits of each scale; 4 bytes of their lower halves; of each 32 numbers 16 bytes as in Q4_0.
/// `x = d (scale - 32) value`
pub fn quantize_iq4_xs(x: &[f32]) -> Vec<u8> {
    blocks(x, |x: &[f32; 256]| {
        let mut out = [0; 136];
        let wanted: Vec<f32> = x.chunks(32).map(|x| extreme(x) / -127.0).collect();
        let d = extreme(&wanted) / -32.0;
        put_f16(&mut out, d);
        let mut high = 0;
        for (g, (x, wanted)) in x.chunks(32).zip(&wanted).enumerate() {
            let scale = (wanted * inverse(d)).round().clamp(-32.0, 31.0);
            let bits = (scale as i32 + 32) as u16;
            high |= (bits >> 4) << (2 * g);
            out[4 + g / 2] |= ((bits & 15) as u8) << (g % 2 * 4);
            put_nibbles(&mut out[8 + 16 * g..][..16], |i| nearest(x[i] * inverse(d * scale)));
        }
        out[2..4].copy_from_slice(&high.to_le_bytes());
        out
    })
}

pub fn dequantize_iq4_xs(bytes: &[u8]) -> Vec<f32> {
    values(bytes, 256, |b: &[u8; 136], i| {
        let g = i / 32;
        let low = b[4 + g / 2] >> (g % 2 * 4) & 15;
        let high = u16::from_le_bytes([b[2], b[3]]) >> (2 * g) & 3;
        let scale = f32::from(u16::from(low) | high << 4) - 32.0;
        get_f16(b) * scale * VALUES[usize::from(nibble(&b[8 + 16 * g..], i % 32))]
    })
}
