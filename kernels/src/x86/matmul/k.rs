//! Super-blocks of 256 weights: a lane holds four integer scales of its row.

use core::mem::offset_of;

use super::group::{Group, Quants, Sink, Unpack};
use super::rows::{Source, Words};
use super::unit::Unit;
use crate::block::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K};

/// Quants: the `WIDTH` bits from bit `AT` on of each byte, and above them bits of another byte ([`HighBits`]).
#[derive(Clone, Copy)]
struct Bits<W, H, const AT: i32, const WIDTH: i32>(W, H);

/// Upper bits of quants, which another field of the block holds.
trait HighBits<L: Unit>: Copy {
    /// Joins the upper bits of register `k` to the lower bits `low`.
    fn join(&self, l: L, k: usize, low: L::I) -> L::I;
}

/// No upper bits.
#[derive(Clone, Copy)]
struct NoBits;

impl<L: Unit> HighBits<L> for NoBits {
    #[inline(always)]
    fn join(&self, _: L, _: usize, low: L::I) -> L::I {
        low
    }
}

/// Upper bits: those of `MASK` once each byte is shifted left by `LEFT` (right, if it is negative).
#[derive(Clone, Copy)]
struct Shifted<W, const LEFT: i32, const MASK: i8>(W);

impl<L: Unit, W: Words<L>, const LEFT: i32, const MASK: i8> HighBits<L> for Shifted<W, LEFT, MASK> {
    #[inline(always)]
    fn join(&self, l: L, k: usize, low: L::I) -> L::I {
        l.or(low, masked(l, left(l, self.0.word(l, k), LEFT), MASK))
    }
}

impl<L: Unit, W: Words<L>, H: HighBits<L>, const AT: i32, const WIDTH: i32> Quants<L> for Bits<W, H, AT, WIDTH> {
    #[inline(always)]
    fn four(&self, l: L, k: usize) -> L::I {
        self.1.join(l, k, masked(l, left(l, self.0.word(l, k), -AT), (1 << WIDTH) - 1))
    }
}

impl Unpack for BlockQ2_K {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let d = rows.halves(l, offset_of!(Self, d));
        let m = l.negative(rows.halves(l, offset_of!(Self, dmin)));
        let both = rows.quad(l, offset_of!(Self, scales));
        for n in 0..2 {
            let bits = rows.words(l, offset_of!(Self, qs) + 32 * n);
            let (first, second) = (both[2 * n], both[2 * n + 1]);
            sink.take(l, q2_group::<L, _, 0>(l, Bits::<_, _, 0, 2>(bits, NoBits), first, d, m));
            sink.take(l, q2_group::<L, _, 1>(l, Bits::<_, _, 2, 2>(bits, NoBits), first, d, m));
            sink.take(l, q2_group::<L, _, 0>(l, Bits::<_, _, 4, 2>(bits, NoBits), second, d, m));
            sink.take(l, q2_group::<L, _, 1>(l, Bits::<_, _, 6, 2>(bits, NoBits), second, d, m));
        }
    }
}

/// Makes the first or the second of the two groups that `both` holds the scales and minimums of.
#[inline(always)]
fn q2_group<L: Unit, Q: Quants<L>, const OF_TWO: i32>(l: L, q: Q, both: L::I, d: L::F, m: L::F) -> Group<L, Q> {
    let mn = halves_of_group::<L, OF_TWO>(l, masked(l, l.right_16::<4>(both), 15), 0);
    Group { q, d, sc: scales_of_group::<L, OF_TWO>(l, masked(l, both, 15)), m, mn, offset: l.set(0) }
}

impl Unpack for BlockQ3_K {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let scales = q3_scales(l, rows.triple(l, offset_of!(Self, scales)));
        let d = rows.halves(l, offset_of!(Self, d));
        // Bit g of a byte is the third bit of a column of group g.
        let high = rows.words(l, offset_of!(Self, hmask));
        let low = rows.words(l, offset_of!(Self, qs));
        sink.take(l, q3_group::<L, _, 0>(l, Bits::<_, _, 0, 2>(low, Shifted::<_, 2, 4>(high)), scales[0], d));
        sink.take(l, q3_group::<L, _, 1>(l, Bits::<_, _, 2, 2>(low, Shifted::<_, 1, 4>(high)), scales[0], d));
        sink.take(l, q3_group::<L, _, 0>(l, Bits::<_, _, 4, 2>(low, Shifted::<_, 0, 4>(high)), scales[1], d));
        sink.take(l, q3_group::<L, _, 1>(l, Bits::<_, _, 6, 2>(low, Shifted::<_, -1, 4>(high)), scales[1], d));
        let low = rows.words(l, offset_of!(Self, qs) + 32);
        sink.take(l, q3_group::<L, _, 0>(l, Bits::<_, _, 0, 2>(low, Shifted::<_, -2, 4>(high)), scales[2], d));
        sink.take(l, q3_group::<L, _, 1>(l, Bits::<_, _, 2, 2>(low, Shifted::<_, -3, 4>(high)), scales[2], d));
        sink.take(l, q3_group::<L, _, 0>(l, Bits::<_, _, 4, 2>(low, Shifted::<_, -4, 4>(high)), scales[3], d));
        sink.take(l, q3_group::<L, _, 1>(l, Bits::<_, _, 6, 2>(low, Shifted::<_, -5, 4>(high)), scales[3], d));
    }
}

/// Makes the first or the second of the two groups that `scales` holds the integer scales of.
#[inline(always)]
fn q3_group<L: Unit, Q: Quants<L>, const OF_TWO: i32>(l: L, q: Q, scales: L::I, d: L::F) -> Group<L, Q> {
    // Quants are too large by 4 = 2^2.
    let offset = halves_of_group::<L, OF_TWO>(l, scales, 2);
    Group { sc: scales_of_group::<L, OF_TWO>(l, scales), offset, ..Group::plain(l, q, d) }
}

/// `sc - 32` of all columns: the four bytes of a lane are the scales of 64 columns.
#[inline(always)]
fn q3_scales<L: Unit>(l: L, [a, b, c]: [L::I; 3]) -> [L::I; 4] {
    let parts = [
        (a, c),
        (b, l.right_16::<2>(c)),
        (l.right_16::<4>(a), l.right_16::<4>(c)),
        (l.right_16::<4>(b), l.right_16::<6>(c)),
    ];
    let mut scales = [a; 4];
    for (scale, (low, high)) in scales.iter_mut().zip(parts) {
        let six_bits = l.or(masked(l, low, 15), l.left_16::<4>(masked(l, high, 3)));
        *scale = l.sub_8(six_bits, l.bytes(32));
    }
    scales
}

impl Unpack for BlockQ4_K {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let (d, m) = (rows.halves(l, offset_of!(Self, d)), rows.halves(l, offset_of!(Self, dmin)));
        let header = Header::new(l, d, m, rows.triple(l, offset_of!(Self, scales)));
        for half in 0..2 {
            let both = rows.words(l, offset_of!(Self, qs) + 64 * half);
            sink.take(l, header.group::<_, 0>(l, half, Bits::<_, _, 0, 4>(both, NoBits)));
            sink.take(l, header.group::<_, 1>(l, half, Bits::<_, _, 4, 4>(both, NoBits)));
            let both = rows.words(l, offset_of!(Self, qs) + 64 * half + 32);
            sink.take(l, header.group::<_, 2>(l, half, Bits::<_, _, 0, 4>(both, NoBits)));
            sink.take(l, header.group::<_, 3>(l, half, Bits::<_, _, 4, 4>(both, NoBits)));
        }
    }
}

impl Unpack for BlockQ5_K {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let (d, m) = (rows.halves(l, offset_of!(Self, d)), rows.halves(l, offset_of!(Self, dmin)));
        let header = Header::new(l, d, m, rows.triple(l, offset_of!(Self, scales)));
        // Bit g of a byte is the fifth bit of a column of group g.
        let high = rows.words(l, offset_of!(Self, qh));
        let both = rows.words(l, offset_of!(Self, qs));
        sink.take(l, header.group::<_, 0>(l, 0, Bits::<_, _, 0, 4>(both, Shifted::<_, 4, 16>(high))));
        sink.take(l, header.group::<_, 1>(l, 0, Bits::<_, _, 4, 4>(both, Shifted::<_, 3, 16>(high))));
        let both = rows.words(l, offset_of!(Self, qs) + 32);
        sink.take(l, header.group::<_, 2>(l, 0, Bits::<_, _, 0, 4>(both, Shifted::<_, 2, 16>(high))));
        sink.take(l, header.group::<_, 3>(l, 0, Bits::<_, _, 4, 4>(both, Shifted::<_, 1, 16>(high))));
        let both = rows.words(l, offset_of!(Self, qs) + 64);
        sink.take(l, header.group::<_, 0>(l, 1, Bits::<_, _, 0, 4>(both, Shifted::<_, 0, 16>(high))));
        sink.take(l, header.group::<_, 1>(l, 1, Bits::<_, _, 4, 4>(both, Shifted::<_, -1, 16>(high))));
        let both = rows.words(l, offset_of!(Self, qs) + 96);
        sink.take(l, header.group::<_, 2>(l, 1, Bits::<_, _, 0, 4>(both, Shifted::<_, -2, 16>(high))));
        sink.take(l, header.group::<_, 3>(l, 1, Bits::<_, _, 4, 4>(both, Shifted::<_, -3, 16>(high))));
    }
}

/// Scales of a block of Q4_K or Q5_K. The four bytes of a lane belong to four groups, the first or the last.
struct Header<L: Unit> {
    d: L::F,
    m: L::F,
    scales: [L::I; 2],
    minimums: [L::I; 2],
}

impl<L: Unit> Header<L> {
    /// Unpacks `d`, `dmin` and the packed scales, in the order of [`crate::block::scale_and_minimum`].
    #[inline(always)]
    fn new(l: L, d: L::F, dmin: L::F, [sc, mn, rest]: [L::I; 3]) -> Self {
        // Scales of the last four groups: low four bits, and the two highest bits of the first four's bytes.
        let last_sc = l.or(masked(l, rest, 15), masked(l, l.right_16::<2>(sc), 0x30));
        let last_mn = l.or(masked(l, l.right_16::<4>(rest), 15), masked(l, l.right_16::<2>(mn), 0x30));
        let (scales, minimums) = ([masked(l, sc, 63), last_sc], [masked(l, mn, 63), last_mn]);
        Self { d, m: l.negative(dmin), scales, minimums }
    }

    /// Makes group `4 half + K`.
    #[inline(always)]
    fn group<Q: Quants<L>, const K: i32>(&self, l: L, half: usize, q: Q) -> Group<L, Q> {
        let twice = select(l, K, K, true);
        let sc = l.shuffle(self.scales[half], twice);
        let mn = l.shuffle(self.minimums[half], twice);
        Group { q, d: self.d, sc: [sc; 2], m: self.m, mn, offset: l.set(0) }
    }
}

impl Unpack for BlockQ6_K {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let d = rows.halves(l, offset_of!(Self, d));
        let scales = rows.quad(l, offset_of!(Self, scales));
        for n in 0..2 {
            let high = rows.words(l, offset_of!(Self, qh) + 32 * n);
            let low = rows.words(l, offset_of!(Self, ql) + 64 * n);
            let next = rows.words(l, offset_of!(Self, ql) + 64 * n + 32);
            let (first, second) = (scales[2 * n], scales[2 * n + 1]);
            sink.take(l, q6_group::<L, _, 0>(l, Bits::<_, _, 0, 4>(low, Shifted::<_, 4, 0x30>(high)), first, d));
            sink.take(l, q6_group::<L, _, 1>(l, Bits::<_, _, 0, 4>(next, Shifted::<_, 2, 0x30>(high)), first, d));
            sink.take(l, q6_group::<L, _, 0>(l, Bits::<_, _, 4, 4>(low, Shifted::<_, 0, 0x30>(high)), second, d));
            sink.take(l, q6_group::<L, _, 1>(l, Bits::<_, _, 4, 4>(next, Shifted::<_, -2, 0x30>(high)), second, d));
        }
    }
}

/// Makes the first or the second of the two groups that `scales` holds the integer scales of.
#[inline(always)]
fn q6_group<L: Unit, Q: Quants<L>, const OF_TWO: i32>(l: L, q: Q, scales: L::I, d: L::F) -> Group<L, Q> {
    // Quants are too large by 32 = 2^5.
    let offset = halves_of_group::<L, OF_TWO>(l, scales, 5);
    Group { sc: scales_of_group::<L, OF_TWO>(l, scales), offset, ..Group::plain(l, q, d) }
}

/// Keeps the bits of `mask` in each byte.
#[inline(always)]
pub(super) fn masked<L: Unit>(l: L, x: L::I, mask: i8) -> L::I {
    l.and(x, l.bytes(mask))
}

/// Shifts 16 bits left, or right for a negative number, by up to 6. Once [`masked`], each byte is shifted by itself, as long as
/// the mask has no bit that came from the neighbour.
#[inline(always)]
fn left<L: Unit>(l: L, x: L::I, n: i32) -> L::I {
    match n {
        4 => l.left_16::<4>(x),
        3 => l.left_16::<3>(x),
        2 => l.left_16::<2>(x),
        1 => l.left_16::<1>(x),
        0 => x,
        -1 => l.right_16::<1>(x),
        -2 => l.right_16::<2>(x),
        -3 => l.right_16::<3>(x),
        -4 => l.right_16::<4>(x),
        -5 => l.right_16::<5>(x),
        _ => l.right_16::<6>(x),
    }
}

/// Indexes for [`Unit::shuffle`] that spread bytes `low` and `high` of each 32-bit lane over its two 16 bits: to their lower
/// bytes (`unsigned`), or to their upper ones.
#[inline(always)]
pub(super) fn select<L: Unit>(l: L, low: i32, high: i32, unsigned: bool) -> L::I {
    let (shift, empty) = if unsigned { (0, 0x8000_8000_u32 as i32) } else { (8, 0x0080_0080) };
    let mut lanes = [0; 4];
    for (i, lane) in (0..).zip(&mut lanes) {
        let (low, high) = (low + 4 * i, high + 4 * i);
        *lane = empty | (low | high << 16) << shift;
    }
    l.quads(lanes)
}

/// Signed scales of the two halves of a group, a pair of i16 each: bytes `2 OF_TWO` and the next of each lane.
#[inline(always)]
fn scales_of_group<L: Unit, const OF_TWO: i32>(l: L, scales: L::I) -> [L::I; 2] {
    let byte = 2 * OF_TWO;
    [
        l.signed_right_16::<8>(l.shuffle(scales, select(l, byte, byte, false))),
        l.signed_right_16::<8>(l.shuffle(scales, select(l, byte + 1, byte + 1, false))),
    ]
}

/// Signed scales of the two halves of a group as one pair of i16, times `2^log`.
#[inline(always)]
fn halves_of_group<L: Unit, const OF_TWO: i32>(l: L, scales: L::I, log: i32) -> L::I {
    let upper = l.shuffle(scales, select(l, 2 * OF_TWO, 2 * OF_TWO + 1, false));
    match log {
        0 => l.signed_right_16::<8>(upper),
        2 => l.signed_right_16::<6>(upper),
        _ => l.signed_right_16::<3>(upper),
    }
}
