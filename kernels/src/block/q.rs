//! Blocks of 32 weights with one scale.

use super::{F16, QK};

/// 32 weights of 4 bits: `w = d * (q - 8)`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale.
    pub d: F16,
    /// Column `j` in the low half of byte `j`, column `j + 16` in the high half.
    pub qs: [u8; QK / 2],
}

impl BlockQ4_0 {
    /// `q - 8`, in -8..=7.
    pub fn quants(&self) -> [i8; QK] {
        nibbles(&self.qs).map(|q| q as i8 - 8)
    }
}

/// 32 weights of 4 bits: `w = d * q + m`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Quants, in the order of [`BlockQ4_0`].
    pub qs: [u8; QK / 2],
}

impl BlockQ4_1 {
    /// `q`, in 0..=15.
    pub fn quants(&self) -> [i8; QK] {
        nibbles(&self.qs).map(|q| q as i8)
    }
}

/// 32 weights of 5 bits: `w = d * (q - 16)`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale.
    pub d: F16,
    /// Bit `j`: the fifth bit of column `j`.
    pub qh: [u8; 4],
    /// Lower four bits, as in [`BlockQ4_0`].
    pub qs: [u8; QK / 2],
}

impl BlockQ5_0 {
    /// `q - 16`, in -16..=15.
    pub fn quants(&self) -> [i8; QK] {
        five_bits(&self.qs, self.qh).map(|q| q as i8 - 16)
    }
}

/// 32 weights of 5 bits: `w = d * q + m`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ5_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Bit `j`: the fifth bit of column `j`.
    pub qh: [u8; 4],
    /// Lower four bits, as in [`BlockQ4_0`].
    pub qs: [u8; QK / 2],
}

impl BlockQ5_1 {
    /// `q`, in 0..=31.
    pub fn quants(&self) -> [i8; QK] {
        five_bits(&self.qs, self.qh).map(|q| q as i8)
    }
}

/// 32 weights of 8 bits: `w = d * q`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale.
    pub d: F16,
    /// Quants: any int8, also -128.
    pub qs: [i8; QK],
}

/// Low halves of the bytes, then their high halves.
pub(super) fn nibbles(qs: &[u8; QK / 2]) -> [u8; QK] {
    core::array::from_fn(|j| qs[j % 16] >> (4 * (j / 16)) & 15)
}

fn five_bits(qs: &[u8; QK / 2], qh: [u8; 4]) -> [u8; QK] {
    let low = nibbles(qs);
    let high = u32::from_le_bytes(qh);
    core::array::from_fn(|j| low[j] | ((high >> j & 1) as u8) << 4)
}
