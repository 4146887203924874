//! Sum of a block's values, each times its probability: eight columns at a time.

use core::arch::asm;

use crate::contract::{broken, require};
use crate::riscv::scaled::{Scale, add_step};
use crate::scalar::assert_rows;
use crate::soft::arithmetic::{from_f16, multiply};
use crate::soft::attention as soft;
use crate::soft::quantize::quantize_probs;
use crate::{KV_BLOCK, KvRows, QK};

/// Columns that a pass takes.
const COLUMNS: usize = 8;

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
pub(in crate::riscv) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        KvRows::Q8_0 { qs, d } if head_dim.is_multiple_of(COLUMNS) && !probs.is_empty() => {
            accumulate(probs, qs, d, acc)
        }
        _ => soft::accumulate_block(probs, values, acc),
    }
}

/// `acc[c] += step · Σ_j w_j q_j[c]`, group after group of 32 columns.
fn accumulate(probs: &[f32], qs: &[i8], d: &[u16], acc: &mut [f32]) {
    let (head_dim, n_groups) = (acc.len(), acc.len().div_ceil(QK));
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let mut factors = [0.0; KV_BLOCK];
        for ((factor, &p), &d) in factors.iter_mut().zip(probs).zip(d.iter().skip(g).step_by(n_groups.max(1))) {
            *factor = multiply(p, from_f16(d));
        }
        let quantized = quantize_probs(&factors);
        let quants = quantized.quants.get(..probs.len()).unwrap_or_default();
        // Old values mostly have no weight.
        let first = quants.iter().take_while(|&&w| w == 0).count();
        let quants = quants.get(first..).unwrap_or_default();
        let step = Scale::new(quantized.step);
        for (i, acc) in acc.chunks_mut(COLUMNS).enumerate() {
            let columns = qs.get(first * head_dim + g * QK + i * COLUMNS..).unwrap_or_default();
            for (acc, sum) in acc.iter_mut().zip(sums(quants, columns, head_dim)) {
                *acc = add_step(*acc, step, sum);
            }
        }
    }
}

/// Adds the product of column `$c` of a value.
#[rustfmt::skip]
macro_rules! product {
    ($c:literal) => {
        concat!("lb {u}, ", $c, "({v})\n mul {u}, {u}, {w}\n add {s", $c, "}, {s", $c, "}, {u}")
    };
}

/// `Σ_j w_j q_j[c]` of eight columns of values that lie `stride` bytes apart, less than `2^27`.
fn sums(quants: &[i16], columns: &[i8], stride: usize) -> [i32; COLUMNS] {
    let Some(last) = quants.len().checked_sub(1) else { return [0; COLUMNS] };
    if columns.len() < last * stride + COLUMNS {
        broken("values of the output's length");
    }
    let quants = quants.as_ptr_range();
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = [0; COLUMNS];
    // SAFETY: reads the quants, of which there is at least one, and eight bytes for each, `stride` apart (just checked); changes only the
    // registers that it names.
    unsafe {
        asm!(
            "2:",
            "lh {w}, 0({q})",
            "addi {q}, {q}, 2",
            product!("0"), product!("1"), product!("2"), product!("3"),
            product!("4"), product!("5"), product!("6"), product!("7"),
            "add {v}, {v}, {stride}",
            "bne {q}, {end}, 2b",
            q = inout(reg) quants.start => _, end = in(reg) quants.end, v = inout(reg) columns.as_ptr() => _, stride = in(reg) stride,
            s0 = inout(reg) a, s1 = inout(reg) b, s2 = inout(reg) c, s3 = inout(reg) d,
            s4 = inout(reg) e, s5 = inout(reg) f, s6 = inout(reg) g, s7 = inout(reg) h,
            w = out(reg) _, u = out(reg) _,
            options(pure, readonly, nostack)
        );
    }
    [a, b, c, d, e, f, g, h]
}
