//! Blocks of 32 weights.

use core::mem::offset_of;

use super::group::{Group, Offset, Quants, Scales, Sink, Unpack, signed_quants};
use super::lanes::Lanes;
use super::rows::Source;
use crate::block::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};

impl Unpack for BlockQ4_0 {
    const QUANTS: Quants = Quants::U4;
    const SCALES: Scales = Scales::One;
    const OFFSET: Offset = Offset::Same(8);
    const MIN: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = nibbles(l, rows.quad(l, offset_of!(Self, qs)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

impl Unpack for BlockQ4_1 {
    const QUANTS: Quants = Quants::U4;
    const SCALES: Scales = Scales::One;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = nibbles(l, rows.quad(l, offset_of!(Self, qs)));
        let group = Group::plain(l, q, rows.halves(l, offset_of!(Self, d)));
        sink.take(l, Group { m: rows.halves(l, offset_of!(Self, m)), ..group });
    }
}

impl Unpack for BlockQ5_0 {
    const QUANTS: Quants = Quants::U5;
    const SCALES: Scales = Scales::One;
    const OFFSET: Offset = Offset::Same(16);
    const MIN: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = nibbles(l, rows.quad(l, offset_of!(Self, qs)));
        let q = with_fifth_bits(l, q, rows.word(l, offset_of!(Self, qh)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

impl Unpack for BlockQ5_1 {
    const QUANTS: Quants = Quants::U5;
    const SCALES: Scales = Scales::One;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = nibbles(l, rows.quad(l, offset_of!(Self, qs)));
        let q = with_fifth_bits(l, q, rows.word(l, offset_of!(Self, qh)));
        let group = Group::plain(l, q, rows.halves(l, offset_of!(Self, d)));
        sink.take(l, Group { m: rows.halves(l, offset_of!(Self, m)), ..group });
    }
}

impl Unpack for BlockQ8_0 {
    const QUANTS: Quants = Quants::I8;
    const SCALES: Scales = Scales::One;
    const OFFSET: Offset = Offset::None;
    const MIN: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = signed_quants(l, rows.two_quads(l, offset_of!(Self, qs)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

/// Low halves of the bytes: columns 0..16; high halves: columns 16..32.
#[inline(always)]
fn nibbles<L: Lanes>(l: L, both: [L::I; 4]) -> [L::I; 8] {
    let mask = l.bytes(15);
    let mut q = [mask; 8];
    for k in 0..4 {
        q[k] = l.and(both[k], mask);
        q[k + 4] = l.and(l.right_16::<4>(both[k]), mask);
    }
    q
}

/// Adds 16 where the bit of a column is set.
#[inline(always)]
fn with_fifth_bits<L: Lanes>(l: L, mut q: [L::I; 8], qh: L::I) -> [L::I; 8] {
    // For each byte of a lane's four: the first.
    let first = l.quads([0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c]);
    for (k, q) in q.iter_mut().enumerate() {
        // Byte k / 2 of a row's four holds the bits of columns 4 k..4 k + 4.
        let copies = l.shuffle(qh, l.add_8(first, l.bytes((k / 2) as i8)));
        let bit = l.set(if k % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        *q = l.or(*q, l.if_set(copies, bit, l.bytes(16)));
    }
    q
}
