//! Attention over one block of stored keys and values: four keys at a time, 16 columns of values in registers.

use core::arch::asm;

use super::reduce::strided_sum;
use super::split::byte_pairs;
use super::word::{add_products, half, sign_extend_even, sign_extend_odd};
use crate::contract::broken;
use crate::scalar::{self, assert_query, assert_rows, distance_of, unpack_quants};
use crate::{BlockQ8, KV_BLOCK, KvRows, QK, Query};

/// Keys of a pass.
const KEYS: usize = 4;
/// Columns of values of a pass.
const COLUMNS: usize = 16;

/// See [`crate::Kernels::sum_squares`].
pub(in super::super) fn sum_squares(row: KvRows<'_>, head_dim: usize) -> f32 {
    assert_rows(row, 1, head_dim);
    match row {
        KvRows::Q8_0 { qs, d } if head_dim <= QK => {
            let d = half(d.first().copied().unwrap_or(0));
            strided_sum(qs, |&q| {
                let x = d * f32::from(q);
                x * x
            })
        }
        KvRows::F32(x) => strided_sum(x, |x| x * x),
        KvRows::F16(x) => strided_sum(x, |&x| half(x) * half(x)),
        _ => scalar::sum_squares(row, head_dim),
    }
}

/// See [`crate::Kernels::score_block`].
pub(in super::super) fn score_block(
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
        (Query::F32(q), KvRows::F32(keys)) if head_dim > 0 => {
            for (key, score) in keys.chunks_exact(head_dim).zip(&mut *scores) {
                *score = super::reduce::dot(key, q, |&x| x);
            }
        }
        (Query::F32(q), KvRows::F16(keys)) if head_dim > 0 => {
            for (key, score) in keys.chunks_exact(head_dim).zip(&mut *scores) {
                *score = super::reduce::dot(key, q, |&x| half(x));
            }
        }
        _ => return scalar::score_block(q, keys, scale, slope, distance, scores),
    }
    add_bias(scores, scale, slope, distance)
}

/// `score * scale - slope * distance`; returns the largest, as the definition does.
pub(in super::super) fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) -> f32 {
    let n = scores.len();
    let mut max = f32::NEG_INFINITY;
    for (j, score) in scores.iter_mut().enumerate() {
        *score = *score * scale - slope * distance_of(distance, n, j);
        max = if *score > max { *score } else { max };
    }
    max + 0.0
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
            // SAFETY: four keys of `head_dim` columns, of which the group begins at `32 g` and ends in the same row.
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

/// The same of quants of 4 bits: a group of four keys at a time becomes bytes.
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
            // SAFETY: four rows of 32 columns, of which there are pairs for no more.
            let sums = unsafe { products_of_four(columns.as_flattened().as_ptr(), QK, group.pairs) };
            let mut four = [0.0; KEYS];
            four.iter_mut().zip(&*scores).for_each(|(four, score)| *four = *score);
            group.add(sums, scales, &mut four);
            scores.iter_mut().zip(four).for_each(|(score, four)| *score = four);
        }
    }
}

/// Up to 32 columns of a query, and where the scales of the same columns lie among those of a key.
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

/// `Σ k[c] q[c]` of four keys; `pairs` as [`byte_pairs`] makes them, four columns each two.
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
    // SAFETY: reads what the caller promises; the registers are those of `rows`.
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

/// See [`crate::Kernels::accumulate_block`].
pub(in super::super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    match values {
        _ if probs.is_empty() || !head_dim.is_multiple_of(COLUMNS) => scalar::accumulate_block(probs, values, acc),
        KvRows::F32(values) => accumulate(probs, values, |&x| x, acc),
        KvRows::F16(values) => accumulate(probs, values, |&x| half(x), acc),
        KvRows::Q8_0 { qs, d } => {
            for (i, acc) in acc.as_chunks_mut().0.iter_mut().enumerate() {
                let columns = qs.get(i * COLUMNS..).zip(d.get(i * COLUMNS / QK..));
                let (qs, d) = columns.unwrap_or_else(|| broken("values of the output's length"));
                let values = Quants { qs, head_dim, d, groups: head_dim.div_ceil(QK) };
                accumulate_quants(probs, values, acc);
            }
        }
        KvRows::Q4_0 { qs, d, .. } if probs.len() <= KV_BLOCK => {
            for (i, acc) in acc.as_chunks_mut().0.iter_mut().enumerate() {
                let columns = unpack_columns(qs, head_dim, i * COLUMNS);
                let d = d.get(i * COLUMNS / QK..).unwrap_or_else(|| broken("values of the output's length"));
                let groups = head_dim.div_ceil(QK);
                accumulate_quants(probs, Quants { qs: columns.as_flattened(), head_dim: COLUMNS, d, groups }, acc);
            }
        }
        values => scalar::accumulate_block(probs, values, acc),
    }
}

/// Columns `at..at + 16` of a block of packed values as bytes; `at` is a multiple of 16.
pub(in super::super) fn unpack_columns(qs: &[u8], head_dim: usize, at: usize) -> [[i8; COLUMNS]; KV_BLOCK] {
    let mut columns = [[0; COLUMNS]; KV_BLOCK];
    for (columns, row) in columns.iter_mut().zip(qs.chunks_exact(head_dim.div_ceil(2).max(1))) {
        let unpacked = unpack_quants(row.get(at / 2..).and_then(|row| row.get(..COLUMNS / 2)).unwrap_or_default());
        columns.iter_mut().zip(unpacked).for_each(|(column, quant)| *column = quant);
    }
    columns
}

/// Values that are floats, 16 columns at a time.
fn accumulate<T>(probs: &[f32], values: &[T], float: impl Fn(&T) -> f32, acc: &mut [f32]) {
    let head_dim = acc.len();
    for (i, acc) in acc.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
        let mut sums = [0.0; COLUMNS];
        for (row, &p) in values.chunks_exact(head_dim.max(1)).zip(probs).rev() {
            for (sum, x) in sums.iter_mut().zip(row.iter().skip(i * COLUMNS)) {
                *sum += p * float(x);
            }
        }
        acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += sum);
    }
}

/// 16 columns of int8 values and their scales, of the first key; those of the next lie `head_dim` and `groups` further.
struct Quants<'a> {
    qs: &'a [i8],
    head_dim: usize,
    d: &'a [u16],
    groups: usize,
}

#[rustfmt::skip]
macro_rules! four_values {
    ($at:literal, [$a:literal $b:literal $c:literal $d:literal]) => {
        concat!(
            "ldrsb r8, [r0, #", $at, "]",
            "\n ldrsb r9, [r0, #", $at, " + 1]",
            "\n ldrsb r10, [r0, #", $at, " + 2]",
            "\n ldrsb r11, [r0, #", $at, " + 3]",
            "\n vmov s4, s5, r8, r9",
            "\n vmov s6, s7, r10, r11",
            "\n vcvt.f32.s32 s4, s4",
            "\n vcvt.f32.s32 s5, s5",
            "\n vcvt.f32.s32 s6, s6",
            "\n vcvt.f32.s32 s7, s7",
            "\n vmul.f32 s4, s0, s4",
            "\n vmul.f32 s5, s0, s5",
            "\n vmul.f32 s6, s0, s6",
            "\n vmul.f32 s7, s0, s7",
            "\n vadd.f32 ", $a, ", ", $a, ", s4",
            "\n vadd.f32 ", $b, ", ", $b, ", s5",
            "\n vadd.f32 ", $c, ", ", $c, ", s6",
            "\n vadd.f32 ", $d, ", ", $d, ", s7",
        )
    };
}

/// `acc[c] += Σ_j (probs[j] · d_j) · q_j[c]`, from the last key to the first; there is at least one.
fn accumulate_quants(probs: &[f32], values: Quants<'_>, acc: &mut [f32; COLUMNS]) {
    let Quants { qs, head_dim, d, groups } = values;
    let last = probs.len() - 1;
    let of_last = qs.get(last * head_dim..last * head_dim + COLUMNS).zip(d.get(last * groups));
    let (qs, d) = of_last.unwrap_or_else(|| broken("values of the output's length"));
    let mut sums = [0.0f32; COLUMNS];
    let probs = probs.as_ptr_range();
    // SAFETY: reads 16 quants and a scale of each key: those of the last are borrowed above, those before it lie
    // `head_dim` bytes and `groups` halves lower in the same slices. Writes `sums`.
    unsafe {
        asm!(
            "vldmia r12, {{s16-s31}}",
            "2:",
            "vldmdb r4!, {{s0}}",
            "ldrh r8, [r2]",
            "sub r2, r2, r3",
            "vmov s1, r8",
            "vcvtb.f32.f16 s1, s1",
            "vmul.f32 s0, s0, s1",
            four_values!("0", ["s16" "s17" "s18" "s19"]),
            four_values!("4", ["s20" "s21" "s22" "s23"]),
            four_values!("8", ["s24" "s25" "s26" "s27"]),
            four_values!("12", ["s28" "s29" "s30" "s31"]),
            "sub r0, r0, r1",
            "cmp r4, r5",
            "bne 2b",
            "vstmia r12, {{s16-s31}}",
            inout("r0") qs.as_ptr() => _, in("r1") head_dim,
            inout("r2") &raw const *d => _, in("r3") 2 * groups,
            inout("r4") probs.end => _, in("r5") probs.start,
            in("r12") &mut sums,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("s0") _, out("s1") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _,
            out("s23") _, out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _, out("s29") _,
            out("s30") _, out("s31") _,
            options(nostack)
        )
    }
    acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += sum);
}
