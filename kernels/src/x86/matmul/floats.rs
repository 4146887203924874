//! Products of float weights, for two vector units: AVX2 and AVX-512.

use core::arch::x86_64::*;

use crate::block::{BF16, Block, F16, F32};
use crate::float_matmul::{self, FloatUnit};
use crate::scalar::CHAINS;
use crate::x86::floats::{Element, dots_ahead, store, trees};
use crate::x86::sixteen::{Ymm, Zmm};
use crate::{Activations, ColumnsMut, Matrix, WeightType, scalar};

/// A register has the chains of one row.
impl<B: Element> FloatUnit<B> for Ymm {
    type Chains = __m256;
    const ROWS: usize = 1;

    #[inline(always)]
    fn dots<const R: usize, const T: usize>(self, rows: [&[B]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
        // SAFETY: the unit exists.
        unsafe { dots_ahead(rows, x) }
    }

    #[inline(always)]
    fn widen(self, from: &[B; CHAINS], to: &mut [f32; CHAINS]) {
        // SAFETY: the unit exists.
        unsafe { store(B::widen(from), to) }
    }

    #[inline(always)]
    fn zero(self) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(self, panel: *const f32) -> __m256 {
        // SAFETY: eight readable floats, as promised; the unit exists.
        unsafe { _mm256_loadu_ps(panel) }
    }

    #[inline(always)]
    unsafe fn spread(self, x: *const f32) -> __m256 {
        // SAFETY: eight readable floats, as promised; the unit exists.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    fn fused(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the unit exists.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn trees(self, [a, b, c]: [__m256; 3]) -> [f32; 8] {
        // SAFETY: the unit exists.
        let [a, b, c, _] = unsafe { trees([a, b, c, c]) };
        [a, b, c, 0.0, 0.0, 0.0, 0.0, 0.0]
    }
}

/// A register has the chains of two rows.
impl<B: Element> FloatUnit<B> for Zmm {
    type Chains = __m512;
    const ROWS: usize = 2;

    #[inline(always)]
    fn dots<const R: usize, const T: usize>(self, rows: [&[B]; R], x: [&[f32]; T]) -> [[f32; 4]; T] {
        // SAFETY: the unit exists.
        unsafe { dots_ahead(rows, x) }
    }

    #[inline(always)]
    fn widen(self, from: &[B; CHAINS], to: &mut [f32; CHAINS]) {
        // SAFETY: the unit exists.
        unsafe { store(B::widen(from), to) }
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(self, panel: *const f32) -> __m512 {
        // SAFETY: sixteen readable floats, as promised; the unit exists.
        unsafe { _mm512_loadu_ps(panel) }
    }

    #[inline(always)]
    unsafe fn spread(self, x: *const f32) -> __m512 {
        // SAFETY: eight readable floats, as promised; the unit exists.
        unsafe { _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_loadu_pd(x.cast()))) }
    }

    #[inline(always)]
    fn fused(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the unit exists.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn trees(self, chains: [__m512; 3]) -> [f32; 8] {
        // SAFETY: the unit exists.
        unsafe { trees_of_pairs(chains) }
    }
}

/// Tree sums of three registers with the chains of two rows each.
#[target_feature(enable = "avx2,fma,f16c,avx512f")]
#[inline]
fn trees_of_pairs([a, b, c]: [__m512; 3]) -> [f32; 8] {
    let [[a, b], [c, d], [e, f]] = [halves(a), halves(b), halves(c)];
    let ([a, b, c, d], [e, f, ..]) = (trees([a, b, c, d]), trees([e, f, e, f]));
    [a, b, c, d, e, f, 0.0, 0.0]
}

/// Both halves of a register.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(x: __m512) -> [__m256; 2] {
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x)));
    [_mm512_castps512_ps256(x), upper]
}

/// Function that implements [`Kernels::matmul`](crate::Kernels::matmul) for float weights, compiled for a vector unit.
macro_rules! matmul {
    ($(#[$doc:meta])* $name:ident, $features:literal, $unit:ident, $tokens:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has these features.
        #[target_feature(enable = $features)]
        pub(in crate::x86) fn $name(w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
            #[target_feature(enable = $features)]
            fn of<B: Block + Element>(w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>) {
                float_matmul::matmul::<B, _, $tokens>($unit::new(), w, x, out);
            }
            match (w.ty(), x) {
                (WeightType::F32, Activations::F32(x)) => of::<F32>(w, x, out),
                (WeightType::F16, Activations::F32(x)) => of::<F16>(w, x, out),
                (WeightType::BF16, Activations::F32(x)) => of::<BF16>(w, x, out),
                _ => scalar::matmul(w, x, out),
            }
        }
    };
}

matmul! {
    /// Multiplies with AVX2.
    floats_avx2, "avx2,fma,f16c", Ymm, 4
}
matmul! {
    /// Multiplies with AVX-512.
    floats_avx512, "avx2,fma,f16c,avx512f,avx512bw", Zmm, 8
}
