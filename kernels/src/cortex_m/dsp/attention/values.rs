//! Sum of a block's values, each times its probability: four columns of quantized values at a time.

use core::arch::asm;

use super::probs::QuantizedProbs;
use crate::contract::{broken, require};
use crate::scalar::{self, assert_rows};
use crate::vfp::floats::{COLUMNS, accumulate};
use crate::{KV_BLOCK, KvRows, QK};

/// Values that one part of the loop takes.
const VALUES: usize = 4;

/// Implements [`Kernels::accumulate_block`](crate::Kernels::accumulate_block).
pub(in crate::cortex_m) fn accumulate_block(probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
    let head_dim = acc.len();
    assert_rows(values, probs.len(), head_dim);
    require(probs.len() <= KV_BLOCK, "values of one block");
    match values {
        _ if probs.is_empty() || !head_dim.is_multiple_of(COLUMNS) => scalar::accumulate_block(probs, values, acc),
        KvRows::F32(values) => accumulate(probs, values, acc),
        KvRows::F16(values) => accumulate(probs, values, acc),
        KvRows::Q8_0 { qs, d } => accumulate_quants(probs, Quants { qs, group_len: QK, d }, add_bytes, acc),
        KvRows::Q4_0 { qs, d, .. } => accumulate_quants(probs, Quants { qs, group_len: QK / 2, d }, add_nibbles, acc),
    }
}

/// Quantized values: 32 columns take `group_len` bytes and a scale.
struct Quants<'a, T> {
    qs: &'a [T],
    group_len: usize,
    d: &'a [u16],
}

/// `acc[c] += step · Σ_j w_j q_j[c]` over up to 32 columns.
///
/// # Safety
/// `acc` has a multiple of four columns, at least four. For each value `j` from `first` on, `value_0 + j * stride` holds as
/// many columns. `first` is less than [`KV_BLOCK`], and the integers of the values before it are zero.
type AddGroup<T> =
    unsafe fn(quantized: &QuantizedProbs, first: usize, value_0: *const T, stride: usize, acc: &mut [f32]);

/// Adds values of quants, group after group of 32 columns; there is at least one value.
fn accumulate_quants<T>(probs: &[f32], values: Quants<'_, T>, add: AddGroup<T>, acc: &mut [f32]) {
    let groups = acc.len().div_ceil(QK);
    let stride = values.group_len * acc.len() / QK;
    let mut quantized = QuantizedProbs::ZERO;
    for (g, acc) in acc.chunks_mut(QK).enumerate() {
        let group = values.qs.get(g * values.group_len..).zip(values.d.get(g..));
        let (qs, d) = group.unwrap_or_else(|| broken("values of the output's length"));
        match quantized.set(probs, d, groups) {
            // SAFETY: `acc` is 16 or 32 columns. The last of `probs.len()` rows, `stride` apart, is that of value 31, as the
            // last integer is value 31's, so the first value with an integer that is not zero has a row.
            Some(first) => unsafe {
                let missing = KV_BLOCK - probs.len();
                add(&quantized, first, qs.as_ptr().wrapping_sub(missing * stride), stride, acc)
            },
            None => acc.iter_mut().for_each(|acc| *acc += quantized.step),
        }
    }
}

/// Function that adds four columns of the values in a pass.
///
/// `$load` is the instruction that loads the columns of a value, `$add` adds the products of two loaded values with a pair of
/// probabilities, `$init` returns the start values, `$sums` makes sums of the registers at the end, and the columns of the next
/// pass lie `$next` bytes further.
///
/// A turn of the loop takes eight values; it is entered at the first value whose integer is not zero. If that is the newer of a
/// pair, an undefined older value is multiplied with zero.
///
/// Registers: `r0` the first of four values, `r1` and `r3` once and three times the stride, `r2` probabilities and `r8` their
/// end, `r9` and `r10` two pairs of them, `r4`..`r7` sums, `r11`, `r12`, `lr` values. For all passes: `s8`, `s9` the start of
/// `r0` and `r2`, `s10` the place where the loop is entered, `s11` the step, `s12` and `s13` the columns and their end,
/// `s16`..`s19` the start values of the sums.
macro_rules! add_group {
    ($(#[$doc:meta])* $name:ident($ty:ty), $load:literal, $add:ident, $init:expr, $sums:literal, $next:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The promises of [`AddGroup`] hold.
        unsafe fn $name(quantized: &QuantizedProbs, first: usize, value_0: *const $ty, stride: usize, acc: &mut [f32]) {
            let of_four = first / VALUES * VALUES;
            let init: [i32; 4] = $init(quantized);
            let pairs = quantized.pairs.as_ptr_range();
            let acc_range = acc.as_mut_ptr_range();
            // SAFETY: reads what the caller promises, the pairs and two words behind them; writes `acc`. The registers that it
            // changes are named, or pushed.
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
                    inout("r3") first % 8 => _, inout("r10") quantized.step.to_bits() => _,
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

/// Step over four values; the loop may be entered before each.
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

/// Adds the products of four bytes each of two values.
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

/// Adds the products of four nibbles each of two values: `r4` is the sum of the first, `r5` of the second times 16, `r6` of the
/// third, and `r7` of the third plus 16 times the fourth.
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
    /// Adds quants of 8 bits.
    add_bytes(i8), "ldr", add_four_bytes, |_: &QuantizedProbs| [0; 4], "", 4
}

add_group! {
    /// Adds quants of 4 bits, which are stored with 8 added: the start values take that off. Sums stay below 2^29.
    add_nibbles(u8), "ldrh", add_four_nibbles,
    |quantized: &QuantizedProbs| {
        let less = -8 * quantized.sum();
        [less, 16 * less, less, 17 * less]
    },
    "asr r5, r5, #4
    sub r7, r7, r6
    asr r7, r7, #4", 2
}
