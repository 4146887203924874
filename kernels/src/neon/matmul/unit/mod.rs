//! Units of the three ISAs of aarch64: integer sums of products of bytes. The ISAs differ in nothing else.
//!
//! - `plain`: instructions of every aarch64
//! - `dotprod`: `FEAT_DotProd`
//! - `i8mm`: `FEAT_I8MM`
//!
//! Instructions that not every aarch64 has are `asm!`: their intrinsics are unstable. `.arch_extension` makes them known to the
//! assembler without a target feature, so that one generic function serves, and is inlined into, all three.

mod dotprod;
mod i8mm;
mod plain;

use core::arch::aarch64::*;

use crate::neon::matmul::group::{Integers, Unpack};
use crate::neon::matmul::rows::{QUARTERS, Quarter32};
use crate::{BlockQ8, Layout, QK};

pub(in crate::neon) use dotprod::DotProd;
pub(in crate::neon) use i8mm::I8mm;
pub(in crate::neon) use plain::Plain;

/// Columns that a sum is over.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::neon) enum Columns {
    /// All 32 columns.
    All,
    /// First 16 columns.
    First,
    /// Last 16 columns.
    Last,
}

/// Unit: an ISA's sums of products.
pub(in crate::neon) trait Unit: Sync + 'static {
    /// Name of the ISA, as in [`crate::Kernels::name`].
    const NAME: &'static str;
    /// Order of weights that the ISA reads fastest, as in [`crate::Kernels::layout`].
    const LAYOUT: Layout;
    /// Tokens that are multiplied with a register of weights: 2 or 4.
    const TOKENS: usize;
    /// Tokens, up to four, for which plain rows are faster unpacked in registers than in memory.
    const FEW_WITH_PLAIN: usize;
    /// The same of interleaved rows.
    const FEW_WITH_INTERLEAVED: usize;

    /// Sums of products for one token.
    type Dot: Dot;

    /// Packs quants of eight rows for [`products`](Self::products), from quarters that are two rows each.
    fn pack(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16];

    /// Packs quants of eight rows for [`products`](Self::products), from quarters that are words of all rows.
    fn pack_words(quants: &[Quarter32; QUARTERS]) -> [int8x16_t; 16];

    /// `Σ_j q[j] · x[j]` of eight rows with each token. The quants are centred: their offset is subtracted.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn products<B: Unpack, const T: usize>(
        quants: &[int8x16_t; 16],
        x: [&BlockQ8; T],
        columns: Columns,
    ) -> [Integers; T];

    /// Number of products that [`multiply_add`](Self::multiply_add) makes.
    const PRODUCTS: u64;

    /// Adds the products of bytes of `a` and `b` to `sum`, in the way of the ISA; its peak is measured with this.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;
}

/// Sums of products for one token, made while the rows are unpacked.
pub(in crate::neon) trait Dot {
    /// True if several tokens are multiplied faster with words of all rows, which are made of rows, than with rows.
    const BY_WORDS: bool;

    /// State that a walk along four rows keeps from group to group.
    type Walk: Copy;

    /// State before the first group.
    fn start() -> Self::Walk;

    /// `Σ_j q[j] · x[j]` of four rows, a lane each: of all columns (and zeros), or of each half if `B` has scales of halves.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dot<B: Unpack>(walk: &mut Self::Walk, quants: [[int8x16_t; 2]; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2];

    /// `Σ_j (q[j] - offset) · x[j]` of eight rows, in the places of [`dot`](Self::dot), from quarters that are words of all
    /// rows.
    ///
    /// # Safety
    /// The processor has the ISA.
    unsafe fn dot_words<B: Unpack>(quants: impl FnMut(usize) -> Quarter32, x: &BlockQ8) -> [Integers; 2];
}

/// Halves of the 32 columns that `columns` names.
#[inline]
fn halves(columns: Columns) -> core::ops::Range<usize> {
    match columns {
        Columns::All => 0..2,
        Columns::First => 0..1,
        Columns::Last => 1..2,
    }
}

/// Loads thirty-two quants.
#[target_feature(enable = "neon")]
#[inline]
pub(in crate::neon) fn load(x: &[i8; QK]) -> [int8x16_t; 2] {
    // SAFETY: 32 readable bytes; vector loads need no alignment.
    unsafe { [vld1q_s8(x.as_ptr()), vld1q_s8(x.as_ptr().add(16))] }
}

/// Transposes four registers: register k has lane k of each.
#[target_feature(enable = "neon")]
#[inline]
pub(in crate::neon) fn transpose([a, b, c, d]: [int32x4_t; 4]) -> [int32x4_t; 4] {
    let wide = |x| vreinterpretq_s64_s32(x);
    let [ab0, ab1] = [vtrn1q_s32(a, b), vtrn2q_s32(a, b)].map(wide);
    let [cd0, cd1] = [vtrn1q_s32(c, d), vtrn2q_s32(c, d)].map(wide);
    [vtrn1q_s64(ab0, cd0), vtrn1q_s64(ab1, cd1), vtrn2q_s64(ab0, cd0), vtrn2q_s64(ab1, cd1)]
        .map(|x| vreinterpretq_s32_s64(x))
}

/// Transposes four registers of bytes, four bytes at a time.
fn transpose_words(words: [int8x16_t; 4]) -> [int8x16_t; 4] {
    // SAFETY: the target has NEON.
    unsafe { transpose(words.map(|x| vreinterpretq_s32_s8(x))).map(|x| vreinterpretq_s8_s32(x)) }
}

/// Quarters that are words of all rows, from quarters that are two rows each.
pub(in crate::neon) fn words_of_rows(rows: [Quarter32; QUARTERS]) -> [Quarter32; QUARTERS] {
    let words = [0, 2].map(|i| {
        let ([a, b], [c, d]) = (rows[i], rows[i + 1]);
        [0, 1].map(|half| transpose_words([a, b, c, d].map(|row| row[half])))
    });
    core::array::from_fn(|i| words.map(|[first, last]| [first[i], last[i]]))
}

/// Sum of the lanes of each register.
#[target_feature(enable = "neon")]
#[inline]
fn add_wide([a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}
