//! Unpacking of super-blocks of 256 weights: eight groups of 32 quants, and their integer scales.

use core::arch::naked_asm;

use super::panel::STRIDE;
use crate::block::*;
use crate::vfp::unit;

/// Writes the quants of a block, less their offset: eight times 32 bytes, [`STRIDE`] apart. The constants are [`TABLE`].
///
/// # Safety
/// The eight times 32 bytes can be written, and the processor has NEON.
pub(super) type Quants<B> = unsafe extern "C" fn(block: *const B, out: *mut [i8; 32], constants: &[u8; 16]);

/// Values of IQ4_NL and IQ4_XS as bytes.
pub(super) const TABLE: [u8; 16] = {
    let mut bytes = [0; 16];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = IQ4_VALUES[i] as u8;
        i += 1;
    }
    bytes
};

/// Super-block that can be unpacked.
pub(super) trait Unpack: Quantized {
    /// Function that unpacks the quants.
    const QUANTS: Quants<Self>;

    /// Scale, and scale of the minimums as it is added, of half precision.
    fn scales(&self) -> [[u8; 2]; 2];

    /// Integer scale and integer minimum of the first and the last 16 columns of a group.
    fn integers(&self, group: usize) -> [[i8; 2]; 2];
}

/// Half-precision number with the other sign.
fn negative(F16([low, high]): F16) -> [u8; 2] {
    [low, high ^ 0x80]
}

/// Function around an unpacking: `r0` the block, `r1` the place of the quants and `r2` the stride, `q15` the constants.
macro_rules! quants {
    ($name:ident($block:ident): $($text:expr),*) => {
        /// # Safety
        /// The promises of [`Quants`] hold.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(block: *const $block, out: *mut [i8; 32], constants: &[u8; 16]) {
            naked_asm!(
                unit!(),
                "vld1.8 {{d30-d31}}, [r2]
                mov r2, #{stride}",
                $($text,)*
                "bx lr",
                stride = const STRIDE,
            )
        }
    };
}

quants! {
    q2_k(BlockQ2_K):
    "add r0, r0, #16
    vmov.i8 q14, #3
    mov r3, #2
    2:
    vld1.8 {{d0-d3}}, [r0]!
    vand q2, q0, q14
    vand q3, q1, q14
    vst1.8 {{d4-d7}}, [r1], r2
    vshr.u8 q2, q0, #2
    vshr.u8 q3, q1, #2
    vand q2, q2, q14
    vand q3, q3, q14
    vst1.8 {{d4-d7}}, [r1], r2
    vshr.u8 q2, q0, #4
    vshr.u8 q3, q1, #4
    vand q2, q2, q14
    vand q3, q3, q14
    vst1.8 {{d4-d7}}, [r1], r2
    vshr.u8 q0, q0, #6
    vshr.u8 q1, q1, #6
    vst1.8 {{d0-d3}}, [r1], r2
    subs r3, r3, #1
    bne 2b"
}

quants! {
    q3_k(BlockQ3_K):
    "vld1.8 {{d16-d19}}, [r0]!
    vmov.i8 q14, #7
    vmov.i8 q13, #4
    mov r3, #8
    2:
    tst r3, #3
    bne 3f
    vld1.8 {{d0-d3}}, [r0]!
    3:
    vmov q2, q0
    vmov q3, q1
    vsli.8 q2, q8, #2
    vsli.8 q3, q9, #2
    vshr.u8 q0, q0, #2
    vshr.u8 q1, q1, #2
    vand q2, q2, q14
    vand q3, q3, q14
    vshr.u8 q8, q8, #1
    vshr.u8 q9, q9, #1
    vsub.i8 q2, q2, q13
    vsub.i8 q3, q3, q13
    vst1.8 {{d4-d7}}, [r1], r2
    subs r3, r3, #1
    bne 2b"
}

quants! {
    q4_k(BlockQ4_K):
    "add r0, r0, #16
    vmov.i8 q14, #15
    mov r3, #4
    2:
    vld1.8 {{d0-d3}}, [r0]!
    vshr.u8 q2, q0, #4
    vshr.u8 q3, q1, #4
    vand q0, q0, q14
    vand q1, q1, q14
    vst1.8 {{d0-d3}}, [r1], r2
    vst1.8 {{d4-d7}}, [r1], r2
    subs r3, r3, #1
    bne 2b"
}

quants! {
    q5_k(BlockQ5_K):
    "add r0, r0, #16
    vld1.8 {{d16-d19}}, [r0]!
    vmov.i8 q14, #31
    mov r3, #4
    2:
    vld1.8 {{d0-d3}}, [r0]!
    vshr.u8 q2, q0, #4
    vshr.u8 q3, q1, #4
    vsli.8 q0, q8, #4
    vsli.8 q1, q9, #4
    vshr.u8 q8, q8, #1
    vshr.u8 q9, q9, #1
    vsli.8 q2, q8, #4
    vsli.8 q3, q9, #4
    vshr.u8 q8, q8, #1
    vshr.u8 q9, q9, #1
    vand q0, q0, q14
    vand q1, q1, q14
    vand q2, q2, q14
    vand q3, q3, q14
    vst1.8 {{d0-d3}}, [r1], r2
    vst1.8 {{d4-d7}}, [r1], r2
    subs r3, r3, #1
    bne 2b"
}

/// Low four bits in `q0`, `q1`, and two bits of `q8`, `q9` above them, less 32.
macro_rules! six_bits {
    () => {
        "vsli.8 q0, q8, #4
        vsli.8 q1, q9, #4
        vand q0, q0, q14
        vand q1, q1, q14
        vsub.i8 q0, q0, q13
        vsub.i8 q1, q1, q13
        vst1.8 {{d0-d3}}, [r1], r2
        vshr.u8 q8, q8, #2
        vshr.u8 q9, q9, #2"
    };
}

quants! {
    q6_k(BlockQ6_K):
    "vmov.i8 q14, #63
    vmov.i8 q13, #32
    add r12, r0, #128
    mov r3, #2
    2:
    vld1.8 {{d16-d19}}, [r12]!
    vld1.8 {{d4-d7}}, [r0]!
    vld1.8 {{d20-d23}}, [r0]!
    vmov q0, q2
    vmov q1, q3",
    six_bits!(),
    "vmov q0, q10
    vmov q1, q11",
    six_bits!(),
    "vshr.u8 q0, q2, #4
    vshr.u8 q1, q3, #4",
    six_bits!(),
    "vshr.u8 q0, q10, #4
    vshr.u8 q1, q11, #4",
    six_bits!(),
    "subs r3, r3, #1
    bne 2b"
}

quants! {
    iq4_xs(BlockIQ4_XS):
    "add r0, r0, #8
    vmov.i8 q14, #15
    mov r3, #8
    2:
    vld1.8 {{d0-d1}}, [r0]!
    vshr.u8 q1, q0, #4
    vand q0, q0, q14
    vtbl.8 d0, {{d30-d31}}, d0
    vtbl.8 d1, {{d30-d31}}, d1
    vtbl.8 d2, {{d30-d31}}, d2
    vtbl.8 d3, {{d30-d31}}, d3
    vst1.8 {{d0-d3}}, [r1], r2
    subs r3, r3, #1
    bne 2b"
}

impl Unpack for BlockQ2_K {
    const QUANTS: Quants<Self> = q2_k;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, negative(self.dmin)]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        self.scales_and_minimums(group).map(|pair| pair.map(|x| x as i8))
    }
}

impl Unpack for BlockQ3_K {
    const QUANTS: Quants<Self> = q3_k;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, [0; 2]]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        [2 * group, 2 * group + 1].map(|i| [self.scale(i), 0])
    }
}

impl Unpack for BlockQ4_K {
    const QUANTS: Quants<Self> = q4_k;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, negative(self.dmin)]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        let (scale, minimum) = scale_and_minimum(&self.scales, group);
        [[scale as i8, minimum as i8]; 2]
    }
}

impl Unpack for BlockQ5_K {
    const QUANTS: Quants<Self> = q5_k;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, negative(self.dmin)]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        let (scale, minimum) = scale_and_minimum(&self.scales, group);
        [[scale as i8, minimum as i8]; 2]
    }
}

impl Unpack for BlockQ6_K {
    const QUANTS: Quants<Self> = q6_k;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, [0; 2]]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        self.half_scales(group).map(|scale| [scale, 0])
    }
}

impl Unpack for BlockIQ4_XS {
    const QUANTS: Quants<Self> = iq4_xs;

    fn scales(&self) -> [[u8; 2]; 2] {
        [self.d.0, [0; 2]]
    }

    fn integers(&self, group: usize) -> [[i8; 2]; 2] {
        [[self.scale(group), 0]; 2]
    }
}
