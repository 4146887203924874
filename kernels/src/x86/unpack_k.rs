//! Super-blocks of 256 weights: four integer scales of a row share a lane, too.

use core::mem::offset_of;

use super::group::{Group, Offset, Quants, Scales, Sink, Unpack};
use super::lanes::Lanes;
use super::rows::Source;
use crate::block::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K};

impl Unpack for BlockQ2_K {
    const QUANTS: Quants = Quants::U5;
    const SCALES: Scales = Scales::Halves;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let d = rows.halves(l, offset_of!(Self, d));
        let m = l.negative(rows.halves(l, offset_of!(Self, dmin)));
        let both = rows.quad(l, offset_of!(Self, scales));
        for n in 0..2 {
            let bits = rows.two_quads(l, offset_of!(Self, qs) + 32 * n);
            sink.take(l, q2_group::<L, 0>(l, bits, both[2 * n], d, m));
            sink.take(l, q2_group::<L, 1>(l, bits, both[2 * n], d, m));
            sink.take(l, q2_group::<L, 2>(l, bits, both[2 * n + 1], d, m));
            sink.take(l, q2_group::<L, 3>(l, bits, both[2 * n + 1], d, m));
        }
    }
}

/// Group `4 n + K`; `both`: scales and minimums of two groups.
#[inline(always)]
fn q2_group<L: Lanes, const K: i32>(l: L, bits: [L::I; 8], both: L::I, d: L::F, m: L::F) -> Group<L> {
    let mut q = bits;
    for q in &mut q {
        *q = masked(l, right(l, *q, 2 * K), 3);
    }
    let mn = halves_of_group::<L, K>(l, masked(l, l.right_16::<4>(both), 15), 0);
    Group { q, d, sc: scales_of_group::<L, K>(l, masked(l, both, 15)), m, mn, offset: l.set(0) }
}

impl Unpack for BlockQ3_K {
    const QUANTS: Quants = Quants::U5;
    const SCALES: Scales = Scales::Halves;
    const OFFSET: Offset = Offset::Scaled;
    const MIN: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let scales = q3_scales(l, rows.triple(l, offset_of!(Self, scales)));
        let d = rows.halves(l, offset_of!(Self, d));
        let mut high = rows.two_quads(l, offset_of!(Self, hmask));
        for n in 0..2 {
            let low = rows.two_quads(l, offset_of!(Self, qs) + 32 * n);
            sink.take(l, q3_group::<L, 0>(l, low, high, scales[2 * n], d));
            sink.take(l, q3_group::<L, 1>(l, low, high, scales[2 * n], d));
            sink.take(l, q3_group::<L, 2>(l, low, high, scales[2 * n + 1], d));
            sink.take(l, q3_group::<L, 3>(l, low, high, scales[2 * n + 1], d));
            for high in &mut high {
                *high = l.right_16::<4>(*high);
            }
        }
    }
}

/// Group `4 n + K`; bit `K` of each byte of `high` is the quant's third.
#[inline(always)]
fn q3_group<L: Lanes, const K: i32>(l: L, low: [L::I; 8], high: [L::I; 8], scales: L::I, d: L::F) -> Group<L> {
    let mut q = low;
    for k in 0..8 {
        q[k] = l.or(masked(l, right(l, q[k], 2 * K), 3), masked(l, left(l, high[k], 2 - K), 4));
    }
    // Quants are too large by 4 = 2^2.
    let offset = halves_of_group::<L, K>(l, scales, 2);
    Group { sc: scales_of_group::<L, K>(l, scales), offset, ..Group::plain(l, q, d) }
}

/// `sc - 32` of all columns: the four bytes of a lane are those of 64 columns.
#[inline(always)]
fn q3_scales<L: Lanes>(l: L, [a, b, c]: [L::I; 3]) -> [L::I; 4] {
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
    const QUANTS: Quants = Quants::U4;
    const SCALES: Scales = Scales::Whole;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let (d, m) = (rows.halves(l, offset_of!(Self, d)), rows.halves(l, offset_of!(Self, dmin)));
        let header = Header::new(l, d, m, rows.triple(l, offset_of!(Self, scales)));
        for half in 0..2 {
            let both = rows.two_quads(l, offset_of!(Self, qs) + 64 * half);
            sink.take(l, header.group::<0>(l, half, q4_quants::<L, 0>(l, both)));
            sink.take(l, header.group::<1>(l, half, q4_quants::<L, 1>(l, both)));
            let both = rows.two_quads(l, offset_of!(Self, qs) + 64 * half + 32);
            sink.take(l, header.group::<2>(l, half, q4_quants::<L, 0>(l, both)));
            sink.take(l, header.group::<3>(l, half, q4_quants::<L, 1>(l, both)));
        }
    }
}

/// The low (0) or high (1) halves of the bytes.
#[inline(always)]
fn q4_quants<L: Lanes, const HALF: i32>(l: L, both: [L::I; 8]) -> [L::I; 8] {
    let mut q = both;
    for q in &mut q {
        *q = masked(l, right(l, *q, 4 * HALF), 15);
    }
    q
}

impl Unpack for BlockQ5_K {
    const QUANTS: Quants = Quants::U5;
    const SCALES: Scales = Scales::Whole;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let (d, m) = (rows.halves(l, offset_of!(Self, d)), rows.halves(l, offset_of!(Self, dmin)));
        let header = Header::new(l, d, m, rows.triple(l, offset_of!(Self, scales)));
        let mut high = rows.two_quads(l, offset_of!(Self, qh));
        for half in 0..2 {
            let both = rows.two_quads(l, offset_of!(Self, qs) + 64 * half);
            sink.take(l, header.group::<0>(l, half, q5_quants::<L, 0>(l, both, high)));
            sink.take(l, header.group::<1>(l, half, q5_quants::<L, 1>(l, both, high)));
            let both = rows.two_quads(l, offset_of!(Self, qs) + 64 * half + 32);
            sink.take(l, header.group::<2>(l, half, q5_quants::<L, 2>(l, both, high)));
            sink.take(l, header.group::<3>(l, half, q5_quants::<L, 3>(l, both, high)));
            for high in &mut high {
                *high = l.right_16::<4>(*high);
            }
        }
    }
}

/// Quants of group `4 n + K`; bit `K` of each byte of `high` is the quant's fifth.
#[inline(always)]
fn q5_quants<L: Lanes, const K: i32>(l: L, both: [L::I; 8], high: [L::I; 8]) -> [L::I; 8] {
    let mut q = both;
    for k in 0..8 {
        q[k] = l.or(masked(l, right(l, q[k], K % 2 * 4), 15), masked(l, left(l, high[k], 4 - K), 16));
    }
    q
}

/// What Q4_K and Q5_K say about their scales. The four bytes of a lane: those of four groups, first or last.
struct Header<L: Lanes> {
    d: L::F,
    m: L::F,
    scales: [L::I; 2],
    minimums: [L::I; 2],
}

impl<L: Lanes> Header<L> {
    /// From `d`, `dmin` and the packed scales; see [`crate::block::scale_and_minimum`].
    #[inline(always)]
    fn new(l: L, d: L::F, dmin: L::F, [sc, mn, rest]: [L::I; 3]) -> Self {
        // Of the last four groups: low four bits, and the two highest bits of the first four's bytes.
        let last_sc = l.or(masked(l, rest, 15), masked(l, l.right_16::<2>(sc), 0x30));
        let last_mn = l.or(masked(l, l.right_16::<4>(rest), 15), masked(l, l.right_16::<2>(mn), 0x30));
        let (scales, minimums) = ([masked(l, sc, 63), last_sc], [masked(l, mn, 63), last_mn]);
        Self { d, m: l.negative(dmin), scales, minimums }
    }

    /// Group `4 half + K`.
    #[inline(always)]
    fn group<const K: i32>(&self, l: L, half: usize, q: [L::I; 8]) -> Group<L> {
        let twice = select(l, K, K, true);
        let sc = l.shuffle(self.scales[half], twice);
        let mn = l.shuffle(self.minimums[half], twice);
        Group { q, d: self.d, sc: [sc; 2], m: self.m, mn, offset: l.set(0) }
    }
}

impl Unpack for BlockQ6_K {
    const QUANTS: Quants = Quants::U6;
    const SCALES: Scales = Scales::Halves;
    const OFFSET: Offset = Offset::Scaled;
    const MIN: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let d = rows.halves(l, offset_of!(Self, d));
        let scales = rows.quad(l, offset_of!(Self, scales));
        for n in 0..2 {
            let high = rows.two_quads(l, offset_of!(Self, qh) + 32 * n);
            let low = rows.two_quads(l, offset_of!(Self, ql) + 64 * n);
            let next = rows.two_quads(l, offset_of!(Self, ql) + 64 * n + 32);
            sink.take(l, q6_group::<L, 0>(l, low, high, scales[2 * n], d));
            sink.take(l, q6_group::<L, 1>(l, next, high, scales[2 * n], d));
            sink.take(l, q6_group::<L, 2>(l, low, high, scales[2 * n + 1], d));
            sink.take(l, q6_group::<L, 3>(l, next, high, scales[2 * n + 1], d));
        }
    }
}

/// Group `4 n + K`.
#[inline(always)]
fn q6_group<L: Lanes, const K: i32>(l: L, low: [L::I; 8], high: [L::I; 8], scales: L::I, d: L::F) -> Group<L> {
    let mut q = low;
    for k in 0..8 {
        q[k] = l.or(masked(l, right(l, q[k], K / 2 * 4), 15), masked(l, left(l, high[k], 4 - 2 * K), 0x30));
    }
    // Quants are too large by 32 = 2^5.
    let offset = halves_of_group::<L, K>(l, scales, 5);
    Group { sc: scales_of_group::<L, K>(l, scales), offset, ..Group::plain(l, q, d) }
}

/// The bits of `mask`, in each byte.
#[inline(always)]
fn masked<L: Lanes>(l: L, x: L::I, mask: i8) -> L::I {
    l.and(x, l.bytes(mask))
}

/// Words shifted right: a [`masked`] byte is the byte shifted, as long as the mask has no bit that came from its neighbour.
#[inline(always)]
fn right<L: Lanes>(l: L, x: L::I, n: i32) -> L::I {
    match n {
        0 => x,
        2 => l.right_16::<2>(x),
        4 => l.right_16::<4>(x),
        _ => l.right_16::<6>(x),
    }
}

/// Words shifted left, or right for a negative number: by 4, 3, 2, 1, 0, -1 or -2.
#[inline(always)]
fn left<L: Lanes>(l: L, x: L::I, n: i32) -> L::I {
    match n {
        4 => l.left_16::<4>(x),
        3 => l.left_16::<3>(x),
        2 => l.left_16::<2>(x),
        1 => l.left_16::<1>(x),
        0 => x,
        -1 => l.right_16::<1>(x),
        _ => l.right_16::<2>(x),
    }
}

/// For [`Lanes::shuffle`]: bytes `low` and `high` of each 32-bit lane as its two 16-bit halves: in their lower bytes
/// (`unsigned`), or in their upper ones.
#[inline(always)]
fn select<L: Lanes>(l: L, low: i32, high: i32, unsigned: bool) -> L::I {
    let (shift, empty) = if unsigned { (0, 0x8000_8000_u32 as i32) } else { (8, 0x0080_0080) };
    let mut lanes = [0; 4];
    for (i, lane) in (0..).zip(&mut lanes) {
        let (low, high) = (low + 4 * i, high + 4 * i);
        *lane = empty | (low | high << 16) << shift;
    }
    l.quads(lanes)
}

/// Signed scales of the two halves of group `K`, a pair of i16 each: bytes `2 (K % 2)` and the next of each lane.
#[inline(always)]
fn scales_of_group<L: Lanes, const K: i32>(l: L, scales: L::I) -> [L::I; 2] {
    let byte = K % 2 * 2;
    [
        l.signed_right_16::<8>(l.shuffle(scales, select(l, byte, byte, false))),
        l.signed_right_16::<8>(l.shuffle(scales, select(l, byte + 1, byte + 1, false))),
    ]
}

/// The same two numbers as one pair, times `2^log`.
#[inline(always)]
fn halves_of_group<L: Lanes, const K: i32>(l: L, scales: L::I, log: i32) -> L::I {
    let upper = l.shuffle(scales, select(l, K % 2 * 2, K % 2 * 2 + 1, false));
    match log {
        0 => l.signed_right_16::<8>(upper),
        2 => l.signed_right_16::<6>(upper),
        _ => l.signed_right_16::<3>(upper),
    }
}
