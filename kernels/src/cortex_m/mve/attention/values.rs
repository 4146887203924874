//! Sum of a block's values, each times its probability: 16 columns of quantized values in four registers.

use core::arch::asm;

use super::probs::QuantizedProbs;
use crate::contract::broken;
use crate::cortex_m::dsp;
use crate::cortex_m::mve::math::flushes_nothing;
use crate::scalar::assert_rows;
use crate::{KvQuant, KvRows, QK};

/// Values that one part of the loop takes.
const VALUES: usize = 4;
/// Columns of a register of int8.
const COLUMNS: usize = 16;

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
pub(in crate::cortex_m::mve) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    match values {
        _ if probs.is_empty() || !head_dim.is_multiple_of(COLUMNS) => {
            dsp::attention::accumulate_block(probs, values, acc)
        }
        KvRows::Q8_0 { qs, d } => accumulate(probs, Quants { qs, bytes: COLUMNS, d }, add_bytes, acc),
        KvRows::Q4_0 { qs, d, .. } => {
            accumulate(probs, Quants { qs, bytes: COLUMNS / u8::COLUMNS, d }, add_nibbles, acc)
        }
        _ => dsp::attention::accumulate_block(probs, values, acc),
    }
}

/// Quantized values: 16 columns take `bytes` bytes; and the scales.
struct Quants<'a, T> {
    qs: &'a [T],
    bytes: usize,
    d: &'a [u16],
}

/// `acc[c] += step · Σ_j w_j q_j[c]` over 16 columns, if no sum is subnormal ([`flushes_nothing`]).
///
/// # Safety
/// From `value` on, `stride` bytes apart, lie these columns of as many values as `quants` has integers.
type AddColumns<T> =
    unsafe fn(quantized: &QuantizedProbs, quants: &[i32], value: *const T, stride: usize, acc: &mut [f32; COLUMNS]);

/// Adds values of quants, 16 columns at a time.
fn accumulate<T>(probs: &[f32], values: Quants<'_, T>, add: AddColumns<T>, acc: &mut [f32]) {
    let head_dim = acc.len();
    let (groups, stride) = (head_dim.div_ceil(QK), head_dim / COLUMNS * values.bytes);
    let mut quantized = QuantizedProbs::ZERO;
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let d = values.d.get(g..).unwrap_or_else(|| broken("values of the output's length"));
        let Some(first) = quantized.set(probs, d, groups) else {
            acc.iter_mut().for_each(|acc| *acc += quantized.step);
            continue;
        };
        // The step is at least 2^-79, so products with integers are zero or normal.
        let normal = flushes_nothing(acc);
        for (i, acc) in acc.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            let at = first * stride + (QK / COLUMNS * g + i) * values.bytes;
            let columns = values.qs.get(at..).zip(quantized.quants.get(first..probs.len()));
            let (qs, quants) = columns.unwrap_or_else(|| broken("values of the output's length"));
            // SAFETY: `qs` begins with the columns of the first value of `quants`, and reaches to the end of the last one's row.
            let add = |acc: &mut _| unsafe { add(&quantized, quants, qs.as_ptr(), stride, acc) };
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

/// Function that adds 16 columns: `$init` sets up, `$value` adds the products with a value of `r0` to sums and moves on by the
/// stride `r1`, `$sums` adds the sums times the step `r5` to the columns at `r4`.
macro_rules! add_columns {
    ($(#[$doc:meta])* $name:ident($ty:ty), $init:literal, $value:ident, $sums:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The promises of [`AddColumns`] hold.
        unsafe fn $name(quantized: &QuantizedProbs, quants: &[i32], value: *const $ty, stride: usize, acc: &mut [f32; COLUMNS]) {
            // SAFETY: reads the values that the caller promises and `quants`, writes `acc`.
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
                    in("r3") quants.len() % VALUES, in("r12") quants.len() / VALUES,
                    inout("r4") acc => _, in("r5") quantized.step.to_bits(),
                    inout("r8") -8 * quantized.sum => _, inout("r9") 0x0f => _, out("r10") _, out("r11") _, out("lr") _,
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
    /// Adds quants of 8 bits.
    add_bytes(i8),
    "vmov.i32 q4, #0
    vmov.i32 q5, #0
    vmov.i32 q6, #0
    vmov.i32 q7, #0",
    value_of_bytes,
    concat!(add_sums!("q4"), add_sums!("q5"), add_sums!("q6"), add_sums!("q7"))
}

/// Adds the products of 16 nibbles of a value: `q4` and `q6` are sums of the even columns of eight, `q5` and `q7` the same plus
/// 16 times the sums of the odd columns.
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
    /// Adds quants of 4 bits, which are stored with 8 added: the start values take that off. Sums stay below 2^29.
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
