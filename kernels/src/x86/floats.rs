//! Rows of floats: two registers hold the 16 partial sums of a dot product.

use core::arch::x86_64::*;

use crate::block::{BF16, F16, F32};
use crate::scalar::{LANES, tree};

/// Float of any kind, eight of which can be loaded as single precision.
pub(super) trait Element: Copy {
    /// Loads eight elements as single precision.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn widen(x: &[Self; 8]) -> __m256;

    /// Value of one element.
    fn value(self) -> f32;
}

impl Element for f32 {
    #[target_feature(enable = "avx2,f16c")]
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
    #[target_feature(enable = "avx2,f16c")]
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
    #[target_feature(enable = "avx2,f16c")]
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
    #[target_feature(enable = "avx2,f16c")]
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
    #[target_feature(enable = "avx2,f16c")]
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

/// `Σ_c rows[r][c] · x[t][c]` at `r * T + t`, for `R · T = 4`; all slices have one length.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn dots<E: Element, const R: usize, const T: usize>(rows: [&[E]; R], x: [&[f32]; T]) -> [f32; 4] {
    const { assert!(R * T == 4) };
    let n = x[0].len();
    assert!(rows.iter().all(|row| row.len() == n) && x.iter().all(|x| x.len() == n));
    // Sums of each row and token: the first and the last eight partial sums.
    let mut lanes = [[_mm256_setzero_ps(); 4]; 2];
    for i in 0..n / LANES {
        for (half, lanes) in lanes.iter_mut().enumerate() {
            let at = i * LANES + half * 8;
            // SAFETY: `at + 8 <= n`, the length of every row and token.
            let x: [__m256; T] = core::array::from_fn(|t| unsafe { f32::widen(eight(x[t], at)) });
            for (r, row) in rows.iter().enumerate() {
                // SAFETY: as above.
                let w = unsafe { E::widen(eight(row, at)) };
                for t in 0..T {
                    lanes[r * T + t] = _mm256_add_ps(lanes[r * T + t], _mm256_mul_ps(w, x[t]));
                }
            }
        }
    }
    let done = n / LANES * LANES;
    if done < n {
        for (r, row) in rows.iter().enumerate() {
            for (t, x) in x.iter().enumerate() {
                let products = row[done..].iter().zip(&x[done..]).map(|(w, x)| w.value() * x);
                let i = r * T + t;
                [lanes[0][i], lanes[1][i]] = add_tail([lanes[0][i], lanes[1][i]], products);
            }
        }
    }
    let [low, high] = lanes;
    trees([0, 1, 2, 3].map(|i| _mm256_add_ps(low[i], high[i])))
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
#[target_feature(enable = "avx2,f16c")]
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
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn add_tail(sums: [__m256; 2], terms: impl Iterator<Item = f32>) -> [__m256; 2] {
    let mut lanes = to_lanes(sums);
    for (lane, term) in lanes.iter_mut().zip(terms) {
        *lane += term;
    }
    [load(&lanes[..8]), load(&lanes[8..])]
}

/// Lanes of the 16 partial sums.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn to_lanes(sums: [__m256; 2]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    store(sums[0], &mut lanes[..8]);
    store(sums[1], &mut lanes[8..]);
    lanes
}

/// Tree sums of four registers of eight partial sums: 4, 2, 1.
#[target_feature(enable = "avx2,f16c")]
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
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), all) };
    out
}

/// Loads up to eight floats; the lanes behind them are zero.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn load(x: &[f32]) -> __m256 {
    let Some(eight) = x.first_chunk::<8>() else {
        let mut all = [0.0; 8];
        all[..x.len()].copy_from_slice(x);
        return load(&all);
    };
    // SAFETY: eight readable floats; `loadu` needs no alignment.
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

/// Stores the first lanes, as many as `out` holds (up to eight).
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn store(x: __m256, out: &mut [f32]) {
    let Some(eight) = out.first_chunk_mut::<8>() else {
        let mut all = [0.0; 8];
        store(x, &mut all);
        return out.copy_from_slice(&all[..out.len()]);
    };
    // SAFETY: eight writable floats; `storeu` needs no alignment.
    unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), x) };
}
