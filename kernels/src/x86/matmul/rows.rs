//! Blocks of a register's rows, read from interleaved rows or gathered from plain ones.

use core::marker::PhantomData;
use core::mem::size_of;

use super::unit::Unit;
use crate::TILE_ROWS;
use crate::block::Block;

/// Eight registers of words: 32 bytes of each row, read only when they are used.
pub(super) trait Words<L: Unit>: Copy {
    /// Lane r: bytes `4 k..4 k + 4` of row r.
    fn word(&self, l: L, k: usize) -> L::I;
}

/// Blocks of as many rows as a register has lanes, one each. Offsets are those of a plain block.
pub(super) trait Source<L: Unit>: Copy {
    /// Result of [`words`](Self::words).
    type Words: Words<L>;

    /// Bytes `at..at + 32`.
    fn words(self, l: L, at: usize) -> Self::Words;
    /// Bytes `at..at + 16`: lane r of register k has bytes `4 k..4 k + 4` of row r.
    fn quad(self, l: L, at: usize) -> [L::I; 4];
    /// Bytes `at..at + 12`, in the same way.
    fn triple(self, l: L, at: usize) -> [L::I; 3];
    /// Bytes `at..at + 4`.
    fn word(self, l: L, at: usize) -> L::I;
    /// Half-precision number at `at`, as a float.
    fn halves(self, l: L, at: usize) -> L::F;
    /// 16-bit integer at `at`, one of a block's [`halves`](crate::WeightType::halves), without sign.
    fn integers(self, l: L, at: usize) -> L::I;
}

/// Block of each row of a row tile, interleaved as [`crate::layout`] describes it.
pub(super) struct Interleaved<'a, B> {
    /// Words of 16 rows, from the first row that the register owns on.
    pieces: *const u8,
    half_of_first: *const u8,
    block: PhantomData<&'a B>,
}

impl<B> Clone for Interleaved<'_, B> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Interleaved<'_, B> {}

impl<'a, B: Block> Interleaved<'a, B> {
    /// Takes the rows from `first` on of the 16 blocks in `block`.
    #[inline(always)]
    pub(super) fn new<L: Unit>(block: &'a [u8], first: usize) -> Self {
        assert!(block.len() == TILE_ROWS * size_of::<B>() && first + L::N <= TILE_ROWS);
        // A word takes four bytes of a row, a two-byte number takes two.
        let half_of_first = block.as_ptr().wrapping_add(2 * first);
        Self { pieces: block.as_ptr().wrapping_add(4 * first), half_of_first, block: PhantomData }
    }
}

/// Words of a row tile, in place.
#[derive(Clone, Copy)]
pub(super) struct InPlace<'a> {
    first: *const u8,
    tile: PhantomData<&'a [u8]>,
}

impl<L: Unit> Words<L> for InPlace<'_> {
    #[inline(always)]
    fn word(&self, l: L, k: usize) -> L::I {
        assert!(k < 8);
        // SAFETY: `Interleaved::words` checked that the eight words of 16 rows exist, and `new` that the register's rows are
        // among them.
        unsafe { l.load(self.first.add(4 * TILE_ROWS * k)) }
    }
}

impl<'a, L: Unit, B: Block> Source<L> for Interleaved<'a, B> {
    type Words = InPlace<'a>;

    #[inline(always)]
    fn words(self, _: L, at: usize) -> InPlace<'a> {
        assert!(at + 32 <= size_of::<B>());
        InPlace { first: self.pieces.wrapping_add(TILE_ROWS * at), tile: PhantomData }
    }

    #[inline(always)]
    fn quad(self, l: L, at: usize) -> [L::I; 4] {
        let mut words = [l.set(0); 4];
        for (k, word) in words.iter_mut().enumerate() {
            *word = self.word(l, at + 4 * k);
        }
        words
    }

    #[inline(always)]
    fn triple(self, l: L, at: usize) -> [L::I; 3] {
        [self.word(l, at), self.word(l, at + 4), self.word(l, at + 8)]
    }

    #[inline(always)]
    fn word(self, l: L, at: usize) -> L::I {
        assert!(at + 4 <= size_of::<B>());
        // SAFETY: `new` checked that the pieces of 16 rows exist and that the register's rows are among them: 64 bytes for each
        // four of a block.
        unsafe { l.load(self.pieces.add(TILE_ROWS * at)) }
    }

    #[inline(always)]
    fn halves(self, l: L, at: usize) -> L::F {
        assert!(at + 2 <= size_of::<B>());
        // SAFETY: as above, 32 bytes for each two of a block.
        unsafe { l.load_halves(self.half_of_first.add(TILE_ROWS * at)) }
    }

    #[inline(always)]
    fn integers(self, l: L, at: usize) -> L::I {
        assert!(at + 2 <= size_of::<B>());
        // SAFETY: as above, 32 bytes for each two of a block.
        unsafe { l.load_integers(self.half_of_first.add(TILE_ROWS * at)) }
    }
}

/// Block of each of up to 16 plain rows.
#[derive(Clone, Copy)]
pub(super) struct Gathered<'a, B> {
    rows: [&'a B; TILE_ROWS],
}

impl<'a, B: Block> Gathered<'a, B> {
    /// Takes the blocks of `rows`; a register uses the first, as many as it has lanes.
    #[inline(always)]
    pub(super) fn new(rows: [&'a B; TILE_ROWS]) -> Self {
        Self { rows }
    }

    /// `N` bytes at `at` of each row's block.
    #[inline(always)]
    fn bytes<const N: usize>(self, at: usize) -> [[u8; N]; TILE_ROWS] {
        assert!(at + N <= size_of::<B>());
        let mut bytes = [[0; N]; TILE_ROWS];
        for (bytes, row) in bytes.iter_mut().zip(self.rows) {
            // SAFETY: the bytes are inside the block (asserted above), which has no padding (`Block`).
            *bytes = unsafe { core::ptr::from_ref(row).cast::<u8>().add(at).cast::<[u8; N]>().read() };
        }
        bytes
    }
}

/// Words that were gathered into registers.
impl<L: Unit<I = V>, V: Copy> Words<L> for [V; 8] {
    #[inline(always)]
    fn word(&self, _: L, k: usize) -> V {
        self[k]
    }
}

impl<L: Unit, B: Block> Source<L> for Gathered<'_, B> {
    type Words = [L::I; 8];

    #[inline(always)]
    fn words(self, l: L, at: usize) -> [L::I; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.quad(l, at), self.quad(l, at + 16));
        [a, b, c, d, e, f, g, h]
    }

    #[inline(always)]
    fn quad(self, l: L, at: usize) -> [L::I; 4] {
        assert!(at + 16 <= size_of::<B>());
        let mut rows = [core::ptr::null(); TILE_ROWS];
        for (pointer, row) in rows.iter_mut().zip(self.rows) {
            *pointer = core::ptr::from_ref(row).cast();
        }
        // SAFETY: the 16 bytes from `at` are inside each block (asserted above).
        unsafe { l.transpose(&rows, at) }
    }

    #[inline(always)]
    fn triple(self, l: L, at: usize) -> [L::I; 3] {
        // Sixteen bytes are read: the last four are dropped, or, at the end of a block, the first four.
        if at + 16 <= size_of::<B>() {
            let [a, b, c, _] = self.quad(l, at);
            [a, b, c]
        } else {
            let [_, a, b, c] = self.quad(l, at - 4);
            [a, b, c]
        }
    }

    #[inline(always)]
    fn word(self, l: L, at: usize) -> L::I {
        let mut words = [0; TILE_ROWS];
        for (word, bytes) in words.iter_mut().zip(self.bytes(at)) {
            *word = i32::from_le_bytes(bytes);
        }
        l.words(&words)
    }

    #[inline(always)]
    fn halves(self, l: L, at: usize) -> L::F {
        let mut halves = [0; TILE_ROWS];
        for (half, bytes) in halves.iter_mut().zip(self.bytes(at)) {
            *half = u16::from_le_bytes(bytes);
        }
        l.halves(&halves)
    }

    #[inline(always)]
    fn integers(self, l: L, at: usize) -> L::I {
        l.words(&self.bytes(at).map(|bytes| u16::from_le_bytes(bytes).into()))
    }
}
