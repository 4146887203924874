//! Attention over one block of stored keys and values: four keys at a time, four columns of quantized values.

use core::arch::asm;

use super::quantize::Weights;
use super::reduce::strided_sum;
use super::split::byte_pairs;
use super::word::{add_products, half, sign_extend_even, sign_extend_odd};
use crate::contract::{broken, require};
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
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        _ if probs.is_empty() || !head_dim.is_multiple_of(COLUMNS) => scalar::accumulate_block(probs, values, acc),
        KvRows::F32(values) => accumulate(probs, values, |&x| x, acc),
        KvRows::F16(values) => accumulate(probs, values, |&x| half(x), acc),
        KvRows::Q8_0 { qs, d } => accumulate_quants(probs, Quants { qs, group_len: QK, d }, add_bytes, acc),
        KvRows::Q4_0 { qs, d, .. } => accumulate_quants(probs, Quants { qs, group_len: QK / 2, d }, add_nibbles, acc),
    }
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

/// Quantized values: of 32 columns `group_len` bytes, and their scales.
struct Quants<'a, T> {
    qs: &'a [T],
    group_len: usize,
    d: &'a [u16],
}

/// `acc[c] += step · Σ_j w_j q_j[c]` over up to 32 columns.
///
/// # Safety
/// `acc` are fours, one at least. Of as many columns, `value_0 + j * stride` holds those of each value `j` from `first` on. `first`
/// is less than [`KV_BLOCK`], and no value before it counts.
type AddGroup<T> = unsafe fn(weights: &Weights, first: usize, value_0: *const T, stride: usize, acc: &mut [f32]);

/// Group after group of 32 columns; there is at least one value.
fn accumulate_quants<T>(probs: &[f32], values: Quants<'_, T>, add: AddGroup<T>, acc: &mut [f32]) {
    let groups = acc.len().div_ceil(QK);
    let stride = values.group_len * acc.len() / QK;
    let mut weights = Weights::ZERO;
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let group = values.qs.get(g * values.group_len..).zip(values.d.get(g..));
        let (qs, d) = group.unwrap_or_else(|| broken("values of the output's length"));
        match weights.set(probs, d, groups) {
            // SAFETY: `acc` is 16 or 32 columns. The last of `probs.len()` rows, `stride` apart, is that of value 31, as the last weight
            // is value 31's, so the first value that counts has a row.
            Some(first) => unsafe {
                let missing = KV_BLOCK - probs.len();
                add(&weights, first, qs.as_ptr().wrapping_sub(missing * stride), stride, acc)
            },
            None => acc.iter_mut().for_each(|acc| *acc += weights.step),
        }
    }
}

/// A function that adds four columns of the values in a pass.
///
/// `$load` is what loads them from a value, `$add` adds the products of what was loaded of two with a pair of weights, `$sums`
/// makes sums of what became of `$init`, and those of the next pass lie `$next` bytes further.
///
/// A turn of the loop takes eight values; it is entered at the first that counts. What then stands for the older one of the pair
/// is multiplied with zero.
///
/// Registers: `r0` the first of four values, `r1` and `r3` once and three times the stride, `r2` weights and `r8` their end,
/// `r9` and `r10` two pairs of them, `r4`..`r7` sums, `r11`, `r12`, `lr` values. Of a pass: `s8`, `s9` what `r0` and `r2` begin
/// with, `s10` where the loop is entered, `s11` the step, `s12` and `s13` the columns and their end, `s16`..`s19` what sums begin
/// with.
macro_rules! add_group {
    ($(#[$doc:meta])* $name:ident($ty:ty), $load:literal, $add:ident, $init:expr, $sums:literal, $next:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// See [`AddGroup`].
        unsafe fn $name(weights: &Weights, first: usize, value_0: *const $ty, stride: usize, acc: &mut [f32]) {
            let of_four = first / KEYS * KEYS;
            let init: [i32; 4] = $init(weights);
            let pairs = weights.pairs.as_ptr_range();
            let acc_range = acc.as_mut_ptr_range();
            // SAFETY: reads what the caller promises, weights and two words behind them; writes `acc`. What it changes is named,
            // or pushed.
            unsafe {
                asm!(
                    "push {{r6, r7}}",
                    "vmov s8, s9, r0, r2",
                    "vmov s10, s11, r3, r10",
                    "vmov s12, s13, r4, r5",
                    "vldmia r9, {{s16-s19}}",
                    "add r3, r1, r1, lsl #1",
                    "2:",
                    "vmov r0, r2, s8, s9",
                    "vmov r11, s10",
                    "vmov r4, r5, s16, s17",
                    "vmov r6, r7, s18, s19",
                    "ldmia r2!, {{r9, r10}}",
                    "tbb [pc, r11]",
                    "3:",
                    ".byte (20f - 3b) / 2, (21f - 3b) / 2, (22f - 3b) / 2, (23f - 3b) / 2",
                    ".byte (24f - 3b) / 2, (25f - 3b) / 2, (26f - 3b) / 2, (27f - 3b) / 2",
                    four_values!($load, $add, "20", "21", "22", "23"),
                    four_values!($load, $add, "24", "25", "26", "27"),
                    "cmp r2, r8",
                    "bne 20b",
                    $sums,
                    "vmov s0, s1, r4, r5",
                    "vmov s2, s3, r6, r7",
                    "vcvt.f32.s32 s0, s0",
                    "vcvt.f32.s32 s1, s1",
                    "vcvt.f32.s32 s2, s2",
                    "vcvt.f32.s32 s3, s3",
                    "vmul.f32 s0, s11, s0",
                    "vmul.f32 s1, s11, s1",
                    "vmul.f32 s2, s11, s2",
                    "vmul.f32 s3, s11, s3",
                    "vmov r4, r5, s12, s13",
                    "vldmia r4, {{s4-s7}}",
                    "vadd.f32 s4, s4, s0",
                    "vadd.f32 s5, s5, s1",
                    "vadd.f32 s6, s6, s2",
                    "vadd.f32 s7, s7, s3",
                    "vstmia r4!, {{s4-s7}}",
                    "vmov r0, s8",
                    concat!("add r0, r0, #", $next),
                    "vmov s8, r0",
                    "vmov s12, r4",
                    "cmp r4, r5",
                    "bne 2b",
                    "pop {{r6, r7}}",
                    inout("r0") value_0.wrapping_add(of_four * stride) => _, in("r1") stride,
                    inout("r2") pairs.start.wrapping_add(of_four / 2) => _, in("r8") pairs.end,
                    inout("r3") first % 8 => _, inout("r10") weights.step.to_bits() => _,
                    inout("r4") acc_range.start => _, inout("r5") acc_range.end => _,
                    inout("r9") &init => _,
                    out("r11") _, out("r12") _, out("lr") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _,
                )
            }
        }
    };
}

/// Four values; the loop may be entered before each.
#[rustfmt::skip]
macro_rules! four_values {
    ($load:literal, $add:ident, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            $a, ": ", $load, " r11, [r0]\n",
            $b, ": ", $load, " r12, [r0, r1]",
            $add!("r9"),
            "\n", $c, ": ", $load, " r11, [r0, r1, lsl #1]\n",
            $d, ": ", $load, " r12, [r0, r3]",
            $add!("r10"),
            "\n add r0, r0, r1, lsl #2",
            "\n ldmia r2!, {{r9, r10}}",
        )
    };
}

/// Of four bytes each of two values.
#[rustfmt::skip]
macro_rules! add_four_bytes {
    ($weights:literal) => {
        concat!(
            "\n pkhbt lr, r11, r12, lsl #16",
            "\n pkhtb r12, r12, r11, asr #16",
            "\n sxtb16 r11, lr",
            "\n smlad r4, r11, ", $weights, ", r4",
            "\n sxtb16 lr, lr, ror #8",
            "\n smlad r5, lr, ", $weights, ", r5",
            "\n sxtb16 r11, r12",
            "\n smlad r6, r11, ", $weights, ", r6",
            "\n sxtb16 r12, r12, ror #8",
            "\n smlad r7, r12, ", $weights, ", r7",
        )
    };
}

/// Of four nibbles each of two values: sums, the second one's times 16, and the last with 16 times that of the fourth.
#[rustfmt::skip]
macro_rules! add_four_nibbles {
    ($weights:literal) => {
        concat!(
            "\n pkhbt r11, r11, r12, lsl #16",
            "\n and r12, r11, #0x000f000f",
            "\n smlad r4, r12, ", $weights, ", r4",
            "\n and r12, r11, #0x00f000f0",
            "\n smlad r5, r12, ", $weights, ", r5",
            "\n uxtb16 r11, r11, ror #8",
            "\n smlad r7, r11, ", $weights, ", r7",
            "\n and r11, r11, #0x000f000f",
            "\n smlad r6, r11, ", $weights, ", r6",
        )
    };
}

add_group! {
    /// Quants of 8 bits.
    add_bytes(i8), "ldr", add_four_bytes, |_: &Weights| [0; 4], "", 4
}

add_group! {
    /// Quants of 4 bits, each of which is stored as 8 more: sums begin with what that is too much. They stay below 2^29.
    add_nibbles(u8), "ldrh", add_four_nibbles,
    |weights: &Weights| {
        let less = -8 * weights.sum();
        [less, 16 * less, less, 17 * less]
    },
    "asr r5, r5, #4
    sub r7, r7, r6
    asr r7, r7, #4", 2
}
