//! Products of a query with the keys of a block: four keys at a time.

use core::arch::naked_asm;

use super::rows::Quants;
use crate::armv7::products::{add_four, add_lanes, multiply_two, two_rows};
use crate::contract::{broken, require};
use crate::scalar::{self, assert_query};
use crate::vfp::attention::{add_bias, score_floats};
use crate::vfp::unit;
use crate::{BlockQ8, KvRows, QK, Query};

/// Keys that a pass takes.
const KEYS: usize = 4;
/// Message of the contract check that keys exist.
const KEYS_EXIST: &str = "keys of the query's length";

/// Implements [`Kernels::score_block`](crate::Kernels::score_block).
pub(in crate::armv7) fn score_block(
    q: Query<'_>,
    keys: KvRows<'_>,
    scale: f32,
    slope: f32,
    distance: u32,
    scores: &mut [f32],
) -> f32 {
    let head_dim = assert_query(q, keys, scores.len());
    match (q, keys) {
        (Query::Q8(q), KvRows::Q8_0 { qs, d }) if head_dim > 0 => dot_keys(q, qs, d, head_dim, scores),
        (Query::Q8(q), KvRows::Q4_0 { qs, d, .. }) if head_dim > 0 => dot_keys(q, qs, d, head_dim, scores),
        (Query::F32(q), KvRows::F32(keys)) if head_dim > 0 => score_floats(q, keys, scores),
        (Query::F32(q), KvRows::F16(keys)) if head_dim > 0 => score_floats(q, keys, scores),
        _ => return scalar::score_block(q, keys, scale, slope, distance, scores),
    }
    add_bias(scores, scale, slope, distance)
}

/// `scores[j] = q · k_j`, group after group of 32 columns.
fn dot_keys<Q: Quants>(q: &[BlockQ8], keys: &[Q], d: &[u16], head_dim: usize, scores: &mut [f32]) {
    let (stride, of) = (head_dim.div_ceil(Q::COLUMNS), head_dim.div_ceil(QK));
    require(keys.len() == scores.len() * stride && d.len() == scores.len() * of, KEYS_EXIST);
    scores.fill(0.0);
    for (g, x) in q.iter().enumerate() {
        let mut done = 0;
        if let Some(keys) = Q::in_place(keys)
            && head_dim - g * QK >= QK
            && scores.len() >= KEYS
        {
            let (fours, _) = scores.as_chunks_mut();
            let (key, d) = (keys.as_ptr().wrapping_add(g * QK), d.as_ptr().wrapping_add(g));
            // SAFETY: there are as many keys of `head_dim` columns as scores, and `of` scales of each (required above); group `g` is
            // whole. `detect` saw NEON with VFPv4.
            unsafe { add_products(key, head_dim, d, of * size_of::<u16>(), x, fours.as_mut_ptr(), fours.len()) };
            done = fours.len() * KEYS;
        }
        let rest = keys.chunks_exact(stride).zip(d.chunks_exact(of)).skip(done);
        let mut rest = rest.map(|(key, d)| (Q::group(key, g), d.get(g).copied().unwrap_or_else(|| broken(KEYS_EXIST))));
        for scores in scores.get_mut(done..).unwrap_or_default().chunks_mut(KEYS) {
            let (mut keys, mut d, mut four) = ([[0; QK]; KEYS], [0; KEYS], [0.0; KEYS]);
            for (i, score) in scores.iter().enumerate() {
                (keys[i], d[i]) = rest.next().unwrap_or_else(|| broken(KEYS_EXIST));
                four[i] = *score;
            }
            // SAFETY: four keys of 32 columns and four scales lie here. `detect` saw NEON with VFPv4.
            unsafe { add_products(keys.as_flattened().as_ptr(), QK, d.as_ptr(), size_of::<u16>(), x, &mut four, 1) };
            scores.iter_mut().zip(four).for_each(|(score, sum)| *score = sum);
        }
    }
}

/// `scores[j] += (d_k · d_q) · Σ k q` of `n` times four keys.
///
/// # Safety
/// `n` is not zero. Keys of 32 columns lie `stride` bytes apart from `key` on, their scales `d_stride` bytes apart from `d` on, and
/// scores from `scores` on. The processor has NEON with VFPv4.
#[unsafe(naked)]
unsafe extern "C" fn add_products(
    key: *const i8,
    stride: usize,
    d: *const u16,
    d_stride: usize,
    x: &BlockQ8,
    scores: *mut [f32; KEYS],
    n: usize,
) {
    naked_asm!(
        unit!(),
        "ldr r12, [sp]
        push {{r4, r5}}
        ldrd r4, r5, [sp, #12]
        vpush {{d8-d9}}
        vld1.32 {{d2}}, [r12]!
        vld1.8 {{d4-d7}}, [r12]
        2:
        vld1.16 {{d8[0]}}, [r2], r3
        vld1.16 {{d8[1]}}, [r2], r3
        vld1.16 {{d8[2]}}, [r2], r3
        vld1.16 {{d8[3]}}, [r2], r3
        vld1.32 {{d0-d1}}, [r4]
        vcvt.f32.f16 q4, d8
        vmul.f32 q4, q4, d2[0]
        vld1.8 {{d16-d19}}, [r0], r1
        vld1.8 {{d20-d23}}, [r0], r1",
        two_rows!("d3"),
        "vld1.8 {{d16-d19}}, [r0], r1
        vld1.8 {{d20-d23}}, [r0], r1",
        two_rows!("d25"),
        add_four!(),
        "vst1.32 {{d0-d1}}, [r4]!
        subs r5, r5, #1
        bne 2b
        vpop {{d8-d9}}
        pop {{r4, r5}}
        bx lr",
    )
}
