//! Unpacking of super-blocks of 256 weights.

use super::{Unpack, scaled, word};
use crate::block::*;
use crate::{BlockQ8, QK};

/// Two bits of each of a group's 32 columns, a byte each.
fn two_bits(qs: &[u8; QK_K / 4], group: usize) -> [u32; QK / 4] {
    let qs = &qs.as_chunks::<QK>().0[group / 4 & 1];
    core::array::from_fn(|k| word(qs, k) >> (2 * (group % 4)) & 0x0303_0303)
}

/// Four bits of each of a group's 32 columns, a byte each.
fn half_bytes(qs: &[u8; QK_K / 2], group: usize) -> [u32; QK / 4] {
    let qs = &qs.as_chunks::<QK>().0[group / 2 & 3];
    core::array::from_fn(|k| word(qs, k) >> (4 * (group % 2)) & 0x0f0f_0f0f)
}

/// Bit `group` of bytes `4 k..4 k + 4`, as the lowest bit of each byte.
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

/// `acc` plus the terms of a group of Q4_K or Q5_K.
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
