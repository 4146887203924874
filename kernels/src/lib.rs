//! Arithmetic of nearfield: the kernels of a forward pass, for each instruction set (ISA).
//!
//! Every kernel has one definition, in [`scalar`], and may have a faster version for each ISA, in the folder of that ISA. All
//! versions give the same bits (`==`, no tolerance; only the bits of a NaN are left open). The properties in [`conformance`]
//! check it.
//!
//! Three rules make equal bits cheap:
//! 1. Integer sums are exact, so they may run in any order. A block of quantized weights contributes one
//!    `acc += (d_w * d_x) * sum as f32`; blocks are added in order.
//! 2. Where a float reduction cannot be avoided, it runs in strided partial sums and then a fixed tree: 16 for norms and
//!    denominators, eight for products of floats.
//! 3. Chains of float products (rows of F32, F16 and BF16; scores of F32 and F16 keys, sums of their values) are fused
//!    multiply-adds ([`scalar::fused_sum`]). All else multiplies, then adds, each rounded.
//!
//! # Folders
//!
//! Each ISA (`x86`, `neon`, `armv7`, `cortex_m/dsp`, `cortex_m/mve`, `cortex_m/armv6m`, `riscv`, `soft`) has the same files, as far as it overrides the definitions:
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the type that proves the processor, `impl Kernels` |
//! | `detect.rs` | features of the processor (Cortex-M: the firmware's Cargo features say them) |
//! | `matmul/mod.rs` | the choice of a function for a weight type; begins with the way of one byte from the file to the multiply |
//! | `matmul/tiles.rs` | the walk over rows, panels of columns and tokens |
//! | `matmul/rows.rs` | rows of blocks: where their bytes are read, plain or interleaved |
//! | `matmul/{legacy,k,iq4,floats}.rs` | each group of weight types |
//! | `matmul/group.rs` | 32 columns: sums of products and how they are scaled |
//! | `matmul/unit/` | the processors of one folder that differ in their products (`Avx2` to `Avx512Vnni`; `Plain`, `DotProd`, `I8mm`) |
//! | `attention/{scores,values}.rs` | a query with the keys of a block; probabilities with its values |
//! | `attention/probs.rs` | probabilities times scales, as integers |
//! | `attention/rows.rs` | stored keys and values |
//! | `attention/tile/`, `panel.rs` | x86 alone: several queries share a block that was made ready for them |
//! | `matmul/peak.rs` | the peak of 8-bit arithmetic, for comparison |
//! | `floats.rs`, `math.rs`, `norm.rs`, `quantize.rs` | sums and products of floats, exponentials and activations, norms, float to int8 |
//!
//! `sixteen/` of x86 holds the two units that its attention and activations are written for: registers of AVX2 in pairs, or of AVX-512.
//!
//! Files that one ISA alone needs say at their head what for: `matmul/byte_order.rs` and `bytes.rs` (neon), `products.rs` and
//! `matmul/panel.rs` (armv7), `split.rs` and `word.rs` (dsp), `contribution.rs` (armv6m), `attention/{quants,prefetch}.rs` (x86),
//! `parts.rs`, `scaled.rs`, `word.rs` and `matmul/split.rs` (riscv).
//!
//! `vfp/` has the kernels on floats that the processors of 32-bit Arm share, `soft/` those of processors without a floating-point
//! unit, which make floats of integers.
//!
//! `float_matmul.rs` holds the products of float weights that x86 and NEON share. [`block::Quantized`] states the facts of each
//! quantized type that all ISAs build on; [`KvQuant`] states those of keys and values.
//!
//! # A new kernel
//!
//! 1. Its definition: a function in `scalar/`, with the formula, the shapes, the ranges that show that no integer
//!    overflows, and the order of every float operation.
//! 2. A method of [`Kernels`] with `default!`. From then on the kernel is right on every machine, and in every wrapper of
//!    kernels.
//! 3. Its property in `conformance/`, and an entry for the property in the list there.
//! 4. Where speed matters: a faster version in the folder of an ISA, and a bench.
//!
//! # A new ISA
//!
//! 1. A folder of its name with the files above, as far as it needs them: which machines it is for; a type that only `detect`
//!    makes, so that having a value proves the processor; `impl Kernels` with `name` and each method that is faster than the
//!    definition; each `unsafe` block with the fact that makes it sound.
//! 2. Its `mod` line, with the architecture that it is for and the feature that chooses it, if there is one (`simd`, `dsp`, `mve`), and its
//!    entry in [`available`], behind all ISAs that it is faster than.
//! 3. `cargo test -p nearfield-kernels` compares it with the definitions on such a machine or emulator; a board without
//!    `std` calls [`conformance::check`]. Break a kernel on purpose (drop the tail, swap nibbles) and see it noticed.
//! 4. `cargo bench -p nearfield-kernels` shows its speed beside the others'.
//!
//! # A new weight type
//!
//! 1. Its number, name, sizes and feature in `block/weight_type.rs`; its block, byte for byte, in `block/`, which asserts the size; its
//!    contract in `block/quantized.rs`, and its line in `for_block!` there.
//! 2. A `dot_*` in `scalar/dot.rs`, a formula in `scalar/dequantize.rs`, an arm in either `match`.
//! 3. The values that its bytes stand for, in f64, in `tests/definitions/reference.rs`.
//! 4. A body for each ISA: `Unpack` in `matmul/{legacy,k,iq4}.rs` of x86, neon and dsp, side by side.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod arena;
#[cfg(all(target_arch = "arm", target_os = "linux", target_abi = "eabihf", feature = "simd", not(test)))]
mod armv7;
pub mod atomic;
pub mod block;
pub mod conformance;
mod contract;
#[cfg(all(target_arch = "arm", target_os = "none", any(feature = "dsp", target_abi = "eabi")))]
mod cortex_m;
mod digits;
#[cfg(all(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")),
    feature = "simd",
    not(test)
))]
mod float_matmul;
pub mod kv;
pub mod layout;
pub mod matrix;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", feature = "simd", not(test)))]
mod neon;
pub mod parts;
#[cfg(any(test, feature = "std"))]
pub mod pool;
#[cfg(all(target_arch = "riscv32", target_feature = "m", not(target_feature = "f")))]
mod riscv;
// The floats of RV32, without its assembly, so that they are compared with the definitions on any machine.
#[cfg(test)]
#[allow(dead_code)]
mod riscv {
    mod math;
    mod parts;
    mod scaled;
}
#[cfg_attr(test, allow(unused_imports))]
pub mod scalar;
#[cfg(any(
    test,
    all(target_arch = "arm", target_os = "none", target_abi = "eabi", not(feature = "dsp")),
    all(target_arch = "riscv32", not(target_feature = "f"))
))]
mod soft;
#[cfg(any(
    all(target_arch = "arm", target_os = "none", feature = "dsp"),
    all(target_arch = "arm", target_os = "linux", target_abi = "eabihf", feature = "simd", not(test))
))]
mod vfp;
// Unit tests see the definitions alone, so that they need not compile the ISAs again; `tests/` compares these with them.
#[cfg(all(target_arch = "x86_64", feature = "simd", not(test)))]
mod x86;

pub use arena::{Arena, Line};
pub use block::{BlockQ8, QK, QK_K, WeightType};
pub use digits::Digits;
pub use kv::{KV_BLOCK, KvBlock, KvQuant, KvRows, KvRowsMut, Q4Built, Query, Walk};
pub use layout::{Layout, TILE_ROWS};
pub use matrix::{Activations, Matrix};
pub use parts::{ColumnsMut, Cut, Parts, RowsMut, Tiles};
#[cfg(any(test, feature = "std"))]
pub use pool::Pool;

/// ISAs that this machine can run, from the plainest to the fastest.
pub fn available() -> impl Iterator<Item = &'static dyn Kernels> {
    let isas = [
        scalar::detect(),
        #[cfg(all(target_arch = "x86_64", feature = "simd", not(test)))]
        x86::detect(),
        #[cfg(all(target_arch = "x86_64", feature = "simd", not(test)))]
        x86::detect_avx_vnni(),
        #[cfg(all(target_arch = "x86_64", feature = "simd", not(test)))]
        x86::detect_avx512(),
        #[cfg(all(target_arch = "x86_64", feature = "simd", not(test)))]
        x86::detect_avx512_vnni(),
        #[cfg(any(
            all(target_arch = "arm", target_os = "none", target_abi = "eabi", not(feature = "dsp")),
            all(target_arch = "riscv32", not(target_feature = "f"))
        ))]
        soft::detect(),
        #[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabi", not(feature = "dsp")))]
        cortex_m::armv6m::detect(),
        #[cfg(all(target_arch = "arm", target_os = "none", feature = "dsp"))]
        cortex_m::dsp::detect(),
        #[cfg(all(target_arch = "arm", target_os = "none", feature = "mve"))]
        cortex_m::mve::detect(),
        #[cfg(all(target_arch = "arm", target_os = "linux", target_abi = "eabihf", feature = "simd", not(test)))]
        armv7::detect(),
        #[cfg(all(target_arch = "riscv32", target_feature = "m", not(target_feature = "f")))]
        riscv::detect(),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon", feature = "simd", not(test)))]
        neon::detect(),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon", feature = "simd", not(test)))]
        neon::detect_dotprod(),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon", feature = "simd", not(test)))]
        neon::detect_i8mm(),
    ];
    isas.into_iter().flatten()
}

/// Fastest ISA that this machine can run.
pub fn best() -> &'static dyn Kernels {
    available().last().unwrap_or(scalar::DEFINITIONS)
}

/// ISA with this [`Kernels::name`]; `None` if this machine cannot run it.
pub fn by_name(name: &str) -> Option<&'static dyn Kernels> {
    available().find(|isa| isa.name() == name)
}

/// `e^x`, with the bits of [`scalar::exp`], where one exponential is needed: for a row [`Kernels::exp_block`] takes less time.
#[inline]
pub fn exp(x: f32) -> f32 {
    #[cfg(all(target_arch = "riscv32", target_feature = "m", not(target_feature = "f")))]
    return riscv::exp(x);
    #[allow(unreachable_code)]
    #[cfg(any(
        all(target_arch = "arm", target_os = "none", target_abi = "eabi", not(feature = "dsp")),
        all(target_arch = "riscv32", not(target_feature = "f"))
    ))]
    return soft::exp(x);
    #[allow(unreachable_code)]
    scalar::exp(x)
}

/// Work that the compiler vectorizes by itself, for [`vectorized`]. The functions that it calls have to be `#[inline(always)]`:
/// code that is not inlined is compiled for any processor of the target.
pub trait Work {
    /// Does the work.
    fn run(self);
}

/// Does `work`, compiled for the vectors that this machine has: on x86-64 those of AVX2. The bits stay the same, since nothing
/// is fused.
pub fn vectorized(work: impl Work) {
    #[cfg(all(feature = "std", feature = "simd", target_arch = "x86_64", not(test)))]
    if let Some(x86) = x86::vectors() {
        return x86.run(work);
    }
    work.run();
}

/// Default of a method of [`Kernels`]: calls the wrapped kernels if there are any, else the definition.
macro_rules! default {
    ($self:ident, $method:ident($($argument:ident),*)) => {
        match $self.wrapped() {
            Some(kernels) => kernels.$method($($argument),*),
            None => scalar::$method($($argument),*),
        }
    };
}

/// Operations that a forward pass is made of, for one ISA.
///
/// The default of each method is the definition (in [`scalar`]), or the method of the [`wrapped`](Kernels::wrapped) kernels. An
/// ISA overrides the methods that it does faster, with the same bits. Lengths that do not belong together are a bug of the
/// caller and panic; the values of weights and activations never do.
pub trait Kernels: Sync {
    /// Name of this ISA in `--isa`, benches and reports.
    fn name(&self) -> &'static str;

    /// Kernels that do the work of all methods that these do not override; `None` for the definitions. A wrapper, which
    /// observes or changes one operation, names here the kernels that it wraps, and so forgets none of their methods.
    fn wrapped(&self) -> Option<&dyn Kernels> {
        None
    }

    /// Order of quantized weights that [`matmul`](Self::matmul) reads fastest; `matmul` takes any order.
    fn layout(&self) -> Layout {
        self.wrapped().map_or(Layout::Plain, Kernels::layout)
    }

    /// Quantizes `x` (any length) to int8 blocks of 32; a last partial block is filled up with zeros.
    ///
    /// A block: `amax` = largest |x| (taken as the integer maximum of the bits without sign, so a NaN counts as largest).
    /// `amax` not finite: `d = NaN`, all quants 0. `amax < 2^-64`: `d = 0`, all quants 0. Else `d = amax / 127`,
    /// `id = 127 / amax`, `q = round half to even(x * id)`.
    ///
    /// - `out`: `[x.len().div_ceil(32)]`
    fn quantize_q8(&self, x: &[f32], out: &mut [BlockQ8]) {
        default!(self, quantize_q8(x, out))
    }

    /// `out[t, r] = Σ_c w[r, c] · x[t, c]` for the rows `out.start()..out.end()` of `w` and all tokens.
    ///
    /// Q8 activations go with quantized weights, F32 ones with F32, F16 and BF16.
    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        default!(self, matmul(w, x, out))
    }

    /// Announces each product of a forward pass before it begins: once, on the thread that runs the pass, with all rows of
    /// activations that `w` is about to be multiplied with, not yet quantized. Does nothing by default; kernels that observe a
    /// pass override it.
    ///
    /// - `x`: `[n_tokens, w.n_cols()]`
    fn watch(&self, w: &Matrix<'_>, x: &[f32]) {
        if let Some(kernels) = self.wrapped() {
            kernels.watch(w, x);
        }
    }

    /// Converts row `row` of `w` to floats, as an embedding looks it up. `out`: `[n_cols]`.
    fn dequantize_row(&self, w: &Matrix<'_>, row: usize, out: &mut [f32]) {
        default!(self, dequantize_row(w, row, out))
    }

    /// `out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias`, for one token.
    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        default!(self, layer_norm(x, weight, bias, eps, out))
    }

    /// `out = x / sqrt(mean(x²) + eps) * weight`, for one token.
    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        default!(self, rms_norm(x, weight, eps, out))
    }

    /// `x += y`, element by element.
    fn add(&self, x: &mut [f32], y: &[f32]) {
        default!(self, add(x, y))
    }

    /// `x = x * y`, element by element (the gate of a gated feed-forward).
    fn multiply(&self, x: &mut [f32], y: &[f32]) {
        default!(self, multiply(x, y))
    }

    /// `x = min(max(x, -limit), limit)` (MPT's `clip_qkv`). A NaN stays a NaN.
    fn clamp(&self, x: &mut [f32], limit: f32) {
        default!(self, clamp(x, limit))
    }

    /// GELU, tanh form: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`. Source: Hendrycks & Gimpel 2016; BLOOM.
    fn gelu_tanh(&self, x: &mut [f32]) {
        default!(self, gelu_tanh(x))
    }

    /// GELU, exact form: `x/2 · (1 + erf(x/√2))`. MPT, Falcon-RW.
    fn gelu_erf(&self, x: &mut [f32]) {
        default!(self, gelu_erf(x))
    }

    /// `x / (1 + exp(-x))`.
    fn silu(&self, x: &mut [f32]) {
        default!(self, silu(x))
    }

    /// Stores one row (`[head_dim]`) of keys or values; `out` is exactly one row.
    ///
    /// F16 rounds half to even; Q8_0 quantizes each 32 columns as [`quantize_q8`](Self::quantize_q8) does, with `d` rounded to f16
    /// after the quants are made. Q4_0: [`scalar::store_kv`] has the formula.
    fn store_kv(&self, x: &[f32], out: KvRowsMut<'_>) {
        default!(self, store_kv(x, out))
    }

    /// `Σ x²` of one stored row of `head_dim` columns (with the values that will be read back), in 16 strided sums and the
    /// fixed tree.
    fn sum_squares(&self, row: KvRows<'_>, head_dim: usize) -> f32 {
        default!(self, sum_squares(row, head_dim))
    }

    /// `scores[j] = (q · k_j) * scale - slope * distance_j` for `scores.len()` keys, oldest first; returns their maximum.
    ///
    /// The newest key (the last) lies at `distance` from the query, the one before it at `distance + 1`, and so on.
    /// F32 and F16 keys: dot product in 16 strided sums and the fixed tree. Q8_0 and Q4_0 keys: integer sums of 32 columns,
    /// groups added in order.
    fn score_block(
        &self,
        q: Query<'_>,
        keys: KvRows<'_>,
        scale: f32,
        slope: f32,
        distance: u32,
        scores: &mut [f32],
    ) -> f32 {
        default!(self, score_block(q, keys, scale, slope, distance, scores))
    }

    /// `scores[j] = exp(scores[j] - max)`; returns their sum, in 16 strided sums and the fixed tree.
    fn exp_block(&self, scores: &mut [f32], max: f32) -> f32 {
        default!(self, exp_block(scores, max))
    }

    /// `acc[i] += Σ_j probs[j] * v_j[i]` over up to [`KV_BLOCK`] values.
    ///
    /// F32 and F16 values: the sum begins at zero and goes from the newest value (the last) to the oldest. A sum for each block,
    /// and not one over all keys, keeps the rounding of a walk over n keys at that of n / 32.
    ///
    /// Q8_0 and Q4_0 values: the sum is one of integers. For each 32 columns, the factor of a value, `w = probs[j] * d`, is
    /// rounded to 16 bits: with `amax` the largest |w| (as in [`quantize_q8`](Self::quantize_q8)), `step = amax / 32767` and
    /// `q = round half to even(w * (32767 / amax))`, and `acc[i] += step * (Σ_j q_j * v_j[i]) as f32`, `v` being the stored
    /// integers. `amax` not finite: `step = NaN`; `amax < 2^-64`: `step = 0`; all q are then 0.
    fn accumulate_block(&self, probs: &[f32], values: KvRows<'_>, acc: &mut [f32]) {
        default!(self, accumulate_block(probs, values, acc))
    }

    /// Takes the walks that have not ended, one or more queries of a KV head, past one block of its keys and values.
    ///
    /// Each walk gets the bits that the kernels above give it, with the keys that it sees: [`score_block`](Self::score_block);
    /// if the maximum grew, `shrink = exp(old - new)`, `sum *= shrink` and `acc *= shrink`;
    /// `sum += `[`exp_block`](Self::exp_block); [`accumulate_block`](Self::accumulate_block). Work that concerns the block
    /// alone can be done once for all walks.
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        match self.wrapped() {
            Some(kernels) => kernels.attend_block(block, scale, walks),
            None => scalar::attend_block(self, block, scale, walks),
        }
    }

    /// `x *= factor`.
    fn scale(&self, x: &mut [f32], factor: f32) {
        default!(self, scale(x, factor))
    }

    /// Multiplies and adds 8-bit numbers in registers for `rounds` rounds, and returns the number of multiply-adds. The rate of
    /// a timed call is the peak that products of quantized weights are compared with.
    fn int8_peak(&self, rounds: u32) -> u64 {
        default!(self, int8_peak(rounds))
    }
}
