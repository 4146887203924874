//! Products of a query with the keys of a block: four keys at a time.

use core::arch::asm;

use crate::contract::broken;
use crate::cortex_m::dsp::split::byte_pairs;
use crate::cortex_m::dsp::word::{add_products, sign_extend_even, sign_extend_odd};
use crate::scalar::{self, assert_query, unpack_quants};
use crate::vfp::attention::{add_bias, score_floats};
use crate::vfp::floats::half;
use crate::{BlockQ8, KvRows, QK, Query};

/// Keys that a pass takes.
const KEYS: usize = 4;

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
pub(in crate::cortex_m) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) if head_dim > 0 && head_dim.is_multiple_of(4) => {
            dot_keys(q, qs, d, head_dim, scores)
        }
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) if head_dim > 0 && head_dim.is_multiple_of(4) => {
            dot_packed_keys(q, qs, d, head_dim, scores)
        }
        (Query::F32(q), KvRows::F32(keys)) if head_dim > 0 => score_floats(q, keys, scores),
        (Query::F32(q), KvRows::F16(keys)) if head_dim > 0 => score_floats(q, keys, scores),
        _ => return scalar::score_block(q, keys, scale, slope, distance, scores),
    }
    add_bias(scores, scale, slope, distance)
}

/// `scores[j] = q · k_j`, group after group of 32 columns.
fn dot_keys(q: &[BlockQ8], qs: &[i8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    for (g, q) in q.iter().enumerate() {
        let mut pairs = [0; QK / 2];
        byte_pairs(q, &mut pairs);
        let columns = QK.min(head_dim - g * QK);
        let group = Group { q, pairs: &pairs[..columns / 2], at: g, of: head_dim.div_ceil(QK) };
        let (fours, rest) = scores.as_chunks_mut::<KEYS>();
        let (keys, scales) = (qs.chunks_exact((KEYS * head_dim).max(1)), d.chunks_exact((KEYS * group.of).max(1)));
        let (last_keys, last_scales) = (keys.remainder(), scales.remainder());
        let of_fours = keys.zip(scales);
        for ((keys, scales), scores) in of_fours.zip(fours) {
            // SAFETY: four keys of `head_dim` columns lie here, and the group begins at column `32 g` and ends in the same row.
            let sums = unsafe { products_of_four(keys.as_ptr().add(g * QK), head_dim, group.pairs) };
            group.add(sums, scales, scores);
        }
        let of_rest = last_keys.chunks_exact(head_dim.max(1)).zip(last_scales.chunks_exact(group.of.max(1)));
        for ((key, scales), score) in of_rest.zip(rest) {
            let key = key.get(g * QK..).unwrap_or_else(|| broken("keys of the query's length"));
            group.add([products(key, group.pairs)], scales, core::array::from_mut(score));
        }
    }
}

/// `scores[j] = q · k_j` for keys of 4 bits: a group of four keys at a time is unpacked to bytes.
fn dot_packed_keys(q: &[BlockQ8], qs: &[u8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    for (g, q) in q.iter().enumerate() {
        let mut pairs = [0; QK / 2];
        byte_pairs(q, &mut pairs);
        let group = Group { q, pairs: &pairs[..QK.min(head_dim - g * QK) / 2], at: g, of: head_dim.div_ceil(QK) };
        let keys = qs.chunks(KEYS * head_dim.div_ceil(2)).zip(d.chunks(KEYS * group.of));
        for ((keys, scales), scores) in keys.zip(scores.chunks_mut(KEYS)) {
            let mut columns = [[0; QK]; KEYS];
            for (columns, key) in columns.iter_mut().zip(keys.chunks_exact(head_dim.div_ceil(2))) {
                *columns = unpack_quants(key.chunks(QK / 2).nth(g).unwrap_or_default());
            }
            // SAFETY: four rows of 32 columns lie here; `pairs` has no more columns.
            let sums = unsafe { products_of_four(columns.as_flattened().as_ptr(), QK, group.pairs) };
            let mut four = [0.0; KEYS];
            four.iter_mut().zip(&*scores).for_each(|(four, score)| *four = *score);
            group.add(sums, scales, &mut four);
            scores.iter_mut().zip(four).for_each(|(score, four)| *score = four);
        }
    }
}

/// Up to 32 columns of a query, and the place of their scale in a key: number `at` of `of`.
struct Group<'a> {
    q: &'a BlockQ8,
    pairs: &'a [u32],
    at: usize,
    of: usize,
}

impl Group<'_> {
    /// `score += (d_k · d_q) · sum` for `N` keys.
    #[inline]
    fn add<const N: usize>(&self, sums: [i32; N], scales: &[u16], scores: &mut [f32; N]) {
        let scales = scales.chunks_exact(self.of.max(1));
        for ((score, sum), d) in scores.iter_mut().zip(sums).zip(scales) {
            let d = d.get(self.at).copied().unwrap_or_else(|| broken("a scale for each 32 columns of a key"));
            *score += (half(d) * self.q.d) * sum as f32;
        }
    }
}

/// `Σ k[c] q[c]` of one key.
fn products(key: &[i8], pairs: &[u32]) -> i32 {
    key.as_chunks::<4>().0.iter().zip(pairs.as_chunks::<2>().0).fold(0, |sum, (key, q)| {
        let key = u32::from_le_bytes(key.map(|k| k as u8));
        let sum = add_products(sign_extend_even(key), q[0], sum);
        add_products(sign_extend_odd(key), q[1], sum)
    }) as i32
}

#[rustfmt::skip]
macro_rules! key {
    ($load:literal, $sum:literal) => {
        concat!(
            "\n ldr r12, ", $load,
            "\n sxtb16 lr, r12",
            "\n smlad ", $sum, ", lr, r8, ", $sum,
            "\n sxtb16 r12, r12, ror #8",
            "\n smlad ", $sum, ", r12, r9, ", $sum,
        )
    };
}

/// `Σ k[c] q[c]` of four keys; `pairs` are those of [`byte_pairs`], two for each four columns.
///
/// # Safety
/// At `keys` lie four rows of `2 * pairs.len()` columns, `stride` bytes apart.
unsafe fn products_of_four(keys: *const i8, stride: usize, pairs: &[u32]) -> [i32; KEYS] {
    let mut sums = [0; KEYS];
    let [a, b, c, d] = &mut sums;
    let pairs = pairs.as_chunks::<2>().0.as_ptr_range();
    if pairs.is_empty() {
        return sums;
    }
    // SAFETY: reads the rows that the caller promises, and `pairs`; the registers that it changes are named.
    unsafe {
        asm!(
            "2:",
            "ldmia r1!, {{r8, r9}}",
            key!("[r0, r2]", "r4"),
            key!("[r0, r2, lsl #1]", "r5"),
            key!("[r0, r3]", "r10"),
            key!("[r0], #4", "r11"),
            "cmp r1, {end}",
            "bne 2b",
            end = in(reg) pairs.end,
            inout("r0") keys => _, inout("r1") pairs.start => _, in("r2") stride, in("r3") 3 * stride,
            inout("r11") 0 => *a, inout("r4") 0 => *b, inout("r5") 0 => *c, inout("r10") 0 => *d,
            out("r8") _, out("r9") _, out("r12") _, out("lr") _,
            options(readonly, nostack)
        )
    }
    sums
}
