//! The keys or the values of a block, made ready for many queries: keys turned so that each lane has one, values widened.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::floats::Element;
use super::quants::{Quant, unpack_sixteen};
use crate::{KV_BLOCK, QK};

/// Columns of the widest head that fits a panel: half of a small L1 cache.
pub(super) const WIDTH: usize = 128;

/// Thirty-two numbers: one of each key, or as many columns of one.
pub(super) type Row = [__m256; 4];

/// Room for the keys or the values of a block.
pub(super) struct Panel([[MaybeUninit<__m256>; 4]; WIDTH]);

impl Panel {
    pub(super) fn new() -> Self {
        Self([[MaybeUninit::uninit(); 4]; WIDTH])
    }

    /// The first `n` rows.
    ///
    /// # Safety
    /// They were written.
    unsafe fn rows(&self, n: usize) -> &[Row] {
        // SAFETY: a `MaybeUninit` has the layout of what it may hold, and these hold it.
        unsafe { core::slice::from_raw_parts(self.0[..n].as_ptr().cast(), n) }
    }

    /// Row c: column c of each key; zeros for keys that there are not.
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn turned<E: Element>(&mut self, x: &[E], head_dim: usize) -> &[Row] {
        let keys: Rows<'_, E> = Rows { x, head_dim };
        self.turn(head_dim, |key, eight| match keys.get(key, eight) {
            // SAFETY: this function has the features.
            Some(eight) => unsafe { E::widen(eight) },
            None => _mm256_setzero_ps(),
        })
    }

    /// Row i: columns `2 i` and `2 i + 1` of each key as 16-bit integers.
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn turned_quants(&mut self, x: &[i8], head_dim: usize) -> &[Row] {
        let keys = Rows { x, head_dim };
        self.turn(head_dim / 2, |key, i| {
            let Some(sixteen): Option<&[i8; 16]> = keys.get(key, i) else { return _mm256_setzero_ps() };
            // SAFETY: 16 readable bytes; `loadu` needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(sixteen.as_ptr().cast()) };
            _mm256_castsi256_ps(_mm256_cvtepi8_epi16(bytes))
        })
    }

    /// The same of quants that share a byte.
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn turned_pairs(&mut self, x: &[u8], head_dim: usize) -> &[Row] {
        let keys = Rows { x, head_dim: head_dim / 2 };
        self.turn(head_dim / 2, |key, i| match keys.get(key, i) {
            Some(pairs) => _mm256_castsi256_ps(unpack_sixteen(pairs)),
            None => _mm256_setzero_ps(),
        })
    }

    /// `n` rows, a multiple of 8: numbers `8 i..8 i + 8` of each key are what `of(key, i)` gives.
    #[target_feature(enable = "avx2,f16c")]
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

    /// Row `32 g + j`: columns `32 g..32 g + 32` of value j; zeros for what there is not.
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn widened<E: Element>(&mut self, x: &[E], head_dim: usize) -> &[Row] {
        let values: Rows<'_, E> = Rows { x, head_dim };
        self.lay(head_dim, |value, eight| match values.get(value, eight) {
            // SAFETY: this function has the features.
            Some(eight) => unsafe { E::widen(eight) },
            None => _mm256_setzero_ps(),
        })
    }

    /// The same of quants that share a byte.
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn widened_pairs(&mut self, x: &[u8], head_dim: usize) -> &[Row] {
        let values = Rows { x, head_dim: head_dim / 2 };
        self.lay(head_dim, |value, eight| match values.get::<4>(value, eight) {
            // SAFETY: this function has the features.
            Some(pairs) => unsafe { u8::widen_eight(pairs) },
            None => _mm256_setzero_ps(),
        })
    }

    /// Columns `8 i..8 i + 8` of value j are what `of(j, i)` gives.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn lay(&mut self, head_dim: usize, of: impl Fn(usize, usize) -> __m256) -> &[Row] {
        let n = head_dim.div_ceil(QK) * KV_BLOCK;
        for (g, group) in self.0[..n].chunks_mut(KV_BLOCK).enumerate() {
            for (j, row) in group.iter_mut().enumerate() {
                for (i, x) in row.iter_mut().enumerate() {
                    x.write(of(j, 4 * g + i));
                }
            }
        }
        // SAFETY: all parts of the first `n` rows were written.
        unsafe { self.rows(n) }
    }
}

/// Rows of keys or values.
struct Rows<'a, E> {
    x: &'a [E],
    head_dim: usize,
}

impl<E> Rows<'_, E> {
    /// Columns `N i..N i + N` of a row; `None` if there are none.
    #[inline]
    fn get<const N: usize>(&self, row: usize, i: usize) -> Option<&[E; N]> {
        if (i + 1) * N > self.head_dim {
            return None;
        }
        self.x.get(row * self.head_dim + i * N..)?.first_chunk()
    }
}

/// The scales of each group of 32 columns: those of all keys.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn scales<'d>(d: &[u16], head_dim: usize, out: &'d mut [Row; WIDTH / QK]) -> &'d [Row] {
    let n_groups = head_dim.div_ceil(QK);
    for (g, out) in out[..n_groups].iter_mut().enumerate() {
        let mut halves = [0; KV_BLOCK];
        for (half, d) in halves.iter_mut().zip(d.chunks_exact(n_groups)) {
            *half = d.get(g).copied().unwrap_or_default();
        }
        let eights = halves.as_chunks::<8>().0;
        // SAFETY: this function has the features.
        *out = core::array::from_fn(|i| unsafe { u16::widen(&eights[i]) });
    }
    out
}

/// Rows become columns.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Pairs of rows, then fours, within each half; then the halves.
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

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn unpack(x: __m256, y: __m256) -> [__m256; 2] {
    [_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y)]
}

/// A quant, as the KV cache holds it.
impl Element for i8 {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: 8 readable bytes.
        let bytes = unsafe { _mm_loadl_epi64(x.as_ptr().cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
    }

    #[inline]
    fn value(self) -> f32 {
        self.into()
    }
}
