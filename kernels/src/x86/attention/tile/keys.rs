//! Products of a few queries with the keys of a block: each key has a lane, so that no sums run across lanes.

use core::mem::MaybeUninit;

use super::super::panel::Row;
use crate::contract::broken;
use crate::scalar::{CHAINS, SEEN};
use crate::x86::sixteen::Sixteen;
use crate::{BlockQ8, KV_BLOCK, QK, Query};

/// Keys of a block, transposed.
pub(super) enum Keys<'p> {
    Floats(&'p [Row]),
    /// Quants in pairs of columns, and the scales of each group.
    Quants(&'p [Row], &'p [Row]),
}

/// Products or sums for `Q` queries and `16 P` keys.
type Sums<T, const Q: usize, const P: usize> = [[T; P]; Q];

impl Keys<'_> {
    /// Products of each query with each key.
    #[inline(always)]
    pub(super) fn dots<U: Sixteen, const Q: usize>(&self, u: U, queries: [Query<'_>; Q]) -> Sums<U::F, Q, 2> {
        if U::WIDE {
            return self.dots_from::<U, Q, 2>(u, queries, 0);
        }
        let mut dots = [[u.splat(0.0); 2]; Q];
        for part in 0..2 {
            let half = self.dots_from::<U, Q, 1>(u, queries, part);
            for t in 0..Q {
                dots[t][part] = half[t][0];
            }
        }
        dots
    }

    /// Products with keys `16 part..16 (part + P)`.
    #[inline(always)]
    fn dots_from<U: Sixteen, const Q: usize, const P: usize>(
        &self,
        u: U,
        queries: [Query<'_>; Q],
        part: usize,
    ) -> Sums<U::F, Q, P> {
        match self {
            Self::Floats(keys) => {
                let queries = queries.map(|query| match query {
                    Query::F32(q) => q.as_chunks().0,
                    Query::Q8(_) => broken(SEEN),
                });
                let keys = keys.as_chunks::<CHAINS>().0;
                // Constant trip counts let the compiler unroll.
                match keys.len() {
                    4 => dot_floats::<U, Q, P, 4>(u, keys, queries, part),
                    8 => dot_floats::<U, Q, P, 8>(u, keys, queries, part),
                    16 => dot_floats::<U, Q, P, 16>(u, keys, queries, part),
                    _ => dot_floats::<U, Q, P, 0>(u, keys, queries, part),
                }
            }
            Self::Quants(keys, d) => {
                let mut dots = [[u.splat(0.0); P]; Q];
                for (g, (keys, d)) in keys.chunks(QK / 2).zip(*d).enumerate() {
                    let queries = queries.map(|query| match query {
                        Query::F32(_) => broken(SEEN),
                        Query::Q8(q) => &q[g],
                    });
                    add_quants(u, &mut dots, keys, d, queries, part);
                }
                dots
            }
        }
    }
}

/// Products with float keys: eight chains and the tree, for each lane. Each chain has `N` terms, or any number if `N` is 0.
#[inline(always)]
fn dot_floats<U: Sixteen, const Q: usize, const P: usize, const N: usize>(
    u: U,
    keys: &[[Row; CHAINS]],
    queries: [&[[f32; CHAINS]]; Q],
    part: usize,
) -> Sums<U::F, Q, P> {
    let n = if N == 0 { keys.len() } else { N };
    let (keys, queries) = (&keys[..n], queries.map(|q| &q[..n]));
    // Finished sums lie in memory: a sum in progress needs all registers.
    let mut halves = [const { MaybeUninit::<Sums<U::F, Q, P>>::uninit() }; CHAINS / 2];
    for (lane, half) in halves.iter_mut().enumerate() {
        let half = half.write(chain::<U, Q, P>(u, keys, &queries, part, lane));
        let upper = chain::<U, Q, P>(u, keys, &queries, part, lane + CHAINS / 2);
        for t in 0..Q {
            for i in 0..P {
                half[t][i] = u.add(half[t][i], upper[t][i]);
            }
        }
    }
    let [a, b, c, d] = &halves;
    // SAFETY: all four were written.
    let [a, b, c, d] = unsafe { [a.assume_init_ref(), b.assume_init_ref(), c.assume_init_ref(), d.assume_init_ref()] };
    let mut dots = [[u.splat(0.0); P]; Q];
    for t in 0..Q {
        for i in 0..P {
            let sum = u.add(u.add(a[t][i], c[t][i]), u.add(b[t][i], d[t][i]));
            // A sum of zero is +0.
            dots[t][i] = u.add(u.splat(0.0), sum);
        }
    }
    dots
}

/// Chain `lane`, which begins with a product.
#[inline(always)]
fn chain<U: Sixteen, const Q: usize, const P: usize>(
    u: U,
    keys: &[[Row; CHAINS]],
    queries: &[&[[f32; CHAINS]]; Q],
    part: usize,
    lane: usize,
) -> Sums<U::F, Q, P> {
    let mut sums = [[u.splat(0.0); P]; Q];
    for c in 0..keys.len() {
        let mut key = [u.splat(0.0); P];
        for i in 0..P {
            key[i] = keys[c][lane].part(u, part + i);
        }
        for t in 0..Q {
            let q = u.splat(queries[t][c][lane]);
            for i in 0..P {
                sums[t][i] = match c {
                    0 => u.mul(key[i], q),
                    _ => u.fused(key[i], q, sums[t][i]),
                };
            }
        }
    }
    sums
}

/// Adds the products with a group of up to 32 columns: `dot += (d_k · d_q) · Σ q_k q_q`.
#[inline(always)]
fn add_quants<U: Sixteen, const Q: usize, const P: usize>(
    u: U,
    dots: &mut Sums<U::F, Q, P>,
    keys: &[Row],
    d: &Row,
    queries: [&BlockQ8; Q],
    part: usize,
) {
    let pairs = queries.map(|q| pairs_of(&q.qs));
    let mut sums = [[u.splat_integer(0); P]; Q];
    for (c, key) in keys.iter().take(QK / 2).enumerate() {
        for t in 0..Q {
            let q = u.splat_integer(pairs[t][c]);
            for i in 0..P {
                sums[t][i] = u.add_products(sums[t][i], key.integers(u, part + i), q);
            }
        }
    }
    for t in 0..Q {
        for i in 0..P {
            let scale = u.mul(d.part(u, part + i), u.splat(queries[t].d));
            dots[t][i] = u.add(dots[t][i], u.mul(scale, u.to_floats(sums[t][i])));
        }
    }
}

/// Pairs of quants, as 16-bit integers in a word.
#[inline(always)]
fn pairs_of(qs: &[i8; QK]) -> [i32; KV_BLOCK / 2] {
    let pair = |c: usize| i32::from(qs[2 * c]) & 0xffff | i32::from(qs[2 * c + 1]) << 16;
    core::array::from_fn(pair)
}
