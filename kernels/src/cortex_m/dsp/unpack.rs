//! Weight types without a loop of their own: 32 columns as eight words of bytes, and what their sums are multiplied with.

use super::word::half;
use crate::block::*;
use crate::{BlockQ8, QK};

/// A weight type that is unpacked 32 columns at a time.
pub(super) trait Unpack: Block {
    /// Quants of a group, without offset, as bytes.
    fn words(&self, group: usize) -> [u32; QK / 4];

    /// `acc` and what the group adds to it, given the sums of the products of its first and last 16 columns: the
    /// formulas of [`crate::scalar::dot_q4_1`] and the others.
    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32;
}

/// Groups of 32 columns in a block.
pub(super) const fn per_block<B: Block>() -> usize {
    B::TYPE.block_len() / QK
}

/// Word `k` of bytes.
fn word(bytes: &[u8], k: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * k], bytes[4 * k + 1], bytes[4 * k + 2], bytes[4 * k + 3]])
}

/// Low halves of 16 bytes, then their high halves.
fn nibbles(qs: &[u8; QK / 2]) -> [u32; QK / 4] {
    core::array::from_fn(|k| word(qs, k % 4) >> (4 * (k / 4)) & 0x0f0f_0f0f)
}

/// The four bits from `4k` on of `bits`, each in the lowest place of a byte.
fn spread(bits: u32, k: usize) -> u32 {
    // Copies 7, 14 and 21 places up do not meet, and put bit b to bit 8 b.
    ((bits >> (4 * k)) & 15).wrapping_mul(0x0020_4081) & 0x0101_0101
}

fn scaled(d: F16, sum: i32, x: &BlockQ8) -> f32 {
    (half(u16::from_le_bytes(d.0)) * x.d) * sum as f32
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

/// Two bits of each byte of 32: those of a group.
fn two_bits(qs: &[u8; QK_K / 4], group: usize) -> [u32; QK / 4] {
    let qs = &qs.as_chunks::<QK>().0[group / 4 & 1];
    core::array::from_fn(|k| word(qs, k) >> (2 * (group % 4)) & 0x0303_0303)
}

/// The half of each byte of 32 that is a group's.
fn half_bytes(qs: &[u8; QK_K / 2], group: usize) -> [u32; QK / 4] {
    let qs = &qs.as_chunks::<QK>().0[group / 2 & 3];
    core::array::from_fn(|k| word(qs, k) >> (4 * (group % 2)) & 0x0f0f_0f0f)
}

/// Bit `group` of each byte of 32, as a word's bytes' lowest.
fn one_bit(bits: &[u8; QK_K / 8], group: usize, k: usize) -> u32 {
    word(bits, k) >> group & 0x0101_0101
}

impl Unpack for BlockQ2_K {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        two_bits(&self.qs, group)
    }

    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        let [[sc0, mn0], [sc1, mn1]] = self.scales_and_minimums(group).map(|pair| pair.map(i32::from));
        let minimums = mn0 * i32::from(x.sums[0]) + mn1 * i32::from(x.sums[1]);
        acc + scaled(self.d, sc0 * sums[0] + sc1 * sums[1], x) - scaled(self.dmin, minimums, x)
    }
}

impl Unpack for BlockQ3_K {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        let low = two_bits(&self.qs, group);
        core::array::from_fn(|k| low[k] | one_bit(&self.hmask, group, k) << 2)
    }

    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        let [sc0, sc1] = [2 * group, 2 * group + 1].map(|i| i32::from(self.scale(i)));
        let [sum0, sum1] = without_offset(4, sums, x);
        acc + scaled(self.d, sc0 * sum0 + sc1 * sum1, x)
    }
}

/// `Σ (q - offset) x` of each half.
fn without_offset(offset: i32, sums: [i32; 2], x: &BlockQ8) -> [i32; 2] {
    [0, 1].map(|h| sums[h] - offset * i32::from(x.sums[h]))
}

impl Unpack for BlockQ4_K {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        half_bytes(&self.qs, group)
    }

    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        add_k([self.d, self.dmin], scale_and_minimum(&self.scales, group), sums, x, acc)
    }
}

impl Unpack for BlockQ5_K {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        let low = half_bytes(&self.qs, group);
        core::array::from_fn(|k| low[k] | one_bit(&self.qh, group, k) << 4)
    }

    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        add_k([self.d, self.dmin], scale_and_minimum(&self.scales, group), sums, x, acc)
    }
}

/// What Q4_K and Q5_K have in common.
fn add_k([d, dmin]: [F16; 2], (sc, mn): (u8, u8), [a, b]: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
    acc + scaled(d, i32::from(sc) * (a + b), x) - scaled(dmin, i32::from(mn) * x.sum(), x)
}

impl Unpack for BlockQ6_K {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        let (n, k) = (group / 4, group % 4);
        let low = &self.ql[64 * n + QK * (k % 2)..][..QK];
        let high = two_bits(&self.qh, group);
        core::array::from_fn(|i| word(low, i) >> (4 * (k / 2)) & 0x0f0f_0f0f | high[i] << 4)
    }

    fn add(&self, group: usize, sums: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        let [sc0, sc1] = [2 * group, 2 * group + 1].map(|i| i32::from(self.scales[i]));
        let [sum0, sum1] = without_offset(32, sums, x);
        acc + scaled(self.d, sc0 * sum0 + sc1 * sum1, x)
    }
}

/// The values that nibbles are the indexes of, as bytes of words.
fn indexed(nibbles: [u32; QK / 4]) -> [u32; QK / 4] {
    nibbles.map(|four| u32::from_le_bytes(four.to_le_bytes().map(|i| IQ4_VALUES[usize::from(i & 15)] as u8)))
}

impl Unpack for BlockIQ4_NL {
    fn words(&self, _: usize) -> [u32; QK / 4] {
        indexed(nibbles(&self.qs))
    }

    fn add(&self, _: usize, [a, b]: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        acc + scaled(self.d, a + b, x)
    }
}

impl Unpack for BlockIQ4_XS {
    fn words(&self, group: usize) -> [u32; QK / 4] {
        indexed(nibbles(&self.qs.as_chunks().0[group % GROUPS]))
    }

    fn add(&self, group: usize, [a, b]: [i32; 2], x: &BlockQ8, acc: f32) -> f32 {
        acc + scaled(self.d, i32::from(self.scale(group)) * (a + b), x)
    }
}
