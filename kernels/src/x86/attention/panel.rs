//! Keys or values of a block, prepared for many queries: keys transposed so that each lane has one, values widened.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::quants::Quant;
use super::rows::Rows;
use super::values::{in_order, pairs_of};
use crate::x86::floats::Element;
use crate::x86::sixteen::Sixteen;
use crate::{KV_BLOCK, QK};

/// Columns of the widest head that fits a panel: half of a small L1 cache.
pub(super) const WIDTH: usize = 128;

/// Thirty-two floats, integers of 32 bits or pairs of 16 bits: one of each key, or 32 columns of one value.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Row([f32; KV_BLOCK]);

impl Row {
    pub(super) const ZERO: Self = Self([0.0; KV_BLOCK]);

    /// Numbers in lanes.
    #[inline(always)]
    pub(super) fn of<U: Sixteen>(u: U, [lower, upper]: [U::F; 2]) -> Self {
        let mut row = Self::ZERO;
        // SAFETY: 32 writable floats.
        unsafe {
            u.store(lower, row.0.as_mut_ptr());
            u.store(upper, row.0.as_mut_ptr().add(16));
        }
        row
    }

    /// Floats `16 i..16 i + 16`, for an `i` of 0 or 1.
    #[inline(always)]
    pub(super) fn part<U: Sixteen>(&self, u: U, i: usize) -> U::F {
        let sixteen: &[f32; 16] = &self.0.as_chunks().0[i];
        // SAFETY: sixteen readable floats.
        unsafe { u.load(sixteen.as_ptr()) }
    }

    /// Integers `16 i..16 i + 16`.
    #[inline(always)]
    pub(super) fn integers<U: Sixteen>(&self, u: U, i: usize) -> U::I {
        u.bits(self.part(u, i))
    }

    /// All floats.
    #[inline(always)]
    pub(super) fn floats(&self) -> &[f32; KV_BLOCK] {
        &self.0
    }

    /// Floats `8 i..8 i + 8`, to be written.
    #[inline(always)]
    pub(super) fn eight(&mut self, i: usize) -> &mut [f32; 8] {
        &mut self.0.as_chunks_mut().0[i]
    }
}

/// Room for the keys or the values of a block, as [`Row`]s.
#[repr(C, align(64))]
pub(super) struct Panel([[MaybeUninit<__m256>; 4]; WIDTH]);

impl Panel {
    pub(super) fn new() -> Self {
        Self([[MaybeUninit::uninit(); 4]; WIDTH])
    }

    /// First `n` rows.
    ///
    /// # Safety
    /// The first `n` rows were written.
    unsafe fn rows(&self, n: usize) -> &[Row] {
        // SAFETY: four registers have the size of a `Row`, the panel its alignment, and these rows were written (the caller).
        unsafe { core::slice::from_raw_parts(self.0[..n].as_ptr().cast(), n) }
    }

    /// Transposes keys. Row c: column c of each key; zeros for keys that do not exist.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn turned<E: Element>(&mut self, x: &[E], head_dim: usize) -> &[Row] {
        let keys = Rows::new(x, head_dim);
        self.turn(head_dim, |key, i| match keys.get(key, 8 * i) {
            // SAFETY: this function has the features.
            Some(eight) => unsafe { E::widen(eight) },
            None => _mm256_setzero_ps(),
        })
    }

    /// Transposes keys of quants. Row i: columns `2 i` and `2 i + 1` of each key as 16-bit integers; zeros for keys that do not
    /// exist.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn turned_quants<Q: Quant>(&mut self, x: &[Q], head_dim: usize) -> &[Row] {
        let keys = Rows::new(x, head_dim / Q::COLUMNS);
        self.turn(head_dim / 2, |key, i| _mm256_castsi256_ps(keys.sixteen(key, i)))
    }

    /// Transposes `n` rows, a multiple of 8: `of(key, i)` returns numbers `8 i..8 i + 8` of a key.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn turn(&mut self, n: usize, of: impl Fn(usize, usize) -> __m256) -> &[Row] {
        for (i, rows) in self.0[..n].as_chunks_mut::<8>().0.iter_mut().enumerate() {
            for part in 0..4 {
                let turned = transpose(core::array::from_fn(|k| of(8 * part + k, i)));
                for (row, x) in rows.iter_mut().zip(turned) {
                    row[part].write(x);
                }
            }
        }
        // SAFETY: all four parts of the first `n` rows were written.
        unsafe { self.rows(n) }
    }

    /// Widens values. Row `32 g + j`: columns `32 g..32 g + 32` of value j; zeros for columns and values that do not exist.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn widened<E: Element>(&mut self, x: &[E], head_dim: usize) -> &[Row] {
        let values = Rows::new(x, head_dim);
        let n = head_dim.div_ceil(QK) * KV_BLOCK;
        for (g, group) in self.0[..n].chunks_mut(KV_BLOCK).enumerate() {
            for (j, row) in group.iter_mut().enumerate() {
                for (i, x) in row.iter_mut().enumerate() {
                    x.write(match values.get(j, QK * g + 8 * i) {
                        // SAFETY: this function has the features.
                        Some(eight) => unsafe { E::widen(eight) },
                        None => _mm256_setzero_ps(),
                    });
                }
            }
        }
        // SAFETY: all parts of the first `n` rows were written.
        unsafe { self.rows(n) }
    }

    /// Pairs values of quants. Row `16 g + i`: columns `32 g..32 g + 32` of values `2 i` and `2 i + 1`, in pairs of 16-bit
    /// integers; zeros for columns and values that do not exist.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn paired<Q: Quant>(&mut self, x: &[Q], head_dim: usize) -> &[Row] {
        let values = Rows::new(x, head_dim / Q::COLUMNS);
        let n = head_dim.div_ceil(QK) * (KV_BLOCK / 2);
        for (g, group) in self.0[..n].chunks_mut(KV_BLOCK / 2).enumerate() {
            for (j, row) in group.iter_mut().enumerate() {
                for (i, half) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let [older, newer] = [2 * j, 2 * j + 1].map(|value| values.sixteen(value, 2 * g + i));
                    let pairs = in_order(pairs_of(older, newer));
                    half.iter_mut().zip(pairs).for_each(|(to, pairs)| _ = to.write(_mm256_castsi256_ps(pairs)));
                }
            }
        }
        // SAFETY: all parts of the first `n` rows were written.
        unsafe { self.rows(n) }
    }
}

/// Transposes eight rows of eight numbers.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Pairs of rows, then fours, within each 128 bits; then the 128 bits of both.
    let (ab, cd) = (unpack(a, b), unpack(c, d));
    let (ef, gh) = (unpack(e, f), unpack(g, h));
    let fours = |x: [__m256; 2], y: [__m256; 2]| {
        let low = |x, y| _mm256_shuffle_ps::<0b01_00_01_00>(x, y);
        let high = |x, y| _mm256_shuffle_ps::<0b11_10_11_10>(x, y);
        [low(x[0], y[0]), high(x[0], y[0]), low(x[1], y[1]), high(x[1], y[1])]
    };
    let (upper, lower) = (fours(ab, cd), fours(ef, gh));
    core::array::from_fn(|i| match i {
        0..4 => _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]),
        _ => _mm256_permute2f128_ps::<0x31>(upper[i - 4], lower[i - 4]),
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn unpack(x: __m256, y: __m256) -> [__m256; 2] {
    [_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y)]
}
