//! Peak of 8-bit arithmetic of each vector unit, for [`crate::Kernels::int8_peak`]. Sums wrap.

use core::arch::asm;
use core::arch::x86_64::*;
use core::hint::black_box;
use core::mem::size_of;

/// Products of unsigned and signed bytes added in pairs, and their sums in 16 bits: each of two registers with each of four.
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
                    // SAFETY: an empty text changes nothing. The compiler only has to assume that `x` changes, so that the
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

/// Products of unsigned and signed bytes added by fours to sums of 32 bits. Twelve independent sums hide the latency.
macro_rules! fours {
    ($(#[$doc:meta])* $name:ident, $features:literal, $ty:ty, $set:ident, $dpbusd:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has these features.
        #[target_feature(enable = $features)]
        pub(crate) fn $name(rounds: u32) -> u64 {
            let [x, w] = black_box([1, 2]).map(|x| $set(x));
            // The sums differ, else the compiler could make one for all.
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
    /// Measures AVX2: `pairs!` of 256 bits.
    int8_peak_avx2, "avx2,f16c", ymm_reg: __m256i, _mm256_set1_epi8, _mm256_maddubs_epi16, _mm256_add_epi16
}
fours! {
    /// Measures AVX-VNNI: `fours!` of 256 bits.
    int8_peak_avx_vnni, "avx2,f16c,avxvnni", __m256i, _mm256_set1_epi8, _mm256_dpbusd_avx_epi32
}
pairs! {
    /// Measures AVX-512: `pairs!` of 512 bits.
    int8_peak_avx512, "avx2,f16c,avx512f,avx512bw", zmm_reg: __m512i, _mm512_set1_epi8, _mm512_maddubs_epi16, _mm512_add_epi16
}
fours! {
    /// Measures AVX-512 VNNI: `fours!` of 512 bits.
    int8_peak_avx512_vnni, "avx2,f16c,avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi8, _mm512_dpbusd_epi32
}
