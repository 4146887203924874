//! Activations as pairs of i16, in the order in which the loops over four rows read them.

use super::word::{pair_difference, sign_extend_even, sign_extend_odd, words};
use crate::{BlockQ8, QK};

/// Words of a split block for Q8_0.
pub(super) const Q8_0: usize = 1 + QK / 2;
/// Words of a split block for Q4_0.
pub(super) const Q4_0: usize = 2 + QK / 2;
/// Words of a split block for Q5_0.
pub(super) const Q5_0: usize = 2 + QK;

/// Splits a block: `d`, then columns `4k, 4k + 2` and `4k + 1, 4k + 3` of each four.
pub(super) fn bytes(x: &BlockQ8, out: &mut [u32; Q8_0]) {
    let (d, pairs) = out.split_first_mut().expect("17 words");
    *d = x.d.to_bits();
    byte_pairs(x, pairs.try_into().expect("16 words"));
}

/// Splits the quants of a block: columns `4k, 4k + 2` and `4k + 1, 4k + 3` of each four.
#[inline]
pub(super) fn byte_pairs(x: &BlockQ8, out: &mut [u32; QK / 2]) {
    for (pairs, word) in out.as_chunks_mut::<2>().0.iter_mut().zip(words(&x.qs)) {
        *pairs = [sign_extend_even(word), sign_extend_odd(word)];
    }
}

/// Splits a block for loops over nibbles: the start value of the sums, `d`, then four pairs for the bytes `4k..4k + 4` of a
/// block of weights. With `h` the columns of the bytes' high halves and `l` those of their low halves, the pairs are `h` of the
/// odd bytes, `16 l - h` of the odd bytes, `h` of the even bytes and `16 l - h` of the even bytes.
///
/// The start value is `-offset Σ x`, times 16 as the sums are.
pub(super) fn nibbles<const OFFSET: i32>(x: &BlockQ8, out: &mut [u32; Q4_0]) {
    let (head, pairs) = out.split_first_chunk_mut::<2>().expect("18 words");
    *head = [(-16 * OFFSET * x.sum()) as u32, x.d.to_bits()];
    nibble_pairs(x, pairs.try_into().expect("16 words"));
}

#[inline]
fn nibble_pairs(x: &BlockQ8, out: &mut [u32; QK / 2]) {
    let all = words(&x.qs);
    let (low, high) = all.split_at(QK / 8);
    for ((pairs, &low), &high) in out.as_chunks_mut::<4>().0.iter_mut().zip(low).zip(high) {
        let (low_odd, high_odd) = (sign_extend_odd(low), sign_extend_odd(high));
        let (low_even, high_even) = (sign_extend_even(low), sign_extend_even(high));
        *pairs = [
            high_odd,
            pair_difference(sixteen_times(low_odd), high_odd),
            high_even,
            pair_difference(sixteen_times(low_even), high_even),
        ];
    }
}

/// Splits a block as [`nibbles`] does, with 16 pairs more before its pairs, for the fifth bits: columns `j` and `j + 16`, times
/// `2^(8 - j % 8)`.
///
/// Bit `j` stands at `j % 8` of a pair and is worth 16, times 16 as the sums are: `2^(j % 8) · 2^(8 - j % 8) = 256`. The
/// product `127 · 256` fits an i16.
pub(super) fn fifth_bits<const OFFSET: i32>(x: &BlockQ8, out: &mut [u32; Q5_0]) {
    let (head, pairs) = out.split_first_chunk_mut::<2>().expect("34 words");
    *head = [(-16 * OFFSET * x.sum()) as u32, x.d.to_bits()];
    let (bits, nibbles) = pairs.split_first_chunk_mut::<{ QK / 2 }>().expect("32 words");
    let (low, high) = x.qs.split_at(QK / 2);
    for (j, ((pair, &low), &high)) in bits.iter_mut().zip(low).zip(high).enumerate() {
        let shift = 8 - j % 8;
        *pair = (i32::from(low) << shift) as u32 & 0xffff | (i32::from(high) << shift << 16) as u32;
    }
    nibble_pairs(x, nibbles.try_into().expect("16 words"));
}

/// Sixteen times both i16 of a pair, each in ±2047.
#[inline]
fn sixteen_times(pair: u32) -> u32 {
    (pair & 0x0fff_0fff) << 4
}
