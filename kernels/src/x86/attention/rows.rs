//! Stored rows of keys or values, and parts of them.

use core::arch::x86_64::*;

use super::prefetch::prefetch_older;
use super::quants::Quant;
use crate::scalar::LANES;

/// Rows of `stride` elements each, one after the other.
pub(super) struct Rows<'a, E> {
    x: &'a [E],
    stride: usize,
    n: usize,
}

impl<'a, E> Rows<'a, E> {
    /// All whole rows of `stride` elements.
    pub(super) fn new(x: &'a [E], stride: usize) -> Self {
        Self { x, stride, n: x.len() / stride.max(1) }
    }

    /// Number of rows.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Elements `at..at + N` of a row; `None` if the row or the elements do not exist.
    #[inline]
    pub(super) fn get<const N: usize>(&self, row: usize, at: usize) -> Option<&'a [E; N]> {
        // SAFETY: both conditions were just checked.
        (row < self.n && at + N <= self.stride).then(|| unsafe { self.get_unchecked(row, at) })
    }

    /// Elements `at..at + N` of a row.
    ///
    /// # Safety
    /// `row < n` and `at + N` is at most the stride.
    #[inline]
    pub(super) unsafe fn get_unchecked<const N: usize>(&self, row: usize, at: usize) -> &'a [E; N] {
        debug_assert!(row < self.n && at + N <= self.stride);
        // SAFETY: the row and the elements exist (the caller), and an array of elements has their layout.
        unsafe { &*self.x.as_ptr().add(row * self.stride + at).cast() }
    }

    /// Prefetches the elements one block older than `part` of a row.
    #[inline]
    pub(super) fn prefetch_older<const N: usize>(&self, part: &[E; N]) {
        prefetch_older(part, self.stride);
    }
}

impl<Q: Quant> Rows<'_, Q> {
    /// Columns `16 i..16 i + 16` of a row as 16-bit integers; zeros if the row or the columns do not exist.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(super) fn sixteen(&self, row: usize, i: usize) -> __m256i {
        let (at, n) = (i * LANES / Q::COLUMNS, LANES / Q::COLUMNS);
        if row >= self.n || at + n > self.stride {
            return _mm256_setzero_si256();
        }
        // SAFETY: the row and the columns exist (above); this function has the features.
        unsafe { Q::sixteen(self.x.as_ptr().add(row * self.stride + at)) }
    }

    /// `N` times 16 columns of a row from `at` on, as 16-bit integers; prefetches those one block older.
    ///
    /// # Safety
    /// `row < n`, and the row has these columns.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(super) unsafe fn sixteens<const N: usize>(&self, row: usize, at: usize) -> [__m256i; N] {
        // SAFETY: by the caller; this function has the features.
        unsafe {
            let first = self.x.as_ptr().add(row * self.stride + at / Q::COLUMNS);
            self.prefetch_older::<1>(&*first.cast());
            core::array::from_fn(|i| Q::sixteen(first.add(i * LANES / Q::COLUMNS)))
        }
    }
}
