//! Rows of floats: sums in the order of the definitions, in float registers.

use core::arch::asm;

use crate::block::{BF16, F16, F32};
use crate::contract::require;
use crate::scalar::{CHAINS, LANES, tree, tree_of_chains};

/// Computes [`crate::scalar::strided_sum`] of `term(x)`.
#[inline]
pub(crate) fn strided_sum<T>(x: &[T], term: impl Fn(&T) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        // Written out, so that the sums stay in registers, also where code is compiled for size.
        macro_rules! add {
            ($($i:literal)*) => { $(lanes[$i] += term(&chunk[$i]);)* };
        }
        add!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += term(x));
    tree(lanes)
}

/// Converts a half-precision number to a float: exact, also for subnormals.
#[inline(always)]
pub(crate) fn half(bits: u16) -> f32 {
    let value: u32;
    // SAFETY: an instruction of every unit that the users of this module have; the register goes through integers because the
    // compiler does not offer `sreg` operands on units with single precision only.
    unsafe {
        asm!(unit!(), "vmov s0, {0}", "vcvtb.f32.f16 s0, s0", "vmov {0}, s0",
            inout(reg) u32::from(bits) => value, out("s0") _, options(pure, nomem, nostack))
    };
    f32::from_bits(value)
}

/// `a · b + c`, rounded once.
#[inline]
pub(crate) fn fused(a: f32, b: f32, c: f32) -> f32 {
    let sum: u32;
    // SAFETY: an instruction of every unit that the users of this module have; registers go through integers because the compiler
    // does not offer `sreg` operands on units with single precision only.
    unsafe {
        asm!(unit!(), "vmov s0, {0}", "vmov s1, {1}", "vmov s2, {2}", "vfma.f32 s2, s0, s1", "vmov {2}, s2",
            in(reg) a.to_bits(), in(reg) b.to_bits(), inout(reg) c.to_bits() => sum,
            out("s0") _, out("s1") _, out("s2") _, options(pure, nomem, nostack))
    };
    f32::from_bits(sum)
}

/// Columns of values that [`Element::add_values`] takes.
pub(crate) const COLUMNS: usize = 16;

/// Float of any kind.
pub(crate) trait Element: Copy {
    /// Value of one element.
    fn value(self) -> f32;

    /// Adds the products of whole eights of columns to eight chains.
    ///
    /// # Safety
    /// `w`, a multiple of 4, points at as many elements as `x` has: a multiple of eight, at least eight.
    unsafe fn add_products(w: *const Self, x: &[f32], chains: &mut [f32; CHAINS]);

    /// Adds 16 columns of values, each times its probability, to `sums`, from the last value to the first.
    ///
    /// # Safety
    /// There is a probability. `last`, a multiple of 4, points at 16 columns of the last value; those of each value before it lie
    /// `stride` bytes, a multiple of 4, before.
    unsafe fn add_values(last: *const Self, stride: usize, probs: &[f32], sums: &mut [f32; COLUMNS]);
}

/// Fused products of registers `$a` and `$b` on, added to registers `$c` on.
#[rustfmt::skip]
macro_rules! fuse_eight {
    ($([$c:literal $a:literal $b:literal])*) => {
        concat!($("\n vfma.f32 s", $c, ", s", $a, ", s", $b,)*)
    };
}

macro_rules! element {
    ($ty:ty, $value:expr, $load:expr, $eight_bytes:literal) => {
        impl Element for $ty {
            #[inline]
            fn value(self) -> f32 {
                $value(self)
            }

            #[inline]
            unsafe fn add_products(w: *const Self, x: &[f32], chains: &mut [f32; CHAINS]) {
                let x = x.as_ptr_range();
                // SAFETY: reads the columns that the caller promises, and writes `chains`; the registers that it changes are named.
                unsafe {
                    asm!(
                        unit!(),
                        "vldmia r5, {{s0-s7}}",
                        "2:",
                        $load,
                        concat!("add r0, r0, #", $eight_bytes),
                        "vldmia r1!, {{s24-s31}}",
                        fuse_eight!(["0" "16" "24"]["1" "17" "25"]["2" "18" "26"]["3" "19" "27"]),
                        fuse_eight!(["4" "20" "28"]["5" "21" "29"]["6" "22" "30"]["7" "23" "31"]),
                        "cmp r1, r2",
                        "bne 2b",
                        "vstmia r5, {{s0-s7}}",
                        inout("r0") w => _, inout("r1") x.start => _, in("r2") x.end, in("r5") chains,
                        out("r3") _, out("r4") _,
                        out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                        out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                        out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _,
                        out("s23") _, out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _, out("s29") _,
                        out("s30") _, out("s31") _,
                        options(nostack),
                    )
                }
            }

            #[inline]
            unsafe fn add_values(last: *const Self, stride: usize, probs: &[f32], sums: &mut [f32; COLUMNS]) {
                let probs = probs.as_ptr_range();
                // SAFETY: reads the columns and probabilities that the caller promises, and writes `sums`; the registers that it
                // changes are named.
                unsafe {
                    asm!(
                        unit!(),
                        "vldmia r5!, {{s0-s7}}",
                        "vldmia r5, {{s24-s31}}",
                        "2:",
                        "vldmdb r1!, {{s12}}",
                        $load,
                        fuse_eight!(["0" "16" "12"]["1" "17" "12"]["2" "18" "12"]["3" "19" "12"]),
                        fuse_eight!(["4" "20" "12"]["5" "21" "12"]["6" "22" "12"]["7" "23" "12"]),
                        concat!("add r0, r0, #", $eight_bytes),
                        $load,
                        fuse_eight!(["24" "16" "12"]["25" "17" "12"]["26" "18" "12"]["27" "19" "12"]),
                        fuse_eight!(["28" "20" "12"]["29" "21" "12"]["30" "22" "12"]["31" "23" "12"]),
                        concat!("sub r0, r0, #", $eight_bytes),
                        "sub r0, r0, r8",
                        "cmp r1, r2",
                        "bne 2b",
                        "vstmia r5, {{s24-s31}}",
                        "sub r5, r5, #32",
                        "vstmia r5, {{s0-s7}}",
                        inout("r0") last => _, inout("r1") probs.end => _, in("r2") probs.start, in("r8") stride,
                        inout("r5") sums => _, out("r3") _, out("r4") _,
                        out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                        out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _,
                        out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _,
                        out("s23") _, out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _, out("s29") _,
                        out("s30") _, out("s31") _,
                        options(nostack),
                    )
                }
            }
        }
    };
}

/// Loads eight half-precision numbers as floats.
macro_rules! halves {
    () => {
        "vldm r0, {{s8-s11}}
    vcvtb.f32.f16 s16, s8
    vcvtt.f32.f16 s17, s8
    vcvtb.f32.f16 s18, s9
    vcvtt.f32.f16 s19, s9
    vcvtb.f32.f16 s20, s10
    vcvtt.f32.f16 s21, s10
    vcvtb.f32.f16 s22, s11
    vcvtt.f32.f16 s23, s11"
    };
}

// Each loads eight elements at `r0` to `s16`..`s23`, and may change `r3`, `r4`, `s8`..`s11`.
element!(f32, |x| x, "vldm r0, {{s16-s23}}", "32");
element!(F32, F32::to_f32, "vldm r0, {{s16-s23}}", "32");
element!(u16, half, halves!(), "16");
element!(F16, |x: F16| half(u16::from_le_bytes(x.0)), halves!(), "16");
element!(
    BF16,
    BF16::to_f32,
    "ldr r4, [r0]
    lsl r3, r4, #16
    bfc r4, #0, #16
    vmov s16, s17, r3, r4
    ldr r4, [r0, #4]
    lsl r3, r4, #16
    bfc r4, #0, #16
    vmov s18, s19, r3, r4
    ldr r4, [r0, #8]
    lsl r3, r4, #16
    bfc r4, #0, #16
    vmov s20, s21, r3, r4
    ldr r4, [r0, #12]
    lsl r3, r4, #16
    bfc r4, #0, #16
    vmov s22, s23, r3, r4",
    "16"
);

/// True if registers can be loaded from `x` on: loads of several registers need whole words.
#[inline]
fn is_of_words<E>(x: *const E) -> bool {
    x.addr().is_multiple_of(4)
}

/// `Σ w[c] · x[c]`, in the order of [`crate::scalar::fused_sum`].
#[inline]
pub(crate) fn dot<E: Element>(w: &[E], x: &[f32]) -> f32 {
    require(w.len() == x.len(), "rows of the same length");
    let mut chains = [0.0; CHAINS];
    let whole = if is_of_words(w.as_ptr()) { w.len() / CHAINS * CHAINS } else { 0 };
    if whole > 0 {
        // SAFETY: both have the columns, a multiple of eight and not none; `w` lies at a word.
        unsafe { E::add_products(w.as_ptr(), x.get(..whole).unwrap_or_default(), &mut chains) };
    }
    for (i, (w, x)) in w.iter().zip(x).enumerate().skip(whole) {
        let chain = &mut chains[i % CHAINS];
        *chain = fused(w.value(), *x, *chain);
    }
    tree_of_chains(chains) + 0.0
}

/// `acc[c] += Σ_j probs[j] · values[j][c]`, from the last value to the first; `acc` has a multiple of 16 columns, and there are as
/// many values of its width as probabilities.
pub(crate) fn accumulate<E: Element>(probs: &[f32], values: &[E], acc: &mut [f32]) {
    let stride = acc.len();
    require(values.len() == probs.len() * stride, "as many values as probabilities");
    for (i, acc) in acc.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
        let mut sums = [0.0; COLUMNS];
        let first = values.as_ptr().wrapping_add(i * COLUMNS);
        let bytes = stride * size_of::<E>();
        if is_of_words(first) && !probs.is_empty() {
            let last = first.wrapping_add((probs.len() - 1) * stride);
            // SAFETY: each value has these columns, `bytes` behind those of the value before: a multiple of 32, as `stride` is one of
            // 16. So all of them lie at words.
            unsafe { E::add_values(last, bytes, probs, &mut sums) };
        } else {
            for (row, &p) in values.chunks_exact(stride.max(1)).zip(probs).rev() {
                for (sum, x) in sums.iter_mut().zip(row.iter().skip(i * COLUMNS)) {
                    *sum = fused(p, x.value(), *sum);
                }
            }
        }
        acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc += sum);
    }
}
