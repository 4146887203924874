//! The peak of 8-bit arithmetic of each vector unit: see [`crate::Kernels::int8_peak`]. Sums wrap.

use core::arch::asm;
use core::arch::x86_64::*;
use core::hint::black_box;
use core::mem::size_of;

/// Products of unsigned and signed bytes added in pairs, and their sums in 16 bits: two registers with each of four.
macro_rules! pairs {
    ($(#[$doc:meta])* $name:ident, $features:literal, $register:ident: $ty:ty, $set:ident, $maddubs:ident, $add:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has these features.
        #[target_feature(enable = $features)]
        pub(crate) fn $name(rounds: u32) -> u64 {
            let (mut x, w) = ([1, 2].map(|x| $set(x)), black_box([1, 2, 3, 4]).map(|w| $set(w)));
            let mut sums = [[$set(0); 4]; 2];
            for _ in 0..rounds {
                for (x, sums) in x.iter_mut().zip(&mut sums) {
                    // SAFETY: an empty text changes nothing; all it says is that `x` may be another one now, so that the
                    // products are made again in each round.
                    unsafe { asm!("/* {0} */", inout($register) *x, options(nomem, nostack, preserves_flags)) };
                    for (w, sum) in w.iter().zip(sums) {
                        *sum = $add(*sum, $maddubs(*x, *w));
                    }
                }
            }
            black_box(sums);
            u64::from(rounds) * (2 * 4 * size_of::<$ty>()) as u64
        }
    };
}

/// Products of unsigned and signed bytes added by fours to sums of 32 bits, twelve of which hide how long one takes.
macro_rules! fours {
    ($(#[$doc:meta])* $name:ident, $features:literal, $ty:ty, $set:ident, $dpbusd:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has these features.
        #[target_feature(enable = $features)]
        pub(crate) fn $name(rounds: u32) -> u64 {
            let [x, w] = black_box([1, 2]).map(|x| $set(x));
            // Different ones, or one would do for all.
            let mut sums = black_box([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).map(|sum| $set(sum));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = $dpbusd(*sum, x, w);
                }
            }
            black_box(sums);
            u64::from(rounds) * (12 * size_of::<$ty>()) as u64
        }
    };
}

pairs! {
    /// With AVX2.
    int8_peak_avx2, "avx2,f16c", ymm_reg: __m256i, _mm256_set1_epi8, _mm256_maddubs_epi16, _mm256_add_epi16
}
fours! {
    /// With AVX-VNNI.
    int8_peak_avx_vnni, "avx2,f16c,avxvnni", __m256i, _mm256_set1_epi8, _mm256_dpbusd_avx_epi32
}
pairs! {
    /// With AVX-512.
    int8_peak_avx512, "avx2,f16c,avx512f,avx512bw", zmm_reg: __m512i, _mm512_set1_epi8, _mm512_maddubs_epi16, _mm512_add_epi16
}
fours! {
    /// With AVX-512 VNNI.
    int8_peak_avx512_vnni, "avx2,f16c,avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi8, _mm512_dpbusd_epi32
}
