//! Blocks whose nibbles are indexes of sixteen signed values: one byte shuffle looks up those of a register.
//!
//! The values reach 127 in magnitude, 240 once an offset makes them unsigned: `maddubs` would add two such products beyond 16
//! bits. So they are of the signed range (`Range::I8`). Units that add products in pairs multiply magnitudes, with the signs
//! moved to the activations (2 · 127 · 127 = 32 258). Units that add by fours, to 32 bits, multiply values that are 128 larger.

use core::mem::offset_of;

use super::group::{Group, Quants, Sink, Unpack};
use super::k::{masked, select};
use super::legacy::Nibbles;
use super::rows::Source;
use super::unit::Unit;
use crate::block::{BlockIQ4_NL, BlockIQ4_XS, IQ4_VALUES};

impl Unpack for BlockIQ4_NL {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        let q = Indexed(Nibbles(rows.quad(l, offset_of!(Self, qs))));
        sink.take(l, Group::plain(l, q, rows.halves(l, offset_of!(Self, d))));
    }
}

impl Unpack for BlockIQ4_XS {
    #[inline(always)]
    fn unpack<L: Unit>(l: L, rows: impl Source<L>, sink: &mut impl Sink<L>) {
        const QS: usize = offset_of!(BlockIQ4_XS, qs);
        let d = rows.halves(l, offset_of!(Self, d));
        let high = rows.integers(l, offset_of!(Self, scales_h));
        let [even, odd] = scales(l, rows.word(l, offset_of!(Self, scales_l)), high);
        sink.take(l, group::<L, _, 0>(l, rows.quad(l, QS), even, d));
        sink.take(l, group::<L, _, 0>(l, rows.quad(l, QS + 16), odd, d));
        sink.take(l, group::<L, _, 1>(l, rows.quad(l, QS + 32), even, d));
        sink.take(l, group::<L, _, 1>(l, rows.quad(l, QS + 48), odd, d));
        sink.take(l, group::<L, _, 2>(l, rows.quad(l, QS + 64), even, d));
        sink.take(l, group::<L, _, 2>(l, rows.quad(l, QS + 80), odd, d));
        sink.take(l, group::<L, _, 3>(l, rows.quad(l, QS + 96), even, d));
        sink.take(l, group::<L, _, 3>(l, rows.quad(l, QS + 112), odd, d));
    }
}

/// `sc - 32` of the even and of the odd groups, a byte each.
#[inline(always)]
fn scales<L: Unit>(l: L, low: L::I, high: L::I) -> [L::I; 2] {
    // Bits of groups 4 n..4 n + 4 lie in bytes 2 n and 2 n + 1; they move to bits 4 and 5.
    let both = l.shuffle(high, l.quads([0x0101_0000, 0x0505_0404, 0x0909_0808, 0x0d0d_0c0c]));
    let (lower, upper) = (l.set(0x0030_0030), l.set(0x3000_3000));
    let even = l.or(l.and(l.left_16::<4>(both), lower), l.and(both, upper));
    let odd = l.or(l.and(l.left_16::<2>(both), lower), l.and(l.right_16::<2>(both), upper));
    let [even, odd] = [l.or(masked(l, low, 15), even), l.or(masked(l, l.right_16::<4>(low), 15), odd)];
    [l.sub_8(even, l.bytes(32)), l.sub_8(odd, l.bytes(32))]
}

/// Makes group `OF_FOUR` of the four that `scales` holds the integer scales of.
#[inline(always)]
fn group<L: Unit, V: Copy, const OF_FOUR: i32>(
    l: L,
    nibbles: [V; 4],
    scales: L::I,
    d: L::F,
) -> Group<L, Indexed<Nibbles<V>>> {
    let upper = l.shuffle(scales, select(l, OF_FOUR, OF_FOUR, false));
    // Values are too large by 128 = 2^7 on units that add by fours; only these use the offset.
    let (sc, offset) = (l.signed_right_16::<8>(upper), l.signed_right_16::<1>(upper));
    Group { q: Indexed(Nibbles(nibbles)), d, sc: [sc; 2], offset, m: l.splat(0.0), mn: l.set(0) }
}

/// Values of indexes, 128 larger on units that need them unsigned.
#[derive(Clone, Copy)]
struct Indexed<Q>(Q);

impl<L: Unit, Q: Quants<L>> Quants<L> for Indexed<Q> {
    #[inline(always)]
    fn four(&self, l: L, k: usize) -> L::I {
        let table = if L::FOURS { const { table(0x80) } } else { const { table(0) } };
        l.shuffle(l.quads(table), self.0.four(l, k))
    }
}

/// Bytes of the values, with the bits of `flip` turned.
const fn table(flip: u8) -> [i32; 4] {
    let mut words = [0; 4];
    let mut i = 0;
    while i < IQ4_VALUES.len() {
        words[i / 4] |= ((IQ4_VALUES[i] as u8 ^ flip) as i32) << (8 * (i % 4));
        i += 1;
    }
    words
}
