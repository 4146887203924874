//! Products of quarters in the two orders of bytes that [`rows`](super::rows) reads. Only NEON needs this file: registers of other
//! ISAs hold a word of each row in either order.

// Loops index the same token of several arrays.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::group::{Integers, Scales, Unpack, add_terms, add_terms_quad, centred, scaled, scaled_quad};
use super::rows::{Apart, Interleaved, QUARTERS, Quarter32, Rows};
use super::unit::{Dot, Unit, load, words_of_rows};
use crate::BlockQ8;
use crate::neon::floats::Floats;

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

    /// `acc[t] += …` of the products of `Σ_j (q[j] - offset) · x[t][j]`, with the scales of the rows and of each token, as
    /// [`add_terms`] has it.
    ///
    /// # Safety
    /// Each of `x` points at a readable block; the processor has the ISA.
    unsafe fn add_dots<D: Dot, B: Unpack, const T: usize>(
        acc: &mut [Floats; T],
        scales: &Scales,
        quants: impl FnMut(usize) -> Quarter32,
        x: [*const BlockQ8; T],
    );

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
                centred::<B>(D::dot::<B>(walk, [a, b, c, d], load(&x.qs)), x)
            };
            let (first, last) = (quad(first, 0), quad(last, 2));
            [[first[0], last[0]], [first[1], last[1]]]
        }
    }

    #[inline(always)]
    unsafe fn add_dots<D: Dot, B: Unpack, const T: usize>(
        acc: &mut [Floats; T],
        scales: &Scales,
        mut quants: impl FnMut(usize) -> Quarter32,
        x: [*const BlockQ8; T],
    ) {
        // SAFETY: the caller's promise; the target has NEON.
        unsafe {
            if D::BY_WORDS {
                let words = words_of_rows([0, 1, 2, 3].map(quants));
                return add_word_dots::<D, B, T>(acc, scales, &words, x);
            }
            let mut quad = |quad: usize| {
                let ([a, b], [c, d]) = (quants(2 * quad), quants(2 * quad + 1));
                for t in 0..T {
                    let x = &*if t == 0 { x[0] } else { behind(x[t], acc[t - 1][quad]) };
                    let sums = centred::<B>(D::dot::<B>(&mut D::start(), [a, b, c, d], load(&x.qs)), x);
                    acc[t][quad] =
                        add_terms_quad::<B>(acc[t][quad], scales, scaled_quad::<B>(sums, scales, quad), x, quad);
                }
            };
            quad(0);
            quad(1);
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
    unsafe fn add_dots<D: Dot, B: Unpack, const T: usize>(
        acc: &mut [Floats; T],
        scales: &Scales,
        quants: impl FnMut(usize) -> Quarter32,
        x: [*const BlockQ8; T],
    ) {
        // SAFETY: the caller's promise is that of the function.
        unsafe { add_word_dots::<D, B, T>(acc, scales, &[0, 1, 2, 3].map(quants), x) };
    }

    #[inline(always)]
    fn pack<I: Unit>(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16] {
        I::pack_words(quants)
    }
}

/// [`ByteOrder::add_dots`] from quarters that are words of all rows.
///
/// # Safety
/// The promise of [`ByteOrder::add_dots`].
#[inline(always)]
unsafe fn add_word_dots<D: Dot, B: Unpack, const T: usize>(
    acc: &mut [Floats; T],
    scales: &Scales,
    words: &[Quarter32; QUARTERS],
    x: [*const BlockQ8; T],
) {
    // SAFETY: the caller's promise; the target has NEON.
    unsafe {
        for t in 0..T {
            let x = &*if t == 0 { x[0] } else { behind(behind(x[t], acc[t - 1][0]), acc[t - 1][1]) };
            let sums = D::dot_words::<B>(|quarter| words[quarter], x);
            add_terms::<B>(&mut acc[t], scales, scaled::<B>(sums, scales), x);
        }
    }
}

/// Returns `x`, which the compiler takes to depend on `before`: it would mix the work on several tokens, for which registers are too
/// few.
#[allow(clippy::pointers_in_nomem_asm_block)] // The empty text reads nothing.
#[inline(always)]
fn behind(mut x: *const BlockQ8, before: float32x4_t) -> *const BlockQ8 {
    // SAFETY: an empty text changes nothing.
    unsafe {
        asm!(
            "/* {x} {before:v} */",
            x = inout(reg) x,
            before = in(vreg) before,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    x
}
