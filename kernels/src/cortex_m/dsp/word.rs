//! Words of four bytes and of two 16-bit integers: instructions of the DSP extension that the compiler does not offer.

use core::arch::asm;

use crate::QK;

/// 32 bytes as little-endian words.
#[inline]
pub(super) fn words(bytes: &[i8; QK]) -> [u32; QK / 4] {
    let chunks = bytes.as_chunks::<4>().0;
    core::array::from_fn(|k| u32::from_le_bytes(chunks[k].map(|q| q as u8)))
}

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($x:ident),*) = $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($x: u32),*) -> u32 {
            let r;
            // SAFETY: an instruction of the DSP extension, from registers to a register; a processor without the
            // extension is not given the feature `dsp`.
            unsafe { asm!($text, out(reg) r, $(in(reg) $x),*, options(pure, nomem, nostack)) };
            r
        }
    };
}

instruction! {
    /// Sign-extends bytes 0 and 2 to a pair of i16.
    sign_extend_even(x) = "sxtb16 {}, {}"
}

instruction! {
    /// Sign-extends bytes 1 and 3 to a pair of i16.
    sign_extend_odd(x) = "sxtb16 {}, {}, ror #8"
}

instruction! {
    /// `x - y` of both i16 of a pair.
    pair_difference(x, y) = "ssub16 {}, {}, {}"
}

instruction! {
    /// Adds the products of both i16 of two pairs to `sum`, all as bits.
    add_products(x, y, sum) = "smlad {}, {}, {}, {}"
}

#[rustfmt::skip]
macro_rules! eight_columns {
    ($first:literal, $sum:literal) => {
        concat!(
            "ldmia r0!, {{r2, r3}}
            ldmia r1!, {{r4, r5, r8, r9}}
            sxtb16 r10, r2\n ",
            $first,
            "\n sxtb16 r2, r2, ror #8",
            "\n smlad ", $sum, ", r2, r5, ", $sum,
            "\n sxtb16 r10, r3",
            "\n smlad ", $sum, ", r10, r8, ", $sum,
            "\n sxtb16 r3, r3, ror #8",
            "\n smlad ", $sum, ", r3, r9, ", $sum,
        )
    };
}

/// Sums of the products of the first and of the last 16 of 32 bytes (signed, in words), with the pairs of
/// [`super::split::byte_pairs`].
#[inline]
pub(super) fn half_products(w: &[u32; 8], x: &[u32; 16]) -> [i32; 2] {
    let (first, last);
    // SAFETY: reads just these words, by aligned addresses, and changes only the registers that it names.
    unsafe {
        asm!(
            eight_columns!("smuad r12, r10, r4", "r12"),
            eight_columns!("smlad r12, r10, r4, r12", "r12"),
            eight_columns!("smuad lr, r10, r4", "lr"),
            eight_columns!("smlad lr, r10, r4, lr", "lr"),
            inout("r0") w => _, inout("r1") x => _, out("r12") first, out("lr") last,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _,
            options(pure, readonly, nostack)
        )
    }
    [first, last]
}
