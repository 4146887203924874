//! Rows of floats: a register holds the eight chains of a dot product, two the 16 partial sums of a norm.

use core::arch::x86_64::*;

use crate::block::{BF16, F16, F32};
use crate::scalar::{CHAINS, LANES, tree};

/// Bytes that a prefetch fetches.
const LINE: usize = 64;

/// Float of any kind, eight of which can be loaded as single precision.
pub(super) trait Element: Copy {
    /// Loads eight elements as single precision.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    unsafe fn widen(x: &[Self; 8]) -> __m256;

    /// Value of one element.
    fn value(self) -> f32;
}

impl Element for f32 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: eight readable floats; `loadu` needs no alignment.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline]
    fn value(self) -> f32 {
        self
    }
}

impl Element for F32 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: 32 readable bytes; `loadu` needs no alignment.
        unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

impl Element for F16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: 16 readable bytes; `loadu` needs no alignment.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
    }

    #[inline]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

impl Element for BF16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: 16 readable bytes; `loadu` needs no alignment.
        let bits = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
    }

    #[inline]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

/// Half precision as bits, as the KV cache holds it.
impl Element for u16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn widen(x: &[Self; 8]) -> __m256 {
        // SAFETY: 16 readable bytes; `loadu` needs no alignment.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
    }

    #[inline]
    fn value(self) -> f32 {
        half::f16::from_bits(self).to_f32()
    }
}

/// `Σ_c rows[r][c] · x[t][c]` at `[t][r]`, for up to four rows, in the order of [`crate::scalar::fused_sum`]; all slices have one
/// length.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dots<E: Element, const R: usize, const T: usize>(rows: [&[E]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
    dots_of::<E, R, T, false>(rows, x)
}

/// Computes [`dots`] of neighbouring rows, and fetches the `R` rows behind them: a hardware prefetcher ends with each row.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn dots_ahead<E: Element, const R: usize, const T: usize>(rows: [&[E]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
    dots_of::<E, R, T, true>(rows, x)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dots_of<E: Element, const R: usize, const T: usize, const AHEAD: bool>(
    rows: [&[E]; R],
    x: [&[f32]; T],
) -> [[f32; 4]; T] {
    const { assert!(R <= 4) };
    let n = x[0].len();
    assert!(rows.iter().all(|row| row.len() == n) && x.iter().all(|x| x.len() == n));
    // The chains of each token and row.
    let mut sums = [[_mm256_setzero_ps(); 4]; T];
    let whole = n / CHAINS * CHAINS;
    for at in (0..whole).step_by(CHAINS) {
        if AHEAD && (at * size_of::<E>()).is_multiple_of(LINE) {
            for row in rows {
                prefetch(row.as_ptr().wrapping_add(at + R * n));
            }
        }
        // SAFETY: `at + 8 <= n`, the length of every row and token.
        let w: [__m256; R] = core::array::from_fn(|r| unsafe { E::widen(eight(rows[r], at)) });
        for t in 0..T {
            // SAFETY: as above.
            let x = unsafe { f32::widen(eight(x[t], at)) };
            for r in 0..R {
                sums[t][r] = _mm256_fmadd_ps(w[r], x, sums[t][r]);
            }
        }
    }
    if whole < n {
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = load(&x[whole..]);
            for (sum, row) in sums.iter_mut().zip(rows) {
                let mut last = [0.0; CHAINS];
                last.iter_mut().zip(&row[whole..]).for_each(|(to, w)| *to = w.value());
                *sum = _mm256_fmadd_ps(load(&last), x, *sum);
            }
        }
    }
    sums.map(|sums| trees(sums))
}

/// Fetches the line at `x` ahead, if there is one.
#[inline]
fn prefetch<E>(x: *const E) {
    // SAFETY: a prefetch reads nothing, and may be given any address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(x.cast()) };
}

/// `a · b + c`, rounded once.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn fused(a: f32, b: f32, c: f32) -> f32 {
    _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)))
}

/// Elements `at..at + 8`.
///
/// # Safety
/// `at + 8 <= x.len()`.
#[inline]
unsafe fn eight<E>(x: &[E], at: usize) -> &[E; 8] {
    debug_assert!(at + 8 <= x.len());
    // SAFETY: the elements exist (above), and an array of eight has their layout.
    unsafe { &*x.as_ptr().add(at).cast() }
}

/// `Σ f(x)`, in 16 strided sums and the tree.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn sum<E: Element>(x: &[E], f: impl Fn(__m256) -> __m256) -> f32 {
    let (sixteens, rest) = x.as_chunks::<LANES>();
    let mut sums = [_mm256_setzero_ps(); 2];
    for sixteen in sixteens {
        for (sum, eight) in sums.iter_mut().zip(sixteen.as_chunks::<8>().0) {
            // SAFETY: this function has the features, too.
            *sum = _mm256_add_ps(*sum, f(unsafe { E::widen(eight) }));
        }
    }
    let mut last = [0.0; LANES];
    last.iter_mut().zip(rest).for_each(|(to, x)| *to = x.value());
    let terms = to_lanes([f(load(&last[..8])), f(load(&last[8..]))]);
    tree(to_lanes(add_tail(sums, terms.into_iter().take(rest.len()))))
}

/// Adds up to 15 last terms to the partial sums.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn add_tail(sums: [__m256; 2], terms: impl Iterator<Item = f32>) -> [__m256; 2] {
    let mut lanes = to_lanes(sums);
    for (lane, term) in lanes.iter_mut().zip(terms) {
        *lane += term;
    }
    [load(&lanes[..8]), load(&lanes[8..])]
}

/// Lanes of the 16 partial sums.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn to_lanes(sums: [__m256; 2]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    store(sums[0], &mut lanes[..8]);
    store(sums[1], &mut lanes[8..]);
    lanes
}

/// Tree sums of four registers of eight partial sums: 4, 2, 1. A sum of zero is +0.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn trees([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
    // Four lanes of a and of b; then of c and of d.
    let ab = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
    let cd = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(c, d), _mm256_permute2f128_ps::<0x31>(c, d));
    // Two lanes of a and of c; then of b and of d.
    let twos = _mm256_add_ps(_mm256_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd));
    let ones = _mm256_add_ps(twos, _mm256_movehdup_ps(twos));
    let (ac, bd) = (_mm256_castps256_ps128(ones), _mm256_extractf128_ps::<1>(ones));
    let mut out = [0.0; 4];
    // a, b, c, d from the even lanes.
    let all = _mm_unpacklo_ps(_mm_shuffle_ps::<0b10_00_10_00>(ac, ac), _mm_shuffle_ps::<0b10_00_10_00>(bd, bd));
    // SAFETY: four writable floats; `storeu` needs no alignment.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), _mm_add_ps(all, _mm_setzero_ps())) };
    out
}

/// Loads up to eight floats; the lanes behind them are zero.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load(x: &[f32]) -> __m256 {
    let mut all = [0.0; 8];
    let eight = x.first_chunk().unwrap_or_else(|| {
        all[..x.len()].copy_from_slice(x);
        &all
    });
    // SAFETY: eight readable floats; `loadu` needs no alignment.
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

/// Stores the first lanes, as many as `out` holds (up to eight).
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store(x: __m256, out: &mut [f32]) {
    if let Some(eight) = out.first_chunk_mut::<8>() {
        // SAFETY: eight writable floats; `storeu` needs no alignment.
        return unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), x) };
    }
    let mut all = [0.0; 8];
    // SAFETY: as above.
    unsafe { _mm256_storeu_ps(all.as_mut_ptr(), x) };
    out.copy_from_slice(&all[..out.len()]);
}
