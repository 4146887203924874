//! Products of quarters in the two orders of bytes that [`rows`](super::rows) reads. Only NEON needs this file: registers of other
//! ISAs hold a word of each row in either order.

use core::arch::aarch64::int8x16_t;

use super::group::{Integers, Unpack, centred};
use super::rows::{Apart, Interleaved, QUARTERS, Quarter32, Rows};
use super::unit::{Dot, Unit};
use crate::BlockQ8;

/// Rows whose quarters a unit can multiply.
pub(super) trait ByteOrder: Rows {
    /// `Σ_j (q[j] - offset) · x[j]` of one token: of all columns (and zeros), or of each half if `B` has scales of halves.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dot<D: Dot, B: Unpack>(
        walk: &mut [D::Walk; 2],
        quants: impl FnMut(usize) -> Quarter32,
        x: &BlockQ8,
    ) -> [Integers; 2];

    /// Packs quants for [`Unit::products`].
    fn pack<I: Unit>(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16];
}

impl ByteOrder for Apart {
    #[inline(always)]
    unsafe fn dot<D: Dot, B: Unpack>(
        walk: &mut [D::Walk; 2],
        mut quants: impl FnMut(usize) -> Quarter32,
        x: &BlockQ8,
    ) -> [Integers; 2] {
        let [first, last] = walk;
        // SAFETY: the processor has the ISA (the caller), and the target NEON.
        unsafe {
            let mut quad = |walk, quarter| {
                let ([a, b], [c, d]) = (quants(quarter), quants(quarter + 1));
                centred::<B>(D::dot::<B>(walk, [a, b, c, d], super::unit::load(&x.qs)), x)
            };
            let (first, last) = (quad(first, 0), quad(last, 2));
            [[first[0], last[0]], [first[1], last[1]]]
        }
    }

    #[inline(always)]
    fn pack<I: Unit>(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        I::pack(quants)
    }
}

impl ByteOrder for Interleaved {
    #[inline(always)]
    unsafe fn dot<D: Dot, B: Unpack>(
        _: &mut [D::Walk; 2],
        quants: impl FnMut(usize) -> Quarter32,
        x: &BlockQ8,
    ) -> [Integers; 2] {
        // SAFETY: the processor has the ISA (the caller).
        unsafe { D::dot_words::<B>(quants, x) }
    }

    #[inline(always)]
    fn pack<I: Unit>(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        I::pack_words(quants)
    }
}
