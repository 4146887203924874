//! Values of a block of weights, in f64, computed as ggml's `dequantize_row_*` walk through it.

use nearfield_kernels::{Matrix, WeightType, scalar};

/// Value of a half-precision number.
pub fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 31);
    let mantissa = f64::from(bits & 1023) / 1024.0;
    match exponent {
        0 => sign * mantissa * 2f64.powi(-14),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + mantissa) * 2f64.powi(exponent - 15),
    }
}

fn half_at(block: &[u8], offset: usize) -> f64 {
    half(u16::from_le_bytes([block[offset], block[offset + 1]]))
}

/// Values of a row of any type.
pub fn dequantize(ty: WeightType, row: &[u8]) -> Vec<f64> {
    row.chunks_exact(ty.block_bytes()).flat_map(|block| dequantize_block(ty, block)).collect()
}

fn dequantize_block(ty: WeightType, b: &[u8]) -> Vec<f64> {
    match ty {
        WeightType::F32 => vec![f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))],
        WeightType::F16 => vec![half_at(b, 0)],
        WeightType::BF16 => vec![f64::from(f32::from_le_bytes([0, 0, b[0], b[1]]))],
        WeightType::Q4_0 => four_bits(&b[2..], 0).map(|q| (q - 8.0) * half_at(b, 0)).to_vec(),
        WeightType::Q4_1 => four_bits(&b[4..], 0).map(|q| q * half_at(b, 0) + half_at(b, 2)).to_vec(),
        WeightType::Q5_0 => four_bits(&b[6..], word(&b[2..])).map(|q| (q - 16.0) * half_at(b, 0)).to_vec(),
        WeightType::Q5_1 => four_bits(&b[8..], word(&b[4..])).map(|q| q * half_at(b, 0) + half_at(b, 2)).to_vec(),
        WeightType::Q8_0 => b[2..].iter().map(|&q| f64::from(q as i8) * half_at(b, 0)).collect(),
        WeightType::Q2_K => q2_k(b),
        WeightType::Q3_K => q3_k(b),
        WeightType::Q4_K => q4_k(b),
        WeightType::Q5_K => q5_k(b),
        WeightType::Q6_K => q6_k(b),
        WeightType::IQ4_NL => iq4_values(&b[2..]).iter().map(|v| v * half_at(b, 0)).collect(),
        WeightType::IQ4_XS => iq4_xs(b),
        // The fixture of `rare.rs` compares these types with `gguf`.
        _ => rare(ty, b),
    }
}

fn word(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

/// Quants of sixteen bytes, low halves first, with the fifth bits `qh`.
fn four_bits(qs: &[u8], qh: u32) -> [f64; 32] {
    let mut y = [0.0; 32];
    for j in 0..16 {
        let high0 = (qh >> j) << 4 & 0x10;
        let high1 = qh >> (j + 12) & 0x10;
        y[j] = f64::from(u32::from(qs[j] & 15) | high0);
        y[j + 16] = f64::from(u32::from(qs[j] >> 4) | high1);
    }
    y
}

fn q2_k(b: &[u8]) -> Vec<f64> {
    let (scales, qs) = (&b[..16], &b[16..80]);
    let (d, min) = (half_at(b, 80), half_at(b, 82));
    let mut y = Vec::new();
    let mut is = 0;
    for n in 0..2 {
        let q = &qs[32 * n..];
        let mut shift = 0;
        for _ in 0..4 {
            for part in [0, 16] {
                let sc = scales[is];
                is += 1;
                let (dl, ml) = (d * f64::from(sc & 15), min * f64::from(sc >> 4));
                y.extend((0..16).map(|l| dl * f64::from(q[part + l] >> shift & 3) - ml));
            }
            shift += 2;
        }
    }
    y
}

fn q3_k(b: &[u8]) -> Vec<f64> {
    let (hm, qs, d) = (&b[..32], &b[32..96], half_at(b, 108));
    const KMASK1: u32 = 0x0303_0303;
    const KMASK2: u32 = 0x0f0f_0f0f;
    let aux = [word(&b[96..]), word(&b[100..]), word(&b[104..])];
    let unpacked = [
        aux[0] & KMASK2 | (aux[2] & KMASK1) << 4,
        aux[1] & KMASK2 | (aux[2] >> 2 & KMASK1) << 4,
        aux[0] >> 4 & KMASK2 | (aux[2] >> 4 & KMASK1) << 4,
        aux[1] >> 4 & KMASK2 | (aux[2] >> 6 & KMASK1) << 4,
    ];
    let scales: Vec<u8> = unpacked.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut y = Vec::new();
    let mut is = 0;
    let mut m = 1;
    for n in 0..2 {
        let q = &qs[32 * n..];
        let mut shift = 0;
        for _ in 0..4 {
            for part in [0, 16] {
                let dl = d * (f64::from(scales[is]) - 32.0);
                is += 1;
                y.extend((part..part + 16).map(|l| {
                    let high = if hm[l] & m != 0 { 0.0 } else { 4.0 };
                    dl * (f64::from(q[l] >> shift & 3) - high)
                }));
            }
            shift += 2;
            m = m.wrapping_shl(1);
        }
    }
    y
}

/// Scale and minimum of group `j`: ggml's `get_scale_min_k4`.
fn scale_min(j: usize, q: &[u8]) -> (f64, f64) {
    let (sc, m) = if j < 4 {
        (q[j] & 63, q[j + 4] & 63)
    } else {
        ((q[j + 4] & 15) | ((q[j - 4] >> 6) << 4), (q[j + 4] >> 4) | ((q[j] >> 6) << 4))
    };
    (f64::from(sc), f64::from(m))
}

fn q4_k(b: &[u8]) -> Vec<f64> {
    let (d, min, scales) = (half_at(b, 0), half_at(b, 2), &b[4..16]);
    let mut y = Vec::new();
    for j in 0..4 {
        let q = &b[16 + 32 * j..][..32];
        let (sc1, m1) = scale_min(2 * j, scales);
        let (sc2, m2) = scale_min(2 * j + 1, scales);
        y.extend(q.iter().map(|q| d * sc1 * f64::from(q & 15) - min * m1));
        y.extend(q.iter().map(|q| d * sc2 * f64::from(q >> 4) - min * m2));
    }
    y
}

fn q5_k(b: &[u8]) -> Vec<f64> {
    let (d, min, scales, qh) = (half_at(b, 0), half_at(b, 2), &b[4..16], &b[16..48]);
    let mut y = Vec::new();
    let (mut u1, mut u2) = (1u8, 2u8);
    for j in 0..4 {
        let q = &b[48 + 32 * j..][..32];
        let (sc1, m1) = scale_min(2 * j, scales);
        let (sc2, m2) = scale_min(2 * j + 1, scales);
        let high = |l: usize, u: u8| if qh[l] & u != 0 { 16.0 } else { 0.0 };
        y.extend((0..32).map(|l| d * sc1 * (f64::from(q[l] & 15) + high(l, u1)) - min * m1));
        y.extend((0..32).map(|l| d * sc2 * (f64::from(q[l] >> 4) + high(l, u2)) - min * m2));
        (u1, u2) = (u1.wrapping_shl(2), u2.wrapping_shl(2));
    }
    y
}

fn q6_k(b: &[u8]) -> Vec<f64> {
    let d = half_at(b, 208);
    let mut y = vec![0.0; 256];
    for n in 0..2 {
        let (ql, qh, sc) = (&b[64 * n..], &b[128 + 32 * n..], &b[192 + 8 * n..]);
        for l in 0..32 {
            let is = l / 16;
            let q = [
                (ql[l] & 15) | ((qh[l] & 3) << 4),
                (ql[l + 32] & 15) | ((qh[l] >> 2 & 3) << 4),
                (ql[l] >> 4) | ((qh[l] >> 4 & 3) << 4),
                (ql[l + 32] >> 4) | ((qh[l] >> 6) << 4),
            ];
            for k in 0..4 {
                y[128 * n + 32 * k + l] = d * f64::from(sc[is + 2 * k] as i8) * (f64::from(q[k]) - 32.0);
            }
        }
    }
    y
}

fn rare(ty: WeightType, block: &[u8]) -> Vec<f64> {
    let mut y = vec![0.0; ty.block_len()];
    scalar::dequantize_row(&Matrix::new(ty, 1, y.len(), block).unwrap(), 0, &mut y);
    y.into_iter().map(f64::from).collect()
}

/// `kvalues_iq4nl` of the sixteen low halves, then of the high ones.
fn iq4_values(qs: &[u8]) -> [f64; 32] {
    const VALUES: [f64; 16] =
        [-127., -104., -83., -65., -49., -35., -22., -10., 1., 13., 25., 38., 53., 69., 89., 113.];
    four_bits(qs, 0).map(|i| VALUES[i as usize])
}

fn iq4_xs(b: &[u8]) -> Vec<f64> {
    let (d, scales_h, scales_l) = (half_at(b, 0), u16::from_le_bytes([b[2], b[3]]), &b[4..8]);
    let mut y = Vec::new();
    for ib in 0..8 {
        let ls = (scales_l[ib / 2] >> (4 * (ib % 2)) & 15) as u16 | (scales_h >> (2 * ib) & 3) << 4;
        let dl = d * (f64::from(ls) - 32.0);
        y.extend(iq4_values(&b[8 + 16 * ib..][..16]).map(|v| dl * v));
    }
    y
}

/// Random bytes whose half-precision scales are harmless.
pub fn weights(ty: WeightType, n_blocks: usize, seed: u64) -> Vec<u8> {
    let mut rng = nearfield_kernels::conformance::Rng::new(seed);
    let mut bytes: Vec<u8> = (0..n_blocks * ty.block_bytes()).map(|_| rng.bits() as u8).collect();
    let scales: &[usize] = match ty {
        WeightType::F16 | WeightType::BF16 => &[1],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4_K | WeightType::Q5_K => &[1, 3],
        WeightType::Q2_K => &[81, 83],
        WeightType::Q3_K => &[109],
        WeightType::Q6_K => &[209],
        WeightType::TQ1_0 => &[53],
        WeightType::TQ2_0 => &[65],
        // Upper bits of `d` for IQ1_M, the exponent for MXFP4.
        WeightType::IQ1_M => &[55],
        WeightType::MXFP4 => &[0],
        _ if ty.is_quantized() => &[1],
        _ => &[3],
    };
    for block in bytes.chunks_exact_mut(ty.block_bytes()) {
        for &i in scales {
            // Clearing the exponent's highest bit leaves a scale below 2.
            block[i] &= 0xbf;
        }
    }
    bytes
}

/// Floats in -1..1.
pub fn floats(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = nearfield_kernels::conformance::Rng::new(seed);
    (0..n).map(|_| rng.unit()).collect()
}

/// Asserts that `got` is within `bound` of `want`.
#[track_caller]
pub fn assert_close(got: f32, want: f64, bound: f64) {
    assert!((f64::from(got) - want).abs() <= bound, "{got}, not {want} (within {bound})");
}
