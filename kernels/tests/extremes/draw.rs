//! Numbers of the cases.

use nearfield_kernels::block::BlockQ8;
use nearfield_kernels::conformance::Rng;

use super::memory::Buffer;

/// Draws a number of any size: at the ends of small and of all numbers, or with a product with `other` that wraps around to
/// almost nothing.
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

/// Returns `n`, or, once in `times`, another length.
pub fn about(rng: &mut Rng, n: usize, times: usize) -> usize {
    if !rng.one_in(times) {
        return n;
    }
    let length = rng.length();
    rng.pick(&[0, 1, n.saturating_sub(1), n + 1, 2 * n, n + 16, n / 2, length])
}

/// Draws a float: mostly in -1..1, else of any bits.
pub fn float(rng: &mut Rng) -> f32 {
    if rng.one_in(20) { f32::from_bits(rng.bits()) } else { rng.unit() }
}

pub fn floats(rng: &mut Rng, len: usize) -> Buffer<f32> {
    Buffer::new(rng, len, -7.25, |rng| rng.unit())
}

/// Draws floats in -1..1, now and then of any bits.
pub fn any_floats(rng: &mut Rng, len: usize) -> Buffer<f32> {
    Buffer::new(rng, len, -7.25, float)
}

/// Draws bytes.
pub fn bytes(rng: &mut Rng, len: usize) -> Buffer<u8> {
    Buffer::new(rng, len, 0xa5, |rng| rng.bits() as u8)
}

/// Draws half-precision numbers as bits.
pub fn halves(rng: &mut Rng, len: usize) -> Buffer<u16> {
    Buffer::new(rng, len, 0x5a5a, |rng| (rng.bits() & 0xbfff) as u16)
}

/// Draws activations that no kernel makes: any quants, sums that are not theirs.
pub fn any_blocks(rng: &mut Rng, len: usize) -> Buffer<BlockQ8> {
    let around = BlockQ8 { d: -1.0, sums: [5; 2], qs: [6; 32] };
    Buffer::new(rng, len, around, |rng| BlockQ8 {
        d: float(rng),
        sums: [rng.bits() as i16, rng.bits() as i16],
        qs: core::array::from_fn(|_| rng.bits() as i8),
    })
}

/// Draws activations that kernels make.
pub fn blocks(rng: &mut Rng, len: usize) -> Buffer<BlockQ8> {
    let around = BlockQ8 { d: -1.0, sums: [5; 2], qs: [6; 32] };
    Buffer::new(rng, len, around, |rng| {
        let x: [f32; 32] = core::array::from_fn(|_| rng.unit());
        nearfield_kernels::scalar::quantize_block(&x)
    })
}
