//! The K formats: super-blocks of 256 weights, whose scales are themselves quantized.

use super::{F16, GROUPS, QK, QK_K};

/// 256 weights of 2 bits: `w = d * sc * q - dmin * mn`, `sc` and `mn` of 16 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ2_K {
    /// Scales: for each 16 columns, `sc` in the low half and `mn` in the high half of a byte.
    pub scales: [u8; QK_K / 16],
    /// Columns `128 n + 32 k + l`: bits `2 k` and `2 k + 1` of byte `32 n + l`.
    pub qs: [u8; QK_K / 4],
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
}

impl BlockQ2_K {
    /// `q` of the 32 columns of a group, in 0..=3.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        two_bits(&self.qs, group).map(|q| q as i8)
    }

    /// `[sc, mn]` of the two halves of a group, in 0..=15.
    pub fn scales_and_minimums(&self, group: usize) -> [[u8; 2]; 2] {
        pair(&self.scales, group).map(|scale| [scale & 15, scale >> 4])
    }
}

/// 256 weights of 3 bits: `w = d * (sc - 32) * (q - 4)`, `sc` of 16 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ3_K {
    /// Bit `g` of byte `l`: the third bit of column `32 g + l`.
    pub hmask: [u8; QK_K / 8],
    /// Lower two bits, as in [`BlockQ2_K`].
    pub qs: [u8; QK_K / 4],
    /// Sixteen 6-bit numbers, in the order that [`BlockQ3_K::scale`] describes.
    pub scales: [u8; 12],
    /// Scale of the scales.
    pub d: F16,
}

impl BlockQ3_K {
    /// `q - 4` of the 32 columns of a group, in -4..=3.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        let low = two_bits(&self.qs, group);
        core::array::from_fn(|l| (low[l] | (self.hmask[l] >> (group % GROUPS) & 1) << 2) as i8 - 4)
    }

    /// `sc - 32` of columns `16 i..16 i + 16`, in -32..=31.
    ///
    /// Low four bits: bytes 0..8, low halves first. High two: bytes 8..12, bits 0 and 1 first.
    pub fn scale(&self, i: usize) -> i8 {
        let i = i % (QK_K / 16);
        let low = self.scales[i % 8] >> (4 * (i / 8)) & 15;
        let high = self.scales[8 + i % 4] >> (2 * (i / 4)) & 3;
        (low | high << 4) as i8 - 32
    }
}

/// 256 weights of 4 bits: `w = d * sc * q - dmin * mn`, `sc` and `mn` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4_K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
    /// Sixteen 6-bit numbers, in the order that [`scale_and_minimum`] describes.
    pub scales: [u8; 12],
    /// Columns `64 n + l` in the low half of byte `32 n + l`, columns `64 n + 32 + l` in the high half.
    pub qs: [u8; QK_K / 2],
}

impl BlockQ4_K {
    /// `q` of the 32 columns of a group, in 0..=15.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        four_bits(&self.qs, group).map(|q| q as i8)
    }
}

/// 256 weights of 5 bits: `w = d * sc * q - dmin * mn`, `sc` and `mn` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ5_K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
    /// Sixteen 6-bit numbers, in the order that [`scale_and_minimum`] describes.
    pub scales: [u8; 12],
    /// Bit `g` of byte `l`: the fifth bit of column `32 g + l`.
    pub qh: [u8; QK_K / 8],
    /// Lower four bits, as in [`BlockQ4_K`].
    pub qs: [u8; QK_K / 2],
}

impl BlockQ5_K {
    /// `q` of the 32 columns of a group, in 0..=31.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        let low = four_bits(&self.qs, group);
        core::array::from_fn(|l| (low[l] | (self.qh[l] >> (group % GROUPS) & 1) << 4) as i8)
    }
}

/// 256 weights of 6 bits: `w = d * sc * (q - 32)`, `sc` of 16 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ6_K {
    /// Low four bits. Columns `128 n + 32 k + l`: byte `64 n + 32 (k % 2) + l`, low half for `k < 2`.
    pub ql: [u8; QK_K / 2],
    /// High two bits, as in [`BlockQ2_K`].
    pub qh: [u8; QK_K / 4],
    /// Scale `sc` of each 16 columns.
    pub scales: [i8; QK_K / 16],
    /// Scale of the scales.
    pub d: F16,
}

impl BlockQ6_K {
    /// Scales of the two halves of a group.
    pub fn half_scales(&self, group: usize) -> [i8; 2] {
        pair(&self.scales, group)
    }

    /// `q - 32` of the 32 columns of a group, in -32..=31.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        let (n, k) = (group / 4, group % 4);
        let high = two_bits(&self.qh, group);
        let low = part(&self.ql, 2 * n + k % 2);
        core::array::from_fn(|l| (low[l] >> (4 * (k / 2)) & 15 | high[l] << 4) as i8 - 32)
    }
}

/// `(sc, mn)` of group `j` of a Q4_K or Q5_K super-block, in 0..=63.
///
/// The first four `sc` and the first four `mn` lie in the low 6 bits of bytes 0..4 and 4..8. Of the last four, the low 4 bits
/// lie in bytes 8..12 (`mn` in the high half) and the high 2 bits on top of the first four. Source: ggml, `get_scale_min_k4`.
pub fn scale_and_minimum(scales: &[u8; 12], j: usize) -> (u8, u8) {
    let j = j % GROUPS;
    if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        let sc = scales[j + 4] & 15 | scales[j - 4] >> 6 << 4;
        let mn = scales[j + 4] >> 4 | scales[j] >> 6 << 4;
        (sc, mn)
    }
}

/// Scales of a group's two halves. The group is taken modulo 8, here and below.
fn pair<T: Copy>(scales: &[T; QK_K / 16], group: usize) -> [T; 2] {
    let (pairs, _) = scales.as_chunks();
    pairs[group % GROUPS]
}

/// Quants of a group: groups `2 n` and `2 n + 1` lie in the low and the high half of bytes `32 n..32 n + 32`.
fn four_bits(qs: &[u8; QK_K / 2], group: usize) -> [u8; QK] {
    part(qs, group / 2).map(|byte| byte >> (4 * (group % 2)) & 15)
}

/// Two bits of each column of a group: group `4 n + k` lies in bits `2 k` and `2 k + 1` of bytes `32 n..32 n + 32`.
fn two_bits(qs: &[u8; QK_K / 4], group: usize) -> [u8; QK] {
    part(qs, group / 4).map(|byte| byte >> (2 * (group % 4)) & 3)
}

/// Bytes `32 i..32 i + 32`.
fn part<const N: usize>(bytes: &[u8; N], i: usize) -> &[u8; QK] {
    let (parts, _) = bytes.as_chunks();
    &parts[i % (N / QK)]
}
