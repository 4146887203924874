//! Products of 32 columns of four rows, in registers: Q4_0, Q5_0 and Q8_0.
//!
//! Rows are read in half-words, as their blocks lie at even addresses: a word at an odd multiple of two is an exception on some
//! processors. The compiler would reorder these sums until they no longer fit the registers.

use core::arch::asm;

use super::split::{FiveBits, Nibbles, Split};
use crate::block::*;
use crate::riscv::word::{dot_bytes, join};
use crate::{BlockQ8, QK};

/// Rows that a pass takes.
pub(super) const ROWS: usize = 4;

/// Nibbles 0 and 4 of a word.
const NIBBLES: u32 = 0x000f_000f;
/// Bits 0 and 16 of a word.
const BITS: u32 = 0x0001_0001;

/// Weight type whose rows are multiplied together, in blocks of `H` half-words, of which the first is the scale.
pub(super) trait Rows<const H: usize>: Block {
    /// Activations in the order that the rows meet them.
    type Split: Split;
    /// `Σ_j w[j] · x[j]` of a block of each row: the integer of [`crate::scalar::dot_q4_0`] and the others.
    fn products(w: [&[u16; H]; ROWS], x: &Self::Split) -> [i32; ROWS];
}

/// Adds the products of a word of nibbles of one row, half-words `o` and `o + 2` bytes into the block.
#[rustfmt::skip]
macro_rules! nibbles_of_row {
    ($k:literal, $w:literal, $sum:literal, $from:literal) => {
        concat!(
            "lhu {t}, {o}+4*", $k, "({", $w, "})\n lhu {u}, {o}+4*", $k, "+2({", $w, "})\n",
            join!("{t}", "{u}"),
            "and {u}, {t}, {m}\n mul {u}, {u}, {p0}\n add {", $sum, "}, {", $from, "}, {u}\n",
            "srli {u}, {t}, 8\n and {u}, {u}, {m}\n mul {u}, {u}, {p1}\n add {", $sum, "}, {", $sum, "}, {u}\n",
            "srli {u}, {t}, 4\n and {u}, {u}, {m}\n mul {u}, {u}, {p2}\n add {", $sum, "}, {", $sum, "}, {u}\n",
            "srli {u}, {t}, 12\n and {u}, {u}, {m}\n mul {u}, {u}, {p3}\n add {", $sum, "}, {", $sum, "}, {u}\n",
        )
    };
}

/// Loads the four pairs for word `k` of quants, or for the fifth bits from `4k` on.
#[rustfmt::skip]
macro_rules! pairs {
    ($k:literal) => {
        concat!(
            "lw {p0}, 16*", $k, "({x})\n lw {p1}, 16*", $k, "+4({x})\n",
            "lw {p2}, 16*", $k, "+8({x})\n lw {p3}, 16*", $k, "+12({x})\n",
        )
    };
}

#[rustfmt::skip]
macro_rules! nibbles_of_rows {
    ($k:literal) => {
        concat!(
            pairs!($k),
            nibbles_of_row!($k, "w0", "s0", "s0"), nibbles_of_row!($k, "w1", "s1", "s1"),
            nibbles_of_row!($k, "w2", "s2", "s2"), nibbles_of_row!($k, "w3", "s3", "s3"),
        )
    };
}

/// `Σ (nibble − 8) x` of the 16 bytes from half-word `FIRST` on, in ±32 512.
///
/// The high half of a sum holds it; the low half lies in ±16·15·127 = ±30 480.
#[inline(always)]
fn nibbles<const FIRST: usize, const H: usize>(w: [&[u16; H]; ROWS], x: &Nibbles) -> [i32; ROWS] {
    const { assert!(FIRST + QK / 4 == H) };
    let (s0, s1, s2, s3): (i32, i32, i32, i32);
    // SAFETY: reads the last eight half-words of each block (just asserted) and all pairs; changes only the registers that it names.
    unsafe {
        asm!(
            pairs!("0"),
            nibbles_of_row!("0", "w0", "s0", "s"), nibbles_of_row!("0", "w1", "s1", "s"),
            nibbles_of_row!("0", "w2", "s2", "s"), nibbles_of_row!("0", "w3", "s3", "s"),
            nibbles_of_rows!("1"),
            nibbles_of_rows!("2"),
            nibbles_of_rows!("3"),
            "srai {s0}, {s0}, 16",
            "srai {s1}, {s1}, 16",
            "srai {s2}, {s2}, 16",
            "srai {s3}, {s3}, 16",
            o = const 2 * FIRST, m = in(reg) NIBBLES, x = in(reg) &x.pairs, s = in(reg) x.start,
            w0 = in(reg) w[0], w1 = in(reg) w[1], w2 = in(reg) w[2], w3 = in(reg) w[3],
            s0 = out(reg) s0, s1 = out(reg) s1, s2 = out(reg) s2, s3 = out(reg) s3,
            p0 = out(reg) _, p1 = out(reg) _, p2 = out(reg) _, p3 = out(reg) _, t = out(reg) _, u = out(reg) _,
            options(pure, readonly, nostack)
        );
    }
    [s0, s1, s2, s3]
}

/// Adds the products of four bits of one row.
#[rustfmt::skip]
macro_rules! bits_of_row {
    ($t:literal, $sum:literal, $from:literal) => {
        concat!(
            "and {u}, {", $t, "}, {m0}\n mul {u}, {u}, {p0}\n add {", $sum, "}, {", $from, "}, {u}\n",
            "and {u}, {", $t, "}, {m1}\n mul {u}, {u}, {p1}\n add {", $sum, "}, {", $sum, "}, {u}\n",
            "and {u}, {", $t, "}, {m2}\n mul {u}, {u}, {p2}\n add {", $sum, "}, {", $sum, "}, {u}\n",
            "and {u}, {", $t, "}, {m3}\n mul {u}, {u}, {p3}\n add {", $sum, "}, {", $sum, "}, {u}\n",
        )
    };
}

#[rustfmt::skip]
macro_rules! next_bits_of_rows {
    ($k:literal) => {
        concat!(
            pairs!($k),
            "srli {t0}, {t0}, 4\n srli {t1}, {t1}, 4\n srli {t2}, {t2}, 4\n srli {t3}, {t3}, 4\n",
            bits_of_row!("t0", "s0", "s0"), bits_of_row!("t1", "s1", "s1"),
            bits_of_row!("t2", "s2", "s2"), bits_of_row!("t3", "s3", "s3"),
        )
    };
}

/// `Σ (16 bit − 8) x` of 32 bits for each row, in ±32 512.
///
/// The high half of a sum holds it; the low half lies in ±16·16·127 = ±32 512.
#[inline(always)]
fn bits(t: [u32; ROWS], x: &FiveBits) -> [i32; ROWS] {
    let (s0, s1, s2, s3): (i32, i32, i32, i32);
    // SAFETY: reads all pairs; changes only the registers that it names.
    unsafe {
        asm!(
            pairs!("0"),
            bits_of_row!("t0", "s0", "s"), bits_of_row!("t1", "s1", "s"),
            bits_of_row!("t2", "s2", "s"), bits_of_row!("t3", "s3", "s"),
            next_bits_of_rows!("1"),
            next_bits_of_rows!("2"),
            next_bits_of_rows!("3"),
            "srai {s0}, {s0}, 16",
            "srai {s1}, {s1}, 16",
            "srai {s2}, {s2}, 16",
            "srai {s3}, {s3}, 16",
            m0 = in(reg) BITS, m1 = in(reg) BITS << 1, m2 = in(reg) BITS << 2, m3 = in(reg) BITS << 3,
            x = in(reg) &x.bits, s = in(reg) x.nibbles.start,
            t0 = inout(reg) t[0] => _, t1 = inout(reg) t[1] => _, t2 = inout(reg) t[2] => _, t3 = inout(reg) t[3] => _,
            s0 = out(reg) s0, s1 = out(reg) s1, s2 = out(reg) s2, s3 = out(reg) s3,
            p0 = out(reg) _, p1 = out(reg) _, p2 = out(reg) _, p3 = out(reg) _, u = out(reg) _,
            options(pure, readonly, nostack)
        );
    }
    [s0, s1, s2, s3]
}

impl Rows<9> for BlockQ4_0 {
    type Split = Nibbles;

    #[inline(always)]
    fn products(w: [&[u16; 9]; ROWS], x: &Nibbles) -> [i32; ROWS] {
        nibbles::<1, 9>(w, x)
    }
}

impl Rows<11> for BlockQ5_0 {
    type Split = FiveBits;

    /// `Σ (q − 16) x` is `Σ (nibble − 8) x + Σ (16 bit − 8) x`.
    #[inline(always)]
    fn products(w: [&[u16; 11]; ROWS], x: &FiveBits) -> [i32; ROWS] {
        let high = bits(w.map(|w| u32::from(w[1]) | u32::from(w[2]) << 16), x);
        let low = nibbles::<3, 11>(w, &x.nibbles);
        [high[0] + low[0], high[1] + low[1], high[2] + low[2], high[3] + low[3]]
    }
}

impl Rows<17> for BlockQ8_0 {
    type Split = BlockQ8;

    #[inline(always)]
    fn products(w: [&[u16; 17]; ROWS], x: &BlockQ8) -> [i32; ROWS] {
        // SAFETY: 32 bytes follow the scale of each block.
        unsafe { dot_bytes(w.map(|w| w.as_ptr().add(1).cast()), &x.qs) }
    }
}
