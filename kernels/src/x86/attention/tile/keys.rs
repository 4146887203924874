//! Products of a few queries with the keys of a block: each key has a lane, so that no sums run across lanes.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::panel::Row;
use crate::contract::broken;
use crate::scalar::{CHAINS, SEEN};
use crate::{BlockQ8, QK, Query};

/// Keys of a block, transposed.
pub(super) enum Keys<'p> {
    Floats(&'p [Row]),
    Quants(&'p [Row], &'p [Row]),
}

impl Keys<'_> {
    /// Products of each query with each key.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(super) fn dots<const Q: usize>(&self, queries: [Query<'_>; Q]) -> [Row; Q] {
        let mut dots = [[_mm256_setzero_ps(); 4]; Q];
        match self {
            Self::Floats(keys) => {
                let queries = queries.map(|query| match query {
                    Query::F32(q) => q.as_chunks().0,
                    Query::Q8(_) => broken(SEEN),
                });
                let keys = keys.as_chunks::<CHAINS>().0;
                for part in [0, 2] {
                    // Constant trip counts let the compiler unroll.
                    match keys.len() {
                        4 => dot_floats::<Q, 4>(&mut dots, keys, queries, part),
                        8 => dot_floats::<Q, 8>(&mut dots, keys, queries, part),
                        16 => dot_floats::<Q, 16>(&mut dots, keys, queries, part),
                        _ => dot_floats::<Q, 0>(&mut dots, keys, queries, part),
                    }
                }
            }
            Self::Quants(keys, d) => {
                for (g, (keys, d)) in keys.chunks(QK / 2).zip(*d).enumerate() {
                    let queries = queries.map(|query| match query {
                        Query::F32(_) => broken(SEEN),
                        Query::Q8(q) => &q[g],
                    });
                    let pairs = queries.map(|q| pairs_of(&q.qs));
                    for part in [0, 2] {
                        add_quants(&mut dots, keys, d, queries, &pairs, part);
                    }
                }
            }
        }
        dots
    }
}

/// Sums for `Q` queries and 16 keys: parts `part` and `part + 1` of each row.
type Sums<T, const Q: usize> = [[T; 2]; Q];

/// Writes the products with parts `part` and `part + 1` of the keys: eight chains and the tree, for each lane. Each chain has `N`
/// terms, or any number if `N` is 0.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_floats<const Q: usize, const N: usize>(
    dots: &mut [Row; Q],
    keys: &[[Row; CHAINS]],
    queries: [&[[f32; CHAINS]]; Q],
    part: usize,
) {
    let n = if N == 0 { keys.len() } else { N };
    let (keys, queries) = (&keys[..n], queries.map(|q| &q[..n]));
    // Finished sums lie in memory: a sum in progress needs all registers.
    let mut halves = [[[MaybeUninit::uninit(); 2]; Q]; CHAINS / 2];
    for (lane, half) in halves.iter_mut().enumerate() {
        put(half, chain(keys, &queries, part, lane));
        let upper = chain(keys, &queries, part, lane + CHAINS / 2);
        // SAFETY: `half` was just written.
        unsafe { add_to(half, &upper) };
    }
    for n in [2, 1] {
        for lane in 0..n {
            // SAFETY: all four elements of `halves` were written above.
            unsafe {
                let upper = get(&halves[lane + n]);
                add_to(&mut halves[lane], &upper);
            }
        }
    }
    // SAFETY: all elements of `halves` were written above.
    let sums = unsafe { get(&halves[0]) };
    for t in 0..Q {
        for i in 0..2 {
            // A sum of zero is +0.
            dots[t][part + i] = _mm256_add_ps(_mm256_setzero_ps(), sums[t][i]);
        }
    }
}

/// Chain `lane`, which begins with a product.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn chain<const Q: usize>(
    keys: &[[Row; CHAINS]],
    queries: &[&[[f32; CHAINS]]; Q],
    part: usize,
    lane: usize,
) -> Sums<__m256, Q> {
    let mut sums = [[_mm256_setzero_ps(); 2]; Q];
    for c in 0..keys.len() {
        let key = [keys[c][lane][part], keys[c][lane][part + 1]];
        for t in 0..Q {
            let q = _mm256_set1_ps(queries[t][c][lane]);
            for i in 0..2 {
                sums[t][i] = match c {
                    0 => _mm256_mul_ps(key[i], q),
                    _ => _mm256_fmadd_ps(key[i], q, sums[t][i]),
                };
            }
        }
    }
    sums
}

/// Sums in memory.
type Put<const Q: usize> = Sums<MaybeUninit<__m256>, Q>;

#[inline(always)]
fn put<const Q: usize>(to: &mut Put<Q>, sums: Sums<__m256, Q>) {
    for t in 0..Q {
        for i in 0..2 {
            to[t][i].write(sums[t][i]);
        }
    }
}

/// Loads sums from memory.
///
/// # Safety
/// `from` was written.
#[inline(always)]
unsafe fn get<const Q: usize>(from: &Put<Q>) -> Sums<__m256, Q> {
    // SAFETY: `from` was written (the caller), and a `MaybeUninit` has the layout of the type that it holds.
    unsafe { core::mem::transmute_copy(from) }
}

/// Adds `sums` to sums in memory.
///
/// # Safety
/// `to` was written.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn add_to<const Q: usize>(to: &mut Put<Q>, sums: &Sums<__m256, Q>) {
    for t in 0..Q {
        for i in 0..2 {
            // SAFETY: `to` was written (the caller).
            let sum = _mm256_add_ps(unsafe { to[t][i].assume_init() }, sums[t][i]);
            to[t][i].write(sum);
        }
    }
}

/// Adds the products with a group of up to 32 columns: `dot += (d_k · d_q) · Σ q_k q_q`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_quants<const Q: usize>(
    dots: &mut [Row; Q],
    keys: &[Row],
    d: &Row,
    queries: [&BlockQ8; Q],
    pairs: &[[i32; QK / 2]; Q],
    part: usize,
) {
    let mut sums: Sums<__m256i, Q> = [[_mm256_setzero_si256(); 2]; Q];
    for (c, key) in keys.iter().take(QK / 2).enumerate() {
        let key = [key[part], key[part + 1]].map(|key| _mm256_castps_si256(key));
        for (sums, pairs) in sums.iter_mut().zip(pairs) {
            let q = _mm256_set1_epi32(pairs[c]);
            for (sum, key) in sums.iter_mut().zip(key) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(key, q));
            }
        }
    }
    for ((dots, sums), q) in dots.iter_mut().zip(sums).zip(queries) {
        for ((dot, sum), &d) in dots[part..].iter_mut().zip(sums).zip(&d[part..]) {
            let scale = _mm256_mul_ps(d, _mm256_set1_ps(q.d));
            *dot = _mm256_add_ps(*dot, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
        }
    }
}

/// Pairs of quants, as 16-bit integers in a word.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pairs_of(qs: &[i8; QK]) -> [i32; QK / 2] {
    let mut pairs = [0; QK / 2];
    for (pairs, qs) in pairs.as_chunks_mut::<8>().0.iter_mut().zip(qs.as_chunks::<16>().0) {
        // SAFETY: 16 readable and 32 writable bytes; neither needs alignment.
        unsafe {
            let words = _mm256_cvtepi8_epi16(_mm_loadu_si128(qs.as_ptr().cast()));
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), words);
        }
    }
    pairs
}
