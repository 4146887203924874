//! Probabilities as integers of 16 bits, for each group of 32 columns of the values.

use core::arch::asm;

use crate::KV_BLOCK;
use crate::contract::require;
use crate::scalar::AMAX_MIN;

/// Probabilities times the scales of a group of columns, as integers: those of [`crate::scalar::quantize_probs`].
pub(super) struct QuantizedProbs {
    pub(super) step: f32,
    /// Integers, in ±32767.
    pub(super) quants: [i32; KV_BLOCK],
    pub(super) sum: i32,
}

impl QuantizedProbs {
    pub(super) const ZERO: Self = Self { step: 0.0, quants: [0; _], sum: 0 };

    /// Quantizes `probs` times the scales `d`, which lie `groups` apart; returns the index of the first integer that is not
    /// zero. `None` if each sum of the values is `step` itself, which is then zero or NaN; the integers are left undefined.
    ///
    /// Flushed numbers change nothing: a subnormal probability times any scale is less than 2^-110, a subnormal product less
    /// than 2^-126. If the largest product is 2^-64 or more, such products neither change it nor round to anything but zero; if
    /// it is less, `step` is zero.
    pub(super) fn set(&mut self, probs: &[f32], d: &[u16], groups: usize) -> Option<usize> {
        let n = probs.len();
        require(n <= KV_BLOCK && (n == 0 || d.len() > (n - 1) * groups), "a scale for each 32 columns of a value");
        let offsets: [u32; 4] = [0, 1, 2, 3].map(|j| j * 2 * groups as u32);
        let largest: u32;
        // SAFETY: reads `n` numbers and scales, writes as many products; loads and stores past them are predicated.
        unsafe {
            asm!(
                "vldrw.u32 q2, [r0]",
                "mov r0, #0",
                "wlstp.32 lr, r1, 3f",
                "2:",
                "vldrw.u32 q0, [r2], #16",
                "vldrh.u32 q1, [r3, q2]",
                "add r3, r3, r4",
                "vcvtb.f32.f16 q1, q1",
                "vmul.f32 q0, q0, q1",
                "vstrw.32 q0, [r5], #16",
                // The shift drops the sign.
                "vshl.i32 q0, q0, #1",
                "vmaxv.u32 r0, q0",
                "letp lr, 2b",
                "3:",
                inout("r0") &offsets => largest, in("r1") n, inout("r2") probs.as_ptr() => _,
                inout("r3") d.as_ptr() => _, in("r4") 8 * groups, inout("r5") &mut self.quants => _, out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
                options(nostack),
            )
        }
        let amax = f32::from_bits(largest >> 1);
        if !(AMAX_MIN..=f32::MAX).contains(&amax) {
            self.step = if amax < AMAX_MIN { 0.0 } else { f32::NAN };
            return None;
        }
        self.step = amax / 32767.0;
        let id = 32767.0 / amax;
        // SAFETY: reads the `n` products and writes as many integers in their place; loads and stores past them are predicated.
        unsafe {
            asm!(
                "wlstp.32 lr, r1, 3f",
                "2:",
                "vldrw.u32 q0, [r2]",
                "vmul.f32 q0, q0, r3",
                "vcvtn.s32.f32 q0, q0",
                "vaddva.s32 r0, q0",
                "vstrw.32 q0, [r2], #16",
                "letp lr, 2b",
                "3:",
                inout("r0") 0 => self.sum, in("r1") n, inout("r2") &mut self.quants => _, in("r3") id.to_bits(), out("lr") _,
                out("d0") _, out("d1") _,
                options(nostack),
            )
        }
        self.quants.get(..n)?.iter().position(|&q| q != 0)
    }
}
