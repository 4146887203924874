//! Attention over one block of stored int8 keys and values: four keys at a time, 16 columns of values in four registers.
//!
//! Where numbers could be subnormal, which Helium would flush, the work is left to a processor with the DSP extension:
//! see [`super::math::flushes_nothing`] and [`add_bias`]. Scores before the bias are like the products in [`super::rows`], and
//! what is flushed of the values' weights does not count ([`super::quantize::Weights`]).

use core::arch::asm;

use super::dsp;
use super::math::flushes_nothing;
use super::quantize::Weights;
use crate::contract::broken;
use crate::scalar::{assert_query, assert_rows, unpack_quants};
use crate::{BlockQ8, KV_BLOCK, KvRows, QK, Query};

/// Keys of a pass.
const KEYS: usize = 4;
/// Columns of a register of int8.
const COLUMNS: usize = 16;

/// See [`crate::Kernels::score_block`].
pub(super) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) if head_dim > 0 && head_dim.is_multiple_of(COLUMNS) => {
            dot_keys(q, qs, d, head_dim, scores);
            add_bias(scores, scale, slope, distance)
        }
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. })
            if head_dim > 0 && head_dim.is_multiple_of(COLUMNS) && scores.len() <= KV_BLOCK =>
        {
            dot_packed_keys(q, qs, d, head_dim, scores);
            add_bias(scores, scale, slope, distance)
        }
        _ => dsp::attention::score_block(q, keys, scale, slope, distance, scores),
    }
}

/// `scores[j] = q · k_j`, group after group of 32 columns.
fn dot_keys(q: &[BlockQ8], qs: &[i8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    for (g, q) in q.iter().enumerate() {
        let Some((of_group, scales)) = qs.get(g * QK..).zip(d.get(g..)) else { broken(KEYS_EXIST) };
        let keys = Keys { qs: of_group, d: scales, stride: head_dim, groups: head_dim.div_ceil(QK) };
        dot_group(q, &keys, head_dim - g * QK >= QK, scores);
    }
}

/// The same of quants of 4 bits: a group of all keys at a time becomes bytes.
fn dot_packed_keys(q: &[BlockQ8], qs: &[u8], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    for (g, q) in q.iter().enumerate() {
        let mut columns = [[0; QK]; KV_BLOCK];
        for (columns, key) in columns.iter_mut().zip(qs.chunks_exact(head_dim.div_ceil(2).max(1))) {
            *columns = unpack_quants(key.chunks(QK / 2).nth(g).unwrap_or_default());
        }
        let d = d.get(g..).unwrap_or_else(|| broken(KEYS_EXIST));
        let keys = Keys { qs: columns.as_flattened(), d, stride: QK, groups: head_dim.div_ceil(QK) };
        dot_group(q, &keys, head_dim - g * QK >= QK, scores);
    }
}

/// What the products are promised.
const KEYS_EXIST: &str = "keys of the query's length";

/// Adds the products with a group of columns, a whole one of 32 or 16.
fn dot_group(q: &BlockQ8, keys: &Keys<'_>, whole: bool, scores: &mut [f32]) {
    let n = scores.len();
    let fours = n / KEYS * KEYS;
    if fours > 0
        && let Some(first) = scores.first_mut()
    {
        // SAFETY: the slices hold a group of each key, and `scores` whole fours of them.
        unsafe {
            if whole { dot_32_columns(q, keys, first, n / KEYS) } else { dot_16_columns(q, keys, first, n / KEYS) }
        }
    }
    let columns = if whole { QK } else { COLUMNS };
    for (j, score) in scores.iter_mut().enumerate().skip(fours) {
        let key = keys.qs.get(j * keys.stride..j * keys.stride + columns).zip(keys.d.get(j * keys.groups));
        let (key, &d) = key.unwrap_or_else(|| broken(KEYS_EXIST));
        *score += (dsp::half(d) * q.d) * products(key, q) as f32;
    }
}

/// A group of columns of the first key, and its scale; those of the next lie `stride` and `groups` further.
struct Keys<'a> {
    qs: &'a [i8],
    d: &'a [u16],
    stride: usize,
    groups: usize,
}

#[rustfmt::skip]
macro_rules! key_16 {
    ($sum:literal) => {
        concat!(
            "vldrb.u8 q2, [r1]",
            "\n add r1, r1, r3",
            "\n vmladav.s8 ", $sum, ", q2, q0",
        )
    };
}

#[rustfmt::skip]
macro_rules! key_32 {
    ($sum:literal) => {
        concat!(
            "vldrb.u8 q2, [r1]",
            "\n vmladav.s8 ", $sum, ", q2, q0",
            "\n vldrb.u8 q2, [r1, #16]",
            "\n add r1, r1, r3",
            "\n vmladava.s8 ", $sum, ", q2, q1",
        )
    };
}

macro_rules! dot_columns {
    ($name:ident, $key:ident) => {
        /// Adds the products with the columns of `n` times four keys to as many scores.
        ///
        /// # Safety
        /// `keys` hold as many groups and scales, and at `scores` lie as many floats; `n` is not zero.
        unsafe fn $name(q: &BlockQ8, keys: &Keys<'_>, scores: &mut f32, n: usize) {
            let offsets: [u32; 4] = [0, 1, 2, 3].map(|j| j * 2 * keys.groups as u32);
            // SAFETY: reads what the caller promises and `offsets`; the quants of `q` are two registers long.
            unsafe {
                asm!(
                    "vldrw.u32 q4, [r0]",
                    "vldrb.u8 q0, [r8]",
                    "vldrb.u8 q1, [r8, #16]",
                    "dls lr, r10",
                    "2:",
                    $key!("r0"),
                    $key!("r2"),
                    $key!("r8"),
                    $key!("r10"),
                    "vmov q3[2], q3[0], r0, r8",
                    "vmov q3[3], q3[1], r2, r10",
                    "vldrh.u32 q2, [r4, q4]",
                    "add r4, r4, r5",
                    "vcvt.f32.s32 q3, q3",
                    "vcvtb.f32.f16 q2, q2",
                    "vmul.f32 q2, q2, r11",
                    "vldrw.u32 q5, [r12]",
                    "vmul.f32 q2, q2, q3",
                    "vadd.f32 q5, q5, q2",
                    "vstrw.32 q5, [r12], #16",
                    "le lr, 2b",
                    inout("r0") &offsets => _,
                    inout("r1") keys.qs.as_ptr() => _,
                    in("r3") keys.stride,
                    inout("r4") keys.d.as_ptr() => _,
                    in("r5") 8 * keys.groups,
                    inout("r8") &q.qs => _,
                    inout("r10") n => _,
                    in("r11") q.d.to_bits(),
                    inout("r12") scores => _,
                    out("r2") _, out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _,
                    out("d7") _, out("d8") _, out("d9") _, out("d10") _, out("d11") _,
                    options(nostack),
                )
            }
        }
    };
}

dot_columns!(dot_16_columns, key_16);
dot_columns!(dot_32_columns, key_32);

/// `Σ k[c] q[c]`; `key` is at most a block long.
fn products(key: &[i8], q: &BlockQ8) -> i32 {
    let n = key.len().min(QK);
    let sum;
    // SAFETY: reads the first `n` numbers of both.
    unsafe {
        asm!(
            "dlstp.8 lr, r1",
            "2:",
            "vldrb.u8 q0, [r2], #16",
            "vldrb.u8 q1, [r3], #16",
            "vmladava.s8 r0, q0, q1",
            "letp lr, 2b",
            inout("r0") 0 => sum, in("r1") n, inout("r2") key.as_ptr() => _, inout("r3") &q.qs => _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            options(readonly, nostack),
        )
    }
    sum
}

/// `score * scale - slope * distance`; returns the largest, as the definition does.
///
/// A score is zero or at least 2^-118, so what a scale of at least 2^-8 makes of it is normal. A bias of at least 2^-100 is a
/// multiple of 2^-123, and what it could all but cancel is so, too: the difference is not subnormal either.
fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) -> f32 {
    let n = scores.len();
    let known = (scale == 0.0 || (1.0 / 256.0..=256.0).contains(&scale))
        && (slope == 0.0 || (1.0 / (1u128 << 100) as f32..=256.0).contains(&slope));
    // Up to 2^24, all distances are floats.
    if !known || n == 0 || distance.saturating_add(n as u32) > 1 << 24 {
        return dsp::attention::add_bias(scores, scale, slope, distance);
    }
    let farthest = (distance as usize + n - 1) as f32;
    let distances = [farthest, farthest - 1.0, farthest - 2.0, farthest - 3.0];
    let max: u32;
    // SAFETY: reads and writes `n` scores.
    unsafe {
        asm!(
            "vldrw.u32 q1, [r0]",
            "dlstp.32 lr, r1",
            "2:",
            "vldrw.u32 q0, [r2]",
            "vmul.f32 q0, q0, r3",
            "vmul.f32 q2, q1, r4",
            "vsub.f32 q1, q1, r5",
            "vsub.f32 q0, q0, q2",
            "vmaxnmv.f32 r8, q0",
            "vstrw.32 q0, [r2], #16",
            "letp lr, 2b",
            in("r0") &distances,
            inout("r8") f32::NEG_INFINITY.to_bits() => max,
            in("r1") n,
            inout("r2") scores.as_mut_ptr() => _,
            in("r3") scale.to_bits(),
            in("r4") slope.to_bits(),
            in("r5") 4.0f32.to_bits(),
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
            options(nostack),
        )
    }
    f32::from_bits(max) + 0.0
}

/// See [`crate::Kernels::accumulate_block`].
pub(super) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    match values {
        _ if probs.is_empty() || !head_dim.is_multiple_of(COLUMNS) => {
            dsp::attention::accumulate_block(probs, values, acc)
        }
        KvRows::Q8_0 { qs, d } => accumulate(probs, Quants { qs, bytes: COLUMNS, d }, add_bytes, acc),
        KvRows::Q4_0 { qs, d, .. } => accumulate(probs, Quants { qs, bytes: COLUMNS / 2, d }, add_nibbles, acc),
        _ => dsp::attention::accumulate_block(probs, values, acc),
    }
}

/// Quantized values: 16 columns take so many bytes, and scales.
struct Quants<'a, T> {
    qs: &'a [T],
    bytes: usize,
    d: &'a [u16],
}

/// `acc[c] += step · Σ_j w_j q_j[c]` over 16 columns, where no sum is subnormal: see [`flushes_nothing`].
///
/// # Safety
/// From `value` on, `stride` bytes apart, lie those columns of the values that `quants` weighs.
type AddColumns<T> =
    unsafe fn(weights: &Weights, quants: &[i32], value: *const T, stride: usize, acc: &mut [f32; COLUMNS]);

/// 16 columns at a time.
fn accumulate<T>(probs: &[f32], values: Quants<'_, T>, add: AddColumns<T>, acc: &mut [f32]) {
    let head_dim = acc.len();
    let (groups, stride) = (head_dim.div_ceil(QK), head_dim / COLUMNS * values.bytes);
    let mut weights = Weights::ZERO;
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let d = values.d.get(g..).unwrap_or_else(|| broken("values of the output's length"));
        let Some(first) = weights.set(probs, d, groups) else {
            acc.iter_mut().for_each(|acc| *acc += weights.step);
            continue;
        };
        // The step is at least 2^-79, so products with integers are zero or normal.
        let normal = flushes_nothing(acc);
        for (i, acc) in acc.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            let at = first * stride + (QK / COLUMNS * g + i) * values.bytes;
            let columns = values.qs.get(at..).zip(weights.quants.get(first..probs.len()));
            let (qs, quants) = columns.unwrap_or_else(|| broken("values of the output's length"));
            // SAFETY: `qs` begins with the columns of the first value of `quants`, and reaches to the end of the last one's row.
            let add = |acc: &mut _| unsafe { add(&weights, quants, qs.as_ptr(), stride, acc) };
            if normal {
                add(acc);
            } else {
                let mut sums = [0.0; COLUMNS];
                add(&mut sums);
                acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += sum);
            }
        }
    }
}

/// A function that adds 16 columns: `$init` sets up, `$value` adds the products with a value of `r0` to sums and moves on by the
/// stride `r1`, `$sums` adds the sums times the step `r5` to the columns at `r4`.
macro_rules! add_columns {
    ($(#[$doc:meta])* $name:ident($ty:ty), $init:literal, $value:ident, $sums:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// See [`AddColumns`].
        unsafe fn $name(weights: &Weights, quants: &[i32], value: *const $ty, stride: usize, acc: &mut [f32; COLUMNS]) {
            // SAFETY: reads what the caller promises and `quants`, writes `acc`.
            unsafe {
                asm!(
                    $init,
                    "wls lr, r3, 3f",
                    "2:",
                    "ldr r8, [r2], #4",
                    $value!("r8"),
                    "le lr, 2b",
                    "3:",
                    "wls lr, r12, 5f",
                    "4:",
                    "ldmia r2!, {{r8, r9, r10, r11}}",
                    $value!("r8"),
                    $value!("r9"),
                    $value!("r10"),
                    $value!("r11"),
                    "le lr, 4b",
                    "5:",
                    $sums,
                    inout("r0") value => _, in("r1") stride, inout("r2") quants.as_ptr() => _,
                    in("r3") quants.len() % KEYS, in("r12") quants.len() / KEYS,
                    inout("r4") acc => _, in("r5") weights.step.to_bits(),
                    inout("r8") -8 * weights.sum => _, inout("r9") 0x0f => _, out("r10") _, out("r11") _, out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                    out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _,
                    out("d15") _,
                    options(nostack),
                )
            }
        }
    };
}

#[rustfmt::skip]
macro_rules! value_of_bytes {
    ($weight:literal) => {
        concat!(
            "vldrb.s32 q0, [r0]",
            "\n vldrb.s32 q1, [r0, #4]",
            "\n vmla.s32 q4, q0, ", $weight,
            "\n vldrb.s32 q2, [r0, #8]",
            "\n vmla.s32 q5, q1, ", $weight,
            "\n vldrb.s32 q3, [r0, #12]",
            "\n vmla.s32 q6, q2, ", $weight,
            "\n add r0, r0, r1",
            "\n vmla.s32 q7, q3, ", $weight,
        )
    };
}

#[rustfmt::skip]
macro_rules! add_sums {
    ($sums:literal) => {
        concat!(
            "vcvt.f32.s32 ", $sums, ", ", $sums,
            "\n vldrw.u32 q0, [r4]",
            "\n vmul.f32 ", $sums, ", ", $sums, ", r5",
            "\n vadd.f32 q0, q0, ", $sums,
            "\n vstrw.32 q0, [r4], #16\n",
        )
    };
}

add_columns! {
    /// Quants of 8 bits.
    add_bytes(i8),
    "vmov.i32 q4, #0
    vmov.i32 q5, #0
    vmov.i32 q6, #0
    vmov.i32 q7, #0",
    value_of_bytes,
    concat!(add_sums!("q4"), add_sums!("q5"), add_sums!("q6"), add_sums!("q7"))
}

/// Eight columns each: `q4` and `q6` are sums of the even ones, `q5` and `q7` the same and 16 times those of the odd ones.
#[rustfmt::skip]
macro_rules! value_of_nibbles {
    ($weight:literal) => {
        concat!(
            "vldrb.u32 q0, [r0]",
            "\n vldrb.u32 q2, [r0, #4]",
            "\n vand q1, q0, q3",
            "\n vmla.s32 q5, q0, ", $weight,
            "\n vmla.s32 q4, q1, ", $weight,
            "\n vand q1, q2, q3",
            "\n vmla.s32 q7, q2, ", $weight,
            "\n add r0, r0, r1",
            "\n vmla.s32 q6, q1, ", $weight,
        )
    };
}

#[rustfmt::skip]
macro_rules! add_sums_of_nibbles {
    ($even:literal, $both:literal) => {
        concat!(
            "vsub.i32 ", $both, ", ", $both, ", ", $even,
            "\n vshr.s32 ", $both, ", ", $both, ", #4",
            "\n vcvt.f32.s32 ", $even, ", ", $even,
            "\n vcvt.f32.s32 ", $both, ", ", $both,
            "\n vmul.f32 ", $even, ", ", $even, ", r5",
            "\n vmul.f32 ", $both, ", ", $both, ", r5",
            "\n vld20.32 {{q0, q1}}, [r4]",
            "\n vld21.32 {{q0, q1}}, [r4]",
            "\n vadd.f32 q0, q0, ", $even,
            "\n vadd.f32 q1, q1, ", $both,
            "\n vst20.32 {{q0, q1}}, [r4]",
            "\n vst21.32 {{q0, q1}}, [r4]!\n",
        )
    };
}

add_columns! {
    /// Quants of 4 bits, each of which is stored as 8 more: sums begin with what that is too much. They stay below 2^29.
    add_nibbles(u8),
    "vdup.32 q3, r9
    vdup.32 q4, r8
    vdup.32 q6, r8
    add r8, r8, r8, lsl #4
    vdup.32 q5, r8
    vdup.32 q7, r8",
    value_of_nibbles,
    concat!(add_sums_of_nibbles!("q4", "q5"), add_sums_of_nibbles!("q6", "q7"))
}
