//! Types that few files have: codebooks of eight or four columns, ternary digits, and 4-bit floats.
//!
//! Each type unpacks into groups of 32 columns, with a scale and an integer scale for each half ([`Grouped`]). Sources: ggml,
//! `ggml-common.h` (blocks and tables), `ggml-quants.c` (`dequantize_row_*`).

mod grids;

use super::q::nibbles;
use super::{Block, F16, QK, QK_K};

/// A block whose weights are `d * sc * q`, with `sc` of 16 columns.
pub trait Grouped: Block {
    /// Scale.
    fn d(&self) -> f32;

    /// `q` of the 32 columns of a group, and `sc` of its halves. The group is taken modulo 8. `|q| * |sc| * 127 * 32` is below
    /// 2^24.
    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]);
}

/// 256 weights of 2.06 bits: `w = d / 8 * (2 s + 1) * ±level`, `s` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2_XXS {
    /// Scale of the scales.
    pub d: F16,
    /// For each 32 columns: four indexes, one byte for each eight columns; then a word with four times the signs of eight
    /// columns (7 bits) and `s` (the upper 4 bits).
    pub qs: [[u8; 8]; QK_K / QK],
}

/// 256 weights of 2.31 bits: `w = d / 8 * (2 s + 1) * ±level`, `s` of 16 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2_XS {
    /// Scale of the scales.
    pub d: F16,
    /// For each eight columns: an index (9 bits) and the signs (7 bits).
    pub qs: [[u8; 2]; QK_K / 8],
    /// Scales: for each 32 columns a byte with `s` of the first 16 in the low half, of the last 16 in the high half.
    pub scales: [u8; QK_K / 32],
}

/// 256 weights of 2.56 bits: `w = d / 8 * (2 s + 1) * ±level`, `s` of 16 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2_S {
    /// Scale of the scales.
    pub d: F16,
    /// Lower 8 bits of an index for each eight columns.
    pub qs: [u8; QK_K / 8],
    /// Signs of each eight columns, one bit each.
    pub signs: [u8; QK_K / 8],
    /// Upper 2 bits of four indexes for each 32 columns.
    pub qh: [u8; QK_K / 32],
    /// Scales, as in [`BlockIQ2_XS`].
    pub scales: [u8; QK_K / 32],
}

/// 256 weights of 3.06 bits: `w = d / 4 * (2 s + 1) * ±level`, `s` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ3_XXS {
    /// Scale of the scales.
    pub d: F16,
    /// Index for each four columns.
    pub qs: [u8; QK_K / 4],
    /// Word of signs and `s` for each 32 columns, as in [`BlockIQ2_XXS`].
    pub scales_and_signs: [[u8; 4]; QK_K / 32],
}

/// 256 weights of 3.44 bits: `w = d * (2 s + 1) * ±level`, `s` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ3_S {
    /// Scale of the scales.
    pub d: F16,
    /// Lower 8 bits of an index for each four columns.
    pub qs: [u8; QK_K / 4],
    /// Ninth bits of eight indexes for each 32 columns.
    pub qh: [u8; QK_K / 32],
    /// Signs of each eight columns, one bit each.
    pub signs: [u8; QK_K / 8],
    /// Scales: for each 64 columns a byte with `s` of the first 32 in the low half, of the last 32 in the high half.
    pub scales: [u8; QK_K / 64],
}

/// 256 weights of 1.56 bits: `w = d / 8 * (2 s + 1) * (8 level ± 1)`, `s` and the sign of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ1_S {
    /// Scale of the scales.
    pub d: F16,
    /// Lower 8 bits of an index for each eight columns.
    pub qs: [u8; QK_K / 8],
    /// For each 32 columns: the upper 3 bits of four indexes, `s` (3 bits), and the sign (1 for minus).
    pub qh: [[u8; 2]; QK_K / 32],
}

/// 256 weights of 1.75 bits: `w = d / 8 * (2 s + 1) * (8 level ± 1)`, `s` of 16 columns, the sign of eight.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ1_M {
    /// Lower 8 bits of an index for each eight columns.
    pub qs: [u8; QK_K / 8],
    /// For each 16 columns: twice the upper 3 bits of an index and a sign (1 for minus).
    pub qh: [u8; QK_K / 16],
    /// For each 64 columns: four times `s` (3 bits). The upper 4 bits of the four numbers are `d`, the first number's lowest.
    pub scales: [[u8; 2]; QK_K / 64],
}

/// 256 weights of 1.69 bits: `w = d * (digit - 1)`, in base 3.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockTQ1_0 {
    /// Five digits each: byte `j` of the first 32 has columns `32 n + j`, byte `j` of the last 16 columns `160 + 16 n + j`. The
    /// byte is `256 / 243` times the number of these digits, rounded up, the first digit highest.
    pub qs: [u8; 48],
    /// Four digits each: columns `240 + 4 n + j`.
    pub qh: [u8; 4],
    /// Scale.
    pub d: F16,
}

/// 256 weights of 2.06 bits: `w = d * (q - 1)`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockTQ2_0 {
    /// Columns `128 n + 32 k + l`: bits `2 k` and `2 k + 1` of byte `32 n + l`.
    pub qs: [u8; QK_K / 4],
    /// Scale.
    pub d: F16,
}

/// 32 floats of 4 bits (E2M1) with a power of two: `w = 2^(e - 128) * MXFP4_VALUES[i]`. Source: OCP Microscaling Formats v1.0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockMXFP4 {
    /// Exponent.
    pub e: u8,
    /// Column `j` in the low half of byte `j`, column `j + 16` in the high half.
    pub qs: [u8; QK / 2],
}

/// Values of the 4-bit floats, doubled so that they are integers.
const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Levels of IQ2 grids; the fourth does not occur.
const LEVELS_2: [i8; 4] = [8, 25, 43, 0];
/// Levels of IQ3_XXS.
const LEVELS_3_XXS: [i8; 8] = [4, 12, 20, 28, 36, 44, 52, 62];
/// Levels of IQ3_S.
const LEVELS_3_S: [i8; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// Joins parts of `N` columns to the 32 columns of a group.
fn in_parts<const N: usize>(part: impl Fn(usize) -> [i8; N]) -> [i8; QK] {
    let mut columns = [0; QK];
    for (i, columns) in columns.as_chunks_mut().0.iter_mut().enumerate() {
        *columns = part(i);
    }
    columns
}

/// Columns of an entry of two-bit levels, negative where `signs` has the column's bit.
fn eight(entry: u16, signs: u8) -> [i8; 8] {
    core::array::from_fn(|i| signed(LEVELS_2[usize::from(entry >> (2 * i) & 3)], signs, i))
}

/// Columns of an entry of four-bit levels, negative where `signs` has the column's bit.
fn four(entry: u16, levels: &[i8; 8], signs: u8) -> [i8; 4] {
    core::array::from_fn(|i| signed(levels[usize::from(entry >> (4 * i) & 7)], signs, i))
}

fn signed(level: i8, signs: u8, i: usize) -> i8 {
    if signs >> i & 1 == 0 { level } else { -level }
}

/// Signs of eight columns from seven bits: the number of minus signs is even. Source: ggml, `ksigns_iq2xs`.
fn even_signs(bits: u32) -> u8 {
    let bits = (bits & 127) as u8;
    bits | (bits.count_ones() as u8 & 1) << 7
}

/// Columns of an entry of `IQ1_S`: eight times the levels -1, 0 and 1, plus one, or less one if `minus`.
fn around(entry: u16, minus: bool) -> [i8; 8] {
    core::array::from_fn(|i| 8 * ((entry >> (2 * i) & 3) as i8 - 1) + if minus { -1 } else { 1 })
}

/// `2 s + 1` of each half: the two `s` lie in the low and the high half of a byte.
fn odd_pair(scales: u8) -> [i8; 2] {
    [scales & 15, scales >> 4].map(odd)
}

/// `2 s + 1`, in 1..=31.
fn odd(s: u8) -> i8 {
    2 * s as i8 + 1
}

impl Grouped for BlockIQ2_XXS {
    fn d(&self) -> f32 {
        self.d.to_f32() / 8.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let [a, b, c, d, word @ ..] = self.qs[group % 8];
        let word = u32::from_le_bytes(word);
        let part = |i| eight(grids::IQ2_XXS[usize::from([a, b, c, d][i & 3])], even_signs(word >> (7 * i)));
        (in_parts(part), [odd((word >> 28) as u8); 2])
    }
}

impl Grouped for BlockIQ2_XS {
    fn d(&self) -> f32 {
        self.d.to_f32() / 8.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let part = |i| {
            let bits = u16::from_le_bytes(self.qs[4 * g + (i & 3)]);
            eight(grids::IQ2_XS[usize::from(bits & 511)], even_signs((bits >> 9).into()))
        };
        (in_parts(part), odd_pair(self.scales[g]))
    }
}

impl Grouped for BlockIQ2_S {
    fn d(&self) -> f32 {
        self.d.to_f32() / 8.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let part = |i| {
            let index = u16::from(self.qs[4 * g + (i & 3)]) | u16::from(self.qh[g] >> (2 * i) & 3) << 8;
            eight(grids::IQ2_S[usize::from(index & 1023)], self.signs[4 * g + (i & 3)])
        };
        (in_parts(part), odd_pair(self.scales[g]))
    }
}

impl Grouped for BlockIQ3_XXS {
    fn d(&self) -> f32 {
        self.d.to_f32() / 4.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let word = u32::from_le_bytes(self.scales_and_signs[g]);
        let part = |i| {
            let signs = even_signs(word >> (7 * (i / 2))) >> (4 * (i % 2));
            four(grids::IQ3_XXS[usize::from(self.qs[8 * g + (i & 7)])], &LEVELS_3_XXS, signs)
        };
        (in_parts(part), [odd((word >> 28) as u8); 2])
    }
}

impl Grouped for BlockIQ3_S {
    fn d(&self) -> f32 {
        self.d.to_f32()
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let part = |i| {
            let index = u16::from(self.qs[8 * g + (i & 7)]) | u16::from(self.qh[g] >> i & 1) << 8;
            let signs = self.signs[4 * g + ((i / 2) & 3)] >> (4 * (i % 2));
            four(grids::IQ3_S[usize::from(index & 511)], &LEVELS_3_S, signs)
        };
        (in_parts(part), [odd(self.scales[g / 2] >> (4 * (g % 2)) & 15); 2])
    }
}

impl Grouped for BlockIQ1_S {
    fn d(&self) -> f32 {
        self.d.to_f32() / 8.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let bits = u16::from_le_bytes(self.qh[g]);
        let part = |i: usize| {
            let index = u16::from(self.qs[4 * g + (i & 3)]) | ((bits >> (3 * i)) & 7) << 8;
            around(grids::IQ1_S[usize::from(index & 2047)], bits >> 15 == 1)
        };
        (in_parts(part), [odd((bits >> 12 & 7) as u8); 2])
    }
}

impl Grouped for BlockIQ1_M {
    fn d(&self) -> f32 {
        let bits = self.scales.iter().rev().fold(0, |bits, &part| bits << 4 | u16::from_le_bytes(part) >> 12);
        F16(bits.to_le_bytes()).to_f32() / 8.0
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let g = group % 8;
        let part = |i| {
            let high = self.qh[2 * g + ((i / 2) & 1)] >> (4 * (i % 2));
            let index = u16::from(self.qs[4 * g + (i & 3)]) | u16::from(high & 7) << 8;
            around(grids::IQ1_S[usize::from(index & 2047)], high & 8 != 0)
        };
        let scales = u16::from_le_bytes(self.scales[g / 2]) >> (6 * (g % 2));
        (in_parts(part), [scales & 7, scales >> 3 & 7].map(|s| odd(s as u8)))
    }
}

impl Grouped for BlockTQ1_0 {
    fn d(&self) -> f32 {
        self.d.to_f32()
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        // Digit n of a byte: the byte is multiplied by 3^n, modulo 256, and the next multiplication by 3 carries the digit out.
        let digit = |byte: u8, n: usize| {
            let left = byte.wrapping_mul([1, 3, 9, 27, 81][n % 5]);
            ((3 * u16::from(left)) >> 8) as i8 - 1
        };
        let column = |c: usize| match c {
            0..160 => digit(self.qs[c % 32], c / 32),
            160..240 => digit(self.qs[32 + c % 16], (c - 160) / 16),
            _ => digit(self.qh[c % 4], (c - 240) / 4),
        };
        (core::array::from_fn(|l| column(QK * (group % 8) + l)), [1; 2])
    }
}

impl Grouped for BlockTQ2_0 {
    fn d(&self) -> f32 {
        self.d.to_f32()
    }

    fn group(&self, group: usize) -> ([i8; QK], [i8; 2]) {
        let (n, k) = (group / 4 % 2, group % 4);
        (core::array::from_fn(|l| (self.qs[32 * n + l] >> (2 * k) & 3) as i8 - 1), [1; 2])
    }
}

impl Grouped for BlockMXFP4 {
    /// Half the power of two, which makes up for the doubled numbers. Source: ggml, `ggml_e8m0_to_fp32_half`.
    fn d(&self) -> f32 {
        let e = u32::from(self.e);
        f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (e - 1) << 23 })
    }

    fn group(&self, _: usize) -> ([i8; QK], [i8; 2]) {
        (nibbles(&self.qs).map(|i| MXFP4_VALUES[usize::from(i & 15)]), [1; 2])
    }
}
