//! Activations in the order in which the loops over four rows read them.
//!
//! A split block: a start value, pairs (or single activations), for Q5_0 once more, and the scale.

use crate::block::*;
use crate::cortex_m::armv6m::contribution::Scale;
use crate::soft::pairs::{pair, start};
use crate::{BlockQ8, QK};

/// Words of a split block for Q4_0.
pub(super) const Q4_0: usize = 1 + QK / 2 + Scale::WORDS;
/// Words of a split block for Q5_0.
pub(super) const Q5_0: usize = 2 * (1 + QK / 2) + Scale::WORDS;
/// Words of a split block for Q8_0.
pub(super) const Q8_0: usize = 1 + QK + Scale::WORDS;

/// Number of the byte at place `i` of `N`, as words are read: in order, or, where a block begins at a word, the first two bytes with the
/// last two, then the others.
fn byte<const N: usize>(at_word: bool, i: usize) -> usize {
    match i {
        _ if !at_word => i,
        0 | 1 => i,
        2 | 3 => N - 4 + i,
        _ => i - 2,
    }
}

/// Pairs for 16 bytes of nibbles: columns `b, b + 2` and `b + 16, b + 18`, then the same of the odd bytes, of each word.
fn nibbles(x: &BlockQ8, at_word: bool, out: &mut [u32; QK / 2]) {
    for (w, pairs) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| byte::<{ QK / 2 }>(at_word, 4 * w + i));
        let column = |i: usize| x.qs[i % QK];
        let high = |i: usize| x.qs[(i + QK / 2) % QK];
        *pairs =
            [pair(column(a), column(c)), pair(high(a), high(c)), pair(column(b), column(d)), pair(high(b), high(d))];
    }
}

/// Splits a block for Q4_0; false if its scale is not one for the loops.
pub(super) fn q4_0(x: &BlockQ8, at_word: bool, out: &mut [u32; Q4_0]) -> bool {
    let (first, rest) = out.split_first_mut().expect("21 words");
    *first = start(-BlockQ4_0::OFFSET * x.sum());
    let (pairs, scale) = rest.split_first_chunk_mut::<{ QK / 2 }>().expect("20 words");
    nibbles(x, at_word, pairs);
    put_scale(Scale::pieces(x.d), scale)
}

/// Splits a block for Q5_0; false if its scale is not one for the loops.
pub(super) fn q5_0(x: &BlockQ8, at_word: bool, out: &mut [u32; Q5_0]) -> bool {
    let (low, rest) = out.split_first_chunk_mut::<{ 1 + QK / 2 }>().expect("38 words");
    let (first, pairs) = low.split_first_mut().expect("17 words");
    *first = start(-8 * x.sum());
    nibbles(x, at_word, pairs.try_into().expect("16 words"));
    let (bits, scale) = rest.split_first_chunk_mut::<{ 1 + QK / 2 }>().expect("21 words");
    let (first, pairs) = bits.split_first_mut().expect("17 words");
    *first = start(-x.sum());
    let (low, high) = x.qs.split_at(QK / 2);
    for ((out, &x), &y) in pairs.iter_mut().zip(low).zip(high) {
        *out = pair(x, y).wrapping_mul(2);
    }
    put_scale(Scale::pieces(x.d), scale)
}

/// Splits a block for Q8_0.
pub(super) fn q8_0(x: &BlockQ8, at_word: bool, out: &mut [u32; Q8_0]) -> bool {
    let (first, rest) = out.split_first_mut().expect("37 words");
    *first = 0;
    let (columns, scale) = rest.split_first_chunk_mut::<QK>().expect("36 words");
    for (i, out) in columns.iter_mut().enumerate() {
        *out = i32::from(x.qs[byte::<QK>(at_word, i) % QK]) as u32;
    }
    // The scale is taken as a float.
    put_scale(Some(Scale::whole(x.d)), scale)
}

fn put_scale(words: Option<[u32; Scale::WORDS]>, out: &mut [u32]) -> bool {
    words.is_some_and(|words| {
        out.iter_mut().zip(words).for_each(|(out, word)| *out = word);
        true
    })
}
