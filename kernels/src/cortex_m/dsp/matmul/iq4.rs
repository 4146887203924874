//! Unpacking of blocks whose quants are indexes of values.

use super::legacy::nibbles;
use super::{Unpack, scaled};
use crate::block::*;
use crate::{BlockQ8, QK};

/// Values that the nibbles are indexes of, as bytes of words.
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
