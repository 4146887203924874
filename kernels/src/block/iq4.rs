//! The 4-bit formats whose quants are indexes: the values lie closer together near zero, where most weights are.

use super::q::nibbles;
use super::{F16, GROUPS, QK, QK_K};

/// Value of each index. Source: ggml, `ggml-common.h` (`kvalues_iq4nl`).
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 weights of 4 bits: `w = d * IQ4_VALUES[i]`.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ4_NL {
    /// Scale.
    pub d: F16,
    /// Column `j` in the low half of byte `j`, column `j + 16` in the high half.
    pub qs: [u8; QK / 2],
}

impl BlockIQ4_NL {
    /// `IQ4_VALUES[i]`, in -127..=113.
    pub fn quants(&self) -> [i8; QK] {
        values(&self.qs)
    }
}

/// 256 weights of 4 bits: `w = d * (sc - 32) * IQ4_VALUES[i]`, `sc` of 32 columns.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ4_XS {
    /// Scale of the scales.
    pub d: F16,
    /// Bits `2 g` and `2 g + 1` of the little-endian number: the upper two bits of `sc` of group `g`.
    pub scales_h: [u8; 2],
    /// Lower four bits of `sc`: groups `2 n` and `2 n + 1` in the low and the high half of byte `n`.
    pub scales_l: [u8; QK_K / 64],
    /// Indexes: 16 bytes for each 32 columns, as in [`BlockIQ4_NL`].
    pub qs: [u8; QK_K / 2],
}

impl BlockIQ4_XS {
    /// `IQ4_VALUES[i]` of the 32 columns of a group, in -127..=113. The group is taken modulo 8, here and below.
    pub fn quants(&self, group: usize) -> [i8; QK] {
        let (groups, _) = self.qs.as_chunks();
        values(&groups[group % GROUPS])
    }

    /// `sc - 32` of a group, in -32..=31.
    pub fn scale(&self, group: usize) -> i8 {
        let g = group % GROUPS;
        let low = self.scales_l[g / 2] >> (4 * (g % 2)) & 15;
        let high = u16::from_le_bytes(self.scales_h) >> (2 * g) & 3;
        (low | (high as u8) << 4) as i8 - 32
    }
}

fn values(qs: &[u8; QK / 2]) -> [i8; QK] {
    nibbles(qs).map(|i| IQ4_VALUES[usize::from(i & 15)])
}
