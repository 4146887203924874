//! Blocks of eight rows, read from their beginning to their end: rows that lie apart, or half of an interleaved row tile.
//!
//! The work on bytes is the same for both, since only the order of bytes differs. The bytes of eight rows are read in quarters:
//!
//! - [`Apart`]: quarter i is all of rows `2 i` and `2 i + 1`, one after the other
//! - [`Interleaved`]: of each 16 bytes, quarter i is bytes `4 i..4 i + 4` of all rows: the first four rows, then the last

use core::arch::aarch64::*;
use core::arch::asm;

use crate::TILE_ROWS;
use crate::contract::broken;
use crate::neon::bytes::{ROWS, load_32, next_2, next_4, next_16, next_32, next_halves, next_words, widen};
use crate::neon::floats::Floats;

/// Quarters of the bytes of eight rows.
pub(super) const QUARTERS: usize = 4;

/// Word (four bytes) of each of the eight rows.
pub(in crate::neon) type Words = [uint32x4_t; 2];
/// Quarter of 16 bytes of eight rows.
pub(in crate::neon) type Quarter16 = [int8x16_t; 2];
/// Quarter of 32 bytes (or columns) of eight rows: in place of each register of [`Quarter16`], one of the first and one of the
/// last 16.
pub(in crate::neon) type Quarter32 = [[int8x16_t; 2]; 2];

/// Place of the next bytes of eight rows. Each `next_` steps behind the bytes that it reads; if they are read in quarters, it
/// steps after the last, so the quarters must be read in order.
pub(in crate::neon) trait Rows: Copy {
    /// Place `offset` bytes further in each row.
    fn at(self, offset: isize) -> Self;

    /// Reads a half-precision number of each row, as floats.
    ///
    /// # Safety
    /// Two bytes of each row can be read.
    unsafe fn next_halves(&mut self) -> Floats;

    /// Reads a 16-bit integer of each row, one of a block's [`halves`](crate::WeightType::halves), without sign.
    ///
    /// # Safety
    /// Two bytes of each row can be read.
    unsafe fn next_integers(&mut self) -> Words;

    /// Reads four bytes of each row, a lane each.
    ///
    /// # Safety
    /// Four bytes of each row can be read.
    unsafe fn next_words(&mut self) -> Words;

    /// Reads a quarter of 16 bytes.
    ///
    /// # Safety
    /// The bytes can be read.
    unsafe fn next_16(&mut self, quarter: usize) -> Quarter16;

    /// Reads a quarter of 32 bytes.
    ///
    /// # Safety
    /// The bytes can be read.
    unsafe fn next_32(&mut self, quarter: usize) -> Quarter32;

    /// Reads a quarter of the 32 bytes at `AT` (0 or 32), without a step.
    ///
    /// # Safety
    /// The bytes can be read.
    unsafe fn load_32<const AT: usize>(&self, quarter: usize) -> Quarter32;

    /// Reads a quarter of 32 columns of five bits, less 16: four bytes with a bit for each column, and 16 bytes of nibbles.
    ///
    /// # Safety
    /// The bytes can be read.
    unsafe fn next_five_bits(&mut self, quarter: usize) -> Quarter32;
}

/// Rows that lie apart.
#[derive(Clone, Copy)]
pub(super) struct Apart(pub(super) [*const u8; ROWS]);

impl Apart {
    /// Rows of a quarter.
    #[inline(always)]
    fn two(&mut self, quarter: usize) -> &mut [*const u8; 2] {
        self.0.as_chunks_mut().0.get_mut(quarter).unwrap_or_else(|| broken("a quarter of eight rows"))
    }
}

impl Rows for Apart {
    #[inline(always)]
    fn at(self, offset: isize) -> Self {
        Self(self.0.map(|row| row.wrapping_offset(offset)))
    }

    #[inline(always)]
    unsafe fn next_halves(&mut self) -> Floats {
        // SAFETY: the caller vouches for two bytes of each row.
        unsafe { next_halves(&mut self.0) }
    }

    #[inline(always)]
    unsafe fn next_integers(&mut self) -> Words {
        // SAFETY: the caller vouches for two bytes of each row; the target has NEON.
        unsafe { long(next_2(&mut self.0)) }
    }

    #[inline(always)]
    unsafe fn next_words(&mut self) -> Words {
        // SAFETY: the caller vouches for four bytes of each row.
        unsafe { next_words(&mut self.0) }
    }

    #[inline(always)]
    unsafe fn next_16(&mut self, quarter: usize) -> Quarter16 {
        // SAFETY: the caller vouches for 16 bytes of each row.
        self.two(quarter).each_mut().map(|row| unsafe { next_16(row) })
    }

    #[inline(always)]
    unsafe fn next_32(&mut self, quarter: usize) -> Quarter32 {
        // SAFETY: the caller vouches for 32 bytes of each row.
        self.two(quarter).each_mut().map(|row| unsafe { next_32(row) })
    }

    #[inline(always)]
    unsafe fn load_32<const AT: usize>(&self, quarter: usize) -> Quarter32 {
        // SAFETY: the caller vouches for 32 bytes at `AT` of each row.
        Self(self.0).two(quarter).map(|row| unsafe { load_32::<AT>(row) })
    }

    #[inline(always)]
    unsafe fn next_five_bits(&mut self, quarter: usize) -> Quarter32 {
        // Index of the byte that holds the bits of eight columns, eight times.
        let byte = |first: u64, last: u64| [first, last].map(|byte| byte * 0x0101_0101_0101_0101);
        self.two(quarter).each_mut().map(|row| {
            // SAFETY: the caller vouches for 20 bytes of each row; the target has NEON.
            unsafe {
                let bits = next_4(row);
                let bytes = [byte(0, 1), byte(2, 3)].map(|bytes| constant(bytes));
                five_bits(next_16(row), bits, bytes, constant([0x8040_2010_0804_0201; 2]))
            }
        })
    }
}

/// Eight of the sixteen rows of a row tile, as [`crate::layout`] describes it: a register has the same four bytes of four rows.
#[derive(Clone, Copy)]
pub(super) struct Interleaved {
    /// Address of the next word of the first of the eight rows.
    words: *const u8,
    /// Bytes that the rows' two-byte numbers would lie before `words`.
    halves: usize,
}

impl Interleaved {
    /// Takes the first (0) or the last (1) eight rows of the block at `tile`.
    pub(super) fn new(tile: *const u8, eight: usize) -> Self {
        Self { words: tile.wrapping_add(4 * ROWS * eight), halves: 2 * ROWS * eight }
    }

    /// Loads bytes `AT + 4 QUARTER..` and `AT + 16 + 4 QUARTER..`, four of each row.
    ///
    /// # Safety
    /// The caller vouches that the bytes can be read.
    #[inline(always)]
    unsafe fn load<const AT: usize, const QUARTER: usize>(&self) -> Quarter32 {
        const { assert!(AT <= 32 && QUARTER < QUARTERS && TILE_ROWS == 16) };
        let (a, b, c, d);
        // SAFETY: reads the bytes that the caller vouches for.
        unsafe {
            asm!(
                "ldp {a:q}, {b:q}, [{p}, #{first}]",
                "ldp {c:q}, {d:q}, [{p}, #{last}]",
                a = out(vreg) a,
                b = out(vreg) b,
                c = out(vreg) c,
                d = out(vreg) d,
                p = in(reg) self.words,
                first = const 16 * AT + 64 * QUARTER,
                last = const 16 * AT + 64 * QUARTER + 256,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        [[a, c], [b, d]]
    }

    /// Loads bytes `AT..AT + 4` of each row.
    ///
    /// # Safety
    /// The caller vouches that the bytes can be read.
    #[inline(always)]
    unsafe fn load_word<const AT: usize>(&self) -> Quarter16 {
        let (a, b);
        // SAFETY: reads the bytes that the caller vouches for.
        unsafe {
            asm!(
                "ldp {a:q}, {b:q}, [{p}, #{at}]",
                a = out(vreg) a,
                b = out(vreg) b,
                p = in(reg) self.words,
                at = const 16 * AT,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        [a, b]
    }

    /// Reads two bytes of each row.
    ///
    /// # Safety
    /// The caller vouches that the bytes can be read.
    #[inline(always)]
    unsafe fn next_eight(&mut self) -> uint16x8_t {
        let mut halves = self.words.wrapping_sub(self.halves);
        *self = self.at(2);
        // SAFETY: the caller vouches for two bytes of each of the eight rows; the target has NEON.
        unsafe { vreinterpretq_u16_s8(next_16(&mut halves)) }
    }

    /// Steps all rows forward by `bytes`, but only behind the last quarter.
    #[inline(always)]
    fn step(&mut self, quarter: usize, bytes: isize) {
        if quarter + 1 == QUARTERS {
            *self = self.at(bytes);
        }
    }
}

impl Rows for Interleaved {
    #[inline(always)]
    fn at(self, offset: isize) -> Self {
        Self { words: self.words.wrapping_offset(TILE_ROWS as isize * offset), ..self }
    }

    #[inline(always)]
    unsafe fn next_halves(&mut self) -> Floats {
        // SAFETY: the caller vouches for two bytes of each row.
        widen(unsafe { self.next_eight() })
    }

    #[inline(always)]
    unsafe fn next_integers(&mut self) -> Words {
        // SAFETY: the caller vouches for two bytes of each row; the target has NEON.
        unsafe { long(self.next_eight()) }
    }

    #[inline(always)]
    unsafe fn next_words(&mut self) -> Words {
        // SAFETY: the caller vouches for four bytes of each row; the target has NEON.
        unsafe {
            let words = self.load_word::<0>();
            *self = self.at(4);
            words.map(|word| vreinterpretq_u32_s8(word))
        }
    }

    #[inline(always)]
    unsafe fn next_16(&mut self, quarter: usize) -> Quarter16 {
        // SAFETY: the caller vouches for 16 bytes of each row.
        let out = unsafe {
            match quarter {
                0 => self.load_word::<0>(),
                1 => self.load_word::<4>(),
                2 => self.load_word::<8>(),
                _ => self.load_word::<12>(),
            }
        };
        self.step(quarter, 16);
        out
    }

    #[inline(always)]
    unsafe fn next_32(&mut self, quarter: usize) -> Quarter32 {
        // SAFETY: the caller vouches for 32 bytes of each row.
        let out = unsafe { self.load_32::<0>(quarter) };
        self.step(quarter, 32);
        out
    }

    #[inline(always)]
    unsafe fn load_32<const AT: usize>(&self, quarter: usize) -> Quarter32 {
        // SAFETY: the caller vouches for 32 bytes at `AT` of each row.
        unsafe {
            match quarter {
                0 => self.load::<AT, 0>(),
                1 => self.load::<AT, 1>(),
                2 => self.load::<AT, 2>(),
                _ => self.load::<AT, 3>(),
            }
        }
    }

    #[inline(always)]
    unsafe fn next_five_bits(&mut self, quarter: usize) -> Quarter32 {
        // Index, for each byte of a lane, of the lane's byte that holds the bits of its eight columns.
        let byte =
            |i: u64| [0, 0x0808_0808_0808_0808].map(|two| two + (0x0404_0404_0000_0000 + i * 0x0101_0101_0101_0101));
        let bit = if quarter.is_multiple_of(2) { 0x0804_0201 } else { 0x8040_2010 };
        // SAFETY: the caller vouches for 20 bytes of each row; the target has NEON.
        unsafe {
            let bits = self.load_word::<0>();
            let nibbles = match quarter {
                0 => self.load_word::<4>(),
                1 => self.load_word::<8>(),
                2 => self.load_word::<12>(),
                _ => self.load_word::<16>(),
            };
            self.step(quarter, 20);
            let i = (quarter / 2) as u64;
            let bytes = [byte(i), byte(i + 2)].map(|bytes| constant(bytes));
            let both = |rows: usize| {
                five_bits(nibbles[rows], vreinterpretq_u8_s8(bits[rows]), bytes, constant([bit << 32 | bit; 2]))
            };
            [both(0), both(1)]
        }
    }
}

/// Widens 16-bit integers to 32 bits, without sign.
#[target_feature(enable = "neon")]
#[inline]
fn long(x: uint16x8_t) -> Words {
    [vmovl_u16(vget_low_u16(x)), vmovl_high_u16(x)]
}

/// Makes a register of sixteen bytes that are known at compile time.
#[target_feature(enable = "neon")]
#[inline]
fn constant([low, high]: [u64; 2]) -> uint8x16_t {
    vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)))
}

/// Quants of five bits less 16: the upper four bits of a nibble's byte become the inverse of the fifth bit, four times.
///
/// `byte` and `bit`: for each byte of the first and the last 16 columns, the byte of `qh` that holds its fifth bit, and the
/// bit's mask.
#[target_feature(enable = "neon")]
#[inline]
fn five_bits(both: int8x16_t, qh: uint8x16_t, byte: [uint8x16_t; 2], bit: uint8x16_t) -> [int8x16_t; 2] {
    let clear = vmvnq_u8(qh);
    let [first, last] = byte.map(|byte| vreinterpretq_s8_u8(vtstq_u8(vqtbl1q_u8(clear, byte), bit)));
    [vsliq_n_s8::<4>(both, first), vsliq_n_s8::<4>(high_nibbles(both), last)]
}

/// Upper four bits of each byte.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn high_nibbles(both: int8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(vshrq_n_u8::<4>(vreinterpretq_u8_s8(both)))
}
