//! Products of float weights: the walk over rows and tokens that x86-64 and NEON share. They differ in their [`FloatUnit`].
//!
//! For up to eight tokens rows are widened in registers, as they are multiplied. For more, twelve rows at a time become a panel of
//! single precision, 1024 columns after 1024, which all tokens share. A tile of three registers of rows and some tokens keeps its
//! chains in registers while it passes the panel's columns; between panels they rest in memory.

use core::mem::MaybeUninit;
use core::ops::Range;

use crate::block::{Block, blocks_of};
use crate::contract::{broken, require};
use crate::scalar::CHAINS;
use crate::{ColumnsMut, Matrix};

/// Registers of rows in a tile.
const REGISTERS: usize = 3;

/// Tokens of the smallest tile: a multiple of them make a larger one.
const TOKENS: usize = 4;

/// Rows of a panel: a multiple of the rows of a tile, whether a register has the chains of one row or of two.
const PANEL_ROWS: usize = 12;

/// Columns of a panel: 48 KiB with its rows; those of three rows and four tokens lie in the smallest L1.
const PANEL_COLUMNS: usize = 1024;

/// Tokens whose chains rest in memory while panels pass: a multiple of those of any tile.
const BATCH: usize = 64;

/// Tokens up to which rows are widened in registers.
const FEW: usize = 8;

/// Message of the contract check of a panel and of what passes it.
const ROOM: &str = "a panel with room for its rows, columns and tokens";

/// Vector unit that multiplies weights of type `B`. A value exists only if the unit's instructions were detected.
pub(crate) trait FloatUnit<B>: Copy {
    /// Chains of `ROWS` rows with one token.
    type Chains: Copy;

    /// Rows whose chains lie in one `Chains`: 1 or 2.
    const ROWS: usize;

    /// Products of up to four rows with `T` tokens at `[t][r]`, in the order of [`crate::scalar::fused_sum`]; all slices have one
    /// length. Memory `R` rows behind each row is fetched ahead.
    fn dots<const R: usize, const T: usize>(self, rows: [&[B]; R], x: [&[f32]; T]) -> [[f32; 4]; T];

    /// Widens eight weights.
    fn widen(self, from: &[B; CHAINS], to: &mut [f32; CHAINS]);

    /// Chains without a term.
    fn zero(self) -> Self::Chains;

    /// Loads eight columns of `ROWS` rows of a panel.
    ///
    /// # Safety
    /// `8 ROWS` readable floats.
    unsafe fn load(self, panel: *const f32) -> Self::Chains;

    /// Loads eight activations, for each of the rows.
    ///
    /// # Safety
    /// Eight readable floats.
    unsafe fn spread(self, x: *const f32) -> Self::Chains;

    /// `a · b + c`, rounded once.
    fn fused(self, a: Self::Chains, b: Self::Chains, c: Self::Chains) -> Self::Chains;

    /// Sums of the chains of `3 ROWS` rows by the tree, +0 for a sum of zero; numbers behind them mean nothing.
    fn trees(self, chains: [Self::Chains; REGISTERS]) -> [f32; 8];
}

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for float weights, with tiles of `T` tokens.
#[inline(always)]
pub(crate) fn matmul<B: Block, U: FloatUnit<B>, const T: usize>(
    unit: U,
    w: &Matrix<'_>,
    x: &[f32],
    out: &mut ColumnsMut<'_>,
) {
    w.require_product(x.len(), w.n_cols(), out);
    // Without tokens no data bounds the number of rows, so a loop over them might take forever.
    if w.n_cols() == 0 || out.n_tokens() == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    match out.n_tokens() {
        1 => few::<B, U, 4, 1>(unit, w, x, out),
        2 => few::<B, U, 4, 2>(unit, w, x, out),
        3..=FEW => few::<B, U, REGISTERS, TOKENS>(unit, w, x, out),
        _ => panels::<B, U, T>(unit, w, x, out),
    }
}

/// Rows `first..first + R` of those that `out` asks for; the last one also stands in for rows that do not exist.
#[inline(always)]
fn rows<'f, B: Block, const R: usize>(w: &Matrix<'f>, first: usize, out: &ColumnsMut<'_>) -> [&'f [B]; R] {
    let (start, last) = (out.start(), out.end() - 1);
    let mut rows: [&[B]; R] = [&[]; R];
    for (r, slot) in rows.iter_mut().enumerate() {
        *slot = blocks_of(w.row((start + first + r).min(last)));
    }
    rows
}

/// Activations of tokens `first..first + T`; the last one also stands in for tokens that do not exist.
#[inline(always)]
fn tokens<const T: usize>(x: &[f32], n_cols: usize, first: usize) -> [&[f32]; T] {
    let last = (x.len() / n_cols.max(1)).saturating_sub(1);
    let mut tokens: [&[f32]; T] = [&[]; T];
    for (t, slot) in tokens.iter_mut().enumerate() {
        let at = (first + t).min(last) * n_cols;
        *slot = x.get(at..at + n_cols).unwrap_or_else(|| broken("activations of each token"));
    }
    tokens
}

/// Writes sums of rows `row..` with a token, as many as there are.
#[inline(always)]
fn write(sums: &[f32], row: usize, token: usize, out: &mut ColumnsMut<'_>) {
    let out = out.row(token).get_mut(row..).unwrap_or_else(|| broken("columns of the output"));
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
}

/// Multiplies `R` rows with `T` tokens at a time, both as they lie in memory.
#[inline(always)]
fn few<B: Block, U: FloatUnit<B>, const R: usize, const T: usize>(
    unit: U,
    w: &Matrix<'_>,
    x: &[f32],
    out: &mut ColumnsMut<'_>,
) {
    let (n_rows, n_tokens) = (out.end() - out.start(), out.n_tokens());
    for row in (0..n_rows).step_by(R) {
        let rows: [&[B]; R] = rows(w, row, out);
        for token in (0..n_tokens).step_by(T) {
            let sums = unit.dots(rows, tokens::<T>(x, w.n_cols(), token));
            for (t, sums) in sums.iter().enumerate().take(n_tokens - token) {
                write(&sums[..R], row, token + t, out);
            }
        }
    }
}

/// Chains of a tile: of each register of rows, with each token.
type Tile<C, const T: usize> = [[C; T]; REGISTERS];

/// Room for the chains of a panel's rows with a batch of tokens, tile after tile.
type Resting<C> = [MaybeUninit<C>; PANEL_ROWS * BATCH];

/// Weights of a panel, widened. The columns of a tile's rows lie together, eight of each row after the other.
#[repr(align(64))]
struct Weights([f32; PANEL_ROWS * PANEL_COLUMNS]);

/// Multiplies with panels of rows.
#[inline(always)]
fn panels<B: Block, U: FloatUnit<B>, const T: usize>(unit: U, w: &Matrix<'_>, x: &[f32], out: &mut ColumnsMut<'_>) {
    let n_tokens = out.n_tokens();
    let mut weights = Weights([0.0; _]);
    // A panel of all columns serves all tokens; for more columns, the activations of a batch stay in L2 while all rows pass.
    let step = if w.n_cols() > PANEL_COLUMNS { BATCH } else { n_tokens.max(1) };
    for first in (0..n_tokens).step_by(step) {
        let tokens = first..n_tokens.min(first + step);
        for row in (0..out.end() - out.start()).step_by(PANEL_ROWS) {
            multiply_rows::<B, U, T>(unit, w, x, out, row, tokens.clone(), &mut weights);
        }
    }
}

/// Multiplies up to twelve rows, from `row` on, with some tokens.
#[inline(always)]
fn multiply_rows<B: Block, U: FloatUnit<B>, const T: usize>(
    unit: U,
    w: &Matrix<'_>,
    x: &[f32],
    out: &mut ColumnsMut<'_>,
    row: usize,
    tokens: Range<usize>,
    weights: &mut Weights,
) {
    const { assert!(T.is_multiple_of(TOKENS) && BATCH.is_multiple_of(T)) };
    const { assert!(PANEL_ROWS.is_multiple_of(REGISTERS * U::ROWS)) };
    let (n_cols, tile_rows) = (w.n_cols(), REGISTERS * U::ROWS);
    let mut resting: Resting<U::Chains> = [const { MaybeUninit::uninit() }; _];
    let rows: [&[B]; PANEL_ROWS] = rows(w, row, out);
    let n_tiles = PANEL_ROWS.min(out.end() - out.start() - row).div_ceil(tile_rows);
    for batch in tokens.clone().step_by(BATCH) {
        let batch = batch..tokens.end.min(batch + BATCH);
        for first in (0..n_cols).step_by(PANEL_COLUMNS) {
            let columns = first..n_cols.min(first + PANEL_COLUMNS);
            if batch.start == tokens.start || n_cols > PANEL_COLUMNS {
                let tiles = weights.0.chunks_exact_mut(tile_rows * PANEL_COLUMNS);
                for (rows, to) in rows.chunks_exact(tile_rows).zip(tiles).take(n_tiles) {
                    fill(unit, rows, columns.clone(), to);
                }
            }
            let panel = Panel { weights: &weights.0, n_tiles, n_cols, columns, x };
            let mut slots = &mut resting[..];
            for (token, n) in tiles_of::<T>(&batch) {
                slots = match n {
                    TOKENS => panel.multiply::<B, U, TOKENS>(unit, token, slots),
                    _ => panel.multiply::<B, U, T>(unit, token, slots),
                };
            }
        }
        let mut slots = &resting[..];
        for (token, n) in tiles_of::<T>(&batch) {
            for tile in 0..n_tiles {
                let (chains, rest) = slots.split_at_checked(REGISTERS * n).unwrap_or_else(|| broken(ROOM));
                slots = rest;
                for t in 0..n.min(batch.end - token) {
                    let of = |r: usize| {
                        let chain = chains.get(r * n + t).unwrap_or_else(|| broken(ROOM));
                        // SAFETY: the panels above wrote the chains of each tile, in this order; any number of columns has one.
                        unsafe { chain.assume_init() }
                    };
                    let sums = unit.trees([of(0), of(1), of(2)]);
                    write(&sums[..tile_rows], row + tile * tile_rows, token + t, out);
                }
            }
        }
    }
}

/// First token and number of tokens of each tile: `T`, and at the end as many as do.
#[inline(always)]
fn tiles_of<const T: usize>(batch: &Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<T> {
    let (mut next, end) = (batch.start, batch.end);
    core::iter::from_fn(move || {
        let token = next;
        let n = if end.saturating_sub(token) > T - TOKENS { T } else { TOKENS };
        next += n;
        (token < end).then_some((token, n))
    })
}

/// Widens the columns of a tile's rows, filled up with zeros to whole eights.
#[inline(always)]
fn fill<B: Block, U: FloatUnit<B>>(unit: U, rows: &[&[B]], columns: Range<usize>, to: &mut [f32]) {
    let n_rows = rows.len();
    for (r, row) in rows.iter().enumerate() {
        let row = row.get(columns.clone()).unwrap_or_else(|| broken(ROOM));
        let (eights, rest) = row.as_chunks::<CHAINS>();
        let mut to = to.as_chunks_mut::<CHAINS>().0.chunks_exact_mut(n_rows);
        for (from, to) in eights.iter().zip(&mut to) {
            unit.widen(from, to.get_mut(r).unwrap_or_else(|| broken(ROOM)));
        }
        if let Some((&weight, to)) = rest.first().zip(to.next().and_then(|to| to.get_mut(r))) {
            let mut last = [weight; CHAINS];
            last.iter_mut().zip(rest).for_each(|(last, weight)| *last = *weight);
            unit.widen(&last, to);
            to.iter_mut().skip(rest.len()).for_each(|to| *to = 0.0);
        }
    }
}

/// Up to 1024 columns of up to twelve rows, and the activations that they are multiplied with.
struct Panel<'a> {
    /// Tile after tile, as [`fill`] leaves them, each with room for all columns of a panel.
    weights: &'a [f32],
    n_tiles: usize,
    /// Columns of the matrix, and those of the panel.
    n_cols: usize,
    columns: Range<usize>,
    /// `[n_tokens, n_cols]`
    x: &'a [f32],
}

impl Panel<'_> {
    /// Adds the products of each tile with `T` tokens from `token` on to the chains in `slots` (for the first columns: to zero);
    /// returns the slots behind them.
    #[inline(always)]
    fn multiply<'s, B: Block, U: FloatUnit<B>, const T: usize>(
        &self,
        unit: U,
        token: usize,
        mut slots: &'s mut [MaybeUninit<U::Chains>],
    ) -> &'s mut [MaybeUninit<U::Chains>] {
        let mut x = tokens::<T>(self.x, self.n_cols, token);
        for x in &mut x {
            *x = x.get(self.columns.clone()).unwrap_or_else(|| broken(ROOM));
        }
        for weights in self.weights.chunks_exact(REGISTERS * U::ROWS * PANEL_COLUMNS).take(self.n_tiles) {
            let (of_tile, rest) = slots.split_at_mut_checked(REGISTERS * T).unwrap_or_else(|| broken(ROOM));
            slots = rest;
            let mut chains = [[unit.zero(); T]; REGISTERS];
            if self.columns.start > 0 {
                for (chain, slot) in chains.as_flattened_mut().iter_mut().zip(&*of_tile) {
                    // SAFETY: the panel of the columns before wrote it.
                    *chain = unsafe { slot.assume_init() };
                }
            }
            add_columns::<B, U, T>(unit, weights, x, &mut chains);
            for (slot, chain) in of_tile.iter_mut().zip(chains.as_flattened()) {
                slot.write(*chain);
            }
        }
        slots
    }
}

/// Adds the products of a tile's rows with its tokens to the chains. `weights` has all columns of `x`, as [`fill`] leaves them.
#[inline(always)]
fn add_columns<B: Block, U: FloatUnit<B>, const T: usize>(
    unit: U,
    weights: &[f32],
    x: [&[f32]; T],
    chains: &mut Tile<U::Chains, T>,
) {
    let step = REGISTERS * U::ROWS * CHAINS;
    let n = x[0].len();
    require(x.iter().all(|x| x.len() == n) && n.div_ceil(CHAINS) * step <= weights.len(), ROOM);
    let whole = n / CHAINS;
    let mut panel = weights.as_ptr();
    for i in 0..whole {
        // SAFETY: eight columns of each row and token are left (checked above).
        unsafe {
            add_eight::<B, U, T>(unit, panel, &x, i * CHAINS, chains);
            panel = panel.add(step);
        }
    }
    if whole * CHAINS < n {
        let mut last = [[0.0; CHAINS]; T];
        for (last, x) in last.iter_mut().zip(x) {
            last.iter_mut().zip(x.iter().skip(whole * CHAINS)).for_each(|(last, x)| *last = *x);
        }
        // SAFETY: eight columns of each row are left (checked above).
        unsafe { add_eight::<B, U, T>(unit, panel, &last.each_ref().map(|x| &x[..]), 0, chains) };
    }
}

/// Adds the products of eight columns.
///
/// # Safety
/// Eight columns of the tile's rows lie at `panel`, eight activations at index `at` of each of `x`.
#[inline(always)]
unsafe fn add_eight<B: Block, U: FloatUnit<B>, const T: usize>(
    unit: U,
    panel: *const f32,
    x: &[&[f32]; T],
    at: usize,
    chains: &mut Tile<U::Chains, T>,
) {
    let mut rows = [unit.zero(); REGISTERS];
    for (r, slot) in rows.iter_mut().enumerate() {
        // SAFETY: the register's rows lie here (the caller).
        *slot = unsafe { unit.load(panel.add(r * U::ROWS * CHAINS)) };
    }
    for t in 0..T {
        // SAFETY: eight activations lie here (the caller).
        let x = unsafe { unit.spread(x[t].as_ptr().add(at)) };
        for r in 0..REGISTERS {
            chains[r][t] = unit.fused(rows[r], x, chains[r][t]);
        }
    }
}
