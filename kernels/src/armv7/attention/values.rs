//! Sum of a block's values, each times its probability: 32 columns of quantized values at a time.

use core::arch::naked_asm;

use super::rows::Quants;
use crate::contract::{broken, require};
use crate::scalar::{self, QuantizedProbs, assert_rows};
use crate::vfp::floats::{COLUMNS, accumulate, half};
use crate::vfp::unit;
use crate::{KV_BLOCK, KvRows, QK};

/// Message of the contract check that values exist.
const VALUES_EXIST: &str = "values of the output's length";

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
pub(in crate::armv7) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    assert_rows(values, probs.len(), acc.len());
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        KvRows::Q8_0 { qs, d } if !probs.is_empty() => add_quants(probs, qs, d, acc),
        KvRows::Q4_0 { qs, d, .. } if !probs.is_empty() => add_quants(probs, qs, d, acc),
        KvRows::F32(values) if acc.len().is_multiple_of(COLUMNS) => accumulate(probs, values, acc),
        KvRows::F16(values) if acc.len().is_multiple_of(COLUMNS) => accumulate(probs, values, acc),
        _ => scalar::accumulate_block(probs, values, acc),
    }
}

/// Adds values of quants, group after group of 32 columns; there is at least one value.
fn add_quants<Q: Quants>(probs: &[f32], values: &[Q], d: &[u16], acc: &mut [f32]) {
    let (stride, of) = (acc.len().div_ceil(Q::COLUMNS), acc.len().div_ceil(QK));
    require(values.len() == probs.len() * stride && d.len() == probs.len() * of, VALUES_EXIST);
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let quantized = quantize(probs, d.get(g..).unwrap_or_default(), of);
        let mut copies = [[0; QK]; KV_BLOCK];
        let (value, bytes) = match Q::in_place(values) {
            Some(values) if acc.len() == QK => (values.as_ptr().wrapping_add(g * QK), stride),
            _ => {
                let rows = values.chunks_exact(stride);
                copies.iter_mut().zip(rows).for_each(|(copy, row)| *copy = Q::group(row, g));
                (copies.as_flattened().as_ptr(), QK)
            }
        };
        let mut sums = [0; QK];
        // SAFETY: there are as many values as probabilities, one at least and no more than integers, and group `g` of each is whole
        // (required above) or copied. `detect` saw NEON.
        unsafe { sum_products(value, bytes, &quantized.quants, probs.len(), &mut sums) };
        acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += quantized.step * sum as f32);
    }
}

/// Quantizes probabilities times scales, which lie `of` apart.
fn quantize(probs: &[f32], d: &[u16], of: usize) -> QuantizedProbs {
    let mut products = [0.0; KV_BLOCK];
    for (i, (product, p)) in products.iter_mut().zip(probs).enumerate() {
        *product = p * half(d.get(i * of).copied().unwrap_or_else(|| broken(VALUES_EXIST)));
    }
    scalar::quantize_probs(products.get(..probs.len()).unwrap_or_default())
}

/// `sums[c] = Σ_j quants[j] · value_j[c]` over `n` values.
///
/// # Safety
/// `n` is in 1..=32. Values of 32 columns lie `stride` bytes apart from `value` on, and the processor has NEON.
#[unsafe(naked)]
unsafe extern "C" fn sum_products(
    value: *const i8,
    stride: usize,
    quants: &[i16; KV_BLOCK],
    n: usize,
    sums: &mut [i32; QK],
) {
    naked_asm!(
        unit!(),
        "ldr r12, [sp]
        vmov.i32 q8, #0
        vmov.i32 q9, #0
        vmov.i32 q10, #0
        vmov.i32 q11, #0
        vmov.i32 q12, #0
        vmov.i32 q13, #0
        vmov.i32 q14, #0
        vmov.i32 q15, #0
        2:
        vld1.16 {{d0[]}}, [r2]!
        vld1.8 {{d4-d7}}, [r0], r1
        vmovl.s8 q1, d4
        vmovl.s8 q2, d5
        vmlal.s16 q8, d2, d0
        vmlal.s16 q9, d3, d0
        vmlal.s16 q10, d4, d0
        vmlal.s16 q11, d5, d0
        vmovl.s8 q1, d6
        vmovl.s8 q3, d7
        vmlal.s16 q12, d2, d0
        vmlal.s16 q13, d3, d0
        vmlal.s16 q14, d6, d0
        vmlal.s16 q15, d7, d0
        subs r3, r3, #1
        bne 2b
        vst1.32 {{d16-d19}}, [r12]!
        vst1.32 {{d20-d23}}, [r12]!
        vst1.32 {{d24-d27}}, [r12]!
        vst1.32 {{d28-d31}}, [r12]
        bx lr",
    )
}
