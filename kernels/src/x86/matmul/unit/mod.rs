//! Vector units: the instructions that the kernels for quantized weights are made of, for any width. A 32-bit lane is a row.
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
/// AVX-512 F, BW and VNNI: products of bytes added by fours in the wider registers.
pub(super) type Avx512Vnni = zmm::Zmm<true>;

/// Vector unit. A value exists only if the unit's instructions were detected, so its methods are safe to call.
///
/// Every method is inlined into a function that is compiled for the unit, one of [`super::super::matmul`](super).
pub(super) trait Unit: Copy {
    /// 32-bit lanes of a register: 8 or 16.
    const N: usize;
    /// True if the unit adds products of bytes by fours, to 32 bits ([`dpbusd`](Self::dpbusd)).
    const FOURS: bool;
    /// Register of integers of any width.
    type I: Copy;
    /// Register of floats.
    type F: Copy;

    /// Loads a register.
    ///
    /// # Safety
    /// `4 N` readable bytes, of any alignment.
    unsafe fn load(self, bytes: *const u8) -> Self::I;
    /// Loads a half-precision number for each lane, as floats.
    ///
    /// # Safety
    /// `2 N` readable bytes, of any alignment.
    unsafe fn load_halves(self, bytes: *const u8) -> Self::F;
    /// Loads a 16-bit integer for each lane, without sign.
    ///
    /// # Safety
    /// `2 N` readable bytes, of any alignment.
    unsafe fn load_integers(self, bytes: *const u8) -> Self::I;
    /// Loads sixteen bytes of each of `N` rows: lane r of register k has bytes `4 k..4 k + 4` of row r.
    ///
    /// # Safety
    /// 16 bytes from `at` on of each of the first `N` rows are readable.
    unsafe fn transpose(self, rows: &[*const u8], at: usize) -> [Self::I; 4];
    /// Loads the first `N` numbers.
    fn words(self, words: &[i32; crate::TILE_ROWS]) -> Self::I;
    /// Loads the first `N` half-precision numbers as floats.
    fn halves(self, bits: &[u16; crate::TILE_ROWS]) -> Self::F;
    /// Stores up to `N` floats.
    fn store(self, x: Self::F, out: &mut [f32]);
    /// Loads up to `N` floats; the other lanes are zero.
    fn load_floats(self, x: &[f32]) -> Self::F;

    /// Sets all bytes to `x`.
    fn bytes(self, x: i8) -> Self::I;
    /// Sets each 32-bit lane to `x`.
    fn set(self, x: i32) -> Self::I;
    /// Sets each 128 bits to the four numbers.
    fn quads(self, x: [i32; 4]) -> Self::I;
    /// Sets each lane to the float `x`.
    fn splat(self, x: f32) -> Self::F;

    /// `a & b`
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// Adds bytes.
    fn add_8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Subtracts bytes.
    fn sub_8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Adds 16-bit integers.
    fn add_16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Adds 32-bit integers.
    fn add_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Subtracts 32-bit integers.
    fn sub_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Lower 32 bits of products of 32-bit integers.
    fn mul_32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shifts 16 bits right, by 0 to 15.
    fn right_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// Shifts 16 bits left, by 0 to 15.
    fn left_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// Shifts signed 16 bits right, by 0 to 15.
    fn signed_right_16<const N: i32>(self, x: Self::I) -> Self::I;
    /// Upper 16 bits of each 32, with sign.
    fn upper(self, x: Self::I) -> Self::I;
    /// Looks up bytes of each 128 bits by index; zero if the index's highest bit is set.
    fn shuffle(self, x: Self::I, by: Self::I) -> Self::I;
    /// Bytes of `then` where the byte of `x` has the one bit of that of `bit`; zeros elsewhere.
    fn if_set(self, x: Self::I, bit: Self::I, then: Self::I) -> Self::I;
    /// Magnitudes of bytes.
    fn abs(self, x: Self::I) -> Self::I;
    /// Bytes of `x`, negated where those of `sign` are below zero. (Where `sign` is zero, either result will do.)
    fn with_sign(self, x: Self::I, sign: Self::I) -> Self::I;
    /// Products of unsigned with signed bytes, added in pairs to 16 bits, saturating.
    fn maddubs(self, a: Self::I, b: Self::I) -> Self::I;
    /// Products of 16 bits, added in pairs to 32.
    fn madd(self, a: Self::I, b: Self::I) -> Self::I;
    /// `acc` plus the products of unsigned with signed bytes, added by fours to 32 bits. Only if [`FOURS`](Self::FOURS).
    fn dpbusd(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// `acc` plus the products of 16 bits, added in pairs to 32. Only if [`FOURS`](Self::FOURS).
    fn dpwssd(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;

    /// Prefetches a cache line.
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: every x86-64 has the instruction, and it may be given any address.
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
