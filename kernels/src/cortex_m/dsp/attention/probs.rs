//! Probabilities as integers of 16 bits, for each group of 32 columns of the values.

use core::arch::asm;

use crate::KV_BLOCK;
use crate::contract::{broken, require};
use crate::scalar::AMAX_MIN;
use crate::scalar::constants::ROUND;
use crate::vfp::floats::half;

/// Probabilities times the scales of a group of columns, as integers: those of [`crate::scalar::quantize_probs`].
pub(super) struct QuantizedProbs {
    pub(super) step: f32,
    /// Pairs of i16, the older value's in the lower half; the newest value's stands at the end, and zeros before the oldest.
    /// Two words more lie behind, which loops load ahead.
    pub(super) pairs: [u32; KV_BLOCK / 2 + 2],
    /// Products that the integers are made of, as far from the end.
    products: [f32; KV_BLOCK],
}

/// Probabilities that a pass takes.
const FOUR: usize = 4;

impl QuantizedProbs {
    pub(super) const ZERO: Self = Self { step: 0.0, pairs: [0; _], products: [0.0; _] };

    /// Quantizes `probs` times the scales `d`, which lie `groups` apart; returns the place, among [`KV_BLOCK`], of the first
    /// integer that is not zero. `None` if each sum of the values is `step` itself, which is then zero or NaN; the pairs are
    /// not set.
    ///
    /// A second call has to have as many values as the first, so that the pairs before the oldest are still zero.
    pub(super) fn set(&mut self, probs: &[f32], d: &[u16], groups: usize) -> Option<usize> {
        let largest = self.multiply(probs, d, groups);
        let amax = f32::from_bits(largest >> 1);
        if !(AMAX_MIN..=f32::MAX).contains(&amax) {
            self.step = if amax < AMAX_MIN { 0.0 } else { f32::NAN };
            return None;
        }
        self.step = amax / 32767.0;
        self.round(probs.len(), 32767.0 / amax);
        let mut pairs = self.pairs.iter().enumerate().skip((KV_BLOCK - probs.len()) / 2);
        let (i, pair) = pairs.find(|&(_, &pair)| pair != 0)?;
        Some(2 * i + usize::from(pair & 0xffff == 0))
    }

    /// Rounds the last `n` products, times `id`, to integers.
    fn round(&mut self, n: usize, id: f32) {
        let zeros = (KV_BLOCK - n) / FOUR * FOUR;
        let (products, pairs) = (self.products.as_ptr_range(), self.pairs.as_mut_ptr());
        // SAFETY: `n` is 1..=32. Reads the last products, as whole fours and at least `n`, and writes as many i16 of the pairs.
        unsafe {
            asm!(
                "vmov s4, s5, r8, r9",
                "2:",
                "vldmia r0!, {{s0-s3}}",
                "vmul.f32 s0, s0, s4",
                "vmul.f32 s1, s1, s4",
                "vmul.f32 s2, s2, s4",
                "vmul.f32 s3, s3, s4",
                // The low bits hold the nearest integer.
                "vadd.f32 s0, s0, s5",
                "vadd.f32 s1, s1, s5",
                "vadd.f32 s2, s2, s5",
                "vadd.f32 s3, s3, s5",
                "vmov r8, r9, s0, s1",
                "vmov r10, r11, s2, s3",
                "pkhbt r8, r8, r9, lsl #16",
                "pkhbt r9, r10, r11, lsl #16",
                "stmia r2!, {{r8, r9}}",
                "cmp r0, r1",
                "bne 2b",
                inout("r0") products.start.wrapping_add(zeros) => _, in("r1") products.end,
                inout("r2") pairs.wrapping_add(zeros / 2) => _,
                inout("r8") id.to_bits() => _, inout("r9") ROUND.to_bits() => _,
                out("r10") _, out("r11") _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _,
                options(nostack)
            )
        }
    }

    /// Sum of all integers, once they are set.
    pub(super) fn sum(&self) -> i32 {
        self.pairs.iter().fold(0, |sum, &pair| sum + i32::from(pair as i16) + i32::from((pair >> 16) as i16))
    }

    /// Multiplies probabilities with scales; returns the largest product, as bits with the sign shifted out.
    fn multiply(&mut self, probs: &[f32], d: &[u16], groups: usize) -> u32 {
        let n = probs.len();
        require(n > 0 && n <= KV_BLOCK && d.len() > (n - 1) * groups, "a scale for each 32 columns of a value");
        let mut largest = 0;
        let mut products = self.products.iter_mut().skip(KV_BLOCK - n);
        let oldest = n % FOUR;
        for (j, (product, p)) in products.by_ref().zip(probs).take(oldest).enumerate() {
            let d = d.get(j * groups).copied().unwrap_or_else(|| broken("a scale for each 32 columns of a value"));
            *product = p * half(d);
            largest = largest.max(product.to_bits() << 1);
        }
        let Some((probs, d)) = probs.get(oldest..).zip(d.get(oldest * groups..)).filter(|(probs, _)| !probs.is_empty())
        else {
            return largest;
        };
        let products = self.products.as_mut_ptr_range();
        // SAFETY: reads `probs`, whole fours, and a scale of each, `groups` apart, of which there are as many (required above);
        // writes as many products, the last of 32.
        unsafe {
            asm!(
                "2:",
                "ldrh r8, [r0]",
                "ldrh r9, [r0, r1]",
                "ldrh r10, [r0, r1, lsl #1]",
                "ldrh r11, [r0, r3]",
                "add r0, r0, r1, lsl #2",
                "vldmia r2!, {{s0-s3}}",
                "vmov s4, s5, r8, r9",
                "vmov s6, s7, r10, r11",
                "vcvtb.f32.f16 s4, s4",
                "vcvtb.f32.f16 s5, s5",
                "vcvtb.f32.f16 s6, s6",
                "vcvtb.f32.f16 s7, s7",
                "vmul.f32 s0, s0, s4",
                "vmul.f32 s1, s1, s5",
                "vmul.f32 s2, s2, s6",
                "vmul.f32 s3, s3, s7",
                "vstmia r4!, {{s0-s3}}",
                "vmov r8, r9, s0, s1",
                "vmov r10, r11, s2, s3",
                "cmp r12, r8, lsl #1",
                "it lo",
                "lsllo r12, r8, #1",
                "cmp r12, r9, lsl #1",
                "it lo",
                "lsllo r12, r9, #1",
                "cmp r12, r10, lsl #1",
                "it lo",
                "lsllo r12, r10, #1",
                "cmp r12, r11, lsl #1",
                "it lo",
                "lsllo r12, r11, #1",
                "cmp r4, r5",
                "bne 2b",
                inout("r0") d.as_ptr() => _, in("r1") 2 * groups, in("r3") 6 * groups,
                inout("r2") probs.as_ptr() => _,
                inout("r4") products.end.wrapping_sub(probs.len()) => _, in("r5") products.end,
                inout("r12") largest,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                options(nostack)
            )
        }
        largest
    }
}
