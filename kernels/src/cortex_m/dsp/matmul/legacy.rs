//! Unpacking, and loops over four rows, of blocks of 32 weights.

use super::rows::Rows;
use super::tiles::FourRows;
use super::{Unpack, rows, scaled, word};
use crate::block::*;
use crate::cortex_m::dsp::split;
use crate::{BlockQ8, QK};

impl FourRows<{ split::Q8_0 }> for BlockQ8_0 {
    const ROWS: Rows = rows::q8_0;
    const TILED: Rows = rows::q8_0_tiled;
    fn split(x: &BlockQ8, out: &mut [u32; split::Q8_0]) {
        split::bytes(x, out)
    }
}

impl FourRows<{ split::Q4_0 }> for BlockQ4_0 {
    const ROWS: Rows = rows::q4_0;
    const TILED: Rows = rows::q4_0_tiled;
    fn split(x: &BlockQ8, out: &mut [u32; split::Q4_0]) {
        split::nibbles::<{ BlockQ4_0::OFFSET }>(x, out)
    }
}

impl FourRows<{ split::Q5_0 }> for BlockQ5_0 {
    const ROWS: Rows = rows::q5_0;
    const TILED: Rows = rows::q5_0_tiled;
    fn split(x: &BlockQ8, out: &mut [u32; split::Q5_0]) {
        split::fifth_bits::<{ BlockQ5_0::OFFSET }>(x, out)
    }
}

/// Low halves of 16 bytes, then their high halves, a byte each.
pub(super) fn nibbles(qs: &[u8; QK / 2]) -> [u32; QK / 4] {
    core::array::from_fn(|k| word(qs, k % 4) >> (4 * (k / 4)) & 0x0f0f_0f0f)
}

/// Spreads the four bits from `4k` on of `bits`, each to the lowest place of a byte.
fn spread(bits: u32, k: usize) -> u32 {
    // Copies 7, 14 and 21 places up do not meet, and put bit b to bit 8 b.
    ((bits >> (4 * k)) & 15).wrapping_mul(0x0020_4081) & 0x0101_0101
}

impl Unpack for BlockQ4_1 {
    fn words(&self, _: usize) -> [u32; QK / 4] {
        nibbles(&self.qs)
    }

    fn add(&self, _: usize, [a, b]: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        acc + scaled(self.d, a + b, x) + scaled(self.m, x.sum(), x)
    }
}

impl Unpack for BlockQ5_1 {
    fn words(&self, _: usize) -> [u32; QK / 4] {
        let (low, high) = (nibbles(&self.qs), u32::from_le_bytes(self.qh));
        core::array::from_fn(|k| low[k] | spread(high, k) << 4)
    }

    fn add(&self, _: usize, [a, b]: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        acc + scaled(self.d, a + b, x) + scaled(self.m, x.sum(), x)
    }
}
