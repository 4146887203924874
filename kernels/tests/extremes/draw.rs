//! Numbers for the cases.

use nearfield_kernels::block::BlockQ8;
use nearfield_kernels::conformance::Rng;

use crate::memory::Buffer;

/// A number of any size: at the ends of small and of all numbers, and those whose product with `other` comes round to almost
/// nothing.
pub fn number(rng: &mut Rng, other: usize) -> usize {
    let around = match rng.below(8) {
        0 => return 0,
        1 => return 1,
        2 => return rng.below(70),
        3 => other,
        4 => 1 << rng.below(usize::BITS as usize),
        5 => 0,
        6 => usize::MAX / 2,
        _ => ((1 << usize::BITS) / other.max(1) as u128).wrapping_mul(1 + rng.below(3) as u128) as usize,
    };
    around.wrapping_add(rng.below(5)).wrapping_sub(2)
}

/// `n`, or, once in `times`, another length.
pub fn about(rng: &mut Rng, n: usize, times: usize) -> usize {
    if !rng.one_in(times) {
        return n;
    }
    let length = rng.length();
    rng.pick(&[0, 1, n.saturating_sub(1), n + 1, 2 * n, n + 16, n / 2, length])
}

/// A float: mostly in -1..1, else of any bits.
pub fn float(rng: &mut Rng) -> f32 {
    if rng.one_in(20) { f32::from_bits(rng.bits()) } else { rng.unit() }
}

pub fn floats(rng: &mut Rng, len: usize) -> Buffer<f32> {
    Buffer::new(rng, len, -7.25, |rng| rng.unit())
}

/// The same, of any bits now and then.
pub fn any_floats(rng: &mut Rng, len: usize) -> Buffer<f32> {
    Buffer::new(rng, len, -7.25, float)
}

/// Bytes with anything in them.
pub fn bytes(rng: &mut Rng, len: usize) -> Buffer<u8> {
    Buffer::new(rng, len, 0xa5, |rng| rng.bits() as u8)
}

/// Halves as bits.
pub fn halves(rng: &mut Rng, len: usize) -> Buffer<u16> {
    Buffer::new(rng, len, 0x5a5a, |rng| (rng.bits() & 0xbfff) as u16)
}

/// Activations as no kernel makes them: any quants, sums that are not theirs.
pub fn any_blocks(rng: &mut Rng, len: usize) -> Buffer<BlockQ8> {
    let around = BlockQ8 { d: -1.0, sums: [5; 2], qs: [6; 32] };
    Buffer::new(rng, len, around, |rng| BlockQ8 {
        d: float(rng),
        sums: [rng.bits() as i16, rng.bits() as i16],
        qs: core::array::from_fn(|_| rng.bits() as i8),
    })
}

/// Activations as kernels make them.
pub fn blocks(rng: &mut Rng, len: usize) -> Buffer<BlockQ8> {
    let around = BlockQ8 { d: -1.0, sums: [5; 2], qs: [6; 32] };
    Buffer::new(rng, len, around, |rng| {
        let x: [f32; 32] = core::array::from_fn(|_| rng.unit());
        nearfield_kernels::scalar::quantize_block(&x)
    })
}
