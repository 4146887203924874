//! Unpacking of blocks of 32 weights.

use core::mem::offset_of;

use super::group::{Group, Quants, Sink, Unpack};
use super::rows::{Source, Words};
use super::unit::Unit;
use crate::block::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};

impl Unpack for BlockQ4_0 {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = Nibbles(rows.quad(l, offset_of!(Self, qs)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

impl Unpack for BlockQ4_1 {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = Nibbles(rows.quad(l, offset_of!(Self, qs)));
        let group = Group::plain(l, q, rows.halves(l, offset_of!(Self, d)));
        sink.take(l, Group { m: rows.halves(l, offset_of!(Self, m)), ..group });
    }
}

impl Unpack for BlockQ5_0 {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = FiveBits(Nibbles(rows.quad(l, offset_of!(Self, qs))), rows.word(l, offset_of!(Self, qh)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

impl Unpack for BlockQ5_1 {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = FiveBits(Nibbles(rows.quad(l, offset_of!(Self, qs))), rows.word(l, offset_of!(Self, qh)));
        let group = Group::plain(l, q, rows.halves(l, offset_of!(Self, d)));
        sink.take(l, Group { m: rows.halves(l, offset_of!(Self, m)), ..group });
    }
}

impl Unpack for BlockQ8_0 {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = Signed(rows.words(l, offset_of!(Self, qs)));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

/// Quants: the low halves of the bytes are columns 0..16, the high halves columns 16..32.
#[derive(Clone, Copy)]
pub(super) struct Nibbles<V>(pub(super) [V; 4]);

impl<L: Unit> Quants<L> for Nibbles<L::I> {
    #[inline(always)]
    fn four(&self, l: L, k: usize) -> L::I {
        let bits = if k < 4 { self.0[k] } else { l.right_16::<4>(self.0[k - 4]) };
        l.and(bits, l.bytes(15))
    }
}

/// Quants: nibbles, 16 larger if the column's bit is set.
#[derive(Clone, Copy)]
struct FiveBits<V>(Nibbles<V>, V);

impl<L: Unit> Quants<L> for FiveBits<L::I> {
    #[inline(always)]
    fn four(&self, l: L, k: usize) -> L::I {
        // Byte k / 2 of a row's four holds the bits of columns 4 k..4 k + 4; `first` is the index of a lane's first byte.
        let first = l.quads([0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c]);
        let copies = l.shuffle(self.1, l.add_8(first, l.bytes((k / 2) as i8)));
        let bit = l.set(if k.is_multiple_of(2) { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
        l.or(self.0.four(l, k), l.if_set(copies, bit, l.bytes(16)))
    }
}

/// Signed quants, 128 larger on units that need them unsigned.
#[derive(Clone, Copy)]
struct Signed<W>(W);

impl<L: Unit, W: Words<L>> Quants<L> for Signed<W> {
    #[inline(always)]
    fn four(&self, l: L, k: usize) -> L::I {
        let q = self.0.word(l, k);
        if L::FOURS { l.xor(q, l.bytes(i8::MIN)) } else { q }
    }
}
