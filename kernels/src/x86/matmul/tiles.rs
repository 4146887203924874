//! Products of quantized weights: the sixteen rows of a row tile at a time, a 32-bit lane each.
//!
//! For one token, and for up to eight with interleaved rows (four at a time), each block is unpacked in registers and multiplied
//! at once: a panel in memory does not pay for so few. For more tokens, or for two to eight with plain rows, 1024 columns of a row
//! tile are unpacked once and multiplied with all tokens, some at a time; between such panels the sums of a token rest in the output.

use core::marker::PhantomData;
use core::mem::size_of;
use core::ops::Range;

use super::group::{Group, Quants, Sink, Unpack, accumulate, add_scaled, products};
use super::rows::{Gathered, Interleaved};
use super::unit::Unit;
use crate::block::{Scaling, blocks_of};
use crate::{BlockQ8, ColumnsMut, Matrix, QK, TILE_ROWS};

/// Groups that are unpacked together: 1024 columns, some 20 KiB, which leave the rest of the smallest L1 to the activations.
const PANEL: usize = 32;

/// Tokens up to which blocks are unpacked in registers, for four tokens at a time.
const FEW: usize = 8;

/// Group that is used more than once.
type Unpacked<L> = Group<L, [<L as Unit>::I; 8]>;

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for quantized weights.
#[inline(always)]
pub(super) fn matmul<B: Unpack, L: Unit>(l: L, w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    if L::N == TILE_ROWS { tiles::<B, L, 1>(l, w, x, out) } else { tiles::<B, L, 2>(l, w, x, out) }
}

/// Multiplies with the row tiles that hold the rows asked for; a tile takes `H` registers.
#[inline(always)]
fn tiles<B: Unpack, L: Unit, const H: usize>(l: L, w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    assert!(H * L::N == TILE_ROWS);
    w.require_product(x.len(), w.n_cols() / QK, out);
    if w.n_cols() == 0 || out.n_tokens() == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    let mut groups = [[Group::plain(l, [l.set(0); 8], l.splat(0.0)); H]; PANEL];
    let (mut row, end) = (out.start(), out.end());
    while row < end {
        let tile = Tile::<B>::holding(w, row, end);
        let next = end.min(tile.first_row + TILE_ROWS);
        let columns = row - out.start()..next - out.start();
        let lanes = row - tile.first_row..next - tile.first_row;
        let n_tokens = out.n_tokens();
        if n_tokens == 1 {
            dots::<B, L, 1, H>(l, &tile, x, 0, out, &columns, &lanes);
        } else if n_tokens <= FEW
            && let Rows::Interleaved(_) = tile.rows
        {
            for token in (0..n_tokens).step_by(4) {
                dots::<B, L, 4, H>(l, &tile, x, token, out, &columns, &lanes);
            }
        } else {
            panels(l, &tile, x, out, columns, lanes, &mut groups);
        }
        row = next;
    }
}

/// Sixteen rows, with the place of their blocks.
struct Tile<'f, B> {
    /// Row in lane 0 of the first register.
    first_row: usize,
    rows: Rows<'f, B>,
}

#[allow(clippy::large_enum_variant)]
enum Rows<'f, B> {
    Interleaved(&'f [u8]),
    /// The last row stands in for rows that do not exist; their sums are dropped.
    Plain([&'f [B]; TILE_ROWS]),
}

impl<'f, B: Unpack> Tile<'f, B> {
    /// Row tile that holds `row`; for a plain row, the row tile that begins there, up to row `end`.
    #[inline(always)]
    fn holding(w: &Matrix<'f>, row: usize, end: usize) -> Self {
        if let Some(tile) = w.tile(row) {
            return Self { first_row: row / TILE_ROWS * TILE_ROWS, rows: Rows::Interleaved(tile) };
        }
        let mut rows: [&[B]; TILE_ROWS] = [&[]; TILE_ROWS];
        for (r, slot) in rows.iter_mut().enumerate() {
            *slot = blocks_of(w.row((row + r).min(end - 1)));
        }
        Self { first_row: row, rows: Rows::Plain(rows) }
    }

    /// Address of the row tile's first byte (of its first row, if the rows are plain).
    #[inline(always)]
    fn first_byte(&self) -> *const u8 {
        match &self.rows {
            Rows::Interleaved(tile) => tile.as_ptr(),
            Rows::Plain(rows) => rows[0].as_ptr().cast(),
        }
    }

    /// Hands the groups of block `b` to `sink`, for the rows from `first` on, as many as a register has lanes.
    #[inline(always)]
    fn unpack<L: Unit>(&self, l: L, b: usize, first: usize, sink: &mut impl Sink<L>) {
        match &self.rows {
            Rows::Interleaved(blocks) => unpack_interleaved::<B, L>(l, blocks, b, first, sink),
            Rows::Plain(rows) => {
                let mut blocks = [&rows[0][b]; TILE_ROWS];
                for (block, row) in blocks.iter_mut().zip(&rows[first..first + L::N]) {
                    *block = &row[b];
                }
                B::unpack(l, Gathered::new(blocks), sink);
            }
        }
    }
}

/// Hands the groups of block `b` of interleaved rows to `sink`, as [`Tile::unpack`] does.
#[inline(always)]
fn unpack_interleaved<B: Unpack, L: Unit>(l: L, tile: &[u8], b: usize, first: usize, sink: &mut impl Sink<L>) {
    let size = TILE_ROWS * size_of::<B>();
    B::unpack(l, Interleaved::<B>::new::<L>(&tile[b * size..(b + 1) * size], first), sink);
}

/// Groups of 32 columns in a block.
const fn groups_per_block<B: Unpack>() -> usize {
    B::TYPE.block_len() / QK
}

/// Dot products of a row tile with `T` tokens from `first` on, to the given columns of `out`. The last token stands in for tokens that
/// do not exist.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn dots<B: Unpack, L: Unit, const T: usize, const H: usize>(
    l: L,
    tile: &Tile<'_, B>,
    x: &[BlockQ8],
    first: usize,
    out: &mut ColumnsMut<'_>,
    columns: &Range<usize>,
    lanes: &Range<usize>,
) {
    let stride = x.len() / out.n_tokens();
    let n = T.min(out.n_tokens() - first);
    let mut rows: [&[BlockQ8]; T] = [&[]; T];
    for (t, row) in rows.iter_mut().enumerate() {
        *row = &x[(first + t.min(n - 1)) * stride..][..stride];
    }
    let mut acc = [[l.splat(0.0); T]; H];
    let mut ahead = tile.first_byte().wrapping_add(AHEAD);
    for b in 0..stride / groups_per_block::<B>() {
        for (h, acc) in acc.iter_mut().enumerate() {
            let mut sink = FewTokens::<B, L, T, H> {
                x: rows,
                group: b * groups_per_block::<B>(),
                acc: *acc,
                ahead,
                block: PhantomData,
            };
            // Only one token is multiplied with plain rows.
            if T == 1 {
                tile.unpack(l, b, h * L::N, &mut sink);
            } else if let Rows::Interleaved(blocks) = tile.rows {
                unpack_interleaved::<B, L>(l, blocks, b, h * L::N, &mut sink);
            }
            *acc = sink.acc;
            ahead = sink.ahead;
        }
    }
    for t in 0..n {
        let mut sums = [l.splat(0.0); H];
        for h in 0..H {
            sums[h] = acc[h][t];
        }
        write::<L, H>(l, sums, lanes.clone(), &mut out.row(first + t)[columns.clone()]);
    }
}

/// Bytes between the weights in use and those that are prefetched. Within a block weights are not read in order, which a
/// hardware prefetcher does not expect.
const AHEAD: usize = 4096;

/// Sink that multiplies groups with `T` tokens as they come.
struct FewTokens<'x, B, L: Unit, const T: usize, const H: usize> {
    /// Rows of the tokens, all of one length.
    x: [&'x [BlockQ8]; T],
    /// Group that comes next.
    group: usize,
    acc: [L::F; T],
    /// Address to prefetch next.
    ahead: *const u8,
    block: PhantomData<B>,
}

impl<B: Unpack, L: Unit, const T: usize, const H: usize> Sink<L> for FewTokens<'_, B, L, T, H> {
    #[inline(always)]
    fn take<Q: Quants<L>>(&mut self, l: L, group: Group<L, Q>) {
        // Bytes of a group in one register.
        let step = TILE_ROWS * size_of::<B>() / groups_per_block::<B>() / H;
        for line in (0..step).step_by(64) {
            l.prefetch(self.ahead.wrapping_add(line));
        }
        self.ahead = self.ahead.wrapping_add(step);
        if self.group < self.x[0].len() {
            let mut acc = [self.acc];
            let x = self.x.map(|x| x.as_ptr().wrapping_add(self.group));
            // SAFETY: each of `x` is one block: all rows have the length of the first.
            unsafe { accumulate::<B, L, Q, T, 1>(l, [&group], x, &mut acc) };
            [self.acc] = acc;
            self.group += 1;
        }
    }
}

/// Dot products of a row tile with all tokens, to the given columns of `out`.
#[inline(always)]
fn panels<B: Unpack, L: Unit, const H: usize>(
    l: L,
    tile: &Tile<'_, B>,
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
    columns: Range<usize>,
    lanes: Range<usize>,
    groups: &mut [[Unpacked<L>; H]; PANEL],
) {
    let n_tokens = out.n_tokens();
    let stride = x.len() / n_tokens;
    for first in (0..stride).step_by(PANEL) {
        let n = unpack_panel(l, tile, first, stride, groups);
        let mut panel =
            Panel { groups: &groups[..n], first, x, stride, columns: columns.clone(), lanes: lanes.clone() };
        let mut token = 0;
        if L::N == TILE_ROWS {
            while n_tokens - token >= 8 {
                panel.multiply::<B, 8>(l, token, out);
                token += 8;
            }
        }
        while n_tokens - token >= 3 {
            panel.multiply::<B, 3>(l, token, out);
            token += 3;
        }
        while n_tokens - token >= 1 {
            panel.multiply::<B, 1>(l, token, out);
            token += 1;
        }
    }
}

/// Unpacks up to 1024 columns, from group `first` on; returns the number of groups.
#[inline(always)]
fn unpack_panel<B: Unpack, L: Unit, const H: usize>(
    l: L,
    tile: &Tile<'_, B>,
    first: usize,
    stride: usize,
    groups: &mut [[Unpacked<L>; H]; PANEL],
) -> usize {
    let per_block = groups_per_block::<B>();
    let end = stride.min(first + PANEL);
    for (b, groups) in (first / per_block..end / per_block).zip(groups.chunks_exact_mut(per_block)) {
        for h in 0..H {
            tile.unpack(l, b, h * L::N, &mut Column { groups: groups.iter_mut(), h });
        }
    }
    end - first
}

/// Sink that keeps the groups of register `h`.
struct Column<'g, L: Unit, const H: usize> {
    groups: core::slice::IterMut<'g, [Unpacked<L>; H]>,
    h: usize,
}

impl<L: Unit, const H: usize> Sink<L> for Column<'_, L, H> {
    #[inline(always)]
    fn take<Q: Quants<L>>(&mut self, l: L, group: Group<L, Q>) {
        if let Some(groups) = self.groups.next() {
            groups[self.h] = group.unpacked(l);
        }
    }
}

/// Up to 1024 columns of a row tile, and the activations that they are multiplied with.
struct Panel<'a, L: Unit, const H: usize> {
    groups: &'a [[Unpacked<L>; H]],
    /// Group of the first columns.
    first: usize,
    /// `[n_tokens, stride]`
    x: &'a [BlockQ8],
    stride: usize,
    /// Columns of the output that the rows lie in.
    columns: Range<usize>,
    /// Lanes of the row tile that hold the rows.
    lanes: Range<usize>,
}

impl<L: Unit, const H: usize> Panel<'_, L, H> {
    /// Adds the products with `T` tokens to the sums in the output (for the first columns: to zero).
    #[inline(always)]
    fn multiply<B: Unpack, const T: usize>(&mut self, l: L, token: usize, out: &mut ColumnsMut<'_>) {
        let mut x = [core::ptr::null(); T];
        let mut acc = [[l.splat(0.0); T]; H];
        for t in 0..T {
            x[t] = self.x[(token + t) * self.stride + self.first..][..self.groups.len()].as_ptr();
            if self.first > 0 {
                let sums = read::<L, H>(l, self.lanes.clone(), &out.row(token + t)[self.columns.clone()]);
                for h in 0..H {
                    acc[h][t] = sums[h];
                }
            }
        }
        // SAFETY: each of `x` points at a token's blocks, one for each of the panel's groups.
        unsafe {
            // If a group's integer sums take more steps, those of the next group fill the waiting time anyway.
            if L::FOURS || B::SCALING != Scaling::None {
                for (b, groups) in self.groups.iter().enumerate() {
                    accumulate::<B, L, _, T, H>(l, groups.each_ref(), x.map(|x| x.add(b)), &mut acc);
                }
            } else {
                self.multiply_in_steps::<B, T>(l, x, &mut acc);
            }
        }
        for t in 0..T {
            let mut sums = [l.splat(0.0); H];
            for h in 0..H {
                sums[h] = acc[h][t];
            }
            write::<L, H>(l, sums, self.lanes.clone(), &mut out.row(token + t)[self.columns.clone()]);
        }
    }

    /// [`accumulate`] of all groups, with the integer sums of several groups before any of them is scaled. Otherwise the last
    /// steps of a group, each of which waits for the one before, would fill the processor's window: it looks no further than
    /// the next group.
    ///
    /// # Safety
    /// Each of `x` points at as many readable blocks as the panel has groups.
    #[inline(always)]
    unsafe fn multiply_in_steps<B: Unpack, const T: usize>(
        &self,
        l: L,
        mut x: [*const BlockQ8; T],
        acc: &mut [[L::F; T]; H],
    ) {
        const STEP: usize = 8;
        let mut sums = [[[l.set(0); T]; H]; STEP];
        for groups in self.groups.chunks(STEP) {
            // SAFETY: block `b` of each token exists for every group (the caller); `x` moves on by the groups that were done.
            unsafe {
                for (b, (groups, sums)) in groups.iter().zip(&mut sums).enumerate() {
                    *sums = products::<B, L, _, T, H>(l, groups.each_ref(), x.map(|x| x.add(b)));
                }
                for (b, (groups, sums)) in groups.iter().zip(&sums).enumerate() {
                    add_scaled::<B, L, _, T, H>(l, groups.each_ref(), x.map(|x| x.add(b)), *sums, acc);
                }
                x = x.map(|x| x.add(groups.len()));
            }
        }
    }
}

/// Writes the given lanes of a row tile's sums to `out`.
#[inline(always)]
fn write<L: Unit, const H: usize>(l: L, sums: [L::F; H], lanes: Range<usize>, out: &mut [f32]) {
    if out.len() == TILE_ROWS {
        for (h, out) in out.chunks_exact_mut(L::N).enumerate() {
            l.store(sums[h], out);
        }
        return;
    }
    let mut all = [0.0; TILE_ROWS];
    for (h, all) in all.chunks_exact_mut(L::N).enumerate() {
        l.store(sums[h], all);
    }
    out.copy_from_slice(&all[lanes]);
}

/// Reads the given lanes of a row tile's sums from `x`; the others are zero.
#[inline(always)]
fn read<L: Unit, const H: usize>(l: L, lanes: Range<usize>, x: &[f32]) -> [L::F; H] {
    let mut all = [0.0; TILE_ROWS];
    let x = x.try_into().unwrap_or_else(|_| {
        all[lanes].copy_from_slice(x);
        &all
    });
    let x: &[f32; TILE_ROWS] = x;
    let mut sums = [l.splat(0.0); H];
    for (h, x) in x.chunks_exact(L::N).enumerate() {
        sums[h] = l.load_floats(x);
    }
    sums
}
