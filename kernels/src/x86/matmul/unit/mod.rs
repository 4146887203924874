//! Vector units: the instructions that the kernels for quantized weights are made of, whatever the width. A 32-bit lane is a row.
//!
//! - [`ymm`]: registers of 256 bits, [`Avx2`] and [`AvxVnni`]
//! - [`zmm`]: registers of 512 bits, [`Avx512`] and [`Avx512Vnni`]

mod ymm;
mod zmm;

/// AVX2 and F16C: products of bytes added in pairs.
pub(super) type Avx2 = ymm::Ymm<false>;
/// AVX2, F16C and AVX-VNNI: products of bytes added by fours.
pub(super) type AvxVnni = ymm::Ymm<true>;
/// AVX-512 F and BW: registers twice as wide, and twice as many.
pub(super) type Avx512 = zmm::Zmm<false>;
/// AVX-512 F, BW and VNNI: both.
pub(super) type Avx512Vnni = zmm::Zmm<true>;

/// A vector unit. Its values exist only where its instructions were seen, so its methods are safe to call.
///
/// Everything is inlined into a function that is compiled for the unit: see [`super::super::matmul`](super).
pub(super) trait Unit: Copy {
    /// 32-bit lanes of a register: 8 or 16.
    const N: usize;
    /// Whether it adds products of bytes by fours, to 32 bits ([`dpbusd`](Self::dpbusd)).
    const FOURS: bool;
    /// Integers of any width.
    type I: Copy;
    /// Floats.
    type F: Copy;

    /// Loads a register.
    ///
    /// # Safety
    /// `4 N` readable bytes, of any alignment.
    unsafe fn load(self, bytes: *const u8) -> Self::I;
    /// Loads as many halves as there are lanes.
    ///
    /// # Safety
    /// `2 N` readable bytes, of any alignment.
    unsafe fn load_halves(self, bytes: *const u8) -> Self::F;
    /// Loads as many integers of 16 bits as there are lanes, without sign.
    ///
    /// # Safety
    /// `2 N` readable bytes, of any alignment.
    unsafe fn load_integers(self, bytes: *const u8) -> Self::I;
    /// Sixteen bytes of each of `N` rows: lane r of register k has bytes `4 k..4 k + 4` of row r.
    ///
    /// # Safety
    /// 16 readable bytes from `at` of each of the first `N` rows on.
    unsafe fn transpose(self, rows: &[*const u8], at: usize) -> [Self::I; 4];
    /// The first `N` numbers.
    fn words(self, words: &[i32; crate::TILE_ROWS]) -> Self::I;
    /// The first `N` halves as singles.
    fn halves(self, bits: &[u16; crate::TILE_ROWS]) -> Self::F;
    /// Stores up to `N` floats.
    fn store(self, x: Self::F, out: &mut [f32]);
    /// Loads up to `N` floats; the other lanes are zero.
    fn load_floats(self, x: &[f32]) -> Self::F;

    /// The same byte in all.
    fn bytes(self, x: i8) -> Self::I;
    /// The same number in each 32-bit lane.
    fn set(self, x: i32) -> Self::I;
    /// The same four numbers in each 128 bits.
    fn quads(self, x: [i32; 4]) -> Self::I;
    /// The same float in all.
    fn splat(self, x: f32) -> Self::F;

    /// `a & b`
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// Sums of bytes.
    fn add_8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Differences of bytes.
    fn sub_8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Sums of 16 bits.
    fn add_16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Sums of 32 bits.
    fn add_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Differences of 32 bits.
    fn sub_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Low halves of products of 32 bits.
    fn mul_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// 16 bits shifted right, by 0 to 15.
    fn right_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// 16 bits shifted left, by 0 to 15.
    fn left_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// Signed 16 bits shifted right, by 0 to 15.
    fn signed_right_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// The signed upper half of each 32 bits.
    fn upper(self, x: Self::I) -> Self::I;
    /// Bytes of each 128 bits by number; zero where the number's highest bit is set.
    fn shuffle(self, x: Self::I, by: Self::I) -> Self::I;
    /// Bytes of `then` where those of `x` have the one bit that those of `bit` have, else zeros.
    fn if_set(self, x: Self::I, bit: Self::I, then: Self::I) -> Self::I;
    /// Magnitudes of bytes.
    fn abs(self, x: Self::I) -> Self::I;
    /// Bytes of `x`, negated where those of `sign` are below zero. (Where they are zero, it does not matter.)
    fn with_sign(self, x: Self::I, sign: Self::I) -> Self::I;
    /// Products of unsigned with signed bytes, added in pairs to 16 bits, saturating.
    fn maddubs(self, a: Self::I, b: Self::I) -> Self::I;
    /// Products of 16 bits, added in pairs to 32.
    fn madd(self, a: Self::I, b: Self::I) -> Self::I;
    /// `acc` and the products of unsigned with signed bytes, added by fours to 32 bits. Only where [`FOURS`](Self::FOURS).
    fn dpbusd(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;

    /// Asks for a line of memory.
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: every x86-64 has it, and it may be given any address.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast()) }
    }

    /// 32-bit integers as floats.
    fn to_floats(self, x: Self::I) -> Self::F;
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `-x`
    fn negative(self, x: Self::F) -> Self::F;
}

/// Methods of [`Unit`] that are one instruction.
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $intrinsic:path;)*) => { $(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` exists, so the processor has the instruction.
            unsafe { $intrinsic($($arg),*) }
        }
    )* };
}
use intrinsics;
