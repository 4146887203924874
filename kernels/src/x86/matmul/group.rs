//! Thirty-two columns of a register's rows, unpacked, and their products with activations.

use core::mem::offset_of;

use super::rows::Source;
use super::unit::Unit;
use crate::block::{Quantized, Scaling};
use crate::{BlockQ8, QK};

/// Range of quants, which decides how their products are added.
///
/// Without an instruction that adds four products to 32 bits, `maddubs` multiplies unsigned quants with the activations (±127)
/// and adds the products in pairs, to 16 bits. Each range says how many such pairs may be added before 16 bits overflow.
#[derive(Clone, Copy, PartialEq)]
enum Range {
    /// Up to 15: eight pairs fit 16 bits (8 · 2 · 15 · 127 = 30 480).
    U4,
    /// Up to 31: four pairs (31 496). Also types of fewer bits with a scale for each 16 columns.
    U5,
    /// Up to 63: two pairs (32 004).
    U6,
    /// Signed, also -128: one pair (32 512). The weight's sign moves to the activation, which may therefore not be -128.
    I8,
}

impl Range {
    /// Range of a type's quants.
    const fn of<B: Quantized>() -> Self {
        match (B::MIN_QUANT, B::MAX_QUANT, B::SCALING) {
            (0, ..=15, Scaling::None | Scaling::Group) => Self::U4,
            (0, ..=31, _) => Self::U5,
            (0, ..=63, _) => Self::U6,
            _ => Self::I8,
        }
    }
}

/// Registers of quants whose products are added in 16 bits.
const fn run<B: Quantized>() -> usize {
    match Range::of::<B>() {
        Range::U4 => 8,
        Range::U5 => 4,
        Range::U6 => 2,
        Range::I8 => 1,
    }
}

/// Weight type whose blocks can be unpacked.
pub(super) trait Unpack: Quantized {
    /// Hands the groups of one block of a register's rows to `sink`, in column order.
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>);
}

/// Receiver of groups.
pub(super) trait Sink<L: Unit> {
    /// Takes the next 32 columns.
    fn take<Q: Quants<L>>(&mut self, l: L, group: Group<L, Q>);
}

/// Quants of 32 columns, unpacked only when they are used: registers are few.
pub(super) trait Quants<L: Unit>: Copy {
    /// Bytes `4 r..4 r + 4`: columns `4 k..4 k + 4` of row r.
    fn four(&self, l: L, k: usize) -> L::I;
}

impl<L: Unit<I = V>, V: Copy> Quants<L> for [V; 8] {
    #[inline(always)]
    fn four(&self, _: L, k: usize) -> V {
        self[k]
    }
}

/// Thirty-two columns of a register's rows, unpacked.
#[derive(Clone, Copy)]
pub(super) struct Group<L: Unit, Q> {
    /// Quants.
    pub(super) q: Q,
    /// Scale of each row.
    pub(super) d: L::F,
    /// Integer scales of the first and of the last 16 columns: the same i16 twice for each row.
    pub(super) sc: [L::I; 2],
    /// Excess of the unsigned quants, times `sc`: a pair of i16 for each row, one for each 16 columns.
    pub(super) offset: L::I,
    /// Scale of the minimums, as it is added.
    pub(super) m: L::F,
    /// Integer minimums: a pair of i16 for each row, one for each 16 columns.
    pub(super) mn: L::I,
}

impl<L: Unit, Q: Quants<L>> Group<L, Q> {
    /// Makes a group without integer scales, offset or minimum.
    #[inline(always)]
    pub(super) fn plain(l: L, q: Q, d: L::F) -> Self {
        let one = l.set(0x0001_0001);
        Self { q, d, sc: [one; 2], offset: l.set(0), m: l.splat(0.0), mn: one }
    }

    /// Unpacks the quants of the group.
    #[inline(always)]
    pub(super) fn unpacked(self, l: L) -> Group<L, [L::I; 8]> {
        let mut q = [l.set(0); 8];
        for k in 0..8 {
            q[k] = self.q.four(l, k);
        }
        let Self { d, sc, offset, m, mn, .. } = self;
        Group { q, d, sc, offset, m, mn }
    }
}

/// Adds the products of the groups of a tile with the same columns of `T` tokens: the lanes of `acc[h][t]` are the rows of
/// register h.
///
/// `acc += (d · d_x) · (Σ_h sc_h Σ_j q x - Σ_h offset_h Σ_j x)`, then, with a minimum, `acc += (m · d_x) · Σ_h mn_h Σ_j x`.
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
pub(super) unsafe fn accumulate<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
    acc: &mut [[L::F; T]; H],
) {
    // SAFETY: the caller's promise is that of both functions.
    unsafe {
        let sums = products::<B, L, Q, T, H>(l, groups, x);
        add_scaled::<B, L, Q, T, H>(l, groups, x, sums, acc);
    }
}

/// Computes the first sum of [`accumulate`]: `Σ_h sc_h Σ_j q x`; units that add products by fours subtract what all quants are too
/// large by.
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
pub(super) unsafe fn products<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
) -> [[L::I; T]; H] {
    // SAFETY: the caller's promise is that of all three functions.
    unsafe {
        if L::FOURS {
            by_fours::<B, L, Q, T, H>(l, groups, x)
        } else if run::<B>() == 1 {
            signed::<B, L, Q, T, H>(l, groups, x)
        } else {
            by_pairs::<B, L, Q, T, H>(l, groups, x)
        }
    }
}

/// Adds the scaled sums of [`products`], the rest of [`accumulate`].
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
pub(super) unsafe fn add_scaled<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
    sums: [[L::I; T]; H],
    acc: &mut [[L::F; T]; H],
) {
    for t in 0..T {
        // SAFETY: `x[t]` points at a readable block (the caller).
        let (d_x, x_sums) = unsafe { (l.splat((*x[t]).d), sums_of(l, x[t])) };
        let same = match same_offset::<B, L>() {
            _ if L::FOURS => None,
            0 => None,
            offset => Some(l.madd(pair(l, offset), x_sums)),
        };
        for h in 0..H {
            let mut sum = sums[h][t];
            if let Some(same) = same {
                sum = l.sub_32(sum, same);
            }
            if has_scaled_offset::<B, L>() {
                sum = l.sub_32(sum, l.madd(groups[h].offset, x_sums));
            }
            acc[h][t] = l.add(acc[h][t], l.mul(l.mul(groups[h].d, d_x), l.to_floats(sum)));
            if B::MINIMUM {
                let minimums = l.to_floats(l.madd(groups[h].mn, x_sums));
                acc[h][t] = l.add(acc[h][t], l.mul(l.mul(groups[h].m, d_x), minimums));
            }
        }
    }
}

/// Pair of the same number, for each row.
#[inline(always)]
fn pair<L: Unit>(l: L, x: i16) -> L::I {
    l.set(i32::from(x as u16) * 0x0001_0001)
}

/// Number that all quants are too large by. Signed quants become unsigned (128 larger) on units that add products by fours.
const fn same_offset<B: Quantized, L: Unit>() -> i16 {
    match (B::SCALING, Range::of::<B>()) {
        (Scaling::None, Range::I8) if L::FOURS => 128,
        (Scaling::None, _) => B::OFFSET as i16,
        _ => 0,
    }
}

/// True if [`Group::offset`] is subtracted: quants are too large by a multiple of their integer scale.
const fn has_scaled_offset<B: Quantized, L: Unit>() -> bool {
    match (B::SCALING, Range::of::<B>()) {
        (Scaling::None, _) => false,
        (_, Range::I8) => L::FOURS,
        _ => B::OFFSET != 0,
    }
}

/// Sums of the activations' first and last 16 columns: a pair of i16, for every row.
///
/// # Safety
/// `x` points at a readable block.
#[inline(always)]
unsafe fn sums_of<L: Unit>(l: L, x: *const BlockQ8) -> L::I {
    // SAFETY: `sums` are four of the block's bytes; a pair of i16 is read as one number.
    l.set(unsafe { x.cast::<u8>().add(offset_of!(BlockQ8, sums)).cast::<i32>().read_unaligned() })
}

/// Activations of columns `4 k..4 k + 4`, for every row.
///
/// # Safety
/// `x` points at a readable block; `k < 8`.
#[inline(always)]
unsafe fn four_columns<L: Unit>(l: L, x: *const BlockQ8, k: usize) -> L::I {
    const { assert!(QK == 32) };
    // SAFETY: four of the block's 32 quants.
    l.set(unsafe { x.cast::<u8>().add(offset_of!(BlockQ8, qs) + 4 * k).cast::<i32>().read_unaligned() })
}

/// Quants of columns `4 k..4 k + 4`.
#[inline(always)]
fn registers<L: Unit, Q: Quants<L>, const H: usize>(l: L, groups: [&Group<L, Q>; H], k: usize) -> [L::I; H] {
    let mut q = [l.set(0); H];
    for h in 0..H {
        q[h] = groups[h].q.four(l, k);
    }
    q
}

/// Computes `Σ_h sc_h Σ_j q x` with an instruction for four products.
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
unsafe fn by_fours<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
) -> [[L::I; T]; H] {
    let mut total = [[l.set(0); T]; H];
    // SAFETY: the caller's promise is that of the functions called.
    unsafe {
        if B::SCALING == Scaling::Halves {
            let last = fours(l, groups, x, 4);
            let first = fours(l, groups, x, 0);
            for h in 0..H {
                let [sc_0, sc_1] = [l.upper(groups[h].sc[0]), l.upper(groups[h].sc[1])];
                for t in 0..T {
                    total[h][t] = l.add_32(l.mul_32(first[h][t], sc_0), l.mul_32(last[h][t], sc_1));
                }
            }
        } else {
            if same_offset::<B, L>() != 0 {
                for t in 0..T {
                    let less = l.dpwssd(l.set(0), pair(l, -same_offset::<B, L>()), sums_of(l, x[t]));
                    for h in 0..H {
                        total[h][t] = less;
                    }
                }
            }
            for k in 0..8 {
                fours_of(l, groups, x, k, &mut total);
            }
            for h in 0..H {
                let sc = l.upper(groups[h].sc[0]);
                for t in 0..T {
                    if B::SCALING == Scaling::Group {
                        total[h][t] = l.mul_32(total[h][t], sc);
                    }
                }
            }
        }
    }
    total
}

/// Computes `Σ_j q x` of 16 columns: registers `from..from + 4`.
///
/// # Safety
/// Each of `x` points at a readable block; `from <= 4`.
#[inline(always)]
unsafe fn fours<L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
    from: usize,
) -> [[L::I; T]; H] {
    let mut sums = [[l.set(0); T]; H];
    for k in from..from + 4 {
        // SAFETY: the blocks are readable (the caller); `k < 8`.
        unsafe { fours_of(l, groups, x, k, &mut sums) };
    }
    sums
}

/// Adds the products of register `k`.
///
/// # Safety
/// Each of `x` points at a readable block; `k < 8`.
#[inline(always)]
unsafe fn fours_of<L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
    k: usize,
    sums: &mut [[L::I; T]; H],
) {
    let q = registers(l, groups, k);
    for t in 0..T {
        // SAFETY: the block is readable and `k < 8` (the caller).
        let x = unsafe { four_columns(l, x[t], k) };
        for h in 0..H {
            sums[h][t] = l.dpbusd(sums[h][t], q[h], x);
        }
    }
}

/// Computes `Σ_h sc_h Σ_j q x` of unsigned quants; the products of some of the eight registers are added in 16 bits.
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
unsafe fn by_pairs<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
) -> [[L::I; T]; H] {
    let run = run::<B>();
    let mut sums = [[l.set(0); T]; H];
    let mut pairs = [[l.set(0); T]; H];
    for k in 0..8 {
        let q = registers(l, groups, k);
        for t in 0..T {
            // SAFETY: the block is readable (the caller); `k < 8`.
            let x = unsafe { four_columns(l, x[t], k) };
            for h in 0..H {
                let product = l.maddubs(q[h], x);
                pairs[h][t] = if k % run == 0 { product } else { l.add_16(pairs[h][t], product) };
            }
        }
        if k % run == run - 1 {
            for h in 0..H {
                for t in 0..T {
                    let scaled = l.madd(pairs[h][t], groups[h].sc[k / 4]);
                    sums[h][t] = if k < run { scaled } else { l.add_32(sums[h][t], scaled) };
                }
            }
        }
    }
    sums
}

/// Computes `Σ_h sc_h Σ_j q x` of signed quants.
///
/// # Safety
/// Each of `x` points at a readable block.
#[inline(always)]
unsafe fn signed<B: Unpack, L: Unit, Q: Quants<L>, const T: usize, const H: usize>(
    l: L,
    groups: [&Group<L, Q>; H],
    x: [*const BlockQ8; T],
) -> [[L::I; T]; H] {
    let mut sums = [[l.set(0); T]; H];
    for k in 0..8 {
        let q = registers(l, groups, k);
        let mut magnitude = q;
        for h in 0..H {
            magnitude[h] = l.abs(q[h]);
        }
        for t in 0..T {
            // SAFETY: the block is readable (the caller); `k < 8`.
            let x = unsafe { four_columns(l, x[t], k) };
            for h in 0..H {
                let pairs = l.maddubs(magnitude[h], l.with_sign(x, q[h]));
                let sc = if B::SCALING == Scaling::None { l.set(0x0001_0001) } else { groups[h].sc[k / 4] };
                sums[h][t] = l.add_32(sums[h][t], l.madd(pairs, sc));
            }
        }
    }
    sums
}
