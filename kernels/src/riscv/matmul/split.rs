//! Activations of 32 columns in the order in which four rows of weights meet them, in [`pair`]s.

use crate::riscv::scaled::Scale;
use crate::soft::pairs::{pair, start};
use crate::{BlockQ8, QK};

/// Pairs of a block.
const PAIRS: usize = QK / 2;

/// Activations for rows of nibbles.
#[derive(Clone, Copy)]
pub(super) struct Nibbles {
    pub(super) d: Scale,
    /// Start value: `-8 Σ x` in the high half.
    pub(super) start: u32,
    /// Four for each word of quants: those of its low nibbles in bytes 0 and 2, in bytes 1 and 3, and of its high nibbles.
    pub(super) pairs: [u32; PAIRS],
}

/// Activations for rows of nibbles and fifth bits.
#[derive(Clone, Copy)]
pub(super) struct FiveBits {
    pub(super) nibbles: Nibbles,
    /// Columns `j` and `j + 16`, times `2^(4 - j % 4)`: bit `j` stands at `j % 4`, and is worth 16.
    pub(super) bits: [u32; PAIRS],
}

/// Activations of a block in the order of a loop.
pub(super) trait Split: Copy {
    /// Activations of zeros.
    const ZERO: Self;
    /// Puts a block in order.
    fn new(x: &BlockQ8) -> Self;
    /// Scale of the block.
    fn scale(&self) -> Scale;
}

impl Split for Nibbles {
    const ZERO: Self = Self { d: Scale::ZERO, start: 0, pairs: [0; PAIRS] };

    fn new(x: &BlockQ8) -> Self {
        let column = |c: usize| x.qs.get(c).copied().unwrap_or(0);
        let mut pairs = [0; PAIRS];
        for (k, pairs) in pairs.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let two = |c: usize| pair(column(4 * k + c), column(4 * k + c + 2));
            *pairs = [two(0), two(1), two(PAIRS), two(PAIRS + 1)];
        }
        Self { d: Scale::new(x.d), start: start(-8 * x.sum()), pairs }
    }

    #[inline]
    fn scale(&self) -> Scale {
        self.d
    }
}

impl Split for FiveBits {
    const ZERO: Self = Self { nibbles: Nibbles::ZERO, bits: [0; PAIRS] };

    fn new(x: &BlockQ8) -> Self {
        let (low, high) = x.qs.split_at(PAIRS);
        let mut bits = [0; PAIRS];
        for (j, ((bits, &a), &b)) in bits.iter_mut().zip(low).zip(high).enumerate() {
            *bits = pair(a, b) << (4 - j % 4);
        }
        Self { nibbles: Nibbles::new(x), bits }
    }

    #[inline]
    fn scale(&self) -> Scale {
        self.nibbles.d
    }
}

impl Split for BlockQ8 {
    const ZERO: Self = Self { d: 0.0, sums: [0; 2], qs: [0; QK] };

    fn new(x: &BlockQ8) -> Self {
        *x
    }

    #[inline]
    fn scale(&self) -> Scale {
        Scale::new(self.d)
    }
}
