//! Rows of floats: two registers hold the eight chains of a dot product, four the 16 partial sums of a norm.

use core::arch::aarch64::*;

use super::bytes::{widen, widen_one};
use crate::block::{BF16, F16, F32};
use crate::contract::require;
use crate::scalar::{CHAINS, LANES};

/// Eight floats: two registers, in order.
pub(super) type Floats = [float32x4_t; 2];

/// Float of any kind, eight of which can be loaded as single precision.
pub(super) trait Element: Copy {
    /// Loads eight elements as single precision.
    fn widen(x: &[Self; 8]) -> Floats;

    /// Value of one element.
    fn value(self) -> f32;
}

impl Element for f32 {
    #[inline]
    fn widen(x: &[Self; 8]) -> Floats {
        // SAFETY: eight readable floats; vector loads need no alignment.
        unsafe { [vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))] }
    }

    #[inline]
    fn value(self) -> f32 {
        self
    }
}

impl Element for F32 {
    #[inline]
    fn widen(x: &[Self; 8]) -> Floats {
        let bytes: *const u8 = x.as_ptr().cast();
        // SAFETY: 32 readable bytes; vector loads need no alignment.
        unsafe { [vld1q_u8(bytes), vld1q_u8(bytes.add(16))].map(|x| vreinterpretq_f32_u8(x)) }
    }

    #[inline]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

impl Element for F16 {
    #[inline]
    fn widen(x: &[Self; 8]) -> Floats {
        // SAFETY: 16 readable bytes; vector loads need no alignment.
        widen(unsafe { vreinterpretq_u16_u8(vld1q_u8(x.as_ptr().cast())) })
    }

    #[inline]
    fn value(self) -> f32 {
        widen_one(u16::from_le_bytes(self.0))
    }
}

impl Element for BF16 {
    #[inline]
    fn widen(x: &[Self; 8]) -> Floats {
        // SAFETY: 16 readable bytes; vector loads need no alignment.
        unsafe {
            let bits = vreinterpretq_u16_u8(vld1q_u8(x.as_ptr().cast()));
            let zero = vdupq_n_u16(0);
            [vzip1q_u16(zero, bits), vzip2q_u16(zero, bits)].map(|x| vreinterpretq_f32_u16(x))
        }
    }

    #[inline]
    fn value(self) -> f32 {
        self.to_f32()
    }
}

/// Half precision as bits, as the KV cache holds it.
impl Element for u16 {
    #[inline]
    fn widen(x: &[Self; 8]) -> Floats {
        // SAFETY: 16 readable bytes; vector loads need no alignment.
        widen(unsafe { vld1q_u16(x.as_ptr()) })
    }

    #[inline]
    fn value(self) -> f32 {
        widen_one(self)
    }
}

/// `Σ_c rows[r][c] · x[t][c]` at `[t][r]`, for up to four rows, in the order of [`crate::scalar::fused_sum`]; all slices have one
/// length.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn dots<E: Element, const R: usize, const T: usize>(rows: [&[E]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
    const { assert!(R <= 4) };
    let n = x[0].len();
    require(rows.iter().all(|row| row.len() == n) && x.iter().all(|x| x.len() == n), "rows of one length");
    // The chains of each token and row.
    let mut sums = [[[vdupq_n_f32(0.0); 2]; 4]; T];
    let whole = n / CHAINS * CHAINS;
    for at in (0..whole).step_by(CHAINS) {
        // SAFETY: `at + 8 <= n`, the length of every row and token.
        let w: [Floats; R] = core::array::from_fn(|r| E::widen(unsafe { eight(rows[r], at) }));
        for t in 0..T {
            // SAFETY: as above.
            let x = f32::widen(unsafe { eight(x[t], at) });
            for r in 0..R {
                sums[t][r] = fused(w[r], x, sums[t][r]);
            }
        }
    }
    if whole < n {
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = load_some(x.get(whole..).unwrap_or_default());
            for (sum, row) in sums.iter_mut().zip(rows) {
                let mut last = [0.0; CHAINS];
                last.iter_mut().zip(row.iter().skip(whole)).for_each(|(to, w)| *to = w.value());
                *sum = fused(load_some(&last), x, *sum);
            }
        }
    }
    sums.map(|sums| trees(sums))
}

/// `a · b + c`, rounded once.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn fused(a: Floats, b: Floats, c: Floats) -> Floats {
    [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])]
}

/// `a · b + c` of single numbers, rounded once.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn fused_one(a: f32, b: f32, c: f32) -> f32 {
    vfmas_lane_f32::<0>(c, a, vdup_n_f32(b))
}

/// Tree sums of four times eight chains: 4, 2, 1. A sum of zero is +0.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn trees(chains: [Floats; 4]) -> [f32; 4] {
    // Step 4 of each tree, then the last steps of four trees at once.
    let [a, b, c, d] = chains.map(|[low, high]| vreinterpretq_f64_f32(vaddq_f32(low, high)));
    let twos = |a, b| {
        let (low, high) = (vzip1q_f64(a, b), vzip2q_f64(a, b));
        vaddq_f32(vreinterpretq_f32_f64(low), vreinterpretq_f32_f64(high))
    };
    let mut sums = [0.0; 4];
    store(vaddq_f32(vpaddq_f32(twos(a, b), twos(c, d)), vdupq_n_f32(0.0)), &mut sums);
    sums
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
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn sum<E: Element>(x: &[E], f: impl Fn(Floats) -> Floats) -> f32 {
    let (sixteens, rest) = x.as_chunks::<LANES>();
    let mut sums = [[vdupq_n_f32(0.0); 2]; 2];
    for sixteen in sixteens {
        for (sum, eight) in sums.iter_mut().zip(sixteen.as_chunks::<8>().0) {
            *sum = add(*sum, f(E::widen(eight)));
        }
    }
    if rest.is_empty() {
        return tree(sums);
    }
    let mut last = [0.0; LANES];
    last.iter_mut().zip(rest).for_each(|(to, x)| *to = x.value());
    let terms = to_lanes([f(load_some(&last[..8])), f(load_some(&last[8..]))]);
    tree(add_tail(sums, terms.into_iter().take(rest.len())))
}

/// Tree sum of 16 partial sums, as [`crate::scalar::tree`].
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn tree(sums: [Floats; 2]) -> f32 {
    let eight = add(sums[0], sums[1]);
    let four = vaddq_f32(eight[0], eight[1]);
    vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
}

#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add(a: Floats, b: Floats) -> Floats {
    [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])]
}

/// Adds up to 15 last terms to the partial sums.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add_tail(sums: [Floats; 2], terms: impl Iterator<Item = f32>) -> [Floats; 2] {
    let mut lanes = to_lanes(sums);
    for (lane, term) in lanes.iter_mut().zip(terms) {
        *lane += term;
    }
    [load_some(&lanes[..8]), load_some(&lanes[8..])]
}

/// Lanes of the 16 partial sums.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn to_lanes(sums: [Floats; 2]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    store_some(sums[0], &mut lanes[..8]);
    store_some(sums[1], &mut lanes[8..]);
    lanes
}

/// Loads four floats.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn load(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: four readable floats; vector loads need no alignment.
    unsafe { vld1q_f32(x.as_ptr()) }
}

/// Stores four floats.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn store(x: float32x4_t, out: &mut [f32; 4]) {
    // SAFETY: four writable floats; vector stores need no alignment.
    unsafe { vst1q_f32(out.as_mut_ptr(), x) };
}

/// Loads up to eight floats; the lanes behind them are zero.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn load_some(x: &[f32]) -> Floats {
    let Some(eight) = x.first_chunk::<8>() else {
        let mut all = [0.0; 8];
        all[..x.len()].copy_from_slice(x);
        return f32::widen(&all);
    };
    f32::widen(eight)
}

/// Stores the first lanes, as many as `out` holds (up to eight).
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn store_some([low, high]: Floats, out: &mut [f32]) {
    let mut all = [0.0; 8];
    let eight = out.first_chunk_mut::<8>();
    let whole = eight.is_some();
    let (fours, _) = eight.unwrap_or(&mut all).as_chunks_mut::<4>();
    store(low, &mut fours[0]);
    store(high, &mut fours[1]);
    if !whole {
        out.copy_from_slice(&all[..out.len()]);
    }
}
