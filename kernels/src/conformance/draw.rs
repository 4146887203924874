//! Numbers of the cases: lengths around tiles, values at both ends.

use crate::block::{BlockQ8, WeightType};
use crate::contract::{broken, require};
use crate::layout::pieces;
use crate::scalar::AMAX_MIN;
use crate::scalar::constants::{EXP_MAX, EXP_MIN};
use crate::{Layout, TILE_ROWS};

/// Small generator (SplitMix64: Steele, Lea & Flood 2014), which gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Creates the generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 32) as u32
    }

    /// Draws a number in `0..n`; returns 0 if `n` is 0.
    ///
    /// # Panics
    /// When `n` is above 2^32, the numbers that bits are drawn for.
    pub fn below(&mut self, n: usize) -> usize {
        require(n as u64 <= 1 << 32, "a number of 32 bits");
        ((u64::from(self.bits()) * n as u64) >> 32) as usize
    }

    /// Draws one of `choices`.
    ///
    /// # Panics
    /// When `choices` is empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let choice = choices.get(self.below(choices.len()));
        *choice.unwrap_or_else(|| broken("something to pick from"))
    }

    /// Draws a number in -1..1.
    pub fn unit(&mut self) -> f32 {
        self.bits() as i32 as f32 / (1u32 << 31) as f32
    }

    /// Returns true once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Draws a length: 0, 1, lengths around the tiles that an ISA may use, and primes.
    pub fn length(&mut self) -> usize {
        self.pick(&[0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 61, 63, 64, 65, 80, 96, 101, 127, 128, 129])
    }
}

/// Kinds of floats; each operand is filled with one.
#[derive(Clone, Copy)]
enum Floats {
    /// Numbers in -4..4.
    Near,
    /// Numbers in -120..120.
    Far,
    /// Any finite numbers.
    Finite,
    /// Zeros, subnormals and the largest numbers, among near ones.
    Ends,
    /// Numbers up to this magnitude, which itself occurs.
    UpTo(f32),
    /// Halves of integers up to 127, which itself occurs: they quantize to themselves, or lie between two quants.
    Ties,
    /// Numbers a few floats from where `exp` becomes zero or infinite, of either sign.
    Edges,
    /// Numbers of any bits: also infinities and NaN.
    Any,
}

impl Floats {
    fn draw(self, rng: &mut Rng) -> f32 {
        match self {
            Self::Near => 4.0 * rng.unit(),
            Self::Far => 120.0 * rng.unit(),
            Self::Finite => finite(f32::from_bits(rng.bits())),
            Self::Ends => match rng.below(12) {
                0 => 0.0,
                1 => -0.0,
                2 => f32::from_bits(rng.bits() & 0x807f_ffff),
                3 => f32::MAX * rng.unit(),
                4 => f32::MIN_POSITIVE * rng.unit(),
                _ => 4.0 * rng.unit(),
            },
            Self::UpTo(limit) => limit * if rng.one_in(8) { 1.0 } else { rng.unit() },
            Self::Ties => 0.5 * if rng.one_in(8) { 254.0 } else { rng.below(509) as f32 - 254.0 },
            Self::Edges => {
                let edge = rng.pick(&[EXP_MIN, EXP_MAX, -EXP_MIN, -EXP_MAX]).to_bits();
                f32::from_bits(edge + rng.below(7) as u32 - 3)
            }
            Self::Any => f32::from_bits(rng.bits()),
        }
    }
}

fn finite(x: f32) -> f32 {
    if x.is_finite() { x } else { 1.0 }
}

/// Fills `out` with floats of one kind, mostly a harmless one.
pub fn floats(rng: &mut Rng, out: &mut [f32]) {
    use Floats::*;
    // Numbers around the least magnitude that is not quantized to zero.
    let tiny = UpTo(rng.pick(&[0.5 * AMAX_MIN, AMAX_MIN.next_down(), AMAX_MIN]));
    let kind = rng.pick(&[Near, Near, Near, Near, Near, Far, Far, Finite, Finite, Ends, Ends, tiny, Ties, Edges, Any]);
    out.fill_with(|| kind.draw(rng));
}

/// Fills `out` with floats in -1..1.
pub fn units(rng: &mut Rng, out: &mut [f32]) {
    out.fill_with(|| rng.unit());
}

/// Draws a half-precision number as bits: mostly in ±1, else zero, subnormal, the largest; anything once in 64 times.
pub fn half(rng: &mut Rng) -> u16 {
    let sign = (rng.bits() & 0x8000) as u16;
    match rng.below(64) {
        0 => rng.bits() as u16,
        1..=3 => sign,
        4..=7 => sign | (rng.bits() & 0x03ff) as u16,
        8..=10 => sign | 0x7bff,
        _ => half::f16::from_f32(rng.unit()).to_bits(),
    }
}

/// Draws quants: all of one end, a mix of both and zero, or anything.
pub fn quants(rng: &mut Rng, ends: [i8; 2], out: &mut [i8]) {
    let choice = rng.below(8);
    out.fill_with(|| match choice {
        0 | 1 => ends[choice],
        2 => rng.pick(&ends),
        3 => rng.pick(&[0, ends[0], ends[1]]),
        _ => (rng.bits() as i8).clamp(ends[0], ends[1]),
    });
}

/// Draws activations that [`crate::Kernels::quantize_q8`] may make.
pub fn activations(rng: &mut Rng, out: &mut [BlockQ8]) {
    let hostile = rng.one_in(16);
    for block in out {
        quants(rng, [-127, 127], &mut block.qs);
        let sum = |qs: &[i8]| qs.iter().map(|&q| i16::from(q)).sum();
        block.sums = [sum(&block.qs[..16]), sum(&block.qs[16..])];
        block.d = match rng.below(16) {
            0 => 0.0,
            1 => 1.0 / (1u128 << 70) as f32,
            2 => f32::MAX / 127.0,
            3 if hostile => f32::NAN,
            _ => rng.unit().abs() + 1e-3,
        };
        if block.d.is_nan() || block.d == 0.0 {
            *block = BlockQ8 { d: block.d, ..BlockQ8::default() };
        }
    }
}

/// Draws weights of `n_rows` rows, in `layout`: quants at the ends or anywhere, scales from [`half()`].
pub fn weights(rng: &mut Rng, ty: WeightType, layout: Layout, n_rows: usize, out: &mut [u8]) {
    let byte = rng.pick(&[0x00, 0xff, 0x80, 0x7f]);
    let random = !rng.one_in(5);
    out.fill_with(|| if random { rng.bits() as u8 } else { byte });
    let tiled = match layout {
        Layout::Plain => 0,
        Layout::Interleaved => out.len() / n_rows.max(1) * (n_rows / TILE_ROWS * TILE_ROWS),
    };
    let (tiles, rows) = out.split_at_mut(tiled);
    for block in tiles.chunks_exact_mut(TILE_ROWS * ty.block_bytes()) {
        for at in scale_offsets(ty) {
            for scale in block[TILE_ROWS * at..TILE_ROWS * (at + 2)].as_chunks_mut().0 {
                *scale = half(rng).to_le_bytes();
            }
        }
    }
    for block in rows.chunks_exact_mut(ty.block_bytes()) {
        match ty {
            WeightType::F32 => {
                let mut x = [0.0];
                if rng.one_in(64) {
                    floats(rng, &mut x)
                } else {
                    units(rng, &mut x)
                }
                block.copy_from_slice(&x[0].to_le_bytes());
            }
            WeightType::BF16 => {
                let any = (rng.bits() >> 16) as u16;
                let near = (rng.unit().to_bits() >> 16) as u16;
                let x = if rng.one_in(256) { any } else { near };
                block.copy_from_slice(&x.to_le_bytes());
            }
            #[cfg(feature = "rare")]
            WeightType::IQ1_M => {
                let scale = half(rng);
                for (i, part) in block[48..].as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    part[1] = part[1] & 15 | ((scale >> (4 * i) & 15) as u8) << 4;
                }
            }
            #[cfg(feature = "rare")]
            WeightType::MXFP4 => block[0] = if rng.one_in(4) { rng.bits() as u8 } else { 120 + rng.below(10) as u8 },
            #[cfg(feature = "rare")]
            WeightType::TQ1_0 | WeightType::TQ2_0 => {
                let (_, d) = block.split_last_chunk_mut().expect("a scale behind the digits");
                *d = half(rng).to_le_bytes();
            }
            #[cfg(feature = "rare")]
            _ if !ty.can_interleave() => block[..2].copy_from_slice(&half(rng).to_le_bytes()),
            _ => {
                for offset in scale_offsets(ty) {
                    block[offset..offset + 2].copy_from_slice(&half(rng).to_le_bytes());
                }
            }
        }
    }
}

/// Offsets of the half-precision numbers of a block.
fn scale_offsets(ty: WeightType) -> impl Iterator<Item = usize> {
    // The second two-byte number of IQ4_XS is no scale: it holds integers.
    let is_scale = move |&(at, width): &(usize, usize)| width == 2 && (ty != WeightType::IQ4_XS || at == 0);
    pieces(ty).filter(is_scale).map(|(at, _)| at)
}
