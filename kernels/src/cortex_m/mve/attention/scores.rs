//! Products of a query with the keys of a block: four keys at a time.

use core::arch::asm;

use crate::contract::broken;
use crate::cortex_m::dsp;
use crate::scalar::{assert_query, unpack_quants};
use crate::vfp::{self, floats::half};
use crate::{BlockQ8, KV_BLOCK, KvRows, QK, Query};

/// Keys that a pass takes.
const KEYS: usize = 4;
/// Columns of a register of int8.
const COLUMNS: usize = 16;

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
pub(in crate::cortex_m::mve) fn score_block(
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

/// `scores[j] = q · k_j` for keys of 4 bits: a group of all keys at a time is unpacked to bytes.
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

/// Message of the contract check that keys exist.
const KEYS_EXIST: &str = "keys of the query's length";

/// Adds the products with a group of columns: 32 if it is `whole`, else 16.
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
        *score += (half(d) * q.d) * products(key, q) as f32;
    }
}

/// Group of columns of the first key, and its scale; those of the next key lie `stride` and `groups` further.
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
        /// `keys` holds a group and a scale of each of `4 n` keys, and at `scores` lie as many floats; `n` is not zero.
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

/// `score * scale - slope * distance` of each score; returns the largest, as the definition does.
///
/// A score is zero or at least 2^-118, so its product with a scale of at least 2^-8 is normal. A bias of at least 2^-100 is a
/// multiple of 2^-123, and so is any product that it could all but cancel: the difference is not subnormal either.
fn add_bias(scores: &mut [f32], scale: f32, slope: f32, distance: u32) -> f32 {
    let n = scores.len();
    let known = (scale == 0.0 || (1.0 / 256.0..=256.0).contains(&scale))
        && (slope == 0.0 || (1.0 / (1u128 << 100) as f32..=256.0).contains(&slope));
    // Distances up to 2^24 are all floats.
    if !known || n == 0 || distance.saturating_add(n as u32) > 1 << 24 {
        return vfp::attention::add_bias(scores, scale, slope, distance);
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
